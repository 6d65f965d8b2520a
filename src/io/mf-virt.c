/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connections: opened in a worker, watched, dropped in a worker, opened again; and lent to
 * workers.
 */
#include "mf-virt-private.h"

#include <libvirt/virterror.h>

#include "mf-error.h"
#include "mf-workers.h"

#define RETRY_FIRST_MSEC 500
#define RETRY_LAST_MSEC  2000

/* Keepalive watches a connection that is open, and nothing watches one that is being opened: on the
 * socket of a frozen libvirtd virConnectOpen() waits until that process ends, although a new one
 * may answer at the same address.  An opening takes milliseconds, and one that is overdue is not
 * given up, so that this may be short for a libvirtd that is only slow. */
#define OVERDUE_MSEC 10000

/* A connection that is being opened for a lease. */
typedef struct {
    gatomicrefcount refs;
    MfVirt *virt;
    virConnectPtr connection; /* virt's lock guards this and what follows */
    GError *error;
    gboolean done;
    gboolean given_up; /* nobody waits for it any more */
} Opening;

struct _MfVirtLease {
    MfVirtLink *link;
    virConnectPtr connection;
    MfVirtPurpose purpose;
};

static void connect_begin(MfVirt *virt);

void
mf_virt_unref(MfVirt *virt)
{
    if (!g_atomic_ref_count_dec(&virt->refs)) {
        return;
    }
    g_cond_clear(&virt->changed);
    g_mutex_clear(&virt->lock);
    g_free(virt->last_error);
    g_free(virt->uri);
    g_free(virt);
}

MfVirt *
mf_virt_ref(MfVirt *virt)
{
    g_atomic_ref_count_inc(&virt->refs);
    return virt;
}

static void
open_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
            G_GNUC_UNUSED GCancellable *cancellable)
{
    MfVirtLink *link = data;
    GError *error = NULL;

    if (mf_virt_link_open(link, &error)) {
        g_task_return_boolean(task, TRUE);
        return;
    }
    mf_virt_link_close(link);
    g_task_return_error(task, error);
}

static void
close_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
             G_GNUC_UNUSED GCancellable *cancellable)
{
    mf_virt_link_close(data);
    g_task_return_boolean(task, TRUE);
}

/* Takes the caller's reference of link.  libvirtd may be frozen, so that nobody waits here. */
static void
link_drop(MfVirtLink *link)
{
    g_autoptr(GTask) task = g_task_new(NULL, NULL, NULL, NULL);

    g_task_set_task_data(task, link, mf_virt_link_unref);
    mf_workers_run_now(task, close_thread);
}

static gboolean
on_retry(gpointer data)
{
    MfVirt *virt = data;

    virt->retry_id = 0;
    connect_begin(virt);
    return G_SOURCE_REMOVE;
}

static void
retry_later(MfVirt *virt)
{
    /* The new opening is watched from its own beginning. */
    g_clear_handle_id(&virt->overdue_id, g_source_remove);
    if (virt->retry_id != 0) {
        return;
    }
    virt->retry_id = g_timeout_add(virt->retry_msec, on_retry, virt);
    virt->retry_msec = MIN(virt->retry_msec * 2, RETRY_LAST_MSEC);
}

static void
set_link(MfVirt *virt, MfVirtLink *link)
{
    g_mutex_lock(&virt->lock);
    virt->link = link;
    g_cond_broadcast(&virt->changed);
    g_mutex_unlock(&virt->lock);
}

void
mf_virt_link_lost(MfVirtLink *link)
{
    MfVirt *virt = link->virt;

    g_message("libvirt: connection to %s lost, opening it again", virt->uri);
    set_link(virt, NULL);
    link_drop(link);
    virt->retry_msec = RETRY_FIRST_MSEC;
    retry_later(virt);
    virt->callback(MF_VIRT_DISCONNECTED, NULL, virt->user_data);
}

/* The same failure at every try is one line in the log. */
static void
open_failed(MfVirt *virt, const char *why)
{
    if (g_strcmp0(why, virt->last_error) != 0) {
        g_warning("%s: %s; trying again", virt->uri, why);
        g_free(virt->last_error);
        virt->last_error = g_strdup(why);
    }
    retry_later(virt);
}

static void
on_opened(G_GNUC_UNUSED GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(MfVirtLink) link = data;
    MfVirt *virt = link->virt;
    g_autoptr(GError) error = NULL;
    gboolean opened = g_task_propagate_boolean(G_TASK(result), &error);

    virt->openings_count--;
    /* Nobody wants it any more, or another one was faster. */
    if (!virt->callback || virt->link) {
        if (opened) {
            link_drop(g_steal_pointer(&link));
        }
        return;
    }
    if (!opened) {
        open_failed(virt, error->message);
        return;
    }
    if (link->lost) {
        link_drop(g_steal_pointer(&link));
        open_failed(virt, "libvirt: the connection was lost as soon as it was open");
        return;
    }
    g_clear_pointer(&virt->last_error, g_free);
    g_message("libvirt: connected to %s", virt->uri);
    g_clear_handle_id(&virt->overdue_id, g_source_remove);
    g_clear_handle_id(&virt->retry_id, g_source_remove);
    virt->retry_msec = RETRY_FIRST_MSEC;
    set_link(virt, g_steal_pointer(&link));
    virt->callback(MF_VIRT_CONNECTED, NULL, virt->user_data);
}

/* The overdue one can't be called back, and if libvirtd is only slow, it is nearest to its end: it
 * goes on, and the first that is open is taken. */
static gboolean
on_overdue(gpointer data)
{
    MfVirt *virt = data;

    virt->overdue_id = 0;
    if (virt->openings_count < MF_VIRT_OPENINGS_MAX) {
        g_warning("%s: libvirt does not answer; opening another connection beside %u that wait",
                  virt->uri, virt->openings_count);
        connect_begin(virt);
    } else {
        g_warning("%s: libvirt does not answer; %u connections wait, and no more are opened until "
                  "one of them ends: restart libvirtd",
                  virt->uri, virt->openings_count);
    }
    return G_SOURCE_REMOVE;
}

/* There are fewer openings than the most: one has just ended, or on_overdue() has looked. */
static void
connect_begin(MfVirt *virt)
{
    guint overdue_msec = virt->overdue_msec << virt->openings_count++;
    MfVirtLink *link = mf_virt_link_new(virt);
    g_autoptr(GTask) task = g_task_new(NULL, NULL, on_opened, link);

    g_task_set_task_data(task, mf_virt_link_ref(link), mf_virt_link_unref);
    virt->overdue_id = g_timeout_add(overdue_msec, on_overdue, virt);
    mf_workers_run_now(task, open_thread);
}

/* libvirt prints every error by itself unless told otherwise; ours carry them. */
static void
on_libvirt_error(G_GNUC_UNUSED void *data, G_GNUC_UNUSED virErrorPtr error)
{
}

MfVirt *
mf_virt_new(const char *uri, MfVirtCallback callback, gpointer user_data)
{
    MfVirt *virt = g_new0(MfVirt, 1);

    /* Here and not in a worker, as libvirt advises: libcrypto, which it sets up with curl, has data
     * of the thread that does so, and frees it when that thread ends, even if the process does. */
    virInitialize();
    virSetErrorFunc(NULL, on_libvirt_error);
    g_atomic_ref_count_init(&virt->refs);
    g_mutex_init(&virt->lock);
    g_cond_init(&virt->changed);
    virt->uri = g_strdup(uri);
    virt->callback = callback;
    virt->user_data = user_data;
    virt->retry_msec = RETRY_FIRST_MSEC;
    virt->overdue_msec = OVERDUE_MSEC;
    connect_begin(virt);
    return virt;
}

void
mf_virt_free(MfVirt *virt)
{
    MfVirtLink *link = NULL;

    if (!virt) {
        return;
    }
    g_clear_handle_id(&virt->retry_id, g_source_remove);
    g_clear_handle_id(&virt->overdue_id, g_source_remove);
    virt->callback = NULL;
    link = virt->link;
    set_link(virt, NULL);
    if (link) {
        link_drop(link);
    }
    mf_virt_unref(virt);
}

gboolean
mf_virt_is_connected(const MfVirt *virt)
{
    return virt->link != NULL;
}

static void
opening_unref(gpointer data)
{
    Opening *opening = data;

    if (g_atomic_ref_count_dec(&opening->refs)) {
        g_clear_error(&opening->error);
        mf_virt_unref(opening->virt);
        g_free(opening);
    }
}

static void
lease_open_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
                  G_GNUC_UNUSED GCancellable *cancellable)
{
    Opening *opening = data;
    MfVirt *virt = opening->virt;
    GError *error = NULL;
    virConnectPtr connection = mf_virt_open_watched(virt->uri, &error);

    g_mutex_lock(&virt->lock);
    if (!opening->given_up) {
        opening->connection = g_steal_pointer(&connection);
    }
    opening->error = error;
    opening->done = TRUE;
    g_cond_broadcast(&virt->changed);
    g_mutex_unlock(&virt->lock);
    if (connection) {
        virConnectClose(connection);
    }
    g_task_return_boolean(task, TRUE);
}

/* A connection for a lease of link.  Nothing ends an opening that a frozen libvirtd holds, but
 * link's own connection is watched, and with it the wait ends. */
static virConnectPtr
lease_open(MfVirtLink *link, GError **error)
{
    MfVirt *virt = link->virt;
    Opening *opening = g_new0(Opening, 1);
    g_autoptr(GTask) task = g_task_new(NULL, NULL, NULL, NULL);
    virConnectPtr connection = NULL;

    g_atomic_ref_count_init(&opening->refs);
    g_atomic_ref_count_inc(&opening->refs);
    opening->virt = mf_virt_ref(virt);
    g_task_set_task_data(task, opening, opening_unref);
    mf_workers_run_now(task, lease_open_thread);
    g_mutex_lock(&virt->lock);
    while (!opening->done && virt->link == link) {
        g_cond_wait(&virt->changed, &virt->lock);
    }
    opening->given_up = !opening->done;
    connection = g_steal_pointer(&opening->connection);
    if (opening->given_up) {
        g_set_error(error, MF_ERROR, MF_ERROR_BUSY, "libvirt: the connection to %s was lost",
                    virt->uri);
    } else if (opening->error) {
        g_propagate_error(error, g_steal_pointer(&opening->error));
    }
    g_mutex_unlock(&virt->lock);
    opening_unref(opening);
    return connection;
}

MfVirtLease *
mf_virt_lease(MfVirt *virt, MfVirtPurpose purpose, GError **error)
{
    g_autoptr(MfVirtLink) link = NULL;
    virConnectPtr connection = NULL;
    MfVirtLease *lease = NULL;

    g_mutex_lock(&virt->lock);
    if (virt->link) {
        GPtrArray *idle = virt->link->idle[purpose];

        link = mf_virt_link_ref(virt->link);
        if (idle->len > 0) {
            connection = g_ptr_array_steal_index(idle, idle->len - 1);
        }
    }
    g_mutex_unlock(&virt->lock);
    if (!link) {
        g_set_error(error, MF_ERROR, MF_ERROR_BUSY, "libvirt: not connected to %s", virt->uri);
        return NULL;
    }
    if (!connection) {
        connection = lease_open(link, error);
    }
    if (!connection) {
        return NULL;
    }
    lease = g_new0(MfVirtLease, 1);
    lease->link = g_steal_pointer(&link);
    lease->connection = connection;
    lease->purpose = purpose;
    return lease;
}

virConnectPtr
mf_virt_lease_get(const MfVirtLease *lease)
{
    return lease->connection;
}

void
mf_virt_lease_end(MfVirtLease *lease)
{
    MfVirtLink *link = lease->link;
    MfVirt *virt = link->virt;

    if (virConnectIsAlive(lease->connection) != 0) {
        g_mutex_lock(&virt->lock);
        if (virt->link == link) {
            g_ptr_array_add(link->idle[lease->purpose], g_steal_pointer(&lease->connection));
        }
        g_mutex_unlock(&virt->lock);
    }
    if (lease->connection) {
        virConnectClose(lease->connection);
    }
    mf_virt_link_unref(link);
    g_free(lease);
}
