/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls to QEMUs: how many are under way, who is asked first, and who is not asked. */
#include <string.h>

#include "../../src/core/mf-error.h"
#include "../../src/engine/mf-registry.h"

#define FIRST "00000001-1111-4111-8111-111111111111" /* of add_crowd() */
#define SEC   ((gint64)G_USEC_PER_SEC)

typedef struct {
    MfRegistry *registry;
} Scene;

static void
scene_open(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->registry = mf_registry_new();
}

static void
scene_close(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    mf_registry_free(scene->registry);
}

static MfAnswer *
answer_new(const MfQuestion *question)
{
    MfAnswer *answer = g_new0(MfAnswer, 1);

    answer->question = *question;
    answer->question.uuid = g_strdup(question->uuid);
    answer->facts = mf_domain_new(question->uuid, "");
    return answer;
}

static void
assert_nothing_to_ask(const Scene *scene, gint64 now_usec)
{
    MfQuestion question = {0};
    guint serial = 0;

    g_assert_false(mf_registry_next_question(scene->registry, now_usec, &question, &serial));
}

/* So many domains that libvirt tells of, "d0" and so on. */
static void
add_crowd(Scene *scene, guint count, gint64 now_usec)
{
    for (guint i = 0; i < count; i++) {
        g_autofree char *uuid = g_strdup_printf("%08x-1111-4111-8111-111111111111", i + 1);
        g_autofree char *name = g_strdup_printf("d%u", i);
        g_autoptr(MfDomain) facts = mf_domain_new(uuid, name);

        mf_registry_update(scene->registry, facts, MF_SOURCE_LIBVIRT, now_usec);
    }
}

/* Questions that can be asked now; the last one's serial, and whom it was for. */
static guint
ask_all(Scene *scene, gint64 now_usec, guint *ret_serial, char **ret_uuid)
{
    MfQuestion question = {0};
    guint count = 0;

    while (mf_registry_next_question(scene->registry, now_usec, &question, ret_serial)) {
        g_free(*ret_uuid);
        *ret_uuid = g_strdup(question.uuid);
        count++;
    }
    return count;
}

static guint
count_told(Scene *scene, gint64 now_usec, const char *text)
{
    g_autoptr(GPtrArray) domains = mf_registry_copy_domains(scene->registry, now_usec);
    guint count = 0;

    for (guint i = 0; i < domains->len; i++) {
        const MfDomain *domain = domains->pdata[i];

        count += domain->switch_error && strstr(domain->switch_error, text) ? 1 : 0;
    }
    return count;
}

/* Who waits for his turn is not silent, and those that are silent do not keep others from it. */
static void
test_the_silent_hold_up_nobody(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        gint64 sec;
        guint asked;  /* then */
        guint silent; /* told as such */
    } turns[] = {{1, 4, 0}, {5, 0, 0}, {7, 4, 4}, {13, 2, 8}, {19, 0, 10}, {1000, 0, 10}};
    g_autofree char *uuid = NULL;
    g_autofree char *told = NULL;
    g_autoptr(MfAnswer) answer = NULL;
    MfQuestion question = {0};
    guint serial = 0;

    add_crowd(scene, 30, 1 * SEC);
    for (guint i = 0; i < G_N_ELEMENTS(turns); i++) {
        g_autofree char *none = NULL;

        g_assert_cmpuint(ask_all(scene, turns[i].sec * SEC, &serial, &uuid), ==, turns[i].asked);
        g_assert_cmpuint(count_told(scene, turns[i].sec * SEC, "no answer"), ==, turns[i].silent);
        none = mf_registry_dup_silence(scene->registry, turns[i].sec * SEC);
        g_assert_cmpint(none == NULL, ==, turns[i].silent < MF_MONITOR_CALLS_MAX);
    }
    told = mf_registry_dup_silence(scene->registry, 19 * SEC);
    g_assert_nonnull(strstr(told, "10 QEMUs do not answer"));
    g_assert_nonnull(strstr(told, "(20 wait)"));
    g_assert_true(mf_registry_is_silent(scene->registry, uuid, 19 * SEC));

    /* One answers at last: its place is the next one's, and it comes last from now on. */
    question.uuid = uuid;
    answer = answer_new(&question);
    mf_registry_take_answer(scene->registry, serial, answer, 20 * SEC);
    g_assert_false(mf_registry_is_silent(scene->registry, uuid, 20 * SEC));
    g_assert_null(mf_registry_dup_silence(scene->registry, 20 * SEC));
    g_assert_true(mf_registry_next_question(scene->registry, 20 * SEC, &question, &serial));
    g_assert_cmpstr(question.uuid, !=, uuid);
}

/* A call is there until it ends, whatever has become of the domain. */
static void
test_calls_of_those_that_went_count(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autofree char *uuid = NULL;
    g_autoptr(MfAnswer) answer = NULL;
    MfQuestion question = {0};
    guint serial = 0;

    add_crowd(scene, 5, 1 * SEC);
    g_assert_cmpuint(ask_all(scene, 1 * SEC, &serial, &uuid), ==, 4);
    question.uuid = uuid;
    answer = answer_new(&question);
    g_assert_true(mf_registry_remove(scene->registry, uuid));
    assert_nothing_to_ask(scene, 2 * SEC);
    g_assert_false(mf_registry_take_answer(scene->registry, serial, answer, 3 * SEC));
    g_assert_cmpuint(ask_all(scene, 3 * SEC, &serial, &uuid), ==, 1);
}

static void
test_a_stopped_qemu_is_looked_at_again(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autofree char *uuid = NULL;
    g_autoptr(MfAnswer) answer = NULL;
    MfQuestion question = {0};
    guint serial = 0;

    add_crowd(scene, 1, 1 * SEC);
    g_assert_cmpuint(ask_all(scene, 1 * SEC, &serial, &uuid), ==, 1);
    question.uuid = uuid;
    question.probe = TRUE;
    answer = answer_new(&question);
    answer->stopped = TRUE;
    g_assert_false(mf_registry_take_answer(scene->registry, serial, answer, 2 * SEC));
    g_assert_cmpuint(count_told(scene, 2 * SEC, "stopped"), ==, 1);
    assert_nothing_to_ask(scene, 2 * SEC); /* not again and again */
    g_assert_true(mf_registry_next_question(scene->registry, 3 * SEC, &question, &serial));
    g_assert_true(question.probe);
    answer->stopped = FALSE;
    answer->facts->caps = MF_CAP_PROBED;
    mf_registry_take_answer(scene->registry, serial, answer, 3 * SEC);
    g_assert_cmpuint(count_told(scene, 3 * SEC, "stopped"), ==, 0);
    assert_nothing_to_ask(scene, 1000 * SEC);
}

/* A wish that waits for its turn is one wish, however many plans say it. */
static void
test_a_wish_is_new_once(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfQuestion question = {0};
    guint serial = 0;

    add_crowd(scene, 1, 1 * SEC);
    for (guint i = 0; i < 3; i++) {
        mf_registry_want_nothing(scene->registry);
        g_assert_cmpint(mf_registry_want_mode(scene->registry, FIRST, MF_MODE_OFF), ==, i == 0);
    }
    mf_registry_want_nothing(scene->registry);
    g_assert_true(mf_registry_want_mode(scene->registry, FIRST, MF_MODE_ON));
    g_assert_true(mf_registry_next_question(scene->registry, 1 * SEC, &question, &serial));
    mf_registry_want_nothing(scene->registry);
    g_assert_true(mf_registry_want_mode(scene->registry, FIRST, MF_MODE_ON));
    g_assert_false(mf_registry_want_mode(scene->registry, "nobody", MF_MODE_ON));
}

static void
answer_with(Scene *scene, guint serial, MfError code, gint64 now_usec)
{
    MfQuestion question = {.uuid = FIRST};
    g_autoptr(MfAnswer) answer = answer_new(&question);

    answer->error = g_error_new(MF_ERROR, (int)code, "no");
    mf_registry_take_answer(scene->registry, serial, answer, now_usec);
}

/* Nobody is let in to a domain that is migrated here; when it goes on it is asked at once. */
static void
test_who_goes_on_is_asked_at_once(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfQuestion question = {0};
    guint serial = 0;

    add_crowd(scene, 1, 1 * SEC);
    g_assert_true(mf_registry_next_question(scene->registry, 1 * SEC, &question, &serial));
    answer_with(scene, serial, MF_ERROR_TIMEOUT, 31 * SEC);
    g_assert_false(mf_registry_is_refused(scene->registry, FIRST));
    assert_nothing_to_ask(scene, 32 * SEC);
    mf_registry_ask_anew(scene->registry, FIRST);
    g_assert_true(mf_registry_next_question(scene->registry, 32 * SEC, &question, &serial));

    /* It goes on while libvirt still holds a call that then fails. */
    mf_registry_ask_anew(scene->registry, FIRST);
    answer_with(scene, serial, MF_ERROR_FAILED, 62 * SEC);
    g_assert_true(mf_registry_is_refused(scene->registry, FIRST));
    assert_nothing_to_ask(scene, 62 * SEC);
    g_assert_true(mf_registry_next_question(scene->registry, 63 * SEC, &question, &serial));
    answer_with(scene, serial, MF_ERROR_BUSY, 64 * SEC);
    g_assert_false(mf_registry_is_refused(scene->registry, FIRST));
    mf_registry_ask_anew(scene->registry, "nobody");
}

static void
add(const char *name, void (*function)(Scene *, gconstpointer))
{
    g_autofree char *path = g_strdup_printf("/calls/%s", name);

    g_test_add(path, Scene, NULL, scene_open, function, scene_close);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("the-silent-hold-up-nobody", test_the_silent_hold_up_nobody);
    add("calls-of-those-that-went-count", test_calls_of_those_that_went_count);
    add("a-stopped-qemu-is-looked-at-again", test_a_stopped_qemu_is_looked_at_again);
    add("who-goes-on-is-asked-at-once", test_who_goes_on_is_asked_at_once);
    add("a-wish-is-new-once", test_a_wish_is_new_once);
    return g_test_run();
}
