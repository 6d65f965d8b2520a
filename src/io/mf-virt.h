/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt: which domains run, what their metadata says, and a way to their monitors.
 *
 * One connection brings the events; each blocking call has a connection for itself, so that a
 * frozen QEMU, which holds a monitor call for as long as it is frozen, holds up nobody else.  They
 * are opened in workers, watched by keepalive, and all are opened again when the first one closes;
 * events lost in between are made up for by listing.  The main loop is never blocked.  Signals are
 * plain callbacks on the main context.
 */
#pragma once

#include <gio/gio.h>

#include "../core/mf-types.h"

typedef struct _MfVirt MfVirt;

typedef enum {
    MF_VIRT_CONNECTED,    /* uuid NULL: list again */
    MF_VIRT_DISCONNECTED, /* uuid NULL */
    MF_VIRT_STARTED,      /* also resumed from a file, or migrated in */
    MF_VIRT_STOPPED,
    MF_VIRT_RESUMED,      /* it was paused, and goes on */
    MF_VIRT_METADATA,     /* the live policy may have changed: read it again */
    MF_VIRT_MERGE_CHANGE, /* QEMU's MEMORY_MERGE_CHANGE */
} MfVirtEvent;

typedef void (*MfVirtCallback)(MfVirtEvent event, const char *uuid, gpointer user_data);

/* Starts connecting to uri (gvir_event_register() must have been called by main); returns at once.
 */
MfVirt *mf_virt_new(const char *uri, MfVirtCallback callback, gpointer user_data);

/* No callback comes after it returns.  The connections are closed by a worker, for which
 * mf_workers_wait() waits. */
void mf_virt_free(MfVirt *virt);

/* Keeps the object, not its connections, for a worker that outlives mf_virt_free(). */
MfVirt *mf_virt_ref(MfVirt *virt);
void mf_virt_unref(MfVirt *virt);

gboolean mf_virt_is_connected(const MfVirt *virt);

/* Blocking calls, for workers.  All give MF_ERROR_BUSY while not connected, GONE when the domain is
 * not running any more. */

/* Running domains (of MfDomain) with uuid, name, policy, nosharepages, memory_kind filled (a
 * refused policy gives the default one and policy_error).  Those that libvirt names and does not
 * describe come in ret_unread: nothing but uuid, name, and why in policy_error. */
GPtrArray *mf_virt_list(MfVirt *virt, GPtrArray **ret_unread, GError **error);
MfDomain *mf_virt_lookup(MfVirt *virt, const char *uuid, GError **error);

/* A monitor command by libvirt (taints the domain with custom-monitor).  Fits MfQmpCall through a
 * small closure of the caller. */
char *mf_virt_monitor(MfVirt *virt, const char *uuid, const char *command, GError **error);

/* Writes the policy into the domain's metadata, live, and in its configuration when it is
 * persistent. */
gboolean mf_virt_set_policy(MfVirt *virt, const char *uuid, const MfPolicy *policy, GError **error);

/* Pauses a running domain.  INVALID when it does not run just now, whoever paused it.  After a
 * failure ret_lost says that the connection was cut before the answer: it may be paused. */
gboolean mf_virt_suspend(MfVirt *virt, const char *uuid, gboolean *ret_lost, GError **error);

/* Has a domain that somebody paused go on; one that runs already is success. */
gboolean mf_virt_resume(MfVirt *virt, const char *uuid, GError **error);

/* Whether the domain is paused just now, whoever paused it. */
gboolean mf_virt_is_paused(MfVirt *virt, const char *uuid, gboolean *ret_paused, GError **error);

/* What the guest has of its memory just now, by its QEMU; below its maximum, its balloon has the
 * rest. */
gboolean mf_virt_get_balloon(MfVirt *virt, const char *uuid, guint64 *ret_current_bytes,
                             guint64 *ret_max_bytes, GError **error);

/* Asks the guest's balloon, live, to leave it so much; the guest takes its time.  UNSUPPORTED
 * without a balloon.  ret_lost: as above. */
gboolean mf_virt_set_balloon(MfVirt *virt, const char *uuid, guint64 bytes, gboolean *ret_lost,
                             GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfVirt, mf_virt_free)
