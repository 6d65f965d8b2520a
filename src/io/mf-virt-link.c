/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One opening of libvirt: the connection that brings the events, and its callbacks.
 *
 * libvirt calls back from whatever thread reads the socket at that moment, so every callback does
 * no more than post to the main context, and what comes from a link that is not the current one is
 * passed over, but for its loss: a link may be cut while it is still being opened.
 *
 * Some events come as often as a QEMU likes, and say no more than that something is to be looked
 * at.  One of these that waits to be delivered stands for all that come meanwhile, so that a QEMU
 * that floods libvirt with them fills neither memory nor the main loop.
 */
#include "mf-virt-private.h"

#include <libvirt/libvirt-qemu.h>

#define KEEPALIVE_INTERVAL_SEC 5
#define KEEPALIVE_COUNT        3

typedef struct {
    MfVirtLink *link;
    MfVirtEvent event;
    char uuid[VIR_UUID_STRING_BUFLEN];
    char *key; /* of the link's posts, or NULL */
} Post;

MfVirtLink *
mf_virt_link_new(MfVirt *virt)
{
    MfVirtLink *link = g_new0(MfVirtLink, 1);

    g_atomic_ref_count_init(&link->refs);
    link->virt = mf_virt_ref(virt);
    for (guint i = 0; i < MF_VIRT_N_PURPOSES; i++) {
        link->idle[i] = g_ptr_array_new();
    }
    g_mutex_init(&link->posts_lock);
    link->posts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    link->lifecycle_id = -1;
    link->metadata_id = -1;
    link->merge_id = -1;
    return link;
}

MfVirtLink *
mf_virt_link_ref(MfVirtLink *link)
{
    g_atomic_ref_count_inc(&link->refs);
    return link;
}

void
mf_virt_link_unref(gpointer data)
{
    MfVirtLink *link = data;

    if (g_atomic_ref_count_dec(&link->refs)) {
        for (guint i = 0; i < MF_VIRT_N_PURPOSES; i++) {
            g_ptr_array_unref(link->idle[i]);
        }
        g_hash_table_unref(link->posts);
        g_mutex_clear(&link->posts_lock);
        mf_virt_unref(link->virt);
        g_free(link);
    }
}

static gboolean
stands_for_all(MfVirtEvent event)
{
    return event == MF_VIRT_MERGE_CHANGE || event == MF_VIRT_METADATA || event == MF_VIRT_RESUMED;
}

/* FALSE when one like it waits to be delivered already. */
static gboolean
posts_add(Post *post)
{
    gboolean is_first = TRUE;

    if (stands_for_all(post->event)) {
        post->key = g_strdup_printf("%d %s", (int)post->event, post->uuid);
        g_mutex_lock(&post->link->posts_lock);
        is_first = g_hash_table_add(post->link->posts, g_strdup(post->key));
        g_mutex_unlock(&post->link->posts_lock);
    }
    return is_first;
}

static void
posts_remove(const Post *post)
{
    if (post->key) {
        g_mutex_lock(&post->link->posts_lock);
        g_hash_table_remove(post->link->posts, post->key);
        g_mutex_unlock(&post->link->posts_lock);
    }
}

/* Main context. */
static gboolean
post_deliver(gpointer data)
{
    Post *post = data;
    MfVirt *virt = post->link->virt;

    /* First: what comes from here on may be of later than what is looked at now. */
    posts_remove(post);
    if (!virt->callback) {
        return G_SOURCE_REMOVE;
    }
    if (virt->link != post->link) {
        post->link->lost |= post->event == MF_VIRT_DISCONNECTED;
        return G_SOURCE_REMOVE;
    }
    if (post->event == MF_VIRT_DISCONNECTED) {
        mf_virt_link_lost(post->link);
    } else {
        virt->callback(post->event, post->uuid, virt->user_data);
    }
    return G_SOURCE_REMOVE;
}

static void
post_free(gpointer data)
{
    Post *post = data;

    mf_virt_link_unref(post->link);
    g_free(post->key);
    g_free(post);
}

/* From any thread; never runs the handler in place. */
static void
post(MfVirtLink *link, MfVirtEvent event, virDomainPtr domain)
{
    Post *new_post = g_new0(Post, 1);
    g_autoptr(GSource) source = g_idle_source_new();

    new_post->link = mf_virt_link_ref(link);
    new_post->event = event;
    if ((domain && virDomainGetUUIDString(domain, new_post->uuid) < 0) || !posts_add(new_post)) {
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
    } else if (event == VIR_DOMAIN_EVENT_RESUMED) {
        post(opaque, MF_VIRT_RESUMED, domain);
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

static void
close_idle(gpointer connection, G_GNUC_UNUSED gpointer user_data)
{
    virConnectClose(connection);
}

void
mf_virt_link_close(MfVirtLink *link)
{
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
        virConnectUnregisterCloseCallback(link->events, on_closed);
        virConnectClose(link->events);
        link->events = NULL;
    }
    /* Nobody leases of a link that is not the current one any more. */
    for (guint i = 0; i < MF_VIRT_N_PURPOSES; i++) {
        g_ptr_array_foreach(link->idle[i], close_idle, NULL);
        g_ptr_array_set_size(link->idle[i], 0);
    }
}

virConnectPtr
mf_virt_open_watched(const char *uri, GError **error)
{
    virConnectPtr connection = virConnectOpen(uri);

    if (!connection) {
        mf_virt_set_error(NULL, error);
        return NULL;
    }
    /* Drivers that live in this process (test:///) don't know it; they can't be cut off either. */
    virConnectSetKeepAlive(connection, KEEPALIVE_INTERVAL_SEC, KEEPALIVE_COUNT);
    return connection;
}

static gboolean
open_events(MfVirtLink *link, GError **error)
{
    link->events = mf_virt_open_watched(link->virt->uri, error);
    if (!link->events) {
        return FALSE;
    }
    /* The same drivers don't know this either. */
    if (virConnectRegisterCloseCallback(link->events, on_closed, mf_virt_link_ref(link),
                                        mf_virt_link_unref) < 0) {
        mf_virt_link_unref(link);
    }
    return TRUE;
}

static gboolean
register_events(MfVirtLink *link, GError **error)
{
    link->lifecycle_id = virConnectDomainEventRegisterAny(
        link->events, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle),
        mf_virt_link_ref(link), mf_virt_link_unref);
    if (link->lifecycle_id < 0) {
        mf_virt_set_error(link->events, error);
        mf_virt_link_unref(link);
        return FALSE;
    }
    link->metadata_id = virConnectDomainEventRegisterAny(
        link->events, NULL, VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
        VIR_DOMAIN_EVENT_CALLBACK(on_metadata), mf_virt_link_ref(link), mf_virt_link_unref);
    if (link->metadata_id < 0) {
        mf_virt_set_error(link->events, error);
        mf_virt_link_unref(link);
        return FALSE;
    }
    /* Only the QEMU driver has monitor events. */
    link->merge_id = virConnectDomainQemuMonitorEventRegister(
        link->events, NULL, "MEMORY_MERGE_CHANGE", on_merge_change, mf_virt_link_ref(link),
        mf_virt_link_unref, 0);
    if (link->merge_id < 0) {
        mf_virt_link_unref(link);
    }
    return TRUE;
}

gboolean
mf_virt_link_open(MfVirtLink *link, GError **error)
{
    return open_events(link, error) && register_events(link, error);
}
