/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the host has: memory (/proc/meminfo), and who of root's else manages it (ksmtuned). */
#pragma once

#include "../core/mf-types.h"
#include "mf-managers.h"
#include "mf-root.h"

/* Fills page_size_bytes, mem_* and swap_* alone: one short file.  Blocks. */
gboolean mf_host_read_memory(MfRoot *root, MfHost *host, GError **error);

/* Fills page_size_bytes, mem_* , swap_*, what /proc/vmstat counts, and other_manager; what can't be
 * read stays absent and the first failure is returned as FALSE with error, after everything was
 * tried.  Blocks. */
gboolean mf_host_read(MfRoot *root, MfHost *host, GError **error);

/* The same for who reads again and again: does not look for a manager among all processes each time
 * (see mf-managers.h). */
gboolean mf_host_read_in_turns(MfRoot *root, MfManagers *managers, MfHost *host, GError **error);
