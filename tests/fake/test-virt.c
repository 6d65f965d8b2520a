/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt's test driver, with a fault put in where no real libvirtd can be made to have it on time.
 *
 * The functions with libvirt's names stand before libvirt's own, which they call.
 */
#include <dlfcn.h>
#include <glib/gstdio.h>
#include <libvirt-glib/libvirt-glib.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>

#include "../../src/core/mf-error.h"
#include "../../src/io/mf-virt-private.h"
#include "../../src/io/mf-workers.h"
#include "logcatch.h"

#define WAIT_SEC  20
#define HELD_MSEC 50
/* Instead of losses to come: libvirt takes whoever wants QEMU's events. */
#define MONITOR_EVENTS 1000
#define DOMAIN                                                                                     \
    "<domain type='test'><name>%s</name><uuid>%d1111111-1111-4111-8111-111111111111</uuid>"        \
    "<memory>65536</memory><os><type>hvm</type></os></domain>"

/* A connection that is watched. */
typedef struct {
    virConnectPtr connection;
    virConnectCloseFunc function;
    void *opaque;
    virFreeCallback free_function;
} Watched;

static GMutex lock;             /* of the counts and the list: openings run beside each other */
static GPtrArray *watched_ones; /* of Watched, in the order of their openings */
static guint begun_count;       /* openings that came to the gate */
static guint openings_count;    /* and through it */
static guint closings_count;
static guint openings_to_hold; /* so many wait at the gate */
static GMutex opening_gate;
static guint losses_to_come;
static gint at_keepalive_count; /* whoever opens and waits at the gate before it is done */
static gboolean keepalive_waits;
static gboolean xml_fails;
static gboolean has_monitor_events;
static virConnectDomainQemuMonitorEventCallback monitor_callback;
static void *monitor_opaque;
static virFreeCallback monitor_free;

/* The last step of any opening, for a lease as well.  The test driver doesn't know keepalive. */
int
virConnectSetKeepAlive(G_GNUC_UNUSED virConnectPtr connection, G_GNUC_UNUSED int interval,
                       G_GNUC_UNUSED unsigned int count)
{
    if (keepalive_waits) {
        g_atomic_int_inc(&at_keepalive_count);
        g_mutex_lock(&opening_gate);
        g_mutex_unlock(&opening_gate);
    }
    return -1;
}

int
virConnectRegisterCloseCallback(virConnectPtr connection, virConnectCloseFunc function,
                                void *opaque, virFreeCallback free_function)
{
    Watched *watched = g_new0(Watched, 1);
    gboolean held = FALSE;

    *watched = (Watched){connection, function, opaque, free_function};
    g_mutex_lock(&lock);
    begun_count++;
    if (openings_to_hold > 0) {
        openings_to_hold--;
        held = TRUE;
    }
    g_mutex_unlock(&lock);
    if (held) {
        g_mutex_lock(&opening_gate);
        g_mutex_unlock(&opening_gate);
    }
    g_mutex_lock(&lock);
    openings_count++;
    g_ptr_array_add(watched_ones, watched);
    g_mutex_unlock(&lock);
    return 0;
}

static Watched *
watched_find(virConnectPtr connection)
{
    Watched *found = NULL;

    g_mutex_lock(&lock);
    for (guint i = 0; i < watched_ones->len; i++) {
        Watched *watched = watched_ones->pdata[i];

        found = watched->connection == connection ? watched : found;
    }
    g_mutex_unlock(&lock);
    return found;
}

int
virConnectUnregisterCloseCallback(virConnectPtr connection,
                                  G_GNUC_UNUSED virConnectCloseFunc function)
{
    Watched *watched = watched_find(connection);

    watched->free_function(watched->opaque);
    g_mutex_lock(&lock);
    closings_count++;
    g_ptr_array_remove(watched_ones, watched);
    g_mutex_unlock(&lock);
    return 0;
}

static void
lose(virConnectPtr connection)
{
    Watched *watched = watched_find(connection);

    watched->function(connection, VIR_CONNECT_CLOSE_REASON_EOF, watched->opaque);
}

/* The last step of an opening: whoever is lost here is lost before anybody knows that it is open.
 */
int
virConnectDomainQemuMonitorEventRegister(virConnectPtr connection,
                                         G_GNUC_UNUSED virDomainPtr domain,
                                         G_GNUC_UNUSED const char *event,
                                         virConnectDomainQemuMonitorEventCallback callback,
                                         void *opaque, virFreeCallback free_function,
                                         G_GNUC_UNUSED unsigned int flags)
{
    if (has_monitor_events) {
        monitor_callback = callback;
        monitor_opaque = opaque;
        monitor_free = free_function;
        return 7;
    }
    if (losses_to_come > 0) {
        losses_to_come--;
        lose(connection);
    }
    return -1;
}

int
virConnectDomainQemuMonitorEventDeregister(G_GNUC_UNUSED virConnectPtr connection,
                                           G_GNUC_UNUSED int id)
{
    monitor_free(monitor_opaque);
    return 0;
}

char *
virDomainGetXMLDesc(virDomainPtr domain, unsigned int flags)
{
    char *(*real)(virDomainPtr, unsigned int) = dlsym(RTLD_NEXT, "virDomainGetXMLDesc");
    gboolean fails = xml_fails && g_str_equal(virDomainGetName(domain), "bad");

    /* libvirt itself refuses what it does not know, and says so in its own words. */
    return real(domain, fails ? 1u << 31 : flags);
}

typedef struct {
    char *folder;
    char *path;
    MfVirt *virt;
    guint connected_count;
    guint disconnected_count;
    guint changed_count; /* of memory merging */
} Scene;

static void
on_event(MfVirtEvent event, G_GNUC_UNUSED const char *uuid, gpointer data)
{
    Scene *scene = data;

    scene->connected_count += event == MF_VIRT_CONNECTED;
    scene->disconnected_count += event == MF_VIRT_DISCONNECTED;
    scene->changed_count += event == MF_VIRT_MERGE_CHANGE;
}

static gboolean
on_late(gpointer data)
{
    *(gboolean *)data = TRUE;
    return G_SOURCE_CONTINUE;
}

static void
wait_connected(const Scene *scene, guint times_count)
{
    gboolean late = FALSE;
    guint timeout_id = g_timeout_add_seconds(WAIT_SEC, on_late, &late);

    while (scene->connected_count < times_count && !late) {
        g_main_context_iteration(NULL, TRUE);
    }
    g_source_remove(timeout_id);
    g_assert_cmpuint(scene->connected_count, ==, times_count);
}

static void
scene_open(Scene *scene, gconstpointer losses_count)
{
    g_autofree char *text =
        g_strdup_printf("<node>" DOMAIN DOMAIN DOMAIN "</node>", "a", 1, "bad", 2, "c", 3);
    g_autofree char *uri = NULL;
    GError *error = NULL;

    scene->folder = g_dir_make_tmp("memfold-virt-XXXXXX", &error);
    g_assert_no_error(error);
    scene->path = g_build_filename(scene->folder, "node.xml", NULL);
    g_assert_true(g_file_set_contents(scene->path, text, -1, &error));
    uri = g_strdup_printf("test://%s", scene->path);
    scene->connected_count = 0;
    scene->disconnected_count = 0;
    openings_count = 0;
    openings_to_hold = 0;
    has_monitor_events = GPOINTER_TO_UINT(losses_count) == MONITOR_EVENTS;
    losses_to_come = has_monitor_events ? 0 : GPOINTER_TO_UINT(losses_count);
    scene->changed_count = 0;
    log_catch_clear();
    scene->virt = mf_virt_new(uri, on_event, scene);
}

static void
scene_close(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    xml_fails = FALSE;
    mf_virt_free(scene->virt);
    g_assert_cmpuint(mf_workers_wait(WAIT_SEC * 1000), ==, 0);
    g_remove(scene->path);
    g_rmdir(scene->folder);
    g_free(scene->path);
    g_free(scene->folder);
}

/* A link that is dead before it is the current one is not taken for one that lives. */
static void
test_lost_while_it_opens(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    wait_connected(scene, 1);
    g_assert_cmpuint(losses_to_come, ==, 0);
    g_assert_cmpuint(openings_count, ==, 3);
    g_assert_cmpuint(scene->disconnected_count, ==, 0);
    g_assert_true(mf_virt_is_connected(scene->virt));
    g_assert_cmpuint(log_catch_count(G_LOG_LEVEL_WARNING, "*lost as soon as*"), ==, 1);
}

static void
test_one_that_fails_hides_no_other(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(GPtrArray) domains = NULL;
    g_autoptr(GPtrArray) unread = NULL;
    GError *error = NULL;

    xml_fails = TRUE;
    wait_connected(scene, 1);
    domains = mf_virt_list(scene->virt, &unread, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(domains->len, ==, 2);
    g_assert_cmpuint(unread->len, ==, 1);
    g_assert_cmpstr(((MfDomain *)unread->pdata[0])->name, ==, "bad");
    g_assert_cmpstr(((MfDomain *)unread->pdata[0])->uuid, ==,
                    "21111111-1111-4111-8111-111111111111");
    g_assert_true(g_str_has_prefix(((MfDomain *)unread->pdata[0])->policy_error, "libvirt: "));
    g_assert_cmpint(((MfDomain *)unread->pdata[0])->memory_kind, ==, MF_MEMORY_UNKNOWN);
}

static void
list_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
            G_GNUC_UNUSED GCancellable *cancellable)
{
    GPtrArray *unread = NULL;
    GError *error = NULL;

    g_assert_null(mf_virt_list(data, &unread, &error));
    g_task_return_error(task, error);
}

static void
on_listed(G_GNUC_UNUSED GObject *source, GAsyncResult *result, gpointer data)
{
    g_task_propagate_boolean(G_TASK(result), data);
}

/* A worker that opens a connection for itself waits no longer than libvirtd is taken to be there.
 */
static void
test_a_lease_that_hangs_ends(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    GError *error = NULL;
    g_autoptr(GTask) task = g_task_new(NULL, NULL, on_listed, &error);
    gboolean late = FALSE;
    guint timeout_id = 0;

    wait_connected(scene, 1);
    timeout_id = g_timeout_add(WAIT_SEC * 1000 / 2, on_late, &late);
    keepalive_waits = TRUE;
    at_keepalive_count = 0;
    g_mutex_lock(&opening_gate);
    g_task_set_task_data(task, scene->virt, NULL);
    mf_workers_run_now(task, list_thread);
    while (g_atomic_int_get(&at_keepalive_count) == 0) {
        g_thread_yield();
    }
    lose(scene->virt->link->events);
    while (!error && !late) {
        g_main_context_iteration(NULL, TRUE);
    }
    g_source_remove(timeout_id);
    g_assert_error(error, MF_ERROR, MF_ERROR_BUSY);
    g_assert_cmpuint(scene->disconnected_count, ==, 1);
    g_clear_error(&error);
    keepalive_waits = FALSE;
    g_mutex_unlock(&opening_gate);
    wait_connected(scene, 2);
}

/* An opening can't be called back; who leaves must know of it, and nothing of it may be left. */
static void
test_freed_while_it_opens(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    wait_connected(scene, 1);
    g_clear_pointer(&scene->virt, mf_virt_free);
    g_assert_cmpuint(mf_workers_wait(WAIT_SEC * 1000), ==, 0);
    openings_count = 0;
    closings_count = 0;
    openings_to_hold = 1;
    g_mutex_lock(&opening_gate);
    mf_virt_free(mf_virt_new("test:///default", on_event, scene));
    g_assert_cmpuint(mf_workers_wait(HELD_MSEC), ==, 1);
    g_mutex_unlock(&opening_gate);
    g_assert_cmpuint(mf_workers_wait(WAIT_SEC * 1000), ==, 0);
    g_assert_cmpuint(openings_count, ==, 1);
    g_assert_cmpuint(closings_count, ==, 1);
    g_assert_cmpuint(scene->connected_count, ==, 1);
}

/* From now on openings are held, and overdue soon; then the connection is lost. */
static void
lose_while_openings_hold(Scene *scene, guint held_count, guint overdue_msec)
{
    wait_connected(scene, 1);
    begun_count = 0;
    closings_count = 0;
    openings_to_hold = held_count;
    scene->virt->overdue_msec = overdue_msec;
    g_mutex_lock(&opening_gate);
    lose(scene->virt->link->events);
}

/* The address may have a new libvirtd long before the old one, which is frozen, ends. */
static void
test_an_opening_that_hangs_is_passed(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    const MfVirtLink *link = NULL;

    /* Long against an opening that nobody holds, so that only one is overdue. */
    lose_while_openings_hold(scene, 1, 1000);
    wait_connected(scene, 2);
    link = scene->virt->link;
    g_assert_cmpuint(begun_count, ==, 2);
    g_assert_cmpuint(log_catch_count(G_LOG_LEVEL_WARNING, "*beside 1 that wait*"), ==, 1);
    g_mutex_unlock(&opening_gate);
    /* The late one is closed, and nobody takes notice of it. */
    g_assert_cmpuint(mf_workers_wait(WAIT_SEC * 1000), ==, 0);
    g_assert_cmpuint(closings_count, ==, 2);
    g_assert_true(scene->virt->link == link);
    g_assert_cmpuint(scene->connected_count, ==, 2);
    g_assert_cmpuint(scene->disconnected_count, ==, 1);
}

static void
test_no_more_than_so_many_openings_hang(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    gboolean late = FALSE;
    guint timeout_id = g_timeout_add_seconds(WAIT_SEC, on_late, &late);

    lose_while_openings_hold(scene, G_MAXUINT, 5);
    while (log_catch_count(G_LOG_LEVEL_WARNING, "*no more are opened*") == 0 && !late) {
        g_main_context_iteration(NULL, TRUE);
    }
    g_source_remove(timeout_id);
    g_assert_false(late);
    g_assert_cmpuint(mf_workers_wait(HELD_MSEC), ==, MF_VIRT_OPENINGS_MAX);
    g_assert_cmpuint(begun_count, ==, MF_VIRT_OPENINGS_MAX);
    openings_to_hold = 0;
    g_mutex_unlock(&opening_gate);
    g_assert_cmpuint(mf_workers_wait(WAIT_SEC * 1000), ==, 0);
    g_assert_cmpuint(scene->connected_count, ==, 2);
    g_assert_cmpuint(closings_count, ==, MF_VIRT_OPENINGS_MAX);
}

/* As many events as a QEMU likes, from a thread of libvirt's while the main loop is busy. */
static void
flood(virDomainPtr domain, guint count)
{
    for (guint i = 0; i < count; i++) {
        monitor_callback(virDomainGetConnect(domain), domain, "MEMORY_MERGE_CHANGE", 0, 0, NULL,
                         monitor_opaque);
    }
}

static void
deliver(void)
{
    while (g_main_context_iteration(NULL, FALSE)) {
    }
}

/* One that is not delivered yet stands for all; the next one after it is told again. */
static void
test_a_flood_is_one_event(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(virDomain) first = NULL;
    g_autoptr(virDomain) other = NULL;

    wait_connected(scene, 1);
    first = virDomainLookupByName(scene->virt->link->events, "a");
    other = virDomainLookupByName(scene->virt->link->events, "c");
    flood(first, 1000);
    flood(other, 1);
    flood(first, 1000);
    deliver();
    g_assert_cmpuint(scene->changed_count, ==, 2);
    flood(first, 2);
    deliver();
    g_assert_cmpuint(scene->changed_count, ==, 3);
}

static void
add(const char *name, guint losses_count, void (*function)(Scene *, gconstpointer))
{
    g_autofree char *path = g_strdup_printf("/virt/%s", name);

    g_test_add(path, Scene, GUINT_TO_POINTER(losses_count), scene_open, function, scene_close);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    log_catch_begin();
    watched_ones = g_ptr_array_new_with_free_func(g_free);
    gvir_event_register();
    add("lost-while-it-opens", 2, test_lost_while_it_opens);
    add("one-that-fails-hides-no-other", 0, test_one_that_fails_hides_no_other);
    add("one-that-hangs-is-passed", 0, test_an_opening_that_hangs_is_passed);
    add("so-many-hang", 0, test_no_more_than_so_many_openings_hang);
    add("a-lease-that-hangs-ends", 0, test_a_lease_that_hangs_ends);
    add("a-flood-is-one-event", MONITOR_EVENTS, test_a_flood_is_one_event);
    add("freed-while-it-opens", 0, test_freed_while_it_opens);
    return g_test_run();
}
