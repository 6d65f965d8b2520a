/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's memory by its control group: memory.reclaim of cgroup v2.
 *
 * Source: Documentation/admin-guide/cgroup-v2.rst (Linux 5.19).  The group is found by the QEMU's
 * PID, so that it takes no libvirt.
 */
#pragma once

#include "../core/mf-types.h"
#include "mf-root.h"

/* Has the kernel take so much of domain's memory, in pieces, for at most limit_msec (a piece that
 * has begun is ended).  domain needs pid, uuid.  ret_taken_bytes is what it took, also on failure.
 * FALSE: UNSUPPORTED (no cgroup v2, no group of its own, an older kernel), BUSY (there is no more
 * to be taken), TIMEOUT, GONE, DENIED.  Blocks. */
gboolean mf_cgroup_reclaim(MfRoot *root, const MfDomain *domain, guint64 bytes, guint limit_msec,
                           guint64 *ret_taken_bytes, GError **error);
