/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What processes save that are no domains. */
#include <string.h>
#include <unistd.h>

#include "../../src/io/mf-others.h"
#include "../unit/mf-test.h"
#include "fakeroot.h"

#define KIB         G_GUINT64_CONSTANT(1024)
#define PAGE        G_GUINT64_CONSTANT(4096)
#define LIMIT_BYTES (16 * 1024 * 1024)

/* Saves 100 KiB of merged pages, and its two pages of zeroes. */
static const FakeDomain chrome = {.pid = 300,
                                  .mergeable_kib = 800,
                                  .resident_kib = 500,
                                  .proportional_kib = 400,
                                  .merging_pages = 25,
                                  .zero_pages = 2};

typedef struct {
    FakeRoot *fake;
    MfRoot *root;
    MfOthers *others;
    GHashTable *skip;
    MfHost host;
    GError *bound;
    GError *error;
} Scene;

static void
scene_open(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const char *const arguments[] = {"chrome", NULL};

    scene->fake = fake_root_new();
    scene->root = fake_root_open(scene->fake);
    scene->others = mf_others_new();
    scene->skip = g_hash_table_new(g_int64_hash, g_int64_equal);
    scene->host = (MfHost){.page_size_bytes = PAGE, .other_saved_bytes = MF_U64(5)};
    fake_root_add_process(scene->fake, 299, "idle", arguments);
    fake_root_add_process(scene->fake, chrome.pid, "chrome", arguments);
}

static void
scene_close(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_assert_no_error(scene->bound);
    g_assert_no_error(scene->error);
    g_hash_table_unref(scene->skip);
    mf_others_free(scene->others);
    mf_root_unref(scene->root);
    fake_root_free(scene->fake);
}

/* By who has read none before: a sum is good for a while. */
static gboolean
read_others(Scene *scene)
{
    mf_others_free(scene->others);
    scene->others = mf_others_new();
    return mf_others_read(scene->others, scene->root, scene->skip, &scene->host, &scene->bound,
                          &scene->error);
}

static void
assert_saved(Scene *scene, guint64 saved_bytes)
{
    gboolean read = read_others(scene);

    g_assert_no_error(scene->error);
    g_assert_true(read);
    g_assert_true(scene->host.other_saved_bytes.known);
    g_assert_cmpuint(scene->host.other_saved_bytes.value, ==, saved_bytes);
}

static void
test_sum(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    gint64 pid = chrome.pid;

    assert_saved(scene, 0);
    fake_root_set_process_ksm(scene->fake, &chrome);
    assert_saved(scene, 100 * KIB + 2 * PAGE);
    g_hash_table_add(scene->skip, &pid);
    assert_saved(scene, 0);
}

/* A sum is good for 20 times what it has cost, but not when one that it counts is a domain now. */
static void
test_a_sum_is_good_for_a_while(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    const FakeDomain less = {.pid = 300, .mergeable_kib = 800, .resident_kib = 500};
    gint64 pid = chrome.pid;
    guint64 saved_bytes = 100 * KIB + 2 * PAGE;

    fake_root_set_process_ksm(scene->fake, &chrome);
    assert_saved(scene, saved_bytes);
    fake_root_set_process_ksm(scene->fake, &less);
    while (saved_bytes != 0) {
        g_assert_true(mf_others_read(scene->others, scene->root, scene->skip, &scene->host, NULL,
                                     &scene->error));
        saved_bytes = scene->host.other_saved_bytes.value;
    }
    fake_root_set_process_ksm(scene->fake, &chrome);
    assert_saved(scene, 100 * KIB + 2 * PAGE);
    g_hash_table_add(scene->skip, &pid);
    g_assert_true(
        mf_others_read(scene->others, scene->root, scene->skip, &scene->host, NULL, &scene->error));
    g_assert_cmpuint(scene->host.other_saved_bytes.value, ==, 0);
}

static void
test_unreadable(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    gboolean read = FALSE;

    fake_root_set_process_ksm(scene->fake, &chrome);
    fake_root_chmod_file(scene->fake, "proc/300/smaps", 0);
    fake_root_be_nobody(TRUE);
    read = read_others(scene);
    fake_root_be_nobody(FALSE);
    g_assert_false(read);
    mf_assert_error(scene->error, MF_ERROR_DENIED, "300/smaps");
    g_assert_false(scene->host.other_saved_bytes.known);

    fake_root_chmod_file(scene->fake, "proc/300/smaps", 0644);
    fake_root_remove_file(scene->fake, "proc/299/ksm_stat");
    g_assert_false(read_others(scene));
    mf_assert_error(scene->error, MF_ERROR_UNSUPPORTED, "/proc/PID/ksm_stat");
    g_assert_false(scene->host.other_saved_bytes.known);
}

/* Who has memory in very many pieces counts, too, though not exactly. */
static void
test_long_smaps(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autofree char *path =
        g_build_filename(fake_root_get_path(scene->fake), "proc/300/smaps", NULL);

    fake_root_set_process_ksm(scene->fake, &chrome);
    g_assert_cmpint(truncate(path, LIMIT_BYTES + 1), ==, 0);
    assert_saved(scene, 27 * PAGE);
    g_assert_error(scene->bound, MF_ERROR, MF_ERROR_INVALID);
    g_assert_nonnull(strstr(scene->bound->message, "process 300 (chrome)"));
    g_assert_nonnull(strstr(scene->bound->message, "longer than 16777216 bytes"));
    g_clear_error(&scene->bound);

    /* What is no map is not counted as anything. */
    g_assert_cmpint(truncate(path, 100), ==, 0);
    g_assert_cmpint(truncate(path, LIMIT_BYTES), ==, 0);
    g_assert_false(read_others(scene));
    g_assert_no_error(scene->bound);
    mf_assert_error(scene->error, MF_ERROR_INVALID, "smaps");
}

#define ADD(path, function)                                                                        \
    g_test_add("/others/" path, Scene, NULL, scene_open, function, scene_close)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("sum", test_sum);
    ADD("good-for-a-while", test_a_sum_is_good_for_a_while);
    ADD("unreadable", test_unreadable);
    ADD("long-smaps", test_long_smaps);
    return g_test_run();
}
