/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that is reclaimed by a domain's control group, and what is owed to domains afterwards. */
#include <string.h>

#include "../../src/core/mf-error.h"
#include "../../src/engine/mf-owed.h"
#include "../../src/io/mf-cgroup.h"
#include "fakeroot.h"

#define UUID    "c7a5fdbd-edaf-9455-926a-d65c16db1809"
#define OTHER   "d7a5fdbd-edaf-9455-926a-d65c16db1809"
#define GROUP   "machine.slice/machine-qemu\\x2d1\\x2dvm.scope"
#define RECLAIM "sys/fs/cgroup/" GROUP "/memory.reclaim"
#define RUNTIME "run/memfold"
#define MIB     (G_GUINT64_CONSTANT(1) << 20)

typedef struct {
    FakeRoot *fake;
    MfRoot *host;
    MfRoot *runtime;
    MfDomain *domain;
} Scene;

static void
scene_open(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    const FakeDomain qemu = {.name = "vm", .uuid = UUID, .pid = 4711};
    g_autofree char *path = NULL;

    scene->fake = fake_root_new();
    scene->host = fake_root_open(scene->fake);
    fake_root_add_domain(scene->fake, &qemu);
    fake_root_set_file(scene->fake, "proc/4711/cgroup", "0::/" GROUP "/libvirt/emulator\n");
    fake_root_set_file(scene->fake, RECLAIM, "");
    fake_root_set_file(scene->fake, "proc/sys/kernel/random/boot_id", "boot-1\n");
    path = g_build_filename(fake_root_get_path(scene->fake), RUNTIME, NULL);
    g_assert_no_errno(g_mkdir_with_parents(path, 0755));
    scene->runtime = mf_root_new(path, NULL);
    scene->domain = mf_domain_new(UUID, "vm");
    scene->domain->pid = 4711;
}

static void
scene_close(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    mf_domain_free(scene->domain);
    mf_root_unref(scene->runtime);
    mf_root_unref(scene->host);
    fake_root_free(scene->fake);
}

/* The pieces are written to the domain's own group; what stands in a plain file is the last one. */
static void
test_reclaims_in_pieces(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(GError) error = NULL;
    guint64 taken_bytes = 0;
    g_autofree char *text = NULL;

    g_assert_true(
        mf_cgroup_reclaim(scene->host, scene->domain, 37 * MIB, 60000, &taken_bytes, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(taken_bytes, ==, 37 * MIB);
    text = mf_root_read(scene->host, RECLAIM, 64, NULL, &error);
    g_assert_cmpstr(text, ==, "5242880");
}

static void
test_ends_in_time(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(GError) error = NULL;
    guint64 taken_bytes = 0;

    g_assert_false(
        mf_cgroup_reclaim(scene->host, scene->domain, G_MAXUINT64 / 2, 0, &taken_bytes, &error));
    g_assert_true(mf_error_is_timeout(error));
    g_assert_cmpuint(taken_bytes, >, 0);
}

static void
expect_refusal(Scene *scene, MfError code)
{
    g_autoptr(GError) error = NULL;
    guint64 taken_bytes = 1;

    g_assert_false(mf_cgroup_reclaim(scene->host, scene->domain, MIB, 1000, &taken_bytes, &error));
    g_assert_error(error, MF_ERROR, (gint)code);
    g_assert_cmpuint(taken_bytes, ==, 0);
}

static void
test_never_takes_of_others(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autofree char *text = NULL;

    fake_root_set_file(scene->fake, "sys/fs/cgroup/machine.slice/memory.reclaim", "");
    fake_root_set_file(scene->fake, "sys/fs/cgroup/memory.reclaim", "");
    fake_root_set_file(scene->fake, "proc/4711/cgroup", "0::/machine.slice\n");
    expect_refusal(scene, MF_ERROR_UNSUPPORTED);
    fake_root_set_file(scene->fake, "proc/4711/cgroup", "0::/\n");
    expect_refusal(scene, MF_ERROR_UNSUPPORTED);
    fake_root_set_file(scene->fake, "proc/4711/cgroup",
                       "0::/machine.slice/../machine-qemu-1-vm.scope\n");
    expect_refusal(scene, MF_ERROR_UNSUPPORTED);
    text = mf_root_read(scene->host, "sys/fs/cgroup/machine.slice/memory.reclaim", 64, NULL, NULL);
    g_assert_cmpstr(text, ==, "");

    /* The PID is somebody else's by now. */
    fake_root_set_file(scene->fake, "proc/4711/cgroup", "0::/" GROUP "\n");
    g_free(scene->domain->uuid);
    scene->domain->uuid = g_strdup(OTHER);
    expect_refusal(scene, MF_ERROR_GONE);
}

static void
test_says_when_it_can_not(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_remove_file(scene->fake, RECLAIM);
    expect_refusal(scene, MF_ERROR_UNSUPPORTED);
    fake_root_set_file(scene->fake, "proc/4711/cgroup",
                       "9:memory:/machine/qemu-1-vm.libvirt-qemu\n");
    expect_refusal(scene, MF_ERROR_UNSUPPORTED);
    fake_root_end_process(scene->fake, 4711);
    expect_refusal(scene, MF_ERROR_GONE);
}

static void
test_debts_outlive_us(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(MfOwed) owed = mf_owed_new(scene->runtime, scene->host);
    g_autoptr(GError) error = NULL;
    MfDebt debt = {.pid = 4711, .suspended = TRUE};

    g_assert_true(mf_owed_load(owed, &error));
    g_assert_false(mf_owed_get(owed, UUID, &debt));
    debt = (MfDebt){.pid = 4711, .suspended = TRUE};
    g_assert_true(mf_owed_set(owed, UUID, &debt, &error));
    debt = (MfDebt){
        .pid = 4712,
        .balloon = {.before_bytes = 64 * MIB, .asked_bytes = 48 * MIB, .lowest_bytes = 50 * MIB}};
    g_assert_true(mf_owed_set(owed, OTHER, &debt, &error));

    g_autoptr(MfOwed) next = mf_owed_new(scene->runtime, scene->host);
    g_assert_true(mf_owed_load(next, &error));
    g_assert_no_error(error);
    g_assert_true(mf_owed_get(next, UUID, &debt));
    g_assert_cmpint(debt.pid, ==, 4711);
    g_assert_true(debt.suspended);
    g_assert_true(mf_owed_get(next, OTHER, &debt));
    g_assert_cmpuint(debt.balloon.before_bytes, ==, 64 * MIB);
    g_assert_cmpuint(debt.balloon.asked_bytes, ==, 48 * MIB);
    g_assert_cmpuint(debt.balloon.lowest_bytes, ==, 50 * MIB);

    mf_owed_forget(next, OTHER);
    debt = (MfDebt){.pid = 4711};
    g_assert_true(mf_owed_set(next, UUID, &debt, &error));
    g_assert_false(mf_owed_get(next, UUID, &debt));
    g_assert_false(mf_root_exists(scene->runtime, MF_OWED_NAME));
}

/* How far it came down outlives us; when the guest has all again, nothing is owed. */
static void
test_looks_are_kept(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(MfOwed) owed = mf_owed_new(scene->runtime, scene->host);
    MfDebt debt = {.pid = 4711, .suspended = TRUE};
    MfBalloon balloon = {0};

    g_assert_true(mf_owed_set(owed, UUID, &debt, NULL));
    g_assert_false(mf_owed_look(owed, UUID, 60 * MIB, &balloon));
    g_assert_false(mf_owed_look(owed, OTHER, 60 * MIB, &balloon));
    mf_balloon_ask(&debt.balloon, 64 * MIB, 48 * MIB);
    g_assert_true(mf_owed_set(owed, UUID, &debt, NULL));
    g_assert_true(mf_owed_look(owed, UUID, 50 * MIB, &balloon));
    g_assert_cmpuint(balloon.now_bytes, ==, 50 * MIB);

    g_autoptr(MfOwed) next = mf_owed_new(scene->runtime, scene->host);
    g_assert_true(mf_owed_load(next, NULL));
    g_assert_true(mf_owed_get(next, UUID, &debt));
    g_assert_cmpuint(debt.balloon.lowest_bytes, ==, 50 * MIB);
    mf_balloon_return(&debt.balloon);
    g_assert_true(mf_owed_set(next, UUID, &debt, NULL));
    g_assert_false(mf_owed_look(next, UUID, 64 * MIB, &balloon));
    g_assert_true(mf_owed_get(next, UUID, &debt));
    g_assert_true(debt.suspended);
    g_assert_cmpuint(debt.balloon.before_bytes, ==, 0);

    g_autoptr(MfOwed) last = mf_owed_new(scene->runtime, scene->host);
    g_assert_true(mf_owed_load(last, NULL));
    g_assert_true(mf_owed_get(last, UUID, &debt));
    g_assert_cmpuint(debt.balloon.before_bytes, ==, 0);
}

static void
test_debts_of_another_boot_are_void(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(MfOwed) owed = mf_owed_new(scene->runtime, scene->host);
    MfDebt debt = {.pid = 4711, .suspended = TRUE};

    g_assert_true(mf_owed_set(owed, UUID, &debt, NULL));
    fake_root_set_file(scene->fake, "proc/sys/kernel/random/boot_id", "boot-2\n");
    g_autoptr(MfOwed) next = mf_owed_new(scene->runtime, scene->host);
    g_assert_true(mf_owed_load(next, NULL));
    g_assert_false(mf_owed_get(next, UUID, &debt));
}

static void
test_a_damaged_file_is_refused(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const char *const texts[] = {
        "",
        "[owed]\nversion=2\nboot-id=boot-1\n",
        "[owed]\nversion=1\nboot-id=boot-1\n[x]\npid=1\nsuspended=true\nballoon-bytes=0\n",
        "[owed]\nversion=1\nboot-id=boot-1\n[" UUID "]\npid=0\nsuspended=true\nballoon-bytes=0\n",
        "[owed]\nversion=1\nboot-id=boot-1\n[" UUID "]\npid=1\nsuspended=maybe\nballoon-bytes=0\n",
        "\xff\xfe",
    };

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(MfOwed) owed = mf_owed_new(scene->runtime, scene->host);
        g_autoptr(GError) error = NULL;
        g_auto(GStrv) uuids = NULL;

        g_test_message("text %u", i);
        fake_root_set_file(scene->fake, RUNTIME "/" MF_OWED_NAME, texts[i]);
        g_assert_false(mf_owed_load(owed, &error));
        g_assert_true(mf_error_is_invalid(error));
        uuids = mf_owed_list(owed);
        g_assert_cmpuint(g_strv_length(uuids), ==, 0);
    }
}

/* Who can't write it down must not pause anybody. */
static void
test_what_is_not_written_is_not_owed(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(MfOwed) owed = mf_owed_new(scene->runtime, scene->host);
    g_autoptr(GError) error = NULL;
    MfDebt debt = {.pid = 4711, .suspended = TRUE};

    fake_root_chmod_file(scene->fake, RUNTIME, 0555);
    fake_root_be_nobody(TRUE);
    g_assert_false(mf_owed_set(owed, UUID, &debt, &error));
    fake_root_be_nobody(FALSE);
    g_assert_true(mf_error_is_denied(error));
    g_assert_false(mf_owed_get(owed, UUID, &debt));
}

/* A file with a debt to nobody's PID could not be read again, with all that stands in it. */
static void
test_nothing_is_owed_without_a_pid(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(MfOwed) owed = mf_owed_new(scene->runtime, scene->host);
    g_autoptr(GError) error = NULL;
    MfDebt debt = {.suspended = TRUE};

    g_assert_false(mf_owed_set(owed, UUID, &debt, &error));
    g_assert_true(mf_error_is_busy(error));
    g_assert_false(mf_owed_get(owed, UUID, &debt));
}

#define SCENE(path, function)                                                                      \
    g_test_add("/relief/" path, Scene, NULL, scene_open, function, scene_close)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    SCENE("reclaim", test_reclaims_in_pieces);
    SCENE("reclaim-in-time", test_ends_in_time);
    SCENE("reclaim-own", test_never_takes_of_others);
    SCENE("reclaim-unsupported", test_says_when_it_can_not);
    SCENE("owed", test_debts_outlive_us);
    SCENE("owed-without-pid", test_nothing_is_owed_without_a_pid);
    SCENE("owed-looks", test_looks_are_kept);
    SCENE("owed-boot", test_debts_of_another_boot_are_void);
    SCENE("owed-damaged", test_a_damaged_file_is_refused);
    SCENE("owed-unwritten", test_what_is_not_written_is_not_owed);
    return g_test_run();
}
