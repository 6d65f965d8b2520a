/* SPDX-License-Identifier: GPL-2.0-or-later */
/* merge=auto: who is stopped because he does not pay, and when he is tried again. */
#include <string.h>

#include "decide-scene.h"

#define TICK_USEC (2 * G_USEC_PER_SEC)
#define CAPS      (MF_CAP_PROBED | MF_CAP_SET_MERGE)

/* A domain of 256 MiB, all of it known to ksmd: its items take 4 MiB. */
static MfDomain *
add_domain(Scene *scene, const char *name, guint64 saved_bytes)
{
    MfDomain *domain = scene_add(scene, name, CAPS);

    domain->pid = 99 + scene->snapshot->domains->len;
    domain->saved_bytes = MF_U64(saved_bytes);
    domain->rmap_items_pages = MF_U64(65536);
    return domain;
}

/* One tick, after which every domain is as it is wanted; the accounts are those of before. */
static void
tick_without_accounts(Scene *scene)
{
    scene->snapshot->taken_usec += TICK_USEC;
    mf_plan_free(scene->plan);
    scene->plan = mf_decide(scene->config, scene->snapshot, scene->memory);
    for (guint i = 0; i < scene->snapshot->domains->len; i++) {
        MfDomain *domain = g_ptr_array_index(scene->snapshot->domains, i);
        const MfVerdict *verdict = mf_plan_find(scene->plan, domain->uuid);
        if (verdict->want != MF_MODE_UNKNOWN && domain->caps != MF_CAP_PROBED) {
            domain->mode = verdict->want;
        }
    }
}

/* Everybody is accounted. */
static void
account(Scene *scene)
{
    for (guint i = 0; i < scene->snapshot->domains->len; i++) {
        MfDomain *domain = g_ptr_array_index(scene->snapshot->domains, i);
        domain->accounts_usec = scene->snapshot->taken_usec + TICK_USEC / 2;
    }
}

/* The same, with a round of accounts before. */
static void
tick(Scene *scene)
{
    account(scene);
    tick_without_accounts(scene);
}

/* Ticks for so long, with a sweep that ends every ten seconds. */
static void
run(Scene *scene, guint seconds)
{
    for (guint i = 0; i < seconds / 2; i++) {
        if (i % 5 == 4) {
            scene->snapshot->host.full_scans_count.value++;
        }
        tick(scene);
    }
}

static const MfReason *
why_stopped(const Scene *scene, const MfDomain *domain)
{
    const MfVerdict *verdict = mf_plan_find(scene->plan, domain->uuid);

    for (guint i = 0; i < verdict->reasons->len; i++) {
        const MfReason *reason = g_ptr_array_index(verdict->reasons, i);
        if (reason->code == MF_REASON_NOT_WORTH) {
            return reason;
        }
    }
    return NULL;
}

static void
test_who(void)
{
    static const struct {
        const char *label;
        guint64 saved_bytes;
        guint caps;
        MfMerge merge;
        gboolean unknown_saving;
        gboolean unknown_items;
        gboolean no_sweeps;
        MfMode mode; /* two minutes later */
    } cases[] = {
        {"saves nothing", 0, CAPS, MF_MERGE_AUTO, FALSE, FALSE, FALSE, MF_MODE_OFF},
        {"as much as its items", 4 * MIB, CAPS, MF_MERGE_AUTO, FALSE, FALSE, FALSE, MF_MODE_OFF},
        {"a page more", 4 * MIB + 4096, CAPS, MF_MERGE_AUTO, FALSE, FALSE, FALSE, MF_MODE_ON},
        {"can be frozen", 0, CAPS | MF_CAP_FREEZE, MF_MERGE_AUTO, FALSE, FALSE, FALSE,
         MF_MODE_FROZEN},
        {"is on by order", 0, CAPS, MF_MERGE_ON, FALSE, FALSE, FALSE, MF_MODE_ON},
        {"can't be switched", 0, MF_CAP_PROBED, MF_MERGE_AUTO, FALSE, FALSE, FALSE, MF_MODE_ON},
        {"saving not known", 0, CAPS, MF_MERGE_AUTO, TRUE, FALSE, FALSE, MF_MODE_ON},
        {"items not known", 0, CAPS, MF_MERGE_AUTO, FALSE, TRUE, FALSE, MF_MODE_ON},
        {"sweeps not known", 0, CAPS, MF_MERGE_AUTO, FALSE, FALSE, TRUE, MF_MODE_ON},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Scene scene;
        scene_open(&scene, NULL);
        MfDomain *domain = add_domain(&scene, "vm", cases[i].saved_bytes);
        domain->caps = cases[i].caps;
        domain->policy->merge = cases[i].merge;
        domain->saved_bytes.known = !cases[i].unknown_saving;
        domain->rmap_items_pages.known = !cases[i].unknown_items;
        scene.snapshot->host.full_scans_count.known = !cases[i].no_sweeps;
        g_test_message("%s", cases[i].label);
        run(&scene, 120);
        g_assert_cmpint(domain->mode, ==, cases[i].mode);
        g_assert_cmpint(why_stopped(&scene, domain) != NULL, ==, cases[i].mode != MF_MODE_ON);
        scene_close(&scene, NULL);
    }
}

/* Neither before it has had the time nor before ksmd has been there. */
static void
test_not_too_soon(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = add_domain(scene, "vm", 0);

    run(scene, 58);
    g_assert_cmpint(domain->mode, ==, MF_MODE_ON);

    Scene still;
    scene_open(&still, NULL);
    MfDomain *unswept = add_domain(&still, "vm", 0);
    for (guint i = 0; i < 600; i++) {
        tick(&still);
    }
    g_assert_cmpint(unswept->mode, ==, MF_MODE_ON);
    still.snapshot->host.full_scans_count.value += 3;
    tick(&still);
    g_assert_cmpint(unswept->mode, ==, MF_MODE_ON); /* the accounts are older than that */
    tick(&still);
    g_assert_cmpint(unswept->mode, ==, MF_MODE_OFF);
    scene_close(&still, NULL);
}

/* Accounts of before its sweeps ended tell nothing, however long ago that is, and none at all tell
 * no more. */
static void
test_old_accounts(void)
{
    static const struct {
        const char *label;
        gboolean accounted;  /* when it came */
        guint64 saved_bytes; /* that the next round finds */
        MfMode mode;
    } cases[] = {
        {"it pays", TRUE, 100 * MIB, MF_MODE_ON},
        {"it does not", TRUE, 0, MF_MODE_OFF},
        {"never accounted before, pays", FALSE, 100 * MIB, MF_MODE_ON},
        {"never accounted before", FALSE, 0, MF_MODE_OFF},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Scene scene;
        scene_open(&scene, NULL);
        MfDomain *domain = add_domain(&scene, "vm", 0);
        g_test_message("%s", cases[i].label);
        if (cases[i].accounted) {
            account(&scene);
        }
        for (guint t = 0; t < 200; t++) {
            scene.snapshot->host.full_scans_count.value += t % 5 == 4;
            tick_without_accounts(&scene);
            g_assert_cmpint(domain->mode, ==, MF_MODE_ON);
        }
        domain->saved_bytes = MF_U64(cases[i].saved_bytes);
        tick(&scene);
        g_assert_cmpint(domain->mode, ==, cases[i].mode);
        scene_close(&scene, NULL);
    }
}

/* One that has grown since it was accounted has items, and no account, of what is new. */
static void
test_grown_since_accounts(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = add_domain(scene, "vm", 5 * MIB);

    run(scene, 90);
    domain->rmap_items_pages.value *= 4;
    for (guint i = 0; i < 60; i++) {
        tick_without_accounts(scene);
        g_assert_cmpint(domain->mode, ==, MF_MODE_ON);
    }
    domain->saved_bytes = MF_U64(17 * MIB);
    tick(scene);
    g_assert_cmpint(domain->mode, ==, MF_MODE_ON);
    domain->saved_bytes = MF_U64(16 * MIB);
    tick(scene);
    g_assert_cmpint(domain->mode, ==, MF_MODE_OFF);
}

/* For how many seconds it stays as it is, at most limit. */
static guint
lasts_sec(Scene *scene, const MfDomain *domain, guint limit_sec)
{
    MfMode mode = domain->mode;

    for (guint seconds = 0; seconds < limit_sec; seconds += 10) {
        run(scene, 10);
        if (domain->mode != mode) {
            return seconds + 10;
        }
    }
    return limit_sec;
}

static void
test_back_off(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const guint pauses_min[] = {2, 4, 8, 16, 32, 64, 128, 256, 480, 480};
    MfDomain *domain = add_domain(scene, "vm", 0);

    for (guint i = 0; i < G_N_ELEMENTS(pauses_min); i++) {
        guint trial_sec = lasts_sec(scene, domain, 3600);
        g_assert_cmpuint(trial_sec, >=, 60);
        g_assert_cmpuint(trial_sec, <=, 80);
        guint pause_sec = lasts_sec(scene, domain, 40000);
        g_assert_cmpuint(pause_sec, >=, pauses_min[i] * 60 - 10);
        g_assert_cmpuint(pause_sec, <=, pauses_min[i] * 60 + 10);
    }

    /* Who pays at last begins anew when he stops to. */
    domain->saved_bytes = MF_U64(100 * MIB);
    g_assert_cmpuint(lasts_sec(scene, domain, 3600), ==, 3600);
    domain->saved_bytes = MF_U64(0);
    lasts_sec(scene, domain, 3600);
    g_assert_cmpint(domain->mode, ==, MF_MODE_OFF);
    g_assert_cmpuint(lasts_sec(scene, domain, 40000), <=, 130);
}

static void
test_rewritten(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        guint breaks_count; /* in each sweep, of 5120 pages that are saved */
        gboolean known;
        MfMode mode;
    } cases[] = {
        {5120, TRUE, MF_MODE_OFF},
        {5119, TRUE, MF_MODE_ON},
        {0, TRUE, MF_MODE_ON},
        {9000, FALSE, MF_MODE_ON},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Scene each;
        scene_open(&each, NULL);
        MfDomain *domain = add_domain(&each, "vm", 20 * MIB);
        domain->cow_breaks_count = (MfU64){cases[i].known, 0};
        g_test_message("case %u", i);
        for (guint sweep = 0; sweep < 12; sweep++) {
            domain->cow_breaks_count.value += cases[i].breaks_count;
            run(&each, 10);
        }
        g_assert_cmpint(domain->mode, ==, cases[i].mode);
        scene_close(&each, NULL);
    }

    /* Once is chance. */
    MfDomain *domain = add_domain(scene, "vm", 20 * MIB);
    domain->cow_breaks_count = MF_U64(0);
    for (guint sweep = 0; sweep < 12; sweep++) {
        domain->cow_breaks_count.value += sweep % 2 == 0 ? 50000 : 0;
        run(scene, 10);
    }
    g_assert_cmpint(domain->mode, ==, MF_MODE_ON);
}

/* What found nothing alone may find all of it in another one. */
static void
test_newcomer(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *first = add_domain(scene, "first", 0);
    MfDomain *apart = add_domain(scene, "apart", 0);

    apart->policy->group = g_strdup("tenant-b");
    apart->caps |= MF_CAP_GROUP;
    run(scene, 90);
    g_assert_cmpint(first->mode, ==, MF_MODE_OFF);
    g_assert_cmpint(apart->mode, ==, MF_MODE_OFF);

    MfDomain *second = add_domain(scene, "second", 0);
    tick(scene);
    g_assert_cmpint(first->mode, ==, MF_MODE_ON);
    g_assert_cmpint(second->mode, ==, MF_MODE_ON);
    g_assert_cmpint(apart->mode, ==, MF_MODE_OFF);

    /* The same domain, started again. */
    run(scene, 90);
    g_assert_cmpint(second->mode, ==, MF_MODE_OFF);
    second->pid = 4711;
    second->mode = MF_MODE_ON;
    tick(scene);
    g_assert_cmpint(second->mode, ==, MF_MODE_ON);
    g_assert_cmpint(first->mode, ==, MF_MODE_ON);
}

static void
test_what_is_told(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = add_domain(scene, "vm", MIB);

    run(scene, 90);
    const MfReason *reason = why_stopped(scene, domain);
    g_assert_nonnull(reason);
    g_assert_nonnull(strstr(reason->text, "saved 1.0 MiB"));
    g_assert_nonnull(strstr(reason->text, "took 4.0 MiB"));
    g_assert_nonnull(strstr(reason->text, "tried again in 1 min"));
    g_assert_nonnull(strstr(reason->remedy, "merge=\"on\""));

    /* An order ends it at once. */
    domain->policy->merge = MF_MERGE_ON;
    tick(scene);
    g_assert_null(why_stopped(scene, domain));
    g_assert_cmpint(domain->mode, ==, MF_MODE_ON);
}

/* What a dry run decides with a copy changes nothing. */
static void
test_copy(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = add_domain(scene, "vm", 0);

    run(scene, 90);
    g_assert_cmpint(domain->mode, ==, MF_MODE_OFF);
    g_autoptr(MfMemory) copy = mf_memory_copy(scene->memory);
    scene->snapshot->taken_usec += G_GINT64_CONSTANT(3600) * G_USEC_PER_SEC;
    g_autoptr(MfPlan) plan = mf_decide(scene->config, scene->snapshot, copy);
    g_assert_cmpint(mf_plan_find(plan, domain->uuid)->want, ==, MF_MODE_ON);
    scene->snapshot->taken_usec -= G_GINT64_CONSTANT(3600) * G_USEC_PER_SEC;
    tick(scene);
    g_assert_nonnull(why_stopped(scene, domain));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/worth/who", test_who);
#define ADD(name, function)                                                                        \
    g_test_add("/worth/" name, Scene, NULL, scene_open, function, scene_close)
    ADD("not-too-soon", test_not_too_soon);
    g_test_add_func("/worth/old-accounts", test_old_accounts);
    ADD("grown-since-accounts", test_grown_since_accounts);
    ADD("back-off", test_back_off);
    ADD("rewritten", test_rewritten);
    ADD("newcomer", test_newcomer);
    ADD("what-is-told", test_what_is_told);
    ADD("copy", test_copy);
#undef ADD
    return g_test_run();
}
