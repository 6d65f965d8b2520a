/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts from four sides, questions one at a time, and time only as it is handed in. */
#include "../../src/core/mf-error.h"
#include "../../src/engine/mf-registry.h"

#define UUID_A "11111111-1111-4111-8111-111111111111"
#define UUID_B "22222222-2222-4222-8222-222222222222"
#define SEC    ((gint64)G_USEC_PER_SEC)

typedef struct {
    MfRegistry *registry;
    MfDomain *facts;
} Scene;

static void
scene_open(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->registry = mf_registry_new();
    scene->facts = mf_domain_new(UUID_A, "a");
}

static void
scene_close(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    mf_domain_free(scene->facts);
    mf_registry_free(scene->registry);
}

static MfAnswer *
answer_new(const MfQuestion *question, guint caps, MfMode mode)
{
    MfAnswer *answer = g_new0(MfAnswer, 1);

    answer->question = *question;
    answer->question.uuid = g_strdup(question->uuid);
    answer->facts = mf_domain_new(question->uuid, "");
    answer->facts->caps = caps;
    answer->facts->mode = mode;
    return answer;
}

/* Asks the next question and answers it; what it was is returned (its uuid is not to be read). */
static MfQuestion
ask_and_answer(Scene *scene, gint64 now_usec, guint caps, MfMode mode, MfError *set_code,
               MfError *code)
{
    MfQuestion question = {0};
    guint serial = 0;
    g_autoptr(MfAnswer) answer = NULL;

    g_assert_true(mf_registry_next_question(scene->registry, now_usec, &question, &serial));
    answer = answer_new(&question, caps, mode);
    answer->set_error = set_code ? g_error_new(MF_ERROR, (int)*set_code, "set refused") : NULL;
    answer->error = code ? g_error_new(MF_ERROR, (int)*code, "query refused") : NULL;
    mf_registry_take_answer(scene->registry, serial, answer, now_usec);
    return question;
}

static void
assert_nothing_to_ask(const Scene *scene, gint64 now_usec)
{
    MfQuestion question = {0};
    guint serial = 0;

    g_assert_false(mf_registry_next_question(scene->registry, now_usec, &question, &serial));
}

static void
test_doubt(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    mf_registry_update(scene->registry, scene->facts, MF_SOURCE_HOOK, 1 * SEC);
    g_assert_null(mf_registry_next_doubtful(scene->registry, 10 * SEC));
    g_assert_cmpstr(mf_registry_next_doubtful(scene->registry, 11 * SEC), ==, UUID_A);
    g_assert_null(mf_registry_next_doubtful(scene->registry, 20 * SEC));
    g_assert_cmpstr(mf_registry_next_doubtful(scene->registry, 21 * SEC), ==, UUID_A);
    mf_registry_update(scene->registry, scene->facts, MF_SOURCE_LIBVIRT, 22 * SEC);
    g_assert_null(mf_registry_next_doubtful(scene->registry, 1000 * SEC));
}

static void
test_probe_once(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfQuestion question = {0};

    g_assert_true(mf_registry_update(scene->registry, scene->facts, MF_SOURCE_HOOK, 1 * SEC));
    assert_nothing_to_ask(scene, 1 * SEC);
    g_assert_false(mf_registry_update(scene->registry, scene->facts, MF_SOURCE_LIBVIRT, 2 * SEC));
    question =
        ask_and_answer(scene, 2 * SEC, MF_CAP_PROBED | MF_CAP_SET_MERGE, MF_MODE_ON, NULL, NULL);
    g_assert_true(question.probe);
    g_assert_cmpint(mf_registry_find(scene->registry, UUID_A)->mode, ==, MF_MODE_ON);
    assert_nothing_to_ask(scene, 1000 * SEC);
    mf_registry_want_query(scene->registry, UUID_A);
    question =
        ask_and_answer(scene, 3 * SEC, MF_CAP_PROBED | MF_CAP_SET_MERGE, MF_MODE_OFF, NULL, NULL);
    g_assert_false(question.probe);
    g_assert_cmpint(mf_registry_find(scene->registry, UUID_A)->mode, ==, MF_MODE_OFF);
}

static void
test_one_question_at_a_time(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfQuestion question = {0};
    guint serial = 0;
    g_autoptr(MfDomain) other = mf_domain_new(UUID_B, "b");
    g_autoptr(GPtrArray) domains = NULL;

    mf_registry_update(scene->registry, scene->facts, MF_SOURCE_LIBVIRT, 1 * SEC);
    g_assert_true(mf_registry_next_question(scene->registry, 1 * SEC, &question, &serial));
    mf_registry_want_query(scene->registry, UUID_A);
    mf_registry_want_mode(scene->registry, UUID_A, MF_MODE_OFF);
    assert_nothing_to_ask(scene, 2 * SEC);
    /* The frozen one holds up nobody else. */
    mf_registry_update(scene->registry, other, MF_SOURCE_LIBVIRT, 2 * SEC);
    g_assert_true(mf_registry_next_question(scene->registry, 2 * SEC, &question, &serial));
    g_assert_cmpstr(question.uuid, ==, UUID_B);
    g_assert_true(mf_registry_is_asked(scene->registry, UUID_A));
    g_assert_false(mf_registry_is_asked(scene->registry, "nobody"));
    domains = mf_registry_copy_domains(scene->registry, 3 * SEC);
    g_assert_true(((MfDomain *)domains->pdata[0])->switching);
    g_assert_null(((MfDomain *)domains->pdata[0])->switch_error);
    g_clear_pointer(&domains, g_ptr_array_unref);
    domains = mf_registry_copy_domains(scene->registry, 30 * SEC);
    g_assert_nonnull(((MfDomain *)domains->pdata[0])->switch_error);
}

/* Only one that is asked to un-merge may take memory by it, for as long as it does not answer. */
static void
test_who_is_unmerging(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        MfMode set;
        gboolean is_unmerging;
    } cases[] = {{MF_MODE_UNKNOWN, FALSE},
                 {MF_MODE_OFF, TRUE},
                 {MF_MODE_UNKNOWN, FALSE},
                 {MF_MODE_ON, FALSE},
                 {MF_MODE_FROZEN, FALSE}};

    mf_registry_update(scene->registry, scene->facts, MF_SOURCE_LIBVIRT, 1 * SEC);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        MfQuestion question = {0};
        guint serial = 0;
        g_autoptr(GPtrArray) before = NULL;
        g_autoptr(GPtrArray) asked = NULL;
        g_autoptr(GPtrArray) answered = NULL;
        g_autoptr(MfAnswer) answer = NULL;

        g_test_message("case %u", i);
        mf_registry_want_query(scene->registry, UUID_A);
        mf_registry_want_mode(scene->registry, UUID_A, cases[i].set);
        before = mf_registry_copy_domains(scene->registry, 1 * SEC);
        g_assert_false(((MfDomain *)before->pdata[0])->is_unmerging);
        g_assert_true(mf_registry_next_question(scene->registry, 1 * SEC, &question, &serial));
        asked = mf_registry_copy_domains(scene->registry, 100 * SEC);
        g_assert_true(((MfDomain *)asked->pdata[0])->switching);
        g_assert_cmpint(((MfDomain *)asked->pdata[0])->is_unmerging, ==, cases[i].is_unmerging);
        answer = answer_new(&question, MF_CAP_PROBED, MF_MODE_ON);
        mf_registry_take_answer(scene->registry, serial, answer, 1 * SEC);
        answered = mf_registry_copy_domains(scene->registry, 1 * SEC);
        g_assert_false(((MfDomain *)answered->pdata[0])->is_unmerging);
    }
}

static void
test_failures_are_tried_again_later(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfError failed = MF_ERROR_FAILED;
    g_autoptr(GPtrArray) domains = NULL;

    mf_registry_update(scene->registry, scene->facts, MF_SOURCE_LIBVIRT, 1 * SEC);
    ask_and_answer(scene, 1 * SEC, 0, MF_MODE_UNKNOWN, NULL, &failed);
    assert_nothing_to_ask(scene, 5 * SEC);
    domains = mf_registry_copy_domains(scene->registry, 5 * SEC);
    g_assert_cmpstr(((MfDomain *)domains->pdata[0])->switch_error, ==, "query refused");
    g_assert_true(((MfDomain *)domains->pdata[0])->switching);
    g_assert_false(mf_registry_is_asked(scene->registry, UUID_A));
    ask_and_answer(scene, 6 * SEC, 0, MF_MODE_UNKNOWN, NULL, &failed);
    assert_nothing_to_ask(scene, 15 * SEC);
    /* libvirt has come again: no more waiting. */
    mf_registry_forgive(scene->registry);
    ask_and_answer(scene, 15 * SEC, MF_CAP_PROBED, MF_MODE_UNKNOWN, NULL, NULL);
    g_assert_null(mf_registry_find(scene->registry, UUID_A)->switch_error);
    assert_nothing_to_ask(scene, 1000 * SEC);
}

static void
test_a_refused_switch_waits_until_the_policy_changes(Scene *scene,
                                                     gconstpointer unused G_GNUC_UNUSED)
{
    MfError unsupported = MF_ERROR_UNSUPPORTED;
    g_autoptr(GPtrArray) domains = NULL;

    mf_registry_update(scene->registry, scene->facts, MF_SOURCE_LIBVIRT, 1 * SEC);
    ask_and_answer(scene, 1 * SEC, MF_CAP_PROBED | MF_CAP_SET_MERGE, MF_MODE_ON, NULL, NULL);
    mf_registry_want_mode(scene->registry, UUID_A, MF_MODE_OFF);
    ask_and_answer(scene, 2 * SEC, MF_CAP_PROBED | MF_CAP_SET_MERGE, MF_MODE_ON, &unsupported,
                   NULL);
    domains = mf_registry_copy_domains(scene->registry, 60 * SEC);
    g_assert_true(((MfDomain *)domains->pdata[0])->switching);
    g_assert_cmpstr(((MfDomain *)domains->pdata[0])->switch_error, ==, "set refused");
    g_clear_pointer(&domains, g_ptr_array_unref);
    scene->facts->policy->merge = MF_MERGE_OFF;
    g_assert_true(mf_registry_update(scene->registry, scene->facts, MF_SOURCE_LIBVIRT, 61 * SEC));
    domains = mf_registry_copy_domains(scene->registry, 61 * SEC);
    g_assert_false(((MfDomain *)domains->pdata[0])->switching);
}

/* A QEMU without anything to ask is an answer and not a failure. */
static void
test_nothing_to_ask_with(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfError unsupported = MF_ERROR_UNSUPPORTED;

    mf_registry_update(scene->registry, scene->facts, MF_SOURCE_LIBVIRT, 1 * SEC);
    ask_and_answer(scene, 1 * SEC, MF_CAP_PROBED, MF_MODE_UNKNOWN, NULL, &unsupported);
    g_assert_null(mf_registry_find(scene->registry, UUID_A)->switch_error);
    assert_nothing_to_ask(scene, 10000 * SEC);
}

static MfSnapshot *
snapshot_new(gint64 taken_usec, gint64 pid, guint64 saved_bytes)
{
    MfSnapshot *snapshot = mf_snapshot_new();
    MfDomain *domain = mf_domain_new(UUID_A, "a");

    snapshot->taken_usec = taken_usec;
    domain->pid = pid;
    domain->saved_bytes = pid ? MF_U64(saved_bytes) : MF_U64_ABSENT;
    domain->counted_bytes = domain->saved_bytes;
    g_ptr_array_add(snapshot->domains, domain);
    return snapshot;
}

static void
take(Scene *scene, gint64 taken_usec, gint64 pid, guint64 saved_bytes, gboolean with_accounts)
{
    g_autoptr(MfSnapshot) snapshot = snapshot_new(taken_usec, pid, saved_bytes);

    mf_registry_take_figures(scene->registry, snapshot, with_accounts, taken_usec);
}

static void
test_another_pid_is_another_qemu(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfQuestion question = {0};
    MfQuestion stale = {0};
    guint serial = 0;
    guint stale_serial = 0;
    g_autoptr(MfAnswer) answer = NULL;

    mf_registry_update(scene->registry, scene->facts, MF_SOURCE_LIBVIRT, 1 * SEC);
    take(scene, 2 * SEC, 100, 5000, TRUE);
    ask_and_answer(scene, 2 * SEC, MF_CAP_PROBED | MF_CAP_SET_MERGE, MF_MODE_OFF, NULL, NULL);
    mf_registry_want_query(scene->registry, UUID_A);
    g_assert_true(mf_registry_next_question(scene->registry, 3 * SEC, &stale, &stale_serial));
    answer = answer_new(&stale, MF_CAP_PROBED | MF_CAP_SET_MERGE, MF_MODE_OFF);
    take(scene, 4 * SEC, 200, 0, FALSE);
    /* What the old one says late is not believed of the new one. */
    g_assert_false(mf_registry_take_answer(scene->registry, stale_serial, answer, 5 * SEC));
    g_assert_cmpint(mf_registry_find(scene->registry, UUID_A)->mode, ==, MF_MODE_UNKNOWN);
    g_assert_true(mf_registry_next_question(scene->registry, 5 * SEC, &question, &serial));
    g_assert_true(question.probe);
    g_assert_cmpuint(serial, !=, stale_serial);
}

/* It was looked for between the two, when there was none. */
static void
test_no_pid_between_two(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    mf_registry_update(scene->registry, scene->facts, MF_SOURCE_LIBVIRT, 1 * SEC);
    take(scene, 2 * SEC, 100, 5000, TRUE);
    ask_and_answer(scene, 2 * SEC, MF_CAP_PROBED | MF_CAP_SET_MERGE, MF_MODE_OFF, NULL, NULL);
    take(scene, 4 * SEC, 0, 0, FALSE);
    take(scene, 6 * SEC, 100, 0, FALSE);
    g_assert_cmpint(mf_registry_find(scene->registry, UUID_A)->mode, ==, MF_MODE_OFF);
    assert_nothing_to_ask(scene, 6 * SEC);
    take(scene, 8 * SEC, 0, 0, FALSE);
    take(scene, 10 * SEC, 200, 0, FALSE);
    g_assert_cmpint(mf_registry_find(scene->registry, UUID_A)->mode, ==, MF_MODE_UNKNOWN);
    g_assert_true(ask_and_answer(scene, 10 * SEC, MF_CAP_PROBED, MF_MODE_ON, NULL, NULL).probe);
}

static void
test_an_old_wish_is_void(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    mf_registry_update(scene->registry, scene->facts, MF_SOURCE_LIBVIRT, 1 * SEC);
    ask_and_answer(scene, 2 * SEC, MF_CAP_PROBED | MF_CAP_SET_MERGE, MF_MODE_OFF, NULL, NULL);
    mf_registry_want_mode(scene->registry, UUID_A, MF_MODE_ON);
    scene->facts->policy->merge = MF_MERGE_OFF;
    mf_registry_update(scene->registry, scene->facts, MF_SOURCE_LIBVIRT, 3 * SEC);
    assert_nothing_to_ask(scene, 3 * SEC);
    mf_registry_want_mode(scene->registry, UUID_A, MF_MODE_ON);
    mf_registry_want_nothing(scene->registry);
    assert_nothing_to_ask(scene, 4 * SEC);
    /* libvirt was away, and QEMU may have been told something else. */
    mf_registry_forgive(scene->registry);
    g_assert_false(
        ask_and_answer(scene, 5 * SEC, MF_CAP_PROBED | MF_CAP_SET_MERGE, MF_MODE_ON, NULL, NULL)
            .probe);
    g_assert_cmpint(mf_registry_find(scene->registry, UUID_A)->mode, ==, MF_MODE_ON);
}

static void
test_accounts_have_an_age(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    mf_registry_update(scene->registry, scene->facts, MF_SOURCE_LIBVIRT, 1 * SEC);
    g_assert_false(mf_registry_get_accounts_age_msec(scene->registry, UUID_A, 2 * SEC).known);
    take(scene, 2 * SEC, 100, 5000, TRUE);
    g_assert_cmpuint(mf_registry_get_accounts_age_msec(scene->registry, UUID_A, 5 * SEC).value, ==,
                     3000);
    /* A tick carries older accounts along; they do not replace these. */
    take(scene, 4 * SEC, 100, 1, FALSE);
    g_assert_cmpuint(mf_registry_find(scene->registry, UUID_A)->saved_bytes.value, ==, 5000);
    g_assert_cmpuint(mf_registry_find(scene->registry, UUID_A)->counted_bytes.value, ==, 5000);
    g_assert_cmpint(mf_registry_find(scene->registry, UUID_A)->accounts_usec, ==, 2 * SEC);
    take(scene, 5 * SEC, 0, 0, FALSE);
    g_assert_false(mf_registry_find(scene->registry, UUID_A)->saved_bytes.known);
    g_assert_false(mf_registry_find(scene->registry, UUID_A)->counted_bytes.known);
    g_assert_cmpint(mf_registry_find(scene->registry, UUID_A)->accounts_usec, ==, 0);
    g_assert_false(mf_registry_get_accounts_age_msec(scene->registry, UUID_A, 6 * SEC).known);
}

/* A snapshot whose collecting began before the domain came knows nothing of it. */
static void
test_figures_from_before(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    mf_registry_update(scene->registry, scene->facts, MF_SOURCE_LIBVIRT, 10 * SEC);
    take(scene, 9 * SEC, 100, 5000, TRUE);
    g_assert_cmpint(mf_registry_find(scene->registry, UUID_A)->pid, ==, 0);
}

/* The hook does not know of hardware: what libvirt told stays. */
static void
test_hardware_is_libvirts(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(MfDomain) of_hook = mf_domain_new(UUID_A, "a");
    const MfDomain *known = NULL;

    scene->facts->launch_security = g_strdup("sev");
    scene->facts->passthrough_count = 2;
    g_assert_true(mf_registry_update(scene->registry, of_hook, MF_SOURCE_HOOK, 1 * SEC));
    g_assert_true(mf_registry_update(scene->registry, scene->facts, MF_SOURCE_LIBVIRT, 2 * SEC));
    g_assert_false(mf_registry_update(scene->registry, scene->facts, MF_SOURCE_LIBVIRT, 3 * SEC));
    g_assert_false(mf_registry_update(scene->registry, of_hook, MF_SOURCE_HOOK, 4 * SEC));
    known = mf_registry_find(scene->registry, UUID_A);
    g_assert_cmpstr(known->launch_security, ==, "sev");
    g_assert_cmpuint(known->passthrough_count, ==, 2);
    scene->facts->passthrough_count = 0; /* unplugged */
    g_assert_true(mf_registry_update(scene->registry, scene->facts, MF_SOURCE_LIBVIRT, 5 * SEC));
    g_assert_cmpuint(known->passthrough_count, ==, 0);
}

static void
test_find(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    mf_registry_update(scene->registry, scene->facts, MF_SOURCE_LIBVIRT, 1 * SEC);
    g_assert_nonnull(mf_registry_find_any(scene->registry, "a"));
    g_assert_nonnull(mf_registry_find_any(scene->registry, UUID_A));
    g_assert_null(mf_registry_find_any(scene->registry, "b"));
    g_assert_true(mf_registry_remove(scene->registry, UUID_A));
    g_assert_false(mf_registry_remove(scene->registry, UUID_A));
    g_assert_null(mf_registry_find(scene->registry, UUID_A));
    g_assert_cmpuint(mf_registry_get_n_domains(scene->registry), ==, 0);
}

static void
add(const char *name, void (*function)(Scene *, gconstpointer))
{
    g_autofree char *path = g_strdup_printf("/registry/%s", name);

    g_test_add(path, Scene, NULL, scene_open, function, scene_close);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("doubt", test_doubt);
    add("probe-once", test_probe_once);
    add("one-question-at-a-time", test_one_question_at_a_time);
    add("who-is-unmerging", test_who_is_unmerging);
    add("failures-are-tried-again-later", test_failures_are_tried_again_later);
    add("a-refused-switch-waits-until-the-policy-changes",
        test_a_refused_switch_waits_until_the_policy_changes);
    add("nothing-to-ask-with", test_nothing_to_ask_with);
    add("another-pid-is-another-qemu", test_another_pid_is_another_qemu);
    add("no-pid-between-two", test_no_pid_between_two);
    add("an-old-wish-is-void", test_an_old_wish_is_void);
    add("accounts-have-an-age", test_accounts_have_an_age);
    add("figures-from-before", test_figures_from_before);
    add("hardware-is-libvirts", test_hardware_is_libvirts);
    add("find", test_find);
    return g_test_run();
}
