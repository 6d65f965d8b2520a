/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU processes by PID: their figures, and their ends. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/io/mf-proc.h"
#include "../unit/mf-test.h"
#include "fakeroot.h"

#define KIB  G_GUINT64_CONSTANT(1024)
#define PAGE G_GUINT64_CONSTANT(4096)
#define UUID "c7a5fdbd-edaf-9455-926a-d65c16db1809"

static const FakeDomain vm1 = {
    .name = "vm1",
    .uuid = UUID,
    .pid = 1234,
    .mergeable_kib = 65536,
    .resident_kib = 40000,
    .proportional_kib = 30000,
    .merged_kib = 15000,
    .merging_pages = 4000,
    .zero_pages = 10,
    .rmap_items_pages = 9000,
    .profit_bytes = -77,
};

typedef struct {
    FakeRoot *fake;
    MfRoot *root;
    MfDomain *domain;
    GError *error;
} Scene;

static void
scene_open(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->fake = fake_root_new();
    scene->root = fake_root_open(scene->fake);
    scene->domain = mf_domain_new(UUID, "vm1");
    scene->domain->pid = vm1.pid;
    scene->error = NULL;
    fake_root_add_domain(scene->fake, &vm1);
}

static void
scene_close(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_assert_no_error(scene->error);
    mf_domain_free(scene->domain);
    mf_root_unref(scene->root);
    fake_root_free(scene->fake);
}

static void
test_find_pid(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    gint64 pid = 0;

    g_assert_true(mf_proc_find_pid(scene->root, "vm1", UUID, &pid, &scene->error));
    g_assert_cmpint(pid, ==, 1234);
    pid = 7;
    g_assert_false(mf_proc_find_pid(scene->root, "vm2", UUID, &pid, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_GONE, "vm2.pid");

    /* The PID went to another domain's QEMU. */
    g_assert_false(mf_proc_find_pid(scene->root, "vm1", "00000000-0000-0000-0000-000000000000",
                                    &pid, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_GONE, "is not the QEMU of domain 0000");
    fake_root_end_process(scene->fake, 1234);
    g_assert_false(mf_proc_find_pid(scene->root, "vm1", UUID, &pid, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_GONE, "1234");
    g_assert_cmpint(pid, ==, 7);
}

static void
test_find_pid_hostile(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const char *const names[] = {"", "..", "../vm1", "a/b", "/etc/passwd"};
    static const char *const pids[] = {"", "0\n", "-1\n", "1 2\n", "99999999999\n", "self\n"};
    gint64 pid = 7;

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        mf_test_case(names[i]);
        g_assert_false(mf_proc_find_pid(scene->root, names[i], UUID, &pid, &scene->error));
        g_assert_nonnull(scene->error);
        g_clear_error(&scene->error);
    }
    for (guint i = 0; i < G_N_ELEMENTS(pids); i++) {
        fake_root_set_file(scene->fake, "run/libvirt/qemu/vm1.pid", pids[i]);
        g_assert_false(mf_proc_find_pid(scene->root, "vm1", UUID, &pid, &scene->error));
        mf_assert_error(scene->error, MF_ERROR_INVALID, "vm1.pid");
    }
    g_assert_cmpint(pid, ==, 7);
}

static void
test_figures(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = scene->domain;

    g_assert_true(mf_proc_read_ksm_stat(scene->root, PAGE, domain, &scene->error));
    g_assert_cmpuint(domain->zero_bytes.value, ==, 10 * PAGE);
    g_assert_cmpuint(domain->rmap_items_pages.value, ==, 9000);
    g_assert_cmpint(domain->profit_bytes.value, ==, -77);
    g_assert_false(domain->merged_bytes.known);
    g_assert_true(mf_proc_read_smaps(scene->root, PAGE, domain, &scene->error));
    g_assert_cmpuint(domain->mergeable_bytes.value, ==, 65536 * KIB);
    g_assert_cmpuint(domain->resident_bytes.value, ==, 40000 * KIB);
    g_assert_cmpuint(domain->merged_bytes.value, ==, 15000 * KIB);
    g_assert_cmpuint(domain->saved_bytes.value, ==, 10000 * KIB + 10 * PAGE);
}

static void
test_nodes(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = scene->domain;

    domain->main_node = MF_U64(7);
    g_assert_true(mf_proc_read_nodes(scene->root, domain, &scene->error)); /* no NUMA */
    g_assert_false(domain->main_node.known);
    g_assert_false(domain->other_node_bytes.known);
    fake_root_set_file(scene->fake, "proc/1234/numa_maps",
                       "7f00 default anon=9 N0=2 N1=7 kernelpagesize_kB=4\n");
    g_assert_true(mf_proc_read_nodes(scene->root, domain, &scene->error));
    g_assert_cmpuint(domain->main_node.value, ==, 1);
    g_assert_cmpuint(domain->other_node_bytes.value, ==, 8 * KIB);
    fake_root_set_file(scene->fake, "proc/1234/numa_maps", "7f00 default anon=9 N0=9\n");
    g_assert_false(mf_proc_read_nodes(scene->root, domain, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_INVALID, "domain vm1: bad line of numa_maps");
    g_assert_false(domain->main_node.known);
    fake_root_end_process(scene->fake, 1234);
    g_assert_false(mf_proc_read_nodes(scene->root, domain, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_GONE, "domain vm1");
}

static void
test_resident(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const char *const bad[] = {"",         "\n",      "12",
                                      "12 x 3\n", "12 -3\n", "12 99999999999999999999\n"};
    guint64 resident_bytes = 7;

    g_assert_false(
        mf_proc_read_resident(scene->root, PAGE, scene->domain, &resident_bytes, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_UNSUPPORTED, "statm");
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        mf_test_case(bad[i]);
        fake_root_set_file(scene->fake, "proc/1234/statm", bad[i]);
        g_assert_false(mf_proc_read_resident(scene->root, PAGE, scene->domain, &resident_bytes,
                                             &scene->error));
        mf_assert_error(scene->error, MF_ERROR_INVALID, "statm");
    }
    g_assert_cmpuint(resident_bytes, ==, 7);
    fake_root_set_file(scene->fake, "proc/1234/statm", "20000 10523 4100 1 0 18000 0\n");
    g_assert_true(
        mf_proc_read_resident(scene->root, PAGE, scene->domain, &resident_bytes, &scene->error));
    g_assert_cmpuint(resident_bytes, ==, 10523 * PAGE);

    /* The PID is somebody else's by now. */
    resident_bytes = 7;
    g_free(scene->domain->uuid);
    scene->domain->uuid = g_strdup("00000000-0000-0000-0000-000000000000");
    g_assert_false(
        mf_proc_read_resident(scene->root, PAGE, scene->domain, &resident_bytes, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_GONE, "is not the QEMU");
    g_assert_cmpuint(resident_bytes, ==, 7);
}

static void
assert_gone(Scene *scene)
{
    g_assert_false(mf_proc_read_ksm_stat(scene->root, PAGE, scene->domain, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_GONE, "domain vm1");
    g_assert_false(mf_proc_read_smaps(scene->root, PAGE, scene->domain, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_GONE, "domain vm1");
    g_assert_false(scene->domain->zero_bytes.known);
    g_assert_false(scene->domain->merged_bytes.known);
    g_assert_false(scene->domain->saved_bytes.known);
}

static void
test_gone(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_end_process(scene->fake, 1234);
    assert_gone(scene);
}

/* It ends after its figures were read and before its command line was: they may be another's. */
static void
test_gone_between(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const char *const other[] = {"/usr/bin/qemu-system-x86_64", "-uuid",
                                        "11111111-edaf-9455-926a-d65c16db1809", NULL};

    fake_root_remove_file(scene->fake, "proc/1234/cmdline");
    fake_root_remove_file(scene->fake, "proc/1234/comm");
    g_assert_false(mf_proc_read_smaps(scene->root, PAGE, scene->domain, &scene->error));
    g_clear_error(&scene->error);
    g_assert_false(scene->domain->saved_bytes.known);

    fake_root_add_process(scene->fake, 1234, "qemu-system-x86", other);
    assert_gone(scene);
    fake_root_set_file(scene->fake, "proc/1234/cmdline", "");
    assert_gone(scene);
}

/* A process names itself, by bytes. */
static void
test_comm(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const char *const cases[][2] = {
        {"qemu-system-x86\n", "qemu-system-x86"},
        {"b\xc3\xa4r\n", "b\xc3\xa4r"},
        {"a\xff\x1b[31m\n", "a\xef\xbf\xbd?[31m"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        fake_root_set_file(scene->fake, "proc/1234/comm", cases[i][0]);
        g_autofree char *comm = mf_proc_read_comm(scene->root, 1234);
        g_assert_cmpstr(comm, ==, cases[i][1]);
    }
    g_autofree char *none = mf_proc_read_comm(scene->root, 4321);
    g_assert_cmpstr(none, ==, "?");
}

static void
test_no_ksm_stat(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_remove_file(scene->fake, "proc/1234/ksm_stat");
    g_assert_false(mf_proc_read_ksm_stat(scene->root, PAGE, scene->domain, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_UNSUPPORTED, "ksm_stat");
    g_assert_true(mf_proc_read_smaps(scene->root, PAGE, scene->domain, &scene->error));
    g_assert_cmpuint(scene->domain->saved_bytes.value, ==, 10000 * KIB);
}

static void
test_bad_figures(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_set_file(scene->fake, "proc/1234/ksm_stat", "ksm_zero_pages -5\n");
    g_assert_false(mf_proc_read_ksm_stat(scene->root, PAGE, scene->domain, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_INVALID, "domain vm1: bad line of ksm_stat");
    fake_root_set_file(scene->fake, "proc/1234/smaps", "7f-8f rw-p 0 0:0 0\nSize: 4 kB\n");
    g_assert_false(mf_proc_read_smaps(scene->root, PAGE, scene->domain, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_INVALID, "domain vm1: smaps ends within an area");
    g_assert_false(scene->domain->zero_bytes.known);
    g_assert_false(scene->domain->saved_bytes.known);
}

static void
test_denied(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_chmod_file(scene->fake, "proc/1234/ksm_stat", 0400);
    fake_root_be_nobody(TRUE);
    g_assert_false(mf_proc_read_ksm_stat(scene->root, PAGE, scene->domain, &scene->error));
    fake_root_be_nobody(FALSE);
    mf_assert_error(scene->error, MF_ERROR_DENIED, "ksm_stat");
}

/* The real kernel: a live process has figures, a dead one that nobody reaped has none, nor one
 * reaped. */
static void
test_real_death(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(MfRoot) real = mf_root_new("/", &scene->error);
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)"read line", (char *)"sh", (char *)"-uuid",
                    (char *)UUID, NULL};
    int input;
    GPid pid;
    siginfo_t info;

    g_assert_no_error(scene->error);
    g_spawn_async_with_pipes(NULL, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD,
                             NULL, NULL, &pid, &input, NULL, NULL, &scene->error);
    g_assert_no_error(scene->error);
    scene->domain->pid = pid;
    gboolean alive = mf_proc_read_smaps(real, PAGE, scene->domain, &scene->error);
    g_assert_no_error(scene->error);
    g_assert_true(alive);
    g_assert_cmpuint(scene->domain->saved_bytes.value, ==, 0);
    scene->domain->saved_bytes = MF_U64_ABSENT;
    scene->domain->merged_bytes = MF_U64_ABSENT;

    close(input);
    g_assert_cmpint(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), ==, 0);
    mf_root_unref(scene->root);
    scene->root = mf_root_ref(real);
    assert_gone(scene);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    assert_gone(scene);
}

#define ADD(path, function)                                                                        \
    g_test_add("/proc/" path, Scene, NULL, scene_open, function, scene_close)

static void
test_stopped(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        const char *state;
        gboolean stopped;
    } cases[] = {{"S", FALSE}, {"R", FALSE}, {"D", FALSE}, {"T", TRUE}, {"t", TRUE}, {"Z", FALSE}};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = g_strdup_printf(
            "1234 (T (q) %s 7 9 9 0 -1 0 0 0 0 0 3 4 0 0 20 0 1 0 55 0", cases[i].state);

        mf_test_case(cases[i].state);
        fake_root_set_file(scene->fake, "proc/1234/stat", text);
        g_assert_cmpint(mf_proc_is_stopped(scene->root, 1234), ==, cases[i].stopped);
    }
    fake_root_set_file(scene->fake, "proc/1234/stat", "1234 (q");
    g_assert_false(mf_proc_is_stopped(scene->root, 1234));
    g_assert_false(mf_proc_is_stopped(scene->root, 4321));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("find-pid", test_find_pid);
    ADD("find-pid-hostile", test_find_pid_hostile);
    ADD("figures", test_figures);
    ADD("nodes", test_nodes);
    ADD("resident", test_resident);
    ADD("stopped", test_stopped);
    ADD("gone", test_gone);
    ADD("gone-between", test_gone_between);
    ADD("comm", test_comm);
    ADD("no-ksm-stat", test_no_ksm_stat);
    ADD("bad-figures", test_bad_figures);
    ADD("denied", test_denied);
    ADD("real-death", test_real_death);
    return g_test_run();
}
