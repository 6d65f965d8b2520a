/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connections: opened in a worker, watched, dropped in a worker, opened again; and lent to
 * workers.
 */
#include "mf-virt-private.h"

#include <libvirt/virterror.h>

#include "mf-error.h"

#define RETRY_FIRST_MSEC 500
#define RETRY_LAST_MSEC  2000
#define CLOSE_WAIT_USEC  (2 * G_USEC_PER_SEC)

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

typedef struct {
    gatomicrefcount refs;
    MfVirtLink *link;
    GMutex lock;
    GCond done_cond;
    gboolean done;
} Closing;

static void
closing_unref(gpointer data)
{
    Closing *closing = data;

    if (g_atomic_ref_count_dec(&closing->refs)) {
        g_cond_clear(&closing->done_cond);
        g_mutex_clear(&closing->lock);
        g_free(closing);
    }
}

static void
close_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
             G_GNUC_UNUSED GCancellable *cancellable)
{
    Closing *closing = data;

    mf_virt_link_close(closing->link);
    mf_virt_link_unref(closing->link);
    g_mutex_lock(&closing->lock);
    closing->done = TRUE;
    g_cond_signal(&closing->done_cond);
    g_mutex_unlock(&closing->lock);
    g_task_return_boolean(task, TRUE);
}

/* Takes the caller's reference of link.  libvirtd may be frozen, so that nobody waits for long. */
static void
link_drop(MfVirtLink *link, gint64 wait_usec)
{
    Closing *closing = g_new0(Closing, 1);
    g_autoptr(GTask) task = g_task_new(NULL, NULL, NULL, NULL);
    gint64 until_usec = g_get_monotonic_time() + wait_usec;

    g_atomic_ref_count_init(&closing->refs);
    g_atomic_ref_count_inc(&closing->refs);
    closing->link = link;
    g_mutex_init(&closing->lock);
    g_cond_init(&closing->done_cond);
    g_task_set_task_data(task, closing, closing_unref);
    g_task_run_in_thread(task, close_thread);

    g_mutex_lock(&closing->lock);
    while (!closing->done && wait_usec > 0 &&
           g_cond_wait_until(&closing->done_cond, &closing->lock, until_usec)) {
    }
    g_mutex_unlock(&closing->lock);
    closing_unref(closing);
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
    virt->retry_id = g_timeout_add(virt->retry_msec, on_retry, virt);
    virt->retry_msec = MIN(virt->retry_msec * 2, RETRY_LAST_MSEC);
}

static void
set_link(MfVirt *virt, MfVirtLink *link)
{
    g_mutex_lock(&virt->lock);
    virt->link = link;
    g_mutex_unlock(&virt->lock);
}

void
mf_virt_link_lost(MfVirtLink *link)
{
    MfVirt *virt = link->virt;

    g_message("libvirt: connection to %s lost, opening it again", virt->uri);
    set_link(virt, NULL);
    link_drop(link, 0);
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

    if (!virt->callback) {
        if (opened) {
            link_drop(g_steal_pointer(&link), 0);
        }
        return;
    }
    if (!opened) {
        open_failed(virt, error->message);
        return;
    }
    if (link->lost) {
        link_drop(g_steal_pointer(&link), 0);
        open_failed(virt, "libvirt: the connection was lost as soon as it was open");
        return;
    }
    g_clear_pointer(&virt->last_error, g_free);
    g_message("libvirt: connected to %s", virt->uri);
    virt->retry_msec = RETRY_FIRST_MSEC;
    set_link(virt, g_steal_pointer(&link));
    virt->callback(MF_VIRT_CONNECTED, NULL, virt->user_data);
}

static void
connect_begin(MfVirt *virt)
{
    MfVirtLink *link = mf_virt_link_new(virt);
    g_autoptr(GTask) task = g_task_new(NULL, NULL, on_opened, link);

    g_task_set_task_data(task, mf_virt_link_ref(link), mf_virt_link_unref);
    g_task_run_in_thread(task, open_thread);
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

    virSetErrorFunc(NULL, on_libvirt_error);
    g_atomic_ref_count_init(&virt->refs);
    g_mutex_init(&virt->lock);
    virt->uri = g_strdup(uri);
    virt->callback = callback;
    virt->user_data = user_data;
    virt->retry_msec = RETRY_FIRST_MSEC;
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
    virt->callback = NULL;
    link = virt->link;
    set_link(virt, NULL);
    if (link) {
        link_drop(link, CLOSE_WAIT_USEC);
    }
    mf_virt_unref(virt);
}

gboolean
mf_virt_is_connected(const MfVirt *virt)
{
    return virt->link != NULL;
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
        connection = mf_virt_open_watched(virt->uri, error);
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
