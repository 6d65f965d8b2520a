/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why these figures: a page is merged in the second sweep that finds it unchanged, and the first
 * sweep after a start has begun before it.  So the third one is the first to tell that nothing is
 * left. */
#include "mf-pace.h"

#include "mf-units.h"

#define TELLING_SWEEPS       3
#define WAKE_MIN_USEC        (20 * G_USEC_PER_SEC) /* a guest boots, and its memory fills */
#define BOOST_MAX_USEC       (600 * G_USEC_PER_SEC)
#define GROWTH_PERMYRIAD     500
#define GROWTH_MIN_BYTES     (32 * 1024 * 1024)
#define RELIEF_PERMYRIAD     500  /* memory counts as short until this much more is there */
#define MUCH_PERMYRIAD       5000 /* of all pages: found by a sweep, new or merged */
#define SOME_PERMYRIAD       100
#define SWEEP_MUCH_USEC      (1 * G_USEC_PER_SEC) /* after a sweep that found much */
#define SWEEP_SOME_USEC      (4 * G_USEC_PER_SEC)
#define SWEEP_LITTLE_USEC    (16 * G_USEC_PER_SEC)
#define SWEEP_REST_USEC      (200 * G_USEC_PER_SEC) /* as the kernel's advisor has it */
#define RATE_MUCH_PAGES      100000 /* a second, at least: memory not known yet is found soon */
#define RATE_LITTLE_PAGES    10000
#define ACCOUNTS_MAX_USEC    (120 * G_USEC_PER_SEC) /* of a round's cost; at rest */
#define WINDOW_PAGES         8192
#define WINDOW_HIT_PERMYRIAD 200 /* of the pages that a resting ksmd scans */

void
mf_pacing_init(MfPacing *pacing)
{
    *pacing = (MfPacing){.pace = MF_PACE_STEADY, .sweep_min_usec = SWEEP_MUCH_USEC};
    pacing->known_pids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

void
mf_pacing_clear(MfPacing *pacing)
{
    g_clear_pointer(&pacing->cause, g_free);
    g_clear_pointer(&pacing->known_pids, g_hash_table_unref);
}

static void
remember_pid(MfPacing *pacing, const char *uuid, gint64 pid)
{
    gint64 *value = g_new(gint64, 1);

    *value = pid;
    g_hash_table_insert(pacing->known_pids, g_strdup(uuid), value);
}

void
mf_pacing_copy(const MfPacing *pacing, MfPacing *ret_copy)
{
    GHashTableIter iter;
    gpointer uuid;
    gpointer pid;

    mf_pacing_init(ret_copy);
    GHashTable *known_pids = ret_copy->known_pids;
    *ret_copy = *pacing;
    ret_copy->known_pids = known_pids;
    ret_copy->cause = g_strdup(pacing->cause);
    g_hash_table_iter_init(&iter, pacing->known_pids);
    while (g_hash_table_iter_next(&iter, &uuid, &pid)) {
        remember_pid(ret_copy, uuid, *(gint64 *)pid);
    }
}

guint
mf_pace_budget_permyriad(const MfConfig *config, MfPace pace)
{
    switch (pace) {
    case MF_PACE_BOOST:
        return MAX(config->boost_cpu_budget_permyriad, config->cpu_budget_permyriad);
    case MF_PACE_REST:
        return MIN(config->rest_cpu_budget_permyriad, config->cpu_budget_permyriad);
    case MF_PACE_STEADY:
        break;
    }
    return config->cpu_budget_permyriad;
}

gint64
mf_pace_accounts_wait_usec(const MfConfig *config, MfPace pace, gint64 cost_usec)
{
    gint64 interval_usec = (gint64)config->accounting_interval_msec * 1000;
    guint64 cost = (guint64)MAX(cost_usec, 0);
    guint64 least_usec = mf_mul_sat(cost, MF_ACCOUNTS_COST_FACTOR);

    if (pace == MF_PACE_REST) {
        guint share = mf_pace_budget_permyriad(config, MF_PACE_REST);
        guint64 paid_usec = MIN(mf_mul_div(cost, MF_PERMYRIAD, share), ACCOUNTS_MAX_USEC);

        interval_usec *= MF_REST_ACCOUNTS_FACTOR;
        least_usec = MAX(least_usec, paid_usec);
    }
    return MAX(interval_usec, (gint64)MIN(least_usec, G_MAXINT64));
}

MfReason *
mf_pace_reason(const MfConfig *config, const MfPacing *pacing)
{
    static const MfReasonCode codes[] = {
        [MF_PACE_BOOST] = MF_REASON_BOOST,
        [MF_PACE_STEADY] = MF_REASON_STEADY,
        [MF_PACE_REST] = MF_REASON_RESTING,
    };
    g_autofree char *share = mf_format_permyriad(mf_pace_budget_permyriad(config, pacing->pace));

    return mf_reason_new(codes[pacing->pace], NULL, "ksmd gets %s of one CPU: %s", share,
                         pacing->cause);
}

static void
take_cause(MfPacing *pacing, char *cause)
{
    g_free(pacing->cause);
    pacing->cause = cause;
}

/* Pages that ksmd has looked at, and still has an eye on. */
static MfU64
known_pages(const MfHost *host)
{
    if (!host->pages_shared_pages.known || !host->pages_sharing_pages.known ||
        !host->pages_unshared_pages.known || !host->pages_volatile_pages.known) {
        return MF_U64_ABSENT;
    }
    return MF_U64(
        mf_add_sat(mf_add_sat(host->pages_shared_pages.value, host->pages_sharing_pages.value),
                   mf_add_sat(host->pages_unshared_pages.value, host->pages_volatile_pages.value)));
}

static void
begin_sweep(const MfHost *host, MfPacing *pacing)
{
    pacing->sweep_number = host->full_scans_count;
    pacing->sweep_saved_bytes = host->saved_bytes;
    pacing->sweep_known_pages = known_pages(host);
}

/* Takes cause. */
static void
wake(const MfSnapshot *snapshot, MfPacing *pacing, MfPace pace, char *cause)
{
    pacing->pace = pace;
    pacing->woken_usec = snapshot->taken_usec;
    pacing->sweeps_count = 0;
    pacing->sweep_min_usec = SWEEP_MUCH_USEC;
    begin_sweep(&snapshot->host, pacing);
    take_cause(pacing, cause);
}

static void
begin_window(const MfHost *host, MfPacing *pacing)
{
    pacing->window_scanned_pages = host->pages_scanned_pages;
    pacing->window_saved_bytes = host->saved_bytes;
}

static MfU64
resident_bytes(const GPtrArray *merging)
{
    guint64 sum_bytes = 0;

    for (guint i = 0; i < merging->len; i++) {
        const MfDomain *domain = g_ptr_array_index(merging, i);
        if (!domain->resident_bytes.known) {
            return MF_U64_ABSENT;
        }
        sum_bytes = mf_add_sat(sum_bytes, domain->resident_bytes.value);
    }
    return MF_U64(sum_bytes);
}

/* What ksmd has met so far, or what the domains are known to have, whichever is more. */
static MfU64
all_pages(const MfHost *host, const GPtrArray *merging)
{
    MfU64 known = known_pages(host);
    MfU64 resident = resident_bytes(merging);

    if (!resident.known || host->page_size_bytes == 0) {
        return known;
    }
    return MF_U64(MAX(known.value, resident.value / host->page_size_bytes));
}

MfU64
mf_pace_rate_max_pages(const MfPacing *pacing)
{
    if (!pacing->all_pages.known) {
        return MF_U64_ABSENT;
    }
    if (pacing->pace == MF_PACE_REST) {
        return MF_U64(mf_mul_div(pacing->all_pages.value, G_USEC_PER_SEC, SWEEP_REST_USEC));
    }
    return MF_U64(
        MAX(mf_mul_div(pacing->all_pages.value, G_USEC_PER_SEC, (guint64)pacing->sweep_min_usec),
            pacing->sweep_min_usec == SWEEP_MUCH_USEC ? RATE_MUCH_PAGES : RATE_LITTLE_PAGES));
}

/* Notes who merges now; returns the first who did not at the last tick, or NULL. */
static const MfDomain *
note_newcomer(const GPtrArray *merging, MfPacing *pacing)
{
    g_autoptr(GHashTable) before = g_steal_pointer(&pacing->known_pids);
    const MfDomain *newcomer = NULL;

    pacing->known_pids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (guint i = 0; i < merging->len; i++) {
        const MfDomain *domain = g_ptr_array_index(merging, i);
        const gint64 *pid = g_hash_table_lookup(before, domain->uuid);
        /* While its process can't be told it is not another one. */
        gint64 now = domain->pid == 0 && pid != NULL ? *pid : domain->pid;

        remember_pid(pacing, domain->uuid, now);
        if (newcomer == NULL && (pid == NULL || (*pid != 0 && *pid != now))) {
            newcomer = domain;
        }
    }
    return newcomer;
}

static gboolean
little_is_available(const MfConfig *config, const MfHost *host, gboolean before)
{
    guint limit_permyriad = config->pressure_permyriad;

    if (limit_permyriad == 0 || !host->mem_available_bytes.known || !host->mem_total_bytes.known) {
        return FALSE;
    }
    limit_permyriad += before ? RELIEF_PERMYRIAD : 0;
    return host->mem_available_bytes.value <
           mf_mul_div(host->mem_total_bytes.value, limit_permyriad, MF_PERMYRIAD);
}

static gboolean
much_is_waited_for(const MfConfig *config, const MfHost *host, gboolean before)
{
    guint limit_permyriad = config->wait_permyriad;

    if (limit_permyriad == 0 || !host->memory_waits_permyriad.known) {
        return FALSE;
    }
    /* Half of the smallest limit is not nothing, which would be reached for ever. */
    return host->memory_waits_permyriad.value >=
           (before ? MAX(limit_permyriad / 2, 1) : limit_permyriad);
}

/* Whether memory has become short since the last tick.  It stays short until there is clearly more:
 * one shortage wakes ksmd once. */
static gboolean
note_pressure(const MfConfig *config, const MfHost *host, MfPacing *pacing)
{
    gboolean before = pacing->pressed;

    pacing->pressed =
        little_is_available(config, host, before) || much_is_waited_for(config, host, before);
    return pacing->pressed && !before;
}

/* What a sweep has to gain to be worth another one. */
static guint64
worth_bytes(const MfConfig *config, const MfHost *host)
{
    guint64 merged_pages =
        mf_add_sat(host->pages_shared_pages.value, host->pages_sharing_pages.value);
    guint64 looked_at_pages = mf_add_sat(merged_pages, host->pages_unshared_pages.value);

    return MAX(mf_mul_div(mf_mul_sat(looked_at_pages, host->page_size_bytes),
                          config->converged_permyriad, MF_PERMYRIAD),
               host->page_size_bytes);
}

static void
rest(const MfHost *host, const GPtrArray *merging, MfPacing *pacing, guint64 gain_bytes)
{
    g_autofree char *gain = mf_format_bytes(gain_bytes);

    pacing->pace = MF_PACE_REST;
    pacing->resident_bytes = resident_bytes(merging);
    begin_window(host, pacing);
    take_cause(pacing, g_strdup_printf("the last sweep saved %s more, so what there was is merged; "
                                       "it works again when a domain starts or grows, when memory "
                                       "gets short, or when it comes by more",
                                       gain));
}

/* How soon there should be another sweep, after one that found so much.  The first ones tell
 * nothing: they have met pages only once. */
static void
choose_sweep_time(const MfHost *host, MfPacing *pacing, guint64 gain_bytes)
{
    MfU64 known = known_pages(host);
    guint64 found_pages = host->page_size_bytes > 0 ? gain_bytes / host->page_size_bytes : 0;

    if (!pacing->all_pages.known || pacing->sweeps_count < TELLING_SWEEPS) {
        return;
    }
    if (known.known && pacing->sweep_known_pages.known) {
        found_pages =
            mf_add_sat(found_pages, mf_sub_clamp(known.value, pacing->sweep_known_pages.value));
    }
    if (found_pages >= mf_mul_div(pacing->all_pages.value, MUCH_PERMYRIAD, MF_PERMYRIAD)) {
        pacing->sweep_min_usec = SWEEP_MUCH_USEC;
    } else if (found_pages >= mf_mul_div(pacing->all_pages.value, SOME_PERMYRIAD, MF_PERMYRIAD)) {
        pacing->sweep_min_usec = SWEEP_SOME_USEC;
    } else {
        pacing->sweep_min_usec = SWEEP_LITTLE_USEC;
    }
}

/* A sweep has ended: is it worth to go on? */
static void
judge_sweep(const MfConfig *config, const MfSnapshot *snapshot, const GPtrArray *merging,
            gboolean is_awaited, MfPacing *pacing)
{
    const MfHost *host = &snapshot->host;

    if (!host->full_scans_count.known || !host->saved_bytes.known) {
        return;
    }
    if (!pacing->sweep_number.known || !pacing->sweep_saved_bytes.known ||
        host->full_scans_count.value < pacing->sweep_number.value) {
        begin_sweep(host, pacing);
        return;
    }
    guint64 ended_count = host->full_scans_count.value - pacing->sweep_number.value;
    if (ended_count == 0) {
        return;
    }
    guint64 gain_bytes = mf_sub_clamp(host->saved_bytes.value, pacing->sweep_saved_bytes.value);
    pacing->sweeps_count += (guint)MIN(ended_count, TELLING_SWEEPS);
    choose_sweep_time(host, pacing, gain_bytes);
    begin_sweep(host, pacing);
    if (!is_awaited && pacing->sweeps_count >= TELLING_SWEEPS &&
        gain_bytes < worth_bytes(config, host) &&
        snapshot->taken_usec - pacing->woken_usec >= WAKE_MIN_USEC) {
        rest(host, merging, pacing, gain_bytes);
    }
}

/* What a resting ksmd comes by tells whether there is more. */
static void
judge_window(const MfSnapshot *snapshot, MfPacing *pacing)
{
    const MfHost *host = &snapshot->host;

    if (!host->pages_scanned_pages.known || !host->saved_bytes.known) {
        return;
    }
    if (!pacing->window_scanned_pages.known || !pacing->window_saved_bytes.known ||
        host->pages_scanned_pages.value < pacing->window_scanned_pages.value) {
        begin_window(host, pacing);
        return;
    }
    guint64 scanned_pages = host->pages_scanned_pages.value - pacing->window_scanned_pages.value;
    if (scanned_pages < WINDOW_PAGES) {
        return;
    }
    guint64 gain_bytes = mf_sub_clamp(host->saved_bytes.value, pacing->window_saved_bytes.value);
    guint64 worth = mf_mul_div(mf_mul_sat(scanned_pages, host->page_size_bytes),
                               WINDOW_HIT_PERMYRIAD, MF_PERMYRIAD);
    begin_window(host, pacing);
    if (gain_bytes >= worth && worth > 0) {
        g_autofree char *gain = mf_format_bytes(gain_bytes);
        wake(snapshot, pacing, MF_PACE_STEADY,
             g_strdup_printf("its slow scan came by %s of more", gain));
    }
}

static void
judge_growth(const MfSnapshot *snapshot, const GPtrArray *merging, MfPacing *pacing)
{
    MfU64 now = resident_bytes(merging);

    if (!now.known || !pacing->resident_bytes.known) {
        pacing->resident_bytes = now;
        return;
    }
    guint64 before_bytes = pacing->resident_bytes.value;
    guint64 grown_bytes = mf_sub_clamp(now.value, before_bytes);
    if (grown_bytes >= GROWTH_MIN_BYTES &&
        grown_bytes >= mf_mul_div(before_bytes, GROWTH_PERMYRIAD, MF_PERMYRIAD)) {
        g_autofree char *grown = mf_format_bytes(grown_bytes);
        wake(snapshot, pacing, MF_PACE_BOOST,
             g_strdup_printf("the domains have grown by %s", grown));
    } else {
        /* Who goes or gives memory back makes no room to grow in unseen. */
        pacing->resident_bytes = MF_U64(MIN(before_bytes, now.value));
    }
}

void
mf_pace_decide(const MfConfig *config, const MfSnapshot *snapshot, const GPtrArray *merging,
               gboolean is_awaited, MfPacing *pacing)
{
    const MfDomain *newcomer = note_newcomer(merging, pacing);
    gboolean short_now = note_pressure(config, &snapshot->host, pacing);

    pacing->all_pages = all_pages(&snapshot->host, merging);

    if (newcomer != NULL) {
        wake(snapshot, pacing, MF_PACE_BOOST,
             g_strdup_printf("%s has come to merge", newcomer->name));
        return;
    }
    if (short_now) {
        wake(snapshot, pacing, MF_PACE_BOOST, g_strdup("the host's memory has become short"));
        return;
    }
    if (is_awaited && pacing->pace == MF_PACE_REST) {
        wake(snapshot, pacing, MF_PACE_STEADY,
             g_strdup("paused domains wait for the room that merging makes"));
        return;
    }
    if (pacing->pace == MF_PACE_REST) {
        judge_growth(snapshot, merging, pacing);
        if (pacing->pace == MF_PACE_REST) {
            judge_window(snapshot, pacing);
        }
        return;
    }
    judge_sweep(config, snapshot, merging, is_awaited, pacing);
    if (pacing->pace == MF_PACE_BOOST &&
        snapshot->taken_usec - pacing->woken_usec >= BOOST_MAX_USEC) {
        pacing->pace = MF_PACE_STEADY;
        take_cause(pacing, g_strdup("it was boosted for ten minutes, and goes on steadily"));
    }
}
