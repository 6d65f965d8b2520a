/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A host's memory, its other managers, and KSM's files, good and bad. */
#include <string.h>
#include <unistd.h>

#include "../../src/io/mf-host.h"
#include "../../src/io/mf-ksm.h"
#include "../unit/mf-test.h"
#include "fakeroot.h"

#define GIB (G_GUINT64_CONSTANT(1) << 30)

typedef struct {
    FakeRoot *fake;
    MfRoot *root;
    MfSnapshot *snapshot;
    MfHost *host; /* of snapshot */
    GError *error;
} Scene;

static void
scene_open(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->fake = fake_root_new();
    scene->root = fake_root_open(scene->fake);
    scene->snapshot = mf_snapshot_new();
    scene->host = &scene->snapshot->host;
    scene->error = NULL;
}

static void
scene_close(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_assert_no_error(scene->error);
    mf_snapshot_free(scene->snapshot);
    mf_root_unref(scene->root);
    fake_root_free(scene->fake);
}

static void
test_memory(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_assert_true(mf_host_read(scene->root, scene->host, &scene->error));
    g_assert_cmpuint(scene->host->mem_total_bytes.value, ==, 8 * GIB);
    g_assert_cmpuint(scene->host->mem_available_bytes.value, ==, 6 * GIB);
    g_assert_true(scene->host->swap_free_bytes.known);
    g_assert_cmpuint(scene->host->page_size_bytes, ==, (guint64)sysconf(_SC_PAGESIZE));
    g_assert_null(scene->host->other_manager);
}

static void
test_pressure(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_assert_true(mf_host_read(scene->root, scene->host, &scene->error));
    g_assert_false(scene->host->memory_waits_permyriad.known);

    fake_root_set_file(scene->fake, "proc/pressure/memory", "some avg10=3.21 avg60=0.00\n");
    g_assert_true(mf_host_read(scene->root, scene->host, &scene->error));
    g_assert_cmpuint(scene->host->memory_waits_permyriad.value, ==, 321);

    fake_root_set_file(scene->fake, "proc/pressure/memory", "some avg10=much\n");
    g_assert_false(mf_host_read(scene->root, scene->host, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_INVALID, "pressure/memory");
}

static void
test_memory_unreadable(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const char *const ksmtuned[] = {"/bin/bash", "/usr/sbin/ksmtuned", NULL};

    fake_root_add_process(scene->fake, 500, "ksmtuned", ksmtuned);
    fake_root_chmod_file(scene->fake, "proc/meminfo", 0);
    fake_root_be_nobody(TRUE);
    g_assert_false(mf_host_read(scene->root, scene->host, &scene->error));
    fake_root_be_nobody(FALSE);
    mf_assert_error(scene->error, MF_ERROR_DENIED, "proc/meminfo");
    g_assert_false(scene->host->mem_available_bytes.known);
    /* The rest was read all the same. */
    g_assert_cmpstr(scene->host->other_manager, ==, "ksmtuned");

    fake_root_chmod_file(scene->fake, "proc/meminfo", 0644);
    fake_root_set_file(scene->fake, "proc/meminfo", "MemTotal: lots\n");
    g_assert_false(mf_host_read(scene->root, scene->host, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_INVALID, "meminfo");
}

static void
test_other_manager(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        const char *comm;
        const char *arguments[4];
        const char *found;
    } cases[] = {
        {"ksmtuned", {"/bin/bash", "/usr/sbin/ksmtuned"}, "ksmtuned"},
        {"bash", {"/bin/bash", "/usr/sbin/ksmtuned"}, "ksmtuned"},
        {"bash", {"bash", "-x", "/usr/sbin/ksmtuned"}, "ksmtuned"},
        {"virt-handler", {"virt-handler", "--port", "8443"}, "virt-handler"},
        {"bash", {"bash", "-c", "cat /usr/sbin/ksmtuned"}, NULL},
        {"bash", {"-bash"}, NULL},
        {"bash", {NULL}, NULL},
        {"vi", {"vi", "/usr/sbin/ksmtuned"}, NULL},
        {"bash", {"bash", "/usr/bin/edit", "/usr/sbin/ksmtuned"}, NULL},
        {"qemu-system-x86", {"qemu", "-name", "ksmtuned"}, NULL},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case %u", i);
        fake_root_add_process(scene->fake, 500, cases[i].comm, cases[i].arguments);
        g_assert_true(mf_host_read(scene->root, scene->host, &scene->error));
        g_assert_cmpstr(scene->host->other_manager, ==, cases[i].found);
    }
}

/* Any user can call a process of his "ksmtuned". */
static void
test_other_manager_of_a_user(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const char *const arguments[] = {"/bin/bash", "/usr/sbin/ksmtuned", NULL};
    static const struct {
        const char *status;
        const char *found;
    } cases[] = {
        {"Name:\tksmtuned\nUmask:\t0022\nUid:\t1000\t1000\t1000\t1000\nGid:\t0\t0\t0\t0\n", NULL},
        {"Name:\tksmtuned\nUid:\t0\t1000\t0\t0\n", NULL},
        /* su, by that name, waits for a password. */
        {"Name:\tksmtuned\nUid:\t1000\t0\t0\t0\n", NULL},
        {"Name:\tksmtuned\nUid:\t0\t0\t0\t0\n", "ksmtuned"},
        {"Name:\tksmtuned\n", "ksmtuned"},
    };

    fake_root_add_process(scene->fake, 500, "ksmtuned", arguments);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case %u", i);
        fake_root_set_file(scene->fake, "proc/500/status", cases[i].status);
        g_assert_true(mf_host_read(scene->root, scene->host, &scene->error));
        g_assert_cmpstr(scene->host->other_manager, ==, cases[i].found);
    }
}

/* A set-user-ID program can be root by all its UIDs; the kernel keeps who ran it. */
static void
test_other_manager_is_set_uid(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const char *const arguments[] = {"bash", "/usr/sbin/ksmtuned", NULL};
    static const struct {
        const char *what;
        gsize word_bytes;
        guint64 words[8]; /* AT_HWCAP first, as the kernel has it */
        const char *found;
    } cases[] = {
        {"run by root", 8, {16, 0x178bfbff, 11, 0, 12, 0, 23, 0}, "ksmtuned"},
        {"run by root, confined", 8, {16, 0x178bfbff, 11, 0, 12, 0, 23, 1}, "ksmtuned"},
        {"run by a user", 8, {16, 0x178bfbff, 11, 1000, 12, 0, 23, 1}, NULL},
        {"no UID told", 8, {16, 0x178bfbff, 6, 4096, 17, 100, 0, 0}, "ksmtuned"},
        {"32 bits, run by root", 4, {16, 0x178bfbff, 11, 0, 12, 0, 23, 0}, "ksmtuned"},
        {"32 bits, run by a user", 4, {16, 0x178bfbff, 11, 1000, 12, 0, 23, 1}, NULL},
        {"empty", 0, {0}, "ksmtuned"},
    };
    static const char *const comms[] = {"ksmtuned", "bash"};
    g_autofree char *path =
        g_build_filename(fake_root_get_path(scene->fake), "proc/500/auxv", NULL);

    for (guint i = 0; i < 2 * G_N_ELEMENTS(cases); i++) {
        gsize word_bytes = cases[i / 2].word_bytes;
        guint32 narrow[8];

        mf_test_case(cases[i / 2].what);
        fake_root_add_process(scene->fake, 500, comms[i % 2], arguments);
        fake_root_set_file(scene->fake, "proc/500/status", "Name:\tx\nUid:\t0\t0\t0\t0\n");
        for (guint k = 0; k < G_N_ELEMENTS(narrow); k++) {
            narrow[k] = (guint32)cases[i / 2].words[k];
        }
        g_file_set_contents(
            path, word_bytes == 4 ? (const char *)narrow : (const char *)cases[i / 2].words,
            (gssize)(G_N_ELEMENTS(narrow) * word_bytes), &scene->error);
        g_assert_no_error(scene->error);
        g_assert_true(mf_host_read(scene->root, scene->host, &scene->error));
        g_assert_cmpstr(scene->host->other_manager, ==, cases[i / 2].found);
    }

    /* memfoldd may be confined so that it can't see it. */
    fake_root_chmod_file(scene->fake, "proc/500/auxv", 0);
    fake_root_be_nobody(TRUE);
    g_assert_true(mf_host_read(scene->root, scene->host, &scene->error));
    fake_root_be_nobody(FALSE);
    g_assert_cmpstr(scene->host->other_manager, ==, "ksmtuned");
}

/* The name of the manager that the next look finds; "" for none. */
static const char *
look(Scene *scene, MfManagers *managers)
{
    g_assert_true(mf_host_read_in_turns(scene->root, managers, scene->host, &scene->error));
    return scene->host->other_manager != NULL ? scene->host->other_manager : "";
}

static void
test_managers_in_turns(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const char *const ksmtuned[] = {"/bin/bash", "/usr/sbin/ksmtuned", NULL};
    static const char *const shell[] = {"-bash", NULL};
    g_autoptr(MfManagers) managers = mf_managers_new();

    for (gint64 pid = 500; pid < 504; pid++) {
        fake_root_add_process(scene->fake, pid, "bash", shell);
    }
    g_assert_cmpstr(look(scene, managers), ==, "");

    /* A new process that becomes a manager by its second look */
    fake_root_add_process(scene->fake, 600, "systemd", shell);
    g_assert_cmpstr(look(scene, managers), ==, "");
    fake_root_add_process(scene->fake, 600, "ksmtuned", ksmtuned);
    for (guint i = 0; i < 6; i++) {
        g_assert_cmpstr(look(scene, managers), ==, "ksmtuned");
    }
    fake_root_end_process(scene->fake, 600);
    g_assert_cmpstr(look(scene, managers), ==, "");

    /* An old one that becomes a manager, whoever's turn it is: by the fourth look */
    for (gint64 pid = 500; pid < 504; pid++) {
        guint looks = 0;

        g_test_message("process %" G_GINT64_FORMAT, pid);
        fake_root_add_process(scene->fake, pid, "ksmtuned", ksmtuned);
        do {
            g_assert_cmpuint(++looks, <=, 4);
        } while (!g_str_equal(look(scene, managers), "ksmtuned"));
        g_assert_cmpstr(look(scene, managers), ==, "ksmtuned");
        fake_root_add_process(scene->fake, pid, "bash", shell);
        g_assert_cmpstr(look(scene, managers), ==, "");
    }
}

static void
test_ksm(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfHost *host = scene->host;

    fake_root_set_ksm(scene->fake, "run", "1");
    fake_root_set_ksm(scene->fake, "pages_shared", "100");
    fake_root_set_ksm(scene->fake, "pages_sharing", "900");
    fake_root_set_ksm(scene->fake, "ksm_zero_pages", "24");
    fake_root_set_ksm(scene->fake, "general_profit", "-4096");
    fake_root_set_ksm(scene->fake, "stable_node_chains", "3");
    fake_root_set_ksm(scene->fake, "stable_node_dups", "33");
    fake_root_set_ksm(scene->fake, "huge_min_pages", "64");
    fake_root_set_ksm(scene->fake, "pages_unsplit", "5");
    fake_root_set_ksm(scene->fake, "advisor_mode", "none [scan-time]");
    fake_root_set_ksmd(scene->fake, 12340, TRUE);
    g_assert_true(mf_host_read(scene->root, host, &scene->error));
    g_assert_true(mf_ksm_read(scene->root, host, &scene->error));
    g_assert_cmpuint(host->run.value, ==, 1);
    g_assert_cmpuint(host->pages_to_scan_pages.value, ==, 100);
    g_assert_cmpuint(host->sleep_msec.value, ==, 20);
    g_assert_cmpuint(host->pages_shared_pages.value, ==, 100);
    g_assert_cmpuint(host->pages_sharing_pages.value, ==, 900);
    g_assert_cmpuint(host->max_page_sharing_pages.value, ==, 256);
    g_assert_cmpuint(host->stable_node_chains_count.value, ==, 3);
    g_assert_cmpuint(host->stable_node_dups_pages.value, ==, 33);
    g_assert_cmpuint(host->huge_min_pages.value, ==, 64);
    g_assert_cmpuint(host->pages_unsplit_pages.value, ==, 5);
    g_assert_cmpuint(host->smart_scan.value, ==, 1);
    g_assert_cmpint(host->general_profit_bytes.value, ==, -4096);
    g_assert_cmpstr(host->advisor_mode, ==, "scan-time");
    g_assert_cmpuint(host->ksmd_cpu_usec.value, ==, 12340000);
    g_assert_cmpuint(host->saved_bytes.value, ==, 924 * host->page_size_bytes);
    g_assert_false(mf_ksm_has_groups(scene->root));
}

/* An older kernel, file by file: absent, and no failure. */
static void
test_ksm_old_kernel(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const char *const newer[] = {"advisor_mode", "general_profit", "ksm_zero_pages",
                                        "pages_scanned", "smart_scan"};

    for (guint i = 0; i < G_N_ELEMENTS(newer); i++) {
        fake_root_remove_ksm(scene->fake, newer[i]);
    }
    g_assert_true(mf_host_read(scene->root, scene->host, &scene->error));
    g_assert_true(mf_ksm_read(scene->root, scene->host, &scene->error));
    g_assert_false(scene->host->general_profit_bytes.known);
    g_assert_false(scene->host->zero_pages.known);
    g_assert_false(scene->host->smart_scan.known);
    g_assert_null(scene->host->advisor_mode);
    g_assert_true(scene->host->saved_bytes.known);
}

static void
test_ksm_missing(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_remove_ksm(scene->fake, NULL);
    g_assert_false(mf_ksm_read(scene->root, scene->host, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_UNSUPPORTED, "CONFIG_KSM");
    g_assert_false(scene->host->run.known);
    g_assert_false(scene->host->saved_bytes.known);
}

/* One file that can't be read or makes no sense is absent, told, and does not take the rest along.
 */
static void
test_ksm_bad_files(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const char *const senseless[] = {"", "-1", "1 2", "many", "99999999999999999999999"};

    g_assert_true(mf_host_read(scene->root, scene->host, &scene->error));
    for (guint i = 0; i < G_N_ELEMENTS(senseless); i++) {
        fake_root_set_ksm(scene->fake, "pages_sharing", senseless[i]);
        g_assert_false(mf_ksm_read(scene->root, scene->host, &scene->error));
        mf_assert_error(scene->error, MF_ERROR_INVALID, "pages_sharing");
        g_assert_false(scene->host->pages_sharing_pages.known);
        g_assert_false(scene->host->saved_bytes.known);
        g_assert_true(scene->host->full_scans_count.known);
    }
    fake_root_set_ksm(scene->fake, "pages_sharing", "5");
    fake_root_chmod_ksm(scene->fake, "full_scans", 0);
    fake_root_be_nobody(TRUE);
    g_assert_false(mf_ksm_read(scene->root, scene->host, &scene->error));
    fake_root_be_nobody(FALSE);
    mf_assert_error(scene->error, MF_ERROR_DENIED, "full_scans");
    g_assert_false(scene->host->full_scans_count.known);
    g_assert_cmpuint(scene->host->pages_sharing_pages.value, ==, 5);
}

static void
test_ksmd(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const char *const impostor[] = {"ksmd", NULL};

    /* No list of kthreadd's children: all of /proc is looked at, and a user's "ksmd" is none. */
    fake_root_add_process(scene->fake, 20, "ksmd", impostor);
    fake_root_set_ksmd(scene->fake, 500, FALSE);
    g_assert_true(mf_ksm_read(scene->root, scene->host, &scene->error));
    g_assert_cmpuint(scene->host->ksmd_cpu_usec.value, ==, 500000);

    fake_root_end_process(scene->fake, 39);
    g_assert_true(mf_ksm_read(scene->root, scene->host, &scene->error));
    g_assert_false(scene->host->ksmd_cpu_usec.known);
}

static void
test_knobs(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        MfKnob knob;
        const char *value;
        gboolean allowed;
    } cases[] = {
        {MF_KNOB_RUN, "1", TRUE},
        {MF_KNOB_RUN, "0", TRUE},
        {MF_KNOB_RUN, "2", FALSE}, /* un-merges everything */
        {MF_KNOB_RUN, " 2", FALSE},
        {MF_KNOB_RUN, "02", FALSE},
        {MF_KNOB_RUN, "", FALSE},
        {MF_KNOB_PAGES_TO_SCAN, "5000", TRUE},
        {MF_KNOB_PAGES_TO_SCAN, "4294967296", FALSE},
        {MF_KNOB_PAGES_TO_SCAN, "-1", FALSE},
        {MF_KNOB_SLEEP_MSEC, "20", TRUE},
        {MF_KNOB_USE_ZERO_PAGES, "1", TRUE},
        {MF_KNOB_USE_ZERO_PAGES, "7", FALSE},
        {MF_KNOB_ADVISOR_MODE, "none", TRUE},
        {MF_KNOB_ADVISOR_MODE, "1", FALSE},
        {MF_KNOB_N, "1", FALSE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *before =
            cases[i].knob == MF_KNOB_N
                ? NULL
                : fake_root_get_ksm(scene->fake, mf_knob_to_string(cases[i].knob));
        g_test_message("case %u", i);
        g_assert_cmpint(
            mf_ksm_write_knob(scene->root, cases[i].knob, cases[i].value, &scene->error), ==,
            cases[i].allowed);
        if (cases[i].knob != MF_KNOB_N) {
            g_autofree char *after =
                fake_root_get_ksm(scene->fake, mf_knob_to_string(cases[i].knob));
            g_assert_cmpstr(after, ==, cases[i].allowed ? cases[i].value : before);
        }
        if (!cases[i].allowed) {
            mf_assert_error(scene->error, MF_ERROR_INVALID, "memfold does not write");
        }
    }
}

/* A kernel that scans processes out of turn has a file for that, which is no knob. */
static void
test_boost(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_assert_true(mf_ksm_read(scene->root, scene->host, &scene->error));
    g_assert_false(scene->host->has_boost);
    g_assert_false(mf_ksm_boost(scene->root, 4711, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_GONE, "boost");

    fake_root_set_ksm(scene->fake, "boost", "");
    g_assert_true(mf_ksm_read(scene->root, scene->host, &scene->error));
    g_assert_true(scene->host->has_boost);
    g_assert_true(mf_ksm_boost(scene->root, 4711, &scene->error));
    g_autofree char *written = fake_root_get_ksm(scene->fake, "boost");
    g_assert_cmpstr(written, ==, "4711");
}

static void
test_read_knobs(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autofree char *run = mf_ksm_read_knob(scene->root, MF_KNOB_RUN, &scene->error);
    g_autofree char *mode = mf_ksm_read_knob(scene->root, MF_KNOB_ADVISOR_MODE, &scene->error);

    g_assert_cmpstr(run, ==, "0");
    g_assert_cmpstr(mode, ==, "none");
    g_assert_null(mf_ksm_read_knob(scene->root, MF_KNOB_N, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_INVALID, "knob");
    fake_root_set_ksm(scene->fake, "run", "on");
    g_assert_null(mf_ksm_read_knob(scene->root, MF_KNOB_RUN, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_INVALID, "run");
    fake_root_remove_ksm(scene->fake, "run");
    g_assert_null(mf_ksm_read_knob(scene->root, MF_KNOB_RUN, &scene->error));
    mf_assert_error(scene->error, MF_ERROR_GONE, "run");
    g_assert_false(mf_ksm_write_knob(scene->root, MF_KNOB_RUN, "1", &scene->error));
    mf_assert_error(scene->error, MF_ERROR_GONE, "run");
}

static void
test_knob_denied(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_chmod_ksm(scene->fake, "run", 0444);
    fake_root_be_nobody(TRUE);
    g_assert_false(mf_ksm_write_knob(scene->root, MF_KNOB_RUN, "1", &scene->error));
    fake_root_be_nobody(FALSE);
    mf_assert_error(scene->error, MF_ERROR_DENIED, "ksm/run");
}

/* The running kernel agrees with what we think its files look like; nothing is written. */
static void
test_real_kernel(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(MfRoot) real = mf_root_new("/", &scene->error);

    g_assert_true(mf_host_read(real, scene->host, &scene->error));
    g_assert_true(scene->host->mem_available_bytes.known);
    g_assert_cmpuint(scene->host->mem_available_bytes.value, <=,
                     scene->host->mem_total_bytes.value);
    if (!mf_root_exists(real, "sys/kernel/mm/ksm/run")) {
        g_test_skip("this kernel has no KSM");
        return;
    }
    g_assert_true(mf_ksm_read(real, scene->host, &scene->error));
    g_assert_true(scene->host->run.known);
    g_assert_true(scene->host->saved_bytes.known);
}

#define ADD(path, function)                                                                        \
    g_test_add("/host/" path, Scene, NULL, scene_open, function, scene_close)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("memory", test_memory);
    ADD("pressure", test_pressure);
    ADD("memory-unreadable", test_memory_unreadable);
    ADD("other-manager", test_other_manager);
    ADD("other-manager-of-a-user", test_other_manager_of_a_user);
    ADD("other-manager-is-set-uid", test_other_manager_is_set_uid);
    ADD("managers-in-turns", test_managers_in_turns);
    ADD("ksm", test_ksm);
    ADD("ksm-old-kernel", test_ksm_old_kernel);
    ADD("ksm-missing", test_ksm_missing);
    ADD("ksm-bad-files", test_ksm_bad_files);
    ADD("ksmd", test_ksmd);
    ADD("knobs", test_knobs);
    ADD("boost", test_boost);
    ADD("read-knobs", test_read_knobs);
    ADD("knob-denied", test_knob_denied);
    ADD("real-kernel", test_real_kernel);
    return g_test_run();
}
