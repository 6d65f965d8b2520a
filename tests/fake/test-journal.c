/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knobs are written down before they are written, and put back by whoever comes after. */
#include <string.h>
#include <sys/stat.h>

#include "../../src/core/mf-error.h"
#include "../../src/engine/mf-apply.h"
#include "fakeroot.h"
#include "logcatch.h"

#define RUNTIME "run/memfold"

typedef struct {
    FakeRoot *fake;
    MfRoot *host;
    MfRoot *runtime;
    MfJournal *journal;
    MfApply *apply;
} Scene;

static void
scene_open(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autofree char *path = NULL;
    GError *error = NULL;

    scene->fake = fake_root_new();
    scene->host = fake_root_open(scene->fake);
    fake_root_set_file(scene->fake, "proc/sys/kernel/random/boot_id", "boot-1\n");
    path = g_build_filename(fake_root_get_path(scene->fake), RUNTIME, NULL);
    g_assert_no_errno(g_mkdir_with_parents(path, 0755));
    scene->runtime = mf_root_new(path, &error);
    g_assert_no_error(error);
    scene->journal = mf_journal_new(scene->runtime, scene->host);
    scene->apply = mf_apply_new(scene->host, scene->journal);
}

static void
scene_close(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    mf_apply_free(scene->apply);
    mf_journal_free(scene->journal);
    mf_root_unref(scene->runtime);
    mf_root_unref(scene->host);
    fake_root_free(scene->fake);
}

/* What a kill -9 and the next memfoldd are to the journal. */
static void
die_and_come_again(Scene *scene)
{
    GError *error = NULL;
    gint64 pid = 0;

    mf_apply_free(scene->apply);
    mf_journal_free(scene->journal);
    scene->journal = mf_journal_new(scene->runtime, scene->host);
    scene->apply = mf_apply_new(scene->host, scene->journal);
    g_assert_true(mf_journal_load(scene->journal, &pid, &error));
    g_assert_no_error(error);
}

static void
set_knobs(Scene *scene, const char *run, const char *pages_to_scan)
{
    g_autoptr(MfPlan) plan = mf_plan_new();

    mf_plan_add_knob(plan, MF_KNOB_PAGES_TO_SCAN, NULL, pages_to_scan,
                     mf_reason_new(MF_REASON_BUDGET, NULL, "test"));
    mf_plan_add_knob(plan, MF_KNOB_RUN, NULL, run, mf_reason_new(MF_REASON_DOMAINS, NULL, "test"));
    mf_apply_knobs(scene->apply, plan);
}

static void
assert_knobs(const Scene *scene, const char *run, const char *pages_to_scan)
{
    g_autofree char *found_run = fake_root_get_ksm(scene->fake, "run");
    g_autofree char *found_pages = fake_root_get_ksm(scene->fake, "pages_to_scan");

    g_assert_cmpstr(g_strstrip(found_run), ==, run);
    g_assert_cmpstr(g_strstrip(found_pages), ==, pages_to_scan);
}

static void
test_restore(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_set_ksm(scene->fake, "pages_to_scan", "123");
    set_knobs(scene, "1", "1000");
    set_knobs(scene, "1", "2000");
    assert_knobs(scene, "1", "2000");
    g_assert_true(mf_apply_restore(scene->apply, NULL));
    assert_knobs(scene, "0", "123");
    g_assert_true(mf_journal_is_empty(scene->journal));
    g_assert_false(mf_root_exists(scene->runtime, "journal"));
}

static void
test_unchanged_is_not_noted(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_set_ksm(scene->fake, "pages_to_scan", "123");
    set_knobs(scene, "0", "123");
    g_assert_true(mf_journal_is_empty(scene->journal));
    g_assert_false(mf_root_exists(scene->runtime, "journal"));
}

static void
test_death(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_set_ksm(scene->fake, "pages_to_scan", "123");
    set_knobs(scene, "1", "1000");
    set_knobs(scene, "1", "2000");
    die_and_come_again(scene);
    g_assert_true(mf_apply_restore(scene->apply, NULL));
    assert_knobs(scene, "0", "123");
}

/* Dead between the journal's write and the knob's: the value before is memfold's as well. */
static void
test_death_before_the_write(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_set_ksm(scene->fake, "pages_to_scan", "123");
    set_knobs(scene, "1", "1000");
    g_assert_true(mf_journal_record(scene->journal, MF_KNOB_PAGES_TO_SCAN, "1000", "2000", NULL));
    die_and_come_again(scene);
    g_assert_true(mf_apply_restore(scene->apply, NULL));
    assert_knobs(scene, "0", "123");
}

/* Two deaths in a row keep the first original. */
static void
test_two_deaths(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_set_ksm(scene->fake, "pages_to_scan", "123");
    set_knobs(scene, "1", "1000");
    die_and_come_again(scene);
    set_knobs(scene, "1", "3000");
    die_and_come_again(scene);
    g_assert_true(mf_apply_restore(scene->apply, NULL));
    assert_knobs(scene, "0", "123");
}

static void
test_written_by_others(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    set_knobs(scene, "1", "1000");
    fake_root_set_ksm(scene->fake, "pages_to_scan", "555");
    g_assert_true(mf_apply_restore(scene->apply, NULL));
    assert_knobs(scene, "0", "555");
}

static void
test_other_manager(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    set_knobs(scene, "1", "1000");
    g_assert_true(mf_apply_restore(scene->apply, "ksmtuned"));
    assert_knobs(scene, "1", "1000");
    g_assert_false(mf_root_exists(scene->runtime, "journal"));
}

static void
test_other_boot(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    set_knobs(scene, "1", "1000");
    fake_root_set_file(scene->fake, "proc/sys/kernel/random/boot_id", "boot-2\n");
    die_and_come_again(scene);
    g_assert_true(mf_journal_is_empty(scene->journal));
    g_assert_false(mf_root_exists(scene->runtime, "journal"));
}

/* No journal, no write: a knob that can't be noted is not touched. */
static void
test_journal_unwritable(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_set_ksm(scene->fake, "pages_to_scan", "123");
    fake_root_chmod_file(scene->fake, RUNTIME, 0555);
    fake_root_be_nobody(TRUE);
    log_catch_clear();
    set_knobs(scene, "1", "1000");
    /* The second time it is no news. */
    set_knobs(scene, "1", "1000");
    fake_root_be_nobody(FALSE);
    fake_root_chmod_file(scene->fake, RUNTIME, 0755);
    g_assert_cmpuint(log_catch_count(G_LOG_LEVEL_WARNING, "ksm pages_to_scan: *journal*"), ==, 1);
    g_assert_cmpuint(log_catch_count(G_LOG_LEVEL_WARNING, "ksm run: *journal*"), ==, 1);
    assert_knobs(scene, "0", "123");
}

/* What can't be put back now stays in the journal for the next one. */
static void
test_knob_refuses(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_set_ksm(scene->fake, "pages_to_scan", "123");
    set_knobs(scene, "1", "1000");
    fake_root_set_ksm(scene->fake, "pages_to_scan", "unreadable");
    log_catch_clear();
    g_assert_false(mf_apply_restore(scene->apply, NULL));
    g_assert_cmpuint(log_catch_count(G_LOG_LEVEL_WARNING, "*pages_to_scan*can't be put back*"), ==,
                     1);
    assert_knobs(scene, "0", "unreadable");
    fake_root_set_ksm(scene->fake, "pages_to_scan", "1000");
    die_and_come_again(scene);
    g_assert_true(mf_apply_restore(scene->apply, NULL));
    assert_knobs(scene, "0", "123");
}

static void
test_damaged(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const char *const texts[] = {
        "",
        "garbage",
        "[journal]\nversion=2\nboot-id=boot-1\n[original]\nrun=0\n",
        "[journal]\nversion=1\nboot-id=boot-1\n[original]\nbogus=0\n",
        "[journal]\nversion=1\nboot-id=boot-1\n[original]\nrun=0\n",
        "[journal]\nversion=1\nboot-id=boot-1\n[original]\nrun=0;1\n[written]\nrun=1\n[before]\n"
        "run=0\n",
        "[journal]\nversion=1\nboot-id=boot-1\n[original]\nrun=\n[written]\nrun=1\n[before]\n"
        "run=0\n",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        GError *error = NULL;

        g_assert_true(mf_root_replace(scene->runtime, "journal", texts[i], NULL));
        g_assert_false(mf_journal_load(scene->journal, NULL, &error));
        g_assert_error(error, MF_ERROR, MF_ERROR_INVALID);
        g_assert_true(g_str_has_prefix(error->message, "journal: "));
        g_clear_error(&error);
        g_assert_true(mf_journal_is_empty(scene->journal));
    }
}

/* A file that was put together wrongly: what stands last holds, and nothing is lost of the first.
 */
static void
test_a_key_that_stands_twice(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    GError *error = NULL;

    fake_root_set_ksm(scene->fake, "run", "1");
    g_assert_true(mf_root_replace(scene->runtime, "journal",
                                  "[journal]\nversion=1\nboot-id=boot-1\n[original]\nrun=1\nrun=0\n"
                                  "[written]\nrun=1\n[before]\nrun=0\n",
                                  NULL));
    g_assert_true(mf_journal_load(scene->journal, NULL, &error));
    g_assert_no_error(error);
    g_assert_true(mf_journal_restore(scene->journal, NULL));
    assert_knobs(scene, "0", "100");
}

static void
test_hold(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_set_ksm(scene->fake, "pages_to_scan", "123");
    set_knobs(scene, "1", "1000");
    mf_apply_hold(scene->apply);
    g_assert_true(mf_apply_stop_ksmd(scene->apply, NULL));
    assert_knobs(scene, "0", "1000");
    /* A plan that was made before the hold does not start ksmd, and may do the rest. */
    set_knobs(scene, "1", "2000");
    assert_knobs(scene, "0", "2000");
    mf_apply_release(scene->apply);
    set_knobs(scene, "1", "2000");
    assert_knobs(scene, "1", "2000");
    /* A hold that was let go before its turn came stops nothing. */
    g_assert_true(mf_apply_stop_ksmd(scene->apply, NULL));
    assert_knobs(scene, "1", "2000");
}

static void
test_closed(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_set_ksm(scene->fake, "pages_to_scan", "123");
    set_knobs(scene, "1", "1000");
    mf_apply_close(scene->apply);
    g_assert_true(mf_apply_restore(scene->apply, NULL));
    set_knobs(scene, "1", "1000");
    assert_knobs(scene, "0", "123");
}

static void
add(const char *name, void (*function)(Scene *, gconstpointer))
{
    g_autofree char *path = g_strdup_printf("/journal/%s", name);

    g_test_add(path, Scene, NULL, scene_open, function, scene_close);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    log_catch_begin();
    add("restore", test_restore);
    add("unchanged-is-not-noted", test_unchanged_is_not_noted);
    add("death", test_death);
    add("death-before-the-write", test_death_before_the_write);
    add("two-deaths", test_two_deaths);
    add("written-by-others", test_written_by_others);
    add("other-manager", test_other_manager);
    add("other-boot", test_other_boot);
    add("journal-unwritable", test_journal_unwritable);
    add("knob-refuses", test_knob_refuses);
    add("damaged", test_damaged);
    add("key-twice", test_a_key_that_stands_twice);
    add("hold", test_hold);
    add("closed", test_closed);
    return g_test_run();
}
