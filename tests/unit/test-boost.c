/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boost="on": whom ksmd is asked to scan first, how often, and until when. */
#include "governor-scene.h"

#define PAGES 65536

static void
set_up(Scene *scene, gconstpointer unused)
{
    scene_open(scene, unused);
    scene->host->has_boost = TRUE;
    scene->host->cpu_max_permyriad = MF_U64(scene->config->boost_cpu_budget_permyriad);
    scene->domain->pid = 4711;
    scene->domain->policy->boost = TRUE;
    scene->domain->resident_bytes = MF_U64(PAGES * 4096);
    scene->domain->rmap_items_pages = MF_U64(0);
    scene->domain->scanned_pages = MF_U64(0);
}

/* The process that the plan has scanned, or NULL. */
static const char *
boosted(const Scene *scene)
{
    const char *pid = NULL;

    for (guint i = 0; i < scene->plan->actions->len; i++) {
        const MfAction *action = g_ptr_array_index(scene->plan->actions, i);
        if (action->kind == MF_ACTION_BOOST) {
            g_assert_null(pid);
            g_assert_cmpstr(action->name, ==, "vm");
            g_assert_cmpint(action->reason->code, ==, MF_REASON_BOOST);
            pid = action->to;
        }
    }
    return pid;
}

/* How many times it is asked for in so many seconds. */
static guint
count(Scene *scene, guint seconds)
{
    guint times_count = 0;

    for (guint i = 0; i < seconds; i++) {
        tick(scene, 1000, 100);
        times_count += boosted(scene) != NULL;
    }
    return times_count;
}

typedef enum {
    AS_IT_IS,
    NOT_ASKED_FOR,
    NO_FILE,
    NO_LIMIT,      /* the kernel has none */
    LIMIT_NOT_SET, /* it is still above the budget */
    NO_PROCESS,
    MARKED,       /* QEMU can't tell, the kernel does */
    NOT_MARKED,   /* the same, of nothing */
    NOT_YET_ON,   /* it is being switched */
    NOT_TO_MERGE, /* its policy says off */
    HELD,         /* ksmd is to stand still */
    UNMANAGED,
} Way;

static void
make_so(Scene *scene, Way way)
{
    MfDomain *domain = scene->domain;

    domain->policy->boost = way != NOT_ASKED_FOR;
    domain->pid = way == NO_PROCESS ? 0 : domain->pid;
    domain->policy->merge = way == NOT_TO_MERGE ? MF_MERGE_OFF : domain->policy->merge;
    domain->mode = way == NOT_YET_ON ? MF_MODE_OFF : domain->mode;
    domain->switching = way == NOT_YET_ON;
    scene->host->has_boost = way != NO_FILE;
    scene->config->manage = way != UNMANAGED;
    if (way == NO_LIMIT) {
        scene->host->cpu_max_permyriad = MF_U64_ABSENT;
    } else if (way == LIMIT_NOT_SET) {
        scene->host->cpu_max_permyriad.value++;
    } else if (way == MARKED || way == NOT_MARKED) {
        domain->caps = MF_CAP_PROBED;
        domain->mode = MF_MODE_UNKNOWN;
        domain->mergeable_bytes = MF_U64(way == MARKED ? 4096 : 0);
    } else if (way == HELD) {
        mf_memory_hold(scene->memory, "aa", G_MAXINT64);
    }
}

static void
test_who(void)
{
    static const struct {
        Way way;
        gboolean boosted;
    } cases[] = {
        {AS_IT_IS, TRUE},       {NOT_ASKED_FOR, FALSE}, {NO_FILE, FALSE}, {NO_LIMIT, FALSE},
        {LIMIT_NOT_SET, FALSE}, {NO_PROCESS, FALSE},    {MARKED, TRUE},   {NOT_MARKED, FALSE},
        {NOT_YET_ON, FALSE},    {NOT_TO_MERGE, FALSE},  {HELD, FALSE},    {UNMANAGED, FALSE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Scene scene;

        g_test_message("case %u", i);
        set_up(&scene, NULL);
        make_so(&scene, cases[i].way);
        decide(&scene);
        g_assert_cmpstr(boosted(&scene), ==, cases[i].boosted ? "4711" : NULL);
        g_assert_null(written(&scene, MF_KNOB_BOOST_NEW));
        scene_close(&scene, NULL);
    }
}

/* Every five seconds for a minute, however often ksmd has been there. */
static void
test_while_it_is_new(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    decide(scene);
    g_assert_cmpstr(boosted(scene), ==, "4711");
    g_assert_cmpuint(count(scene, 4), ==, 0);
    g_assert_cmpuint(count(scene, 1), ==, 1);
    scene->domain->scanned_pages = MF_U64(100 * PAGES);
    g_assert_cmpuint(count(scene, 54), ==, 10);
    g_assert_cmpuint(count(scene, 120), ==, 0);

    /* Another process of the same name is another one. */
    scene->domain->pid = 4712;
    scene->domain->scanned_pages = MF_U64(0);
    tick(scene, 1000, 100);
    g_assert_cmpstr(boosted(scene), ==, "4712");
}

/* It goes on until it was scanned twice, whatever tells how much that is. */
static void
test_until_scanned_twice(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    decide(scene);
    scene->domain->scanned_pages = MF_U64(2 * PAGES - 1);
    g_assert_cmpuint(count(scene, 60), ==, 12);
    g_assert_cmpuint(count(scene, 60), ==, 12);
    scene->domain->scanned_pages = MF_U64(2 * PAGES);
    scene->domain->rmap_items_pages = MF_U64(PAGES + 1);
    g_assert_cmpuint(count(scene, 60), ==, 12);
    scene->domain->rmap_items_pages = MF_U64(PAGES);
    g_assert_cmpuint(count(scene, 60), ==, 0);
}

/* A count that is not known does not keep it new for ever. */
static void
test_count_not_known(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->domain->scanned_pages = MF_U64_ABSENT;
    decide(scene);
    g_assert_cmpuint(count(scene, 59), ==, 11);
    g_assert_cmpuint(count(scene, 120), ==, 0);
}

/* A new memfoldd finds domains that ksmd has long been through. */
static void
test_found_scanned(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->domain->scanned_pages = MF_U64(2 * PAGES);
    decide(scene);
    g_assert_null(boosted(scene));
    g_assert_cmpuint(count(scene, 120), ==, 0);
}

/* Only a ksmd that is meant to work hard works for one domain. */
static void
test_not_at_a_lower_pace(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    decide(scene);
    g_assert_cmpuint(count(scene, 599), ==, 119);
    g_assert_cmpint(scene->memory->pacing.pace, ==, MF_PACE_BOOST);
    g_assert_cmpuint(count(scene, 60), ==, 0);
    g_assert_cmpint(scene->memory->pacing.pace, ==, MF_PACE_STEADY);
}

/* A dry run says what would be done, and the next tick does it. */
static void
test_copy(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    decide(scene);
    scene->snapshot->taken_usec += 5 * G_USEC_PER_SEC;
    for (guint i = 0; i < 2; i++) {
        g_autoptr(MfMemory) copy = mf_memory_copy(scene->memory);
        mf_plan_free(scene->plan);
        scene->plan = mf_decide(scene->config, scene->snapshot, copy);
        g_assert_cmpstr(boosted(scene), ==, "4711");
    }
    decide(scene);
    const char *pid = boosted(scene);
    g_assert_cmpstr(pid, ==, "4711");
    for (guint i = 0; i < scene->plan->actions->len; i++) {
        const MfAction *action = g_ptr_array_index(scene->plan->actions, i);
        if (action->to == pid) {
            g_autofree char *line = mf_action_to_string(action);
            g_assert_cmpstr(line, ==,
                            "domain vm: process 4711 is scanned first (it is new, and "
                            "has boost=\"on\" in its policy)");
        }
    }
    decide(scene);
    g_assert_null(boosted(scene));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/boost/who", test_who);
#define SCENE(name, function) g_test_add("/boost/" name, Scene, NULL, set_up, function, scene_close)
    SCENE("while-it-is-new", test_while_it_is_new);
    SCENE("until-scanned-twice", test_until_scanned_twice);
    SCENE("count-not-known", test_count_not_known);
    SCENE("found-scanned", test_found_scanned);
    SCENE("not-at-a-lower-pace", test_not_at_a_lower_pace);
    SCENE("copy", test_copy);
    return g_test_run();
}
