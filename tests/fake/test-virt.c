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

#include "../../src/io/mf-virt.h"
#include "../../src/io/mf-workers.h"
#include "logcatch.h"

#define WAIT_SEC  20
#define HELD_MSEC 50
#define DOMAIN                                                                                     \
    "<domain type='test'><name>%s</name><uuid>%d1111111-1111-4111-8111-111111111111</uuid>"        \
    "<memory>65536</memory><os><type>hvm</type></os></domain>"

static guint openings_count;
static guint closings_count;
static GMutex opening_gate; /* whoever opens goes through it */
static guint losses_to_come;
static gboolean xml_fails;
static virConnectCloseFunc on_close;
static void *on_close_opaque;
static virFreeCallback on_close_free;

int
virConnectRegisterCloseCallback(G_GNUC_UNUSED virConnectPtr connection,
                                virConnectCloseFunc function, void *opaque,
                                virFreeCallback free_function)
{
    g_mutex_lock(&opening_gate);
    g_mutex_unlock(&opening_gate);
    openings_count++;
    on_close = function;
    on_close_opaque = opaque;
    on_close_free = free_function;
    return 0;
}

int
virConnectUnregisterCloseCallback(G_GNUC_UNUSED virConnectPtr connection,
                                  G_GNUC_UNUSED virConnectCloseFunc function)
{
    closings_count++;
    on_close_free(on_close_opaque);
    return 0;
}

/* The last step of an opening: whoever is lost here is lost before anybody knows that it is open.
 */
int
virConnectDomainQemuMonitorEventRegister(
    virConnectPtr connection, G_GNUC_UNUSED virDomainPtr domain, G_GNUC_UNUSED const char *event,
    G_GNUC_UNUSED virConnectDomainQemuMonitorEventCallback callback, G_GNUC_UNUSED void *opaque,
    G_GNUC_UNUSED virFreeCallback free_function, G_GNUC_UNUSED unsigned int flags)
{
    if (losses_to_come > 0) {
        losses_to_come--;
        on_close(connection, VIR_CONNECT_CLOSE_REASON_EOF, on_close_opaque);
    }
    return -1;
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
} Scene;

static void
on_event(MfVirtEvent event, G_GNUC_UNUSED const char *uuid, gpointer data)
{
    Scene *scene = data;

    scene->connected_count += event == MF_VIRT_CONNECTED;
    scene->disconnected_count += event == MF_VIRT_DISCONNECTED;
}

static gboolean
on_late(gpointer data)
{
    *(gboolean *)data = TRUE;
    return G_SOURCE_CONTINUE;
}

static void
wait_connected(const Scene *scene)
{
    gboolean late = FALSE;
    guint timeout_id = g_timeout_add_seconds(WAIT_SEC, on_late, &late);

    while (scene->connected_count == 0 && !late) {
        g_main_context_iteration(NULL, TRUE);
    }
    g_source_remove(timeout_id);
    g_assert_cmpuint(scene->connected_count, ==, 1);
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
    losses_to_come = GPOINTER_TO_UINT(losses_count);
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
    wait_connected(scene);
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
    wait_connected(scene);
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

/* An opening can't be called back; who leaves must know of it, and nothing of it may be left. */
static void
test_freed_while_it_opens(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    wait_connected(scene);
    g_clear_pointer(&scene->virt, mf_virt_free);
    g_assert_cmpuint(mf_workers_wait(WAIT_SEC * 1000), ==, 0);
    openings_count = 0;
    closings_count = 0;
    g_mutex_lock(&opening_gate);
    mf_virt_free(mf_virt_new("test:///default", on_event, scene));
    g_assert_cmpuint(mf_workers_wait(HELD_MSEC), ==, 1);
    g_mutex_unlock(&opening_gate);
    g_assert_cmpuint(mf_workers_wait(WAIT_SEC * 1000), ==, 0);
    g_assert_cmpuint(openings_count, ==, 1);
    g_assert_cmpuint(closings_count, ==, 1);
    g_assert_cmpuint(scene->connected_count, ==, 1);
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
    gvir_event_register();
    add("lost-while-it-opens", 2, test_lost_while_it_opens);
    add("one-that-fails-hides-no-other", 0, test_one_that_fails_hides_no_other);
    add("freed-while-it-opens", 0, test_freed_while_it_opens);
    return g_test_run();
}
