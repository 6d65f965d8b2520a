/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Merging on a QEMU that has no command for it: the `merge` property of its memory backends.
 *
 * It reaches the RAM that libvirt gives a backend to, which is all but firmware, ROMs and video
 * RAM. Internal to mf-qmp.c.
 */
#pragma once

#include "mf-qmp.h"

/* Whether there are memory backends and all have the property. */
gboolean mf_qmp_backend_probe(const MfQmp *qmp, gboolean *ret_usable, GError **error);

/* ON or OFF, MIXED when they differ. */
gboolean mf_qmp_backend_query(const MfQmp *qmp, MfMode *ret_mode, GError **error);

/* Sets all of them; goes on after a failure and then returns the first. */
gboolean mf_qmp_backend_set(const MfQmp *qmp, gboolean merge, GError **error);
