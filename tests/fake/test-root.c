/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one opener: what it reads and writes, and that nothing leads it out of its root. */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../unit/mf-test.h"
#include "fakeroot.h"

typedef struct {
    FakeRoot *fake;
    MfRoot *root;
} Scene;

static void
scene_open(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->fake = fake_root_new();
    scene->root = fake_root_open(scene->fake);
}

static void
scene_close(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    mf_root_unref(scene->root);
    fake_root_free(scene->fake);
}

static void
assert_content(const Scene *scene, const char *path, const char *wanted)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = mf_root_read(scene->root, path, 4096, NULL, &error);

    g_assert_no_error(error);
    g_assert_cmpstr(text, ==, wanted);
}

static void
test_read(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autofree char *big = g_strnfill(100000, 'b');
    g_autoptr(GError) error = NULL;
    gsize length_bytes = 0;
    guint64 value = 0;

    fake_root_set_file(scene->fake, "etc/empty", "");
    fake_root_set_file(scene->fake, "etc/number", "42\n");
    fake_root_set_file(scene->fake, "etc/big", big);
    assert_content(scene, "etc/empty", "");
    assert_content(scene, "etc/number", "42\n");
    g_assert_true(mf_root_read_u64(scene->root, "etc/number", &value, &error));
    g_assert_cmpuint(value, ==, 42);

    /* To the very limit, and not a byte beyond. */
    g_autofree char *whole = mf_root_read(scene->root, "etc/big", 100000, &length_bytes, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(length_bytes, ==, 100000);
    g_assert_cmpstr(whole, ==, big);
    g_assert_null(mf_root_read(scene->root, "etc/big", 99999, NULL, &error));
    mf_assert_error(error, MF_ERROR_INVALID, "99999 bytes");
    g_assert_false(mf_root_read_u64(scene->root, "etc/empty", &value, &error));
    mf_assert_error(error, MF_ERROR_INVALID, "etc/empty");
    g_assert_null(mf_root_read(scene->root, "etc/none", 10, NULL, &error));
    mf_assert_error(error, MF_ERROR_GONE, "etc/none");
    g_assert_null(mf_root_read(scene->root, "etc/number/x", 10, NULL, &error));
    g_assert_nonnull(error);
}

static void
test_bad_paths(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const char *const paths[] = {
        "",      "/etc/passwd",    "../x", "proc/../proc/meminfo", "proc//meminfo",
        "proc/", "./proc/meminfo", ".."};

    for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autoptr(GError) error = NULL;
        mf_test_case(paths[i]);
        g_assert_null(mf_root_read(scene->root, paths[i], 4096, NULL, &error));
        mf_assert_error(error, MF_ERROR_INVALID, "path below");
        g_assert_false(mf_root_write(scene->root, paths[i], "x", &error));
        mf_assert_error(error, MF_ERROR_INVALID, "path below");
        g_assert_false(mf_root_replace(scene->root, paths[i], "x", &error));
        mf_assert_error(error, MF_ERROR_INVALID, "path below");
        g_assert_false(mf_root_remove(scene->root, paths[i], &error));
        mf_assert_error(error, MF_ERROR_INVALID, "path below");
        g_assert_false(mf_root_exists(scene->root, paths[i]));
    }
}

/* A link within the root works; one that points out ends inside. */
static void
test_links(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autofree char *outside = g_strconcat(fake_root_get_path(scene->fake), ".outside", NULL);
    g_autofree char *name = g_path_get_basename(outside);
    g_autofree char *climb = g_strconcat("../../../../", name, NULL);
    g_autoptr(GError) error = NULL;

    g_assert_true(g_file_set_contents(outside, "secret", -1, NULL));
    fake_root_set_file(scene->fake, "a/inside", "inside");
    fake_root_set_link(scene->fake, "a/near", "inside");
    fake_root_set_link(scene->fake, "a/absolute", "/a/inside");
    fake_root_set_link(scene->fake, "a/climbing", climb);
    fake_root_set_link(scene->fake, "a/outside", outside);
    fake_root_set_link(scene->fake, "a/loop", "loop");
    fake_root_set_link(scene->fake, "up", "..");
    assert_content(scene, "a/near", "inside");
    assert_content(scene, "a/absolute", "inside");
    assert_content(scene, "up/a/near", "inside");
    static const char *const leading_out[] = {"a/climbing", "a/outside"};
    for (guint i = 0; i < G_N_ELEMENTS(leading_out); i++) {
        g_assert_null(mf_root_read(scene->root, leading_out[i], 4096, NULL, &error));
        mf_assert_error(error, MF_ERROR_GONE, leading_out[i]);
        g_assert_false(mf_root_write(scene->root, leading_out[i], "x", &error));
        mf_assert_error(error, MF_ERROR_GONE, leading_out[i]);
    }
    g_assert_null(mf_root_read(scene->root, "a/loop", 4096, NULL, &error));
    mf_assert_error(error, MF_ERROR_FAILED, "a/loop");

    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(outside, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "secret");
    g_assert_cmpint(g_unlink(outside), ==, 0);
}

/* What is no regular file is refused, and does not hold us. */
static void
test_no_regular_file(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autofree char *pipe_path = g_build_filename(fake_root_get_path(scene->fake), "pipe", NULL);
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(mkfifo(pipe_path, 0644), ==, 0);
    g_assert_null(mf_root_read(scene->root, "pipe", 10, NULL, &error));
    mf_assert_error(error, MF_ERROR_INVALID, "no regular file");
    g_assert_null(mf_root_read(scene->root, "proc", 10, NULL, &error));
    mf_assert_error(error, MF_ERROR_INVALID, "no regular file");

    g_autoptr(MfRoot) real = mf_root_new("/", &error);
    g_assert_no_error(error);
    g_assert_null(mf_root_read(real, "dev/zero", 10, NULL, &error));
    mf_assert_error(error, MF_ERROR_INVALID, "/dev/zero: no regular file");
}

/* /proc's magic links lead anywhere: they are not followed.  The real kernel, since only it has
 * them. */
static void
test_magic_links(void)
{
    static const char *const magic[] = {"proc/self/exe", "proc/self/root/proc/meminfo",
                                        "proc/self/cwd/x", "proc/self/fd/0"};
    g_autoptr(GError) error = NULL;
    g_autoptr(MfRoot) real = mf_root_new("/", &error);

    g_assert_no_error(error);
    for (guint i = 0; i < G_N_ELEMENTS(magic); i++) {
        g_assert_null(mf_root_read(real, magic[i], G_MAXINT, NULL, &error));
        mf_assert_error(error, MF_ERROR_FAILED, "symbolic links");
        g_assert_false(mf_root_exists(real, magic[i]));
    }
    g_autofree char *comm = mf_root_read(real, "proc/self/comm", 64, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(comm, ==, "test-root\n");
}

static void
test_write(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(GError) error = NULL;

    fake_root_set_file(scene->fake, "knob", "200000\n");
    g_assert_true(mf_root_write(scene->root, "knob", "100", &error));
    assert_content(scene, "knob", "100");
    g_assert_false(mf_root_write(scene->root, "new", "1", &error));
    mf_assert_error(error, MF_ERROR_GONE, "new");
    g_assert_false(mf_root_exists(scene->root, "new"));
}

/* The kernel's own refusal, and permissions, by code. */
static void
test_refusals(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MfRoot) real = mf_root_new("/", &error);

    g_assert_false(mf_root_write(real, "proc/self/oom_score_adj", "5000", &error));
    mf_assert_error(error, MF_ERROR_INVALID, "/proc/self/oom_score_adj: can't be written");

    fake_root_set_file(scene->fake, "closed", "1");
    fake_root_chmod_file(scene->fake, "closed", 0444);
    fake_root_set_file(scene->fake, "hidden", "1");
    fake_root_chmod_file(scene->fake, "hidden", 0000);
    fake_root_be_nobody(TRUE);
    g_assert_false(mf_root_write(scene->root, "closed", "2", &error));
    mf_assert_error(error, MF_ERROR_DENIED, "closed");
    g_assert_null(mf_root_read(scene->root, "hidden", 10, NULL, &error));
    mf_assert_error(error, MF_ERROR_DENIED, "hidden");
    fake_root_be_nobody(FALSE);
    assert_content(scene, "closed", "1");
}

static void
test_replace(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autofree char *full =
        g_build_filename(fake_root_get_path(scene->fake), "run/memfold/journal", NULL);
    g_autoptr(GError) error = NULL;
    GStatBuf status;

    g_assert_false(mf_root_replace(scene->root, "run/memfold/journal", "1", &error));
    mf_assert_error(error, MF_ERROR_GONE, "run/memfold");
    fake_root_set_file(scene->fake, "run/.keep", "");
    g_assert_true(mf_root_make_dir(scene->root, "run/memfold", &error));
    g_assert_true(mf_root_make_dir(scene->root, "run/memfold", &error));

    /* What a killed run left does not stand in the way, and a link is replaced, not followed. */
    fake_root_set_file(scene->fake, "run/memfold/.journal.new", "half");
    fake_root_set_link(scene->fake, "run/memfold/journal", "/proc/meminfo");
    g_assert_true(mf_root_replace(scene->root, "run/memfold/journal", "one", &error));
    g_assert_no_error(error);
    assert_content(scene, "run/memfold/journal", "one");
    g_assert_true(mf_root_replace(scene->root, "run/memfold/journal", "two", &error));
    assert_content(scene, "run/memfold/journal", "two");
    g_assert_cmpint(g_lstat(full, &status), ==, 0);
    g_assert_cmpint(status.st_mode, ==, S_IFREG | 0600);
    g_auto(GStrv) names = mf_root_list(scene->root, "run/memfold", &error);
    g_assert_cmpuint(g_strv_length(names), ==, 1);

    g_assert_true(mf_root_remove(scene->root, "run/memfold/journal", &error));
    g_assert_true(mf_root_remove(scene->root, "run/memfold/journal", &error));
    g_assert_true(mf_root_remove(scene->root, "none/journal", &error));
    g_assert_false(mf_root_exists(scene->root, "run/memfold/journal"));
    g_assert_false(mf_root_make_dir(scene->root, "proc/meminfo", &error));
    mf_assert_error(error, MF_ERROR_FAILED, "proc/meminfo");
}

static void
test_lock(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(GError) error = NULL;
    int first = mf_root_lock(scene->root, "lock", &error);

    g_assert_no_error(error);
    g_assert_cmpint(first, >=, 0);
    g_assert_cmpint(mf_root_lock(scene->root, "lock", &error), ==, -1);
    mf_assert_error(error, MF_ERROR_BUSY, "lock");
    g_assert_cmpint(close(first), ==, 0);
    int second = mf_root_lock(scene->root, "lock", &error);
    g_assert_no_error(error);
    g_assert_cmpint(close(second), ==, 0);
    fake_root_set_link(scene->fake, "linked", "proc/meminfo");
    g_assert_cmpint(mf_root_lock(scene->root, "linked", &error), ==, -1);
    mf_assert_error(error, MF_ERROR_FAILED, "linked");
}

static void
test_list(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(GError) error = NULL;

    fake_root_set_file(scene->fake, "d/b", "");
    fake_root_set_file(scene->fake, "d/a", "");
    fake_root_set_file(scene->fake, "d/.c", "");
    g_auto(GStrv) names = mf_root_list(scene->root, "d", &error);
    g_autofree char *joined = g_strjoinv(" ", names);
    g_assert_cmpstr(joined, ==, ".c a b");
    g_assert_null(mf_root_list(scene->root, "none", &error));
    mf_assert_error(error, MF_ERROR_GONE, "none");
    g_assert_null(mf_root_list(scene->root, "d/a", &error));
    mf_assert_error(error, MF_ERROR_FAILED, "d/a");
}

static void
test_open(void)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(mf_root_new("/nowhere/at/all", &error));
    mf_assert_error(error, MF_ERROR_GONE, "/nowhere/at/all");
    g_autoptr(MfRoot) real = mf_root_new("/", &error);
    g_autoptr(MfRoot) again = mf_root_ref(real);
    g_assert_cmpstr(mf_root_get_path(again), ==, "/");
}

static gboolean
refuse(gpointer data G_GNUC_UNUSED, GError **error)
{
    g_set_error_literal(error, MF_ERROR, MF_ERROR_GONE, "is another's");
    return FALSE;
}

/* What had the name is gone, and another has it now. */
static gboolean
swap(gpointer data, GError **error G_GNUC_UNUSED)
{
    Scene *scene = data;
    g_autofree char *from = g_build_filename(fake_root_get_path(scene->fake), "etc/knob", NULL);
    g_autofree char *to = g_build_filename(fake_root_get_path(scene->fake), "etc/before", NULL);

    g_assert_no_errno(g_rename(from, to));
    fake_root_set_file(scene->fake, "etc/knob", "another's");
    return TRUE;
}

static void
test_write_checked(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    GError *error = NULL;

    fake_root_set_file(scene->fake, "etc/knob", "a longer text\n");
    g_assert_false(mf_root_write_checked(scene->root, "etc/knob", "7", refuse, NULL, &error));
    mf_assert_error(error, MF_ERROR_GONE, "is another's");
    assert_content(scene, "etc/knob", "a longer text\n");
    g_assert_false(mf_root_write_checked(scene->root, "etc/none", "7", swap, scene, &error));
    mf_assert_error(error, MF_ERROR_GONE, "etc/none");

    g_assert_true(mf_root_write_checked(scene->root, "etc/knob", "7", swap, scene, &error));
    g_assert_no_error(error);
    assert_content(scene, "etc/before", "7");
    assert_content(scene, "etc/knob", "another's");
}

#define ADD(path, function)                                                                        \
    g_test_add("/opener/" path, Scene, NULL, scene_open, function, scene_close)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("read", test_read);
    ADD("bad-paths", test_bad_paths);
    ADD("links", test_links);
    ADD("no-regular-file", test_no_regular_file);
    g_test_add_func("/opener/magic-links", test_magic_links);
    ADD("write", test_write);
    ADD("write-checked", test_write_checked);
    ADD("refusals", test_refusals);
    ADD("replace", test_replace);
    ADD("lock", test_lock);
    ADD("list", test_list);
    g_test_add_func("/opener/open", test_open);
    return g_test_run();
}
