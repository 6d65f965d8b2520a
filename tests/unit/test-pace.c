/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When ksmd works hard and when it rests, against a model of ksmd. */
#include <string.h>

#include "../../src/core/mf-decide.h"
#include "../../src/core/mf-units.h"

#define PAGE_BYTES 4096
#define COST_NSEC  2000
#define TICK_USEC  10000

/* ksmd and its memory: a page is merged in the second sweep over it that finds it unchanged. */
typedef struct {
    MfConfig *config;
    MfSnapshot *snapshot;
    MfHost *host; /* of snapshot */
    MfMemory *memory;
    MfPlan *plan;
    guint64 all_pages;
    guint64 equal_pages; /* of them, to be merged */
    guint64 at_page;     /* of the present sweep */
    guint64 seen_pages;  /* by an ended sweep, and so to be merged by the present one */
    guint64 cpu_usec;    /* of ksmd; the host tells it in ticks */
} Model;

static MfDomain *
add_domain(Model *model, const char *name, guint64 pages, guint64 equal_pages)
{
    g_autofree char *uuid =
        g_strdup_printf("00000000-0000-0000-0000-%012u", model->snapshot->domains->len);
    MfDomain *domain = mf_domain_new(uuid, name);

    domain->memory_kind = MF_MEMORY_ANONYMOUS;
    domain->caps = MF_CAP_PROBED | MF_CAP_SET_MERGE;
    domain->mode = MF_MODE_ON;
    domain->pid = 1000 + model->snapshot->domains->len;
    domain->resident_bytes = MF_U64(pages * PAGE_BYTES);
    g_ptr_array_add(model->snapshot->domains, domain);
    model->all_pages += pages;
    model->equal_pages += equal_pages;
    return domain;
}

static void
model_open(Model *model, gconstpointer unused G_GNUC_UNUSED)
{
    memset(model, 0, sizeof(*model));
    model->config = mf_config_new();
    model->config->default_group = MF_DEFAULT_GROUP_SHARED;
    model->snapshot = mf_snapshot_new();
    model->snapshot->taken_usec = 100 * G_USEC_PER_SEC;
    model->memory = mf_memory_new();
    model->host = &model->snapshot->host;
    *model->host = (MfHost){
        .page_size_bytes = PAGE_BYTES,
        .mem_total_bytes = MF_U64(G_GUINT64_CONSTANT(64) << 30),
        .mem_available_bytes = MF_U64(G_GUINT64_CONSTANT(32) << 30),
        .run = MF_U64(0),
        .pages_to_scan_pages = MF_U64(100),
        .sleep_msec = MF_U64(20),
        .pages_shared_pages = MF_U64(0),
        .pages_sharing_pages = MF_U64(0),
        .pages_unshared_pages = MF_U64(0),
        .pages_volatile_pages = MF_U64(0),
        .pages_scanned_pages = MF_U64(0),
        .full_scans_count = MF_U64(0),
        .ksmd_cpu_usec = MF_U64(0),
        .saved_bytes = MF_U64(0),
    };
}

static void
model_close(Model *model, gconstpointer unused G_GNUC_UNUSED)
{
    mf_plan_free(model->plan);
    mf_memory_free(model->memory);
    mf_snapshot_free(model->snapshot);
    mf_config_free(model->config);
}

static void
scan(Model *model, guint64 pages)
{
    MfHost *host = model->host;

    host->pages_scanned_pages.value += pages;
    while (pages > 0 && model->all_pages > 0) {
        guint64 step = MIN(pages, model->all_pages - model->at_page);
        guint64 reach = MIN(model->at_page + step, MIN(model->seen_pages, model->equal_pages));

        host->pages_sharing_pages.value = MAX(host->pages_sharing_pages.value, reach);
        model->at_page += step;
        host->pages_unshared_pages.value =
            MAX(model->seen_pages, model->at_page) - host->pages_sharing_pages.value;
        host->saved_bytes.value = host->pages_sharing_pages.value * PAGE_BYTES;
        pages -= step;
        if (model->at_page == model->all_pages) {
            model->at_page = 0;
            model->seen_pages = model->all_pages;
            host->full_scans_count.value++;
        }
    }
}

static void
apply(Model *model)
{
    for (guint i = 0; i < model->plan->actions->len; i++) {
        const MfAction *action = g_ptr_array_index(model->plan->actions, i);
        MfU64 value = MF_U64(g_ascii_strtoull(action->to, NULL, 10));

        g_assert_cmpint(action->kind, ==, MF_ACTION_KNOB);
        if (action->knob == MF_KNOB_RUN) {
            model->host->run = value;
        } else if (action->knob == MF_KNOB_PAGES_TO_SCAN) {
            model->host->pages_to_scan_pages = value;
        } else if (action->knob == MF_KNOB_SLEEP_MSEC) {
            model->host->sleep_msec = value;
        }
    }
}

/* Two seconds go by, and memfold decides. */
static void
tick(Model *model)
{
    MfHost *host = model->host;

    if (host->run.value == 1) {
        guint64 batch_pages = host->pages_to_scan_pages.value;
        guint64 batch_usec = batch_pages * COST_NSEC / 1000;
        guint64 batches = 2 * G_USEC_PER_SEC / (batch_usec + host->sleep_msec.value * 1000);

        model->cpu_usec += batches * batch_usec;
        host->ksmd_cpu_usec.value = model->cpu_usec / TICK_USEC * TICK_USEC;
        scan(model, batches * batch_pages);
    }
    model->snapshot->taken_usec += 2 * G_USEC_PER_SEC;
    mf_plan_free(model->plan);
    model->plan = mf_decide(model->config, model->snapshot, model->memory);
    apply(model);
}

static const MfReason *
pace_reason(const Model *model)
{
    return g_ptr_array_index(model->plan->host_reasons, 1);
}

/* Ticks until ksmd rests; returns how many that took. */
static guint
run_to_rest(Model *model, guint max_ticks)
{
    guint ticks = 0;

    do {
        g_assert_cmpuint(ticks, <, max_ticks);
        tick(model);
        ticks++;
    } while (model->memory->pacing.pace != MF_PACE_REST);
    return ticks;
}

static guint64
cpu_permyriad_of(Model *model, guint ticks)
{
    guint64 before_usec = model->cpu_usec;

    for (guint i = 0; i < ticks; i++) {
        tick(model);
    }
    return mf_mul_div(model->cpu_usec - before_usec, MF_PERMYRIAD, ticks * 2 * G_USEC_PER_SEC);
}

static void
test_merges_and_rests(Model *model, gconstpointer unused G_GNUC_UNUSED)
{
    guint ticks;

    /* 8 GiB, three quarters of it equal: 2 Mi pages, a sweep takes 4.2 s of a CPU. */
    add_domain(model, "web", 1 << 21, 3 << 19);
    tick(model);
    g_assert_cmpint(pace_reason(model)->code, ==, MF_REASON_BOOST);
    g_assert_nonnull(strstr(pace_reason(model)->text, "80.00 % of one CPU: web has come"));

    ticks = run_to_rest(model, 30);
    g_test_message("rest after %u ticks", ticks);
    g_assert_cmpuint(model->host->saved_bytes.value, ==, (guint64)(3 << 19) * PAGE_BYTES);
    g_assert_cmpint(pace_reason(model)->code, ==, MF_REASON_RESTING);
    g_assert_cmpstr(mf_reason_code_to_string(pace_reason(model)->code), ==, "resting");
    g_assert_cmpuint(model->host->sleep_msec.value, ==, 200);
    cpu_permyriad_of(model, 5);
    g_assert_cmpuint(cpu_permyriad_of(model, 200), <=, 60);
    g_assert_cmpint(model->memory->pacing.pace, ==, MF_PACE_REST);
}

/* 512 MiB could be swept sixty times until it may rest: a few looks tell all. */
static void
test_small_memory_is_looked_at_seldom(Model *model, gconstpointer unused G_GNUC_UNUSED)
{
    const guint64 pages = 1 << 17;

    add_domain(model, "small", pages, pages / 2);
    for (guint i = 0; i < 3; i++) {
        tick(model);
    }
    g_assert_cmpuint(model->host->saved_bytes.value, ==, pages / 2 * PAGE_BYTES);
    run_to_rest(model, 12);
    g_test_message("looks: %.1f", (double)model->host->pages_scanned_pages.value / (double)pages);
    g_assert_cmpuint(model->host->pages_scanned_pages.value, <=, 8 * pages);

    /* At rest it is swept every 200 s; a tick of CPU time that falls into an interval, or does not,
     * changes nothing. */
    tick(model);
    guint64 rate_pages = model->host->pages_to_scan_pages.value;
    guint64 before_pages = model->host->pages_scanned_pages.value;
    for (guint i = 0; i < 100; i++) {
        tick(model);
        g_assert_cmpuint(model->host->pages_to_scan_pages.value, >=, rate_pages / 2);
        g_assert_cmpuint(model->host->pages_to_scan_pages.value, <=, rate_pages * 2);
    }
    guint64 scanned_pages = model->host->pages_scanned_pages.value - before_pages;
    g_assert_cmpuint(scanned_pages, >=, pages * 7 / 10);
    g_assert_cmpuint(scanned_pages, <=, pages * 13 / 10);
}

/* While a guest fills its memory it is swept when enough of it is new, and soon after the end all
 * of it is merged. */
static void
test_growing_memory(Model *model, gconstpointer unused G_GNUC_UNUSED)
{
    const guint64 step_pages = 1 << 16;
    const guint steps = 10;
    MfDomain *domain = add_domain(model, "boots", 0, 0);

    tick(model);
    for (guint i = 0; i < steps; i++) {
        model->all_pages += step_pages;
        model->equal_pages += step_pages;
        tick(model);
        /* Nobody tells of the first of it but ksmd, who has met it soon. */
        g_assert_true(i == 0 || model->seen_pages >= step_pages);
    }
    g_assert_cmpint(model->memory->pacing.pace, ==, MF_PACE_BOOST);
    guint64 looks_pages = model->host->pages_scanned_pages.value;
    g_test_message("looks: %.1f", (double)looks_pages / (double)(steps * step_pages));
    g_assert_cmpuint(looks_pages, <=, 6 * steps * step_pages);

    domain->resident_bytes = MF_U64(steps * step_pages * PAGE_BYTES);
    for (guint i = 0; i < 6; i++) {
        tick(model);
    }
    g_assert_cmpuint(model->host->saved_bytes.value, ==, steps * step_pages * PAGE_BYTES);
}

/* Where nobody tells how large the memory is, the budget alone decides. */
static void
test_unknown_size(Model *model, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = add_domain(model, "small", 1 << 17, 1 << 16);

    domain->resident_bytes = MF_U64_ABSENT;
    model->host->pages_volatile_pages = MF_U64_ABSENT;
    cpu_permyriad_of(model, 3);
    guint64 used_permyriad = cpu_permyriad_of(model, 3);
    g_assert_cmpuint(used_permyriad, >=, 7200);
    g_assert_cmpuint(used_permyriad, <=, 8800);
}

/* The boost takes its share of the CPU, whatever a page costs, and no more. */
static void
test_boost_keeps_its_budget(Model *model, gconstpointer unused G_GNUC_UNUSED)
{
    add_domain(model, "large", 1 << 28, 1 << 27);
    cpu_permyriad_of(model, 3);
    guint64 used_permyriad = cpu_permyriad_of(model, 10);
    g_assert_cmpuint(used_permyriad, >=, 7200);
    g_assert_cmpuint(used_permyriad, <=, 8800);

    /* Ten minutes of it are enough. */
    cpu_permyriad_of(model, 300);
    g_assert_cmpint(pace_reason(model)->code, ==, MF_REASON_STEADY);
    cpu_permyriad_of(model, 3);
    used_permyriad = cpu_permyriad_of(model, 10);
    g_assert_cmpuint(used_permyriad, >=, 900);
    g_assert_cmpuint(used_permyriad, <=, 1100);
}

static void
test_budgets_are_in_order(Model *model, gconstpointer unused G_GNUC_UNUSED)
{
    model->config->cpu_budget_permyriad = 20;
    model->config->boost_cpu_budget_permyriad = 1;
    g_assert_cmpuint(mf_pace_budget_permyriad(model->config, MF_PACE_BOOST), ==, 20);
    g_assert_cmpuint(mf_pace_budget_permyriad(model->config, MF_PACE_REST), ==, 20);
}

static void
test_wakes(Model *model, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *first = add_domain(model, "first", 1 << 18, 1 << 17);

    run_to_rest(model, 30);

    /* Another domain */
    add_domain(model, "second", 1 << 18, 1 << 17);
    tick(model);
    g_assert_cmpint(pace_reason(model)->code, ==, MF_REASON_BOOST);
    g_assert_nonnull(strstr(pace_reason(model)->text, "second has come to merge"));
    run_to_rest(model, 30);

    /* The same one, started again */
    first->pid = 99;
    tick(model);
    g_assert_nonnull(strstr(pace_reason(model)->text, "first has come to merge"));
    run_to_rest(model, 30);

    /* A process that can't be told for a while is no other one */
    first->pid = 0;
    tick(model);
    first->pid = 99;
    tick(model);
    g_assert_cmpint(pace_reason(model)->code, ==, MF_REASON_RESTING);

    /* Growth, but not a little of it, nor figures that come late */
    first->resident_bytes.value += 16 << 20;
    tick(model);
    g_assert_cmpint(pace_reason(model)->code, ==, MF_REASON_RESTING);
    first->resident_bytes.value += 256 << 20;
    tick(model);
    g_assert_cmpint(pace_reason(model)->code, ==, MF_REASON_BOOST);
    g_assert_nonnull(strstr(pace_reason(model)->text, "grown by 272.0 MiB"));
    run_to_rest(model, 30);

    /* Growth of what is left when something was given back, if only for a tick */
    first->resident_bytes.value -= 512 << 20;
    tick(model);
    first->resident_bytes.value += 272 << 20;
    tick(model);
    g_assert_nonnull(strstr(pace_reason(model)->text, "grown by 272.0 MiB"));
    first->resident_bytes = MF_U64_ABSENT;
    run_to_rest(model, 30);
    first->resident_bytes = MF_U64(G_GUINT64_CONSTANT(1) << 31);
    tick(model);
    g_assert_cmpint(pace_reason(model)->code, ==, MF_REASON_RESTING);
}

/* Who is paused goes on when merging has made room, so ksmd does not rest. */
static void
test_is_waited_for(Model *model, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = add_domain(model, "paused", 1 << 18, 1 << 17);

    run_to_rest(model, 30);
    mf_storm_owe(&model->memory->storm, domain->uuid, TRUE, NULL);
    for (guint i = 0; i < 30; i++) {
        tick(model);
        g_assert_cmpint(pace_reason(model)->code, ==, MF_REASON_STEADY);
        g_assert_nonnull(strstr(pace_reason(model)->text, "paused domains wait"));
    }
    mf_storm_forget(&model->memory->storm, domain->uuid);
    run_to_rest(model, 12);
}

/* Once for each time that memory gets short. */
static void
test_wakes_under_pressure(Model *model, gconstpointer unused G_GNUC_UNUSED)
{
    guint64 total_bytes;

    add_domain(model, "web", 1 << 18, 1 << 17);
    run_to_rest(model, 30);
    total_bytes = model->host->mem_total_bytes.value;

    model->host->mem_available_bytes.value = total_bytes / 100 * 19;
    tick(model);
    g_assert_cmpint(pace_reason(model)->code, ==, MF_REASON_BOOST);
    g_assert_nonnull(strstr(pace_reason(model)->text, "memory has become short"));
    run_to_rest(model, 30);

    model->host->mem_available_bytes.value = total_bytes / 100 * 22;
    tick(model);
    model->host->mem_available_bytes.value = total_bytes / 100 * 19;
    tick(model);
    g_assert_cmpint(pace_reason(model)->code, ==, MF_REASON_RESTING);

    model->host->mem_available_bytes.value = total_bytes / 100 * 26;
    tick(model);
    model->host->mem_available_bytes.value = total_bytes / 100 * 19;
    tick(model);
    g_assert_cmpint(pace_reason(model)->code, ==, MF_REASON_BOOST);

    run_to_rest(model, 30);
    model->host->mem_available_bytes = MF_U64_ABSENT;
    tick(model);
    g_assert_cmpint(pace_reason(model)->code, ==, MF_REASON_RESTING);

    /* Waiting for memory tells of it as well. */
    model->host->memory_waits_permyriad = MF_U64(999);
    tick(model);
    g_assert_cmpint(pace_reason(model)->code, ==, MF_REASON_RESTING);
    model->host->memory_waits_permyriad = MF_U64(1000);
    tick(model);
    g_assert_cmpint(pace_reason(model)->code, ==, MF_REASON_BOOST);
    run_to_rest(model, 30);
    model->host->memory_waits_permyriad = MF_U64(600);
    tick(model);
    model->host->memory_waits_permyriad = MF_U64(1000);
    tick(model);
    g_assert_cmpint(pace_reason(model)->code, ==, MF_REASON_RESTING);
}

/* Pages become equal while nothing else tells of it: the slow scan comes by them. */
static void
test_wakes_by_what_it_finds(Model *model, gconstpointer unused G_GNUC_UNUSED)
{
    add_domain(model, "web", 1 << 18, 1 << 16);
    run_to_rest(model, 30);
    cpu_permyriad_of(model, 50);
    g_assert_cmpint(pace_reason(model)->code, ==, MF_REASON_RESTING);

    model->equal_pages = 1 << 18;
    for (guint i = 0; i < 600 && model->memory->pacing.pace == MF_PACE_REST; i++) {
        tick(model);
    }
    g_assert_cmpint(pace_reason(model)->code, ==, MF_REASON_STEADY);
    g_assert_nonnull(strstr(pace_reason(model)->text, "came by"));
    run_to_rest(model, 60);
    g_assert_cmpuint(model->host->saved_bytes.value, ==, (guint64)(1 << 18) * PAGE_BYTES);
}

/* Accounts take a twentieth of a CPU at most, and at rest no more than ksmd, but for hosts where
 * that would be more than two minutes apart. */
static void
test_accounts(Model *model, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        MfPace pace;
        guint rest_permyriad;
        gint64 cost_msec;
        gint64 wait_msec;
    } cases[] = {{MF_PACE_STEADY, 50, 0, 10000},     {MF_PACE_STEADY, 50, 500, 10000},
                 {MF_PACE_STEADY, 50, 501, 10020},   {MF_PACE_BOOST, 50, 2000, 40000},
                 {MF_PACE_REST, 50, -1, 20000},      {MF_PACE_REST, 50, 100, 20000},
                 {MF_PACE_REST, 50, 101, 20200},     {MF_PACE_REST, 50, 599, 119800},
                 {MF_PACE_REST, 50, 601, 120000},    {MF_PACE_REST, 50, 6001, 120020},
                 {MF_PACE_REST, 1, 10, 100000},      {MF_PACE_REST, 1000, 900, 20000},
                 {MF_PACE_REST, 10000, 5000, 100000}};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        model->config->rest_cpu_budget_permyriad = cases[i].rest_permyriad;
        g_test_message("row %u", i);
        g_assert_cmpint(
            mf_pace_accounts_wait_usec(model->config, cases[i].pace, cases[i].cost_msec * 1000), ==,
            cases[i].wait_msec * 1000);
    }
    model->config->accounting_interval_msec = 300000;
    g_assert_cmpint(mf_pace_accounts_wait_usec(model->config, MF_PACE_REST, 1000), ==,
                    600 * G_USEC_PER_SEC);
}

/* What can't be read lets nothing happen. */
static void
test_unknown(Model *model, gconstpointer unused G_GNUC_UNUSED)
{
    add_domain(model, "web", 1 << 18, 1 << 17);
    model->host->full_scans_count = MF_U64_ABSENT;
    cpu_permyriad_of(model, 100);
    g_assert_cmpint(pace_reason(model)->code, ==, MF_REASON_BOOST);
    cpu_permyriad_of(model, 250);
    g_assert_cmpint(pace_reason(model)->code, ==, MF_REASON_STEADY);
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *path;
        void (*run)(Model *model, gconstpointer unused);
    } tests[] = {
        {"/pace/merges-and-rests", test_merges_and_rests},
        {"/pace/small-memory", test_small_memory_is_looked_at_seldom},
        {"/pace/growing-memory", test_growing_memory},
        {"/pace/unknown-size", test_unknown_size},
        {"/pace/boost-keeps-its-budget", test_boost_keeps_its_budget},
        {"/pace/budgets-are-in-order", test_budgets_are_in_order},
        {"/pace/wakes", test_wakes},
        {"/pace/is-waited-for", test_is_waited_for},
        {"/pace/wakes-under-pressure", test_wakes_under_pressure},
        {"/pace/wakes-by-what-it-finds", test_wakes_by_what_it_finds},
        {"/pace/accounts", test_accounts},
        {"/pace/unknown", test_unknown},
    };

    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add(tests[i].path, Model, NULL, model_open, tests[i].run, model_close);
    }
    return g_test_run();
}
