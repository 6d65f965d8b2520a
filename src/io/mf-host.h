/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the host has: memory (/proc/meminfo), and who of root's else manages it (ksmtuned). */
#pragma once

#include "../core/mf-types.h"
#include "mf-root.h"

/* Fills page_size_bytes, mem_* , swap_* and other_manager; what can't be read stays absent and the
 * first failure is returned as FALSE with error, after everything was tried.  Blocks. */
gboolean mf_host_read(MfRoot *root, MfHost *host, GError **error);
