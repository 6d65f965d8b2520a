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

    if (!virt->callback) {
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
        link_drop(link);
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
