/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connections: opened in a worker, watched, dropped in a worker, opened again.
 *
 * A link is one successful opening: both connections and their registered callbacks.  libvirt calls
 * back from whatever thread reads the socket at that moment, so every callback does no more than
 * post to the main context, and what comes from a link that is not the current one is passed over.
 */
#include "mf-virt-private.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>

#include "mf-error.h"

#define KEEPALIVE_INTERVAL_SEC 5
#define KEEPALIVE_COUNT        3
#define RETRY_FIRST_MSEC       500
#define RETRY_LAST_MSEC        2000
#define CLOSE_WAIT_USEC        (2 * G_USEC_PER_SEC)

typedef struct {
    gatomicrefcount refs;
    MfVirt *virt;
    virConnectPtr events;
    virConnectPtr monitor;
    int lifecycle_id;
    int metadata_id;
    int merge_id;
} Link;

struct _MfVirt {
    gatomicrefcount refs;
    char *uri;
    MfVirtCallback callback; /* NULL once freed; main context only */
    gpointer user_data;
    guint retry_id;
    guint retry_msec;
    char *last_error; /* what the last failed opening said, so that it is logged once */

    GMutex lock; /* guards link, which workers read */
    Link *link;
};

typedef struct {
    Link *link;
    MfVirtEvent event;
    char uuid[VIR_UUID_STRING_BUFLEN];
} Post;

static void connect_begin(MfVirt *virt);
static void link_lost(Link *link);

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

static Link *
link_new(MfVirt *virt)
{
    Link *link = g_new0(Link, 1);

    g_atomic_ref_count_init(&link->refs);
    link->virt = mf_virt_ref(virt);
    link->lifecycle_id = -1;
    link->metadata_id = -1;
    link->merge_id = -1;
    return link;
}

static Link *
link_ref(Link *link)
{
    g_atomic_ref_count_inc(&link->refs);
    return link;
}

static void
link_unref(gpointer data)
{
    Link *link = data;

    if (g_atomic_ref_count_dec(&link->refs)) {
        mf_virt_unref(link->virt);
        g_free(link);
    }
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Link, link_unref)

/* Main context. */
static gboolean
post_deliver(gpointer data)
{
    Post *post = data;
    MfVirt *virt = post->link->virt;

    if (!virt->callback || virt->link != post->link) {
        return G_SOURCE_REMOVE;
    }
    if (post->event == MF_VIRT_DISCONNECTED) {
        link_lost(post->link);
    } else {
        virt->callback(post->event, post->uuid, virt->user_data);
    }
    return G_SOURCE_REMOVE;
}

static void
post_free(gpointer data)
{
    Post *post = data;

    link_unref(post->link);
    g_free(post);
}

/* From any thread; never runs the handler in place. */
static void
post(Link *link, MfVirtEvent event, virDomainPtr domain)
{
    Post *new_post = g_new0(Post, 1);
    g_autoptr(GSource) source = g_idle_source_new();

    new_post->link = link_ref(link);
    new_post->event = event;
    if (domain && virDomainGetUUIDString(domain, new_post->uuid) < 0) {
        post_free(new_post);
        return;
    }
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, post_deliver, new_post, post_free);
    g_source_attach(source, NULL);
}

static int
on_lifecycle(G_GNUC_UNUSED virConnectPtr connection, virDomainPtr domain, int event,
             G_GNUC_UNUSED int detail, void *opaque)
{
    if (event == VIR_DOMAIN_EVENT_STARTED) {
        post(opaque, MF_VIRT_STARTED, domain);
    } else if (event == VIR_DOMAIN_EVENT_STOPPED) {
        post(opaque, MF_VIRT_STOPPED, domain);
    }
    return 0;
}

static void
on_metadata(G_GNUC_UNUSED virConnectPtr connection, virDomainPtr domain, int type,
            const char *nsuri, void *opaque)
{
    if (type == VIR_DOMAIN_METADATA_ELEMENT && g_strcmp0(nsuri, MF_POLICY_NS) == 0) {
        post(opaque, MF_VIRT_METADATA, domain);
    }
}

static void
on_merge_change(G_GNUC_UNUSED virConnectPtr connection, virDomainPtr domain,
                G_GNUC_UNUSED const char *event, G_GNUC_UNUSED long long seconds,
                G_GNUC_UNUSED unsigned int micros, G_GNUC_UNUSED const char *details, void *opaque)
{
    post(opaque, MF_VIRT_MERGE_CHANGE, domain);
}

static void
on_closed(G_GNUC_UNUSED virConnectPtr connection, G_GNUC_UNUSED int reason, void *opaque)
{
    post(opaque, MF_VIRT_DISCONNECTED, NULL);
}

/* Worker.  A link must be closed, not only unreferenced: its registered callbacks hold it. */
static void
link_close(Link *link)
{
    virConnectPtr connections[] = {link->monitor, link->events};

    if (link->events) {
        if (link->lifecycle_id >= 0) {
            virConnectDomainEventDeregisterAny(link->events, link->lifecycle_id);
        }
        if (link->metadata_id >= 0) {
            virConnectDomainEventDeregisterAny(link->events, link->metadata_id);
        }
        if (link->merge_id >= 0) {
            virConnectDomainQemuMonitorEventDeregister(link->events, link->merge_id);
        }
    }
    for (gsize i = 0; i < G_N_ELEMENTS(connections); i++) {
        if (connections[i]) {
            virConnectUnregisterCloseCallback(connections[i], on_closed);
            virConnectClose(connections[i]);
        }
    }
    link->events = NULL;
    link->monitor = NULL;
}

static virConnectPtr
connection_open(Link *link, GError **error)
{
    virConnectPtr connection = virConnectOpen(link->virt->uri);

    if (!connection) {
        mf_virt_set_error(error);
        return NULL;
    }
    /* Drivers that live in this process (test:///) know neither; they can't be cut off either. */
    virConnectSetKeepAlive(connection, KEEPALIVE_INTERVAL_SEC, KEEPALIVE_COUNT);
    if (virConnectRegisterCloseCallback(connection, on_closed, link_ref(link), link_unref) < 0) {
        link_unref(link);
    }
    return connection;
}

static gboolean
link_register(Link *link, GError **error)
{
    link->lifecycle_id = virConnectDomainEventRegisterAny(
        link->events, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle),
        link_ref(link), link_unref);
    if (link->lifecycle_id < 0) {
        mf_virt_set_error(error);
        link_unref(link);
        return FALSE;
    }
    link->metadata_id = virConnectDomainEventRegisterAny(
        link->events, NULL, VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
        VIR_DOMAIN_EVENT_CALLBACK(on_metadata), link_ref(link), link_unref);
    if (link->metadata_id < 0) {
        mf_virt_set_error(error);
        link_unref(link);
        return FALSE;
    }
    /* Only the QEMU driver has monitor events. */
    link->merge_id = virConnectDomainQemuMonitorEventRegister(
        link->events, NULL, "MEMORY_MERGE_CHANGE", on_merge_change, link_ref(link), link_unref, 0);
    if (link->merge_id < 0) {
        link_unref(link);
    }
    return TRUE;
}

static void
open_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
            G_GNUC_UNUSED GCancellable *cancellable)
{
    Link *link = data;
    GError *error = NULL;

    link->events = connection_open(link, &error);
    if (link->events) {
        link->monitor = connection_open(link, &error);
    }
    if (link->monitor && link_register(link, &error)) {
        g_task_return_boolean(task, TRUE);
        return;
    }
    link_close(link);
    g_task_return_error(task, error);
}

typedef struct {
    gatomicrefcount refs;
    Link *link;
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

    link_close(closing->link);
    link_unref(closing->link);
    g_mutex_lock(&closing->lock);
    closing->done = TRUE;
    g_cond_signal(&closing->done_cond);
    g_mutex_unlock(&closing->lock);
    g_task_return_boolean(task, TRUE);
}

/* Takes the caller's reference of link.  libvirtd may be frozen, so that nobody waits for long. */
static void
link_drop(Link *link, gint64 wait_usec)
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
set_link(MfVirt *virt, Link *link)
{
    g_mutex_lock(&virt->lock);
    virt->link = link;
    g_mutex_unlock(&virt->lock);
}

static void
link_lost(Link *link)
{
    MfVirt *virt = link->virt;

    g_message("libvirt: connection to %s lost, opening it again", virt->uri);
    set_link(virt, NULL);
    link_drop(link, 0);
    virt->retry_msec = RETRY_FIRST_MSEC;
    retry_later(virt);
    virt->callback(MF_VIRT_DISCONNECTED, NULL, virt->user_data);
}

static void
on_opened(G_GNUC_UNUSED GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(Link) link = data;
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
        if (g_strcmp0(error->message, virt->last_error) != 0) {
            g_warning("%s: %s; trying again", virt->uri, error->message);
            g_free(virt->last_error);
            virt->last_error = g_strdup(error->message);
        }
        retry_later(virt);
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
    Link *link = link_new(virt);
    g_autoptr(GTask) task = g_task_new(NULL, NULL, on_opened, link);

    g_task_set_task_data(task, link_ref(link), link_unref);
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
    Link *link = NULL;

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

virConnectPtr
mf_virt_take(MfVirt *virt, MfVirtPurpose purpose, GError **error)
{
    virConnectPtr connection = NULL;

    g_mutex_lock(&virt->lock);
    if (virt->link) {
        connection = purpose == MF_VIRT_FOR_MONITORS ? virt->link->monitor : virt->link->events;
        virConnectRef(connection);
    }
    g_mutex_unlock(&virt->lock);
    if (!connection) {
        g_set_error(error, MF_ERROR, MF_ERROR_BUSY, "libvirt: not connected to %s", virt->uri);
    }
    return connection;
}
