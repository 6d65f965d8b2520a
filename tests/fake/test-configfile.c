/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memfold.conf and its drop-ins as files: missing, in their order, unreadable. */
#include "../../src/io/mf-configfile.h"
#include "../unit/mf-test.h"
#include "fakeroot.h"

#define MAIN   "etc/memfold.conf"
#define FIRST  MAIN ".d/10-first.conf"
#define SECOND MAIN ".d/20-second.conf"

typedef struct {
    FakeRoot *fake;
    char *path; /* of MAIN */
    GError *error;
} Scene;

static void
scene_open(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->fake = fake_root_new();
    scene->path = g_build_filename(fake_root_get_path(scene->fake), MAIN, NULL);
    scene->error = NULL;
}

static void
scene_close(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_assert_no_error(scene->error);
    g_free(scene->path);
    fake_root_free(scene->fake);
}

/* The budget that the files give. */
static guint
budget(Scene *scene)
{
    g_autoptr(MfConfig) config = mf_configfile_load(scene->path, &scene->error);

    g_assert_no_error(scene->error);
    return config->cpu_budget_permyriad;
}

static void
test_missing(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(MfConfig) defaults = mf_config_new();

    g_assert_cmpuint(budget(scene), ==, defaults->cpu_budget_permyriad);
}

static void
test_order(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_set_file(scene->fake, MAIN, "[ksmd]\ncpu-budget-permyriad=100\n");
    g_assert_cmpuint(budget(scene), ==, 100);
    fake_root_set_file(scene->fake, SECOND, "[ksmd]\ncpu-budget-permyriad=300\n");
    fake_root_set_file(scene->fake, FIRST, "[ksmd]\ncpu-budget-permyriad=200\n");
    g_assert_cmpuint(budget(scene), ==, 300);
    fake_root_set_file(scene->fake, MAIN ".d/30-other.conf.bak", "nonsense");
    fake_root_set_file(scene->fake, MAIN ".d/.40-hidden.conf", "nonsense");
    g_assert_cmpuint(budget(scene), ==, 300);
    fake_root_remove_file(scene->fake, MAIN);
    g_assert_cmpuint(budget(scene), ==, 300);
}

static void
expect_refusal(Scene *scene, int code, const char *part)
{
    g_assert_null(mf_configfile_load(scene->path, &scene->error));
    fake_root_be_nobody(FALSE);
    mf_assert_error(scene->error, code, part);
}

static void
test_unreadable(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const char *const paths[] = {MAIN, FIRST};

    for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
        fake_root_set_file(scene->fake, paths[i], "");
        fake_root_chmod_file(scene->fake, paths[i], 0);
        fake_root_be_nobody(TRUE);
        expect_refusal(scene, MF_ERROR_DENIED, paths[i]);
        fake_root_chmod_file(scene->fake, paths[i], 0644);
    }
    g_assert_cmpuint(budget(scene), >, 0);
    fake_root_chmod_file(scene->fake, MAIN ".d", 0);
    fake_root_be_nobody(TRUE);
    expect_refusal(scene, MF_ERROR_FAILED, MAIN ".d");
    fake_root_chmod_file(scene->fake, MAIN ".d", 0755);
}

static void
test_no_files(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_set_file(scene->fake, FIRST "/what", "");
    expect_refusal(scene, MF_ERROR_FAILED, FIRST);
    fake_root_remove_file(scene->fake, FIRST);
    fake_root_set_link(scene->fake, FIRST, "/nowhere/at-all.conf");
    expect_refusal(scene, MF_ERROR_FAILED, FIRST);
}

static void
test_bad_text(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_set_file(scene->fake, MAIN, "[ksmd]\nmin-pages-to-scan=500\n");
    fake_root_set_file(scene->fake, FIRST, "[ksmd]\nspeed=9\n");
    expect_refusal(scene, MF_ERROR_INVALID, FIRST);
    fake_root_set_file(scene->fake, FIRST, "\xff\xfe");
    expect_refusal(scene, MF_ERROR_INVALID, FIRST);
    /* Each file is right, and both together are not. */
    fake_root_set_file(scene->fake, FIRST, "[ksmd]\nmax-pages-to-scan=400\n");
    expect_refusal(scene, MF_ERROR_INVALID, "max-pages-to-scan");
}

#define ADD(path, function)                                                                        \
    g_test_add("/configfile/" path, Scene, NULL, scene_open, function, scene_close)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("missing", test_missing);
    ADD("order", test_order);
    ADD("unreadable", test_unreadable);
    ADD("no-files", test_no_files);
    ADD("bad-text", test_bad_text);
    return g_test_run();
}
