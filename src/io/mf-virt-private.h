/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of virt share: mf-virt.c keeps and lends connections, mf-virt-link.c is one
 * opening of libvirt, mf-virt-domain.c has the calls about domains, mf-virt-relief.c those that
 * take from them.
 */
#pragma once

#include <libvirt/libvirt.h>

#include "mf-virt.h"

/* How many openings may wait at the same time.  Each holds a thread and a socket for as long as a
 * frozen libvirtd lasts; with the waits growing as they do, the last is begun after 85 minutes. */
#define MF_VIRT_OPENINGS_MAX 10

typedef enum {
    MF_VIRT_FOR_DOMAINS,  /* lists, look-ups, policies */
    MF_VIRT_FOR_RELIEF,   /* pauses and balloons, which wait for nobody else */
    MF_VIRT_FOR_MONITORS, /* what a frozen QEMU may hold up */
    MF_VIRT_N_PURPOSES,
} MfVirtPurpose;

typedef struct {
    gatomicrefcount refs;
    MfVirt *virt;
    virConnectPtr events;
    gboolean lost; /* main context only: cut before it became the current one */
    GPtrArray *idle[MF_VIRT_N_PURPOSES]; /* of virConnectPtr; virt's lock guards them */
    GMutex posts_lock;
    GHashTable *posts; /* set of "EVENT UUID": posted and not delivered; posts_lock guards it */
    int lifecycle_id;
    int metadata_id;
    int merge_id;
} MfVirtLink;

struct _MfVirt {
    gatomicrefcount refs;
    char *uri;
    MfVirtCallback callback; /* NULL once freed; main context only */
    gpointer user_data;
    guint retry_id;
    guint retry_msec;
    guint openings_count; /* begun and not ended; main context only, as are these: */
    guint overdue_id;     /* runs while another opening may be begun beside them */
    guint overdue_msec;   /* that long after the first; after each further one twice as long */
    char *last_error;     /* what the last failed opening said, so that it is logged once */

    GMutex lock;   /* guards link, which workers read */
    GCond changed; /* link, or an opening for a lease */
    MfVirtLink *link;
};

MfVirtLink *mf_virt_link_new(MfVirt *virt);
MfVirtLink *mf_virt_link_ref(MfVirtLink *link);
void mf_virt_link_unref(gpointer link);

/* A connection whose end is noticed when libvirtd freezes: a call that waits there then fails. */
virConnectPtr mf_virt_open_watched(const char *uri, GError **error);

/* Connects and registers for events.  Blocks. */
gboolean mf_virt_link_open(MfVirtLink *link, GError **error);

/* A link must be closed, not only unreferenced: its registered callbacks hold it.  Blocks. */
void mf_virt_link_close(MfVirtLink *link);

/* Main context: the current link's connection was closed. */
void mf_virt_link_lost(MfVirtLink *link);

/* A connection that one worker has for itself.  Threads that share one wait for each other: with
 * libvirt 9.0 a second request stayed unsent for five seconds (until keepalive woke the first
 * thread) whenever the first one waited for a frozen QEMU. */
typedef struct _MfVirtLease MfVirtLease;

/* Opens a connection when none is idle; BUSY while libvirtd is away, and as soon as it is.  Blocks.
 * For workers. */
MfVirtLease *mf_virt_lease(MfVirt *virt, MfVirtPurpose purpose, GError **error);
virConnectPtr mf_virt_lease_get(const MfVirtLease *lease);

/* Gives the connection back.  For any thread. */
void mf_virt_lease_end(MfVirtLease *lease);

/* The handle of a running domain; NULL with GONE or what libvirt said. */
virDomainPtr mf_virt_find_running(virConnectPtr connection, const char *uuid, GError **error);

/* Sets error from libvirt's last error of this thread, as "libvirt: MESSAGE"; BUSY when connection
 * (may be NULL) was cut. */
void mf_virt_set_error(virConnectPtr connection, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfVirtLink, mf_virt_link_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfVirtLease, mf_virt_lease_end)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virDomain, virDomainFree)
