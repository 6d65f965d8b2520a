/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two halves of virt share: mf-virt.c keeps the connections, mf-virt-domain.c uses them.
 */
#pragma once

#include <libvirt/libvirt.h>

#include "mf-virt.h"

typedef enum {
    MF_VIRT_FOR_LISTS,    /* the connection that also carries the events */
    MF_VIRT_FOR_MONITORS, /* the one that frozen QEMUs may hold up */
} MfVirtPurpose;

/* A reference to one of the connections, to virConnectClose(); BUSY while not connected.  For any
 * thread. */
virConnectPtr mf_virt_take(MfVirt *virt, MfVirtPurpose purpose, GError **error);

/* Sets error from libvirt's last error of this thread, as "libvirt: MESSAGE". */
void mf_virt_set_error(GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(virConnect, virConnectClose)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virDomain, virDomainFree)
