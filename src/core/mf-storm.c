/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether there is a storm: rates, what is at hand, and for how long. */
#include "mf-storm-private.h"

#include "mf-units.h"

#define MEASURE_MIN_USEC  (200 * 1000)         /* a shorter interval says little */
#define LOSS_MIN_BYTES    (1024 * 1024)        /* a second: less is no storm */
#define CALM_USEC         (5 * G_USEC_PER_SEC) /* so long nothing of it: it is over */
#define NEAR_FACTOR       4                    /* of the horizon: worth looking more often */
#define RELIEF_FACTOR     2                    /* of the horizon: a storm lasts until then */
#define FOREIGN_DIVISOR   4 /* merged memory is less than that part of what is lost: not ours */
#define STORM_TICK_MSEC   250
#define EXPOSED_TICK_MSEC 500
#define NAMES_MAX         3

void
mf_storm_init(MfStorm *storm)
{
    *storm = (MfStorm){0};
    storm->victims = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    storm->gone = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

void
mf_storm_clear(MfStorm *storm)
{
    g_clear_pointer(&storm->victims, g_hash_table_unref);
    g_clear_pointer(&storm->gone, g_hash_table_unref);
}

void
mf_storm_copy(const MfStorm *storm, MfStorm *ret_copy)
{
    GHashTableIter iter;
    gpointer uuid;
    gpointer victim;
    gpointer pid;

    *ret_copy = *storm;
    ret_copy->victims = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    ret_copy->gone = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_hash_table_iter_init(&iter, storm->victims);
    while (g_hash_table_iter_next(&iter, &uuid, &victim)) {
        g_hash_table_insert(ret_copy->victims, g_strdup(uuid), g_memdup2(victim, sizeof(MfVictim)));
    }
    g_hash_table_iter_init(&iter, storm->gone);
    while (g_hash_table_iter_next(&iter, &uuid, &pid)) {
        g_hash_table_insert(ret_copy->gone, g_strdup(uuid), pid);
    }
}

MfVictim *
mf_storm_victim(MfStorm *storm, const char *uuid)
{
    MfVictim *victim = g_hash_table_lookup(storm->victims, uuid);

    if (victim == NULL) {
        victim = g_new0(MfVictim, 1);
        g_hash_table_insert(storm->victims, g_strdup(uuid), victim);
    }
    return victim;
}

void
mf_storm_forget(MfStorm *storm, const char *uuid)
{
    MfVictim *victim = g_hash_table_lookup(storm->victims, uuid);

    if (victim != NULL) {
        mf_storm_bury(storm, victim);
        g_hash_table_insert(storm->gone, g_strdup(uuid), GINT_TO_POINTER((gint)victim->pid));
        g_hash_table_remove(storm->victims, uuid);
    }
}

gboolean
mf_storm_has_suspended(const MfStorm *storm)
{
    GHashTableIter iter;
    gpointer victim;

    g_hash_table_iter_init(&iter, storm->victims);
    while (g_hash_table_iter_next(&iter, NULL, &victim)) {
        if (((MfVictim *)victim)->suspended) {
            return TRUE;
        }
    }
    return FALSE;
}

gboolean
mf_storm_knows_writers(const MfStorm *storm)
{
    GHashTableIter iter;
    gpointer victim;

    g_hash_table_iter_init(&iter, storm->victims);
    while (g_hash_table_iter_next(&iter, NULL, &victim)) {
        const MfU64 *written_bytes = &((MfVictim *)victim)->written_bytes;
        if (written_bytes->known && written_bytes->value > 0) {
            return TRUE;
        }
    }
    return FALSE;
}

guint
mf_storm_tick_msec(const MfConfig *config, const MfStorm *storm)
{
    if (storm->raging || storm->near) {
        return MIN(config->tick_msec, STORM_TICK_MSEC);
    }
    return storm->exposed ? MIN(config->tick_msec, EXPOSED_TICK_MSEC) : config->tick_msec;
}

MfU64
mf_storm_left_msec(const MfStorm *storm)
{
    if (!storm->loss_rate_bytes.known || !storm->headroom_bytes.known) {
        return MF_U64_ABSENT;
    }
    return MF_U64(storm->loss_rate_bytes.value == 0 ? G_MAXUINT64
                                                    : mf_mul_div(storm->headroom_bytes.value, 1000,
                                                                 storm->loss_rate_bytes.value));
}

static guint64
per_second(guint64 bytes, gint64 interval_usec)
{
    return mf_mul_div(bytes, G_USEC_PER_SEC, (guint64)interval_usec);
}

/* What a counter grew by; absent when it is not known at both ends, or began anew. */
static MfU64
growth(MfU64 before, MfU64 now)
{
    return before.known && now.known && now.value >= before.value ? MF_U64(now.value - before.value)
                                                                  : MF_U64_ABSENT;
}

/* By how much what is at hand has fallen; G_MAXUINT64 when that is not known. */
static guint64
fallen_bytes(const MfStorm *storm, MfU64 have)
{
    return storm->have_bytes.known && have.known ? mf_sub_clamp(storm->have_bytes.value, have.value)
                                                 : G_MAXUINT64;
}

/* Pages of zeroes that were written are no merged pages to the kernel, and are counted nowhere.
 * Their number falls at once. */
static guint64
dropped_zero_bytes(const MfStorm *storm, const MfHost *host)
{
    return storm->zero_pages.known && host->zero_pages.known
               ? mf_mul_sat(mf_sub_clamp(storm->zero_pages.value, host->zero_pages.value),
                            host->page_size_bytes)
               : 0;
}

/* Where nothing else tells what was written: what KSM's counters call saved no more, but for what
 * ended before. */
static guint64
dropped_saved_bytes(const MfStorm *storm, const MfHost *host)
{
    return storm->saved_bytes.known && host->saved_bytes.known
               ? mf_sub_clamp(mf_sub_clamp(storm->saved_bytes.value, host->saved_bytes.value),
                              mf_add_sat(storm->unseen.new_bytes, storm->unseen.old_bytes))
               : 0;
}

/* The rates of the interval that ends now. */
static void
measure(const MfHost *host, MfStorm *storm, MfU64 have, gint64 interval_usec)
{
    MfU64 breaks = growth(storm->cow_breaks_count, host->cow_breaks_count);
    guint64 broken_bytes = breaks.known ? mf_mul_sat(breaks.value, host->page_size_bytes) : 0;
    gboolean counted = storm->saved_bytes.known && host->saved_bytes.known;
    guint64 dropped_bytes = breaks.known ? mf_add_sat(broken_bytes, dropped_zero_bytes(storm, host))
                                         : dropped_saved_bytes(storm, host);
    /* A domain that ends takes its savings with it, and leaves more at hand: nothing was written.
     */
    guint64 lost_bytes = MIN(dropped_bytes, fallen_bytes(storm, have));
    guint64 written_bytes = MAX(broken_bytes, lost_bytes);
    guint64 unmerged_bytes =
        mf_storm_take_unmerged(storm, written_bytes, storm->taken_usec + interval_usec);

    storm->written_rate_bytes = MF_U64_ABSENT;
    storm->loss_rate_bytes = MF_U64_ABSENT;
    if (breaks.known || counted) {
        storm->written_rate_bytes =
            MF_U64(per_second(written_bytes - unmerged_bytes, interval_usec));
    }
    if (storm->written_rate_bytes.known && storm->have_bytes.known && have.known) {
        guint64 fall_bytes =
            per_second(mf_sub_clamp(fallen_bytes(storm, have), unmerged_bytes), interval_usec);
        guint64 rate_bytes = storm->written_rate_bytes.value;
        gboolean ours = rate_bytes >= fall_bytes / FOREIGN_DIVISOR;

        storm->loss_rate_bytes = MF_U64(ours ? MAX(rate_bytes, fall_bytes) : rate_bytes);
    }
    mf_unseen_note(&storm->unseen, host, broken_bytes);
    storm->broken_bytes = mf_add_sat(storm->broken_bytes, broken_bytes);
}

/* Whether what is at hand lasts shorter than that, while there is more to be written than that. */
static gboolean
falls_short(const MfStorm *storm, guint64 horizon_msec)
{
    MfU64 left_msec = mf_storm_left_msec(storm);

    return left_msec.known && storm->loss_rate_bytes.value >= LOSS_MIN_BYTES &&
           left_msec.value < horizon_msec && storm->expected_bytes > storm->headroom_bytes.value;
}

static void
judge(const MfConfig *config, MfStorm *storm, gint64 now_usec)
{
    guint64 horizon_msec = config->storm_horizon_msec;

    storm->near = falls_short(storm, horizon_msec * NEAR_FACTOR);
    if (falls_short(storm, storm->raging ? horizon_msec * RELIEF_FACTOR : horizon_msec)) {
        if (!storm->raging) {
            storm->storm_usec = now_usec;
        }
        storm->raging = TRUE;
        storm->calm_usec = 0;
    } else if (storm->raging && storm->loss_rate_bytes.known) {
        if (storm->calm_usec == 0) {
            storm->calm_usec = now_usec;
        }
        storm->raging = now_usec - storm->calm_usec < CALM_USEC;
    }
}

/* What is resident of the domain and nobody else's. */
static MfI64
own_bytes(const MfDomain *domain)
{
    if (!domain->resident_bytes.known || !domain->saved_bytes.known) {
        return MF_I64_ABSENT;
    }
    return MF_I64((gint64)mf_sub_clamp(domain->resident_bytes.value, domain->saved_bytes.value));
}

/* New accounts lack what has gone to swap already; what is under way is still to come. */
static void
note_own(MfVictim *victim, MfI64 own)
{
    if (own.known && (!victim->seen_own_bytes.known || own.value != victim->seen_own_bytes.value)) {
        victim->reclaimed_bytes = victim->asked_bytes;
        victim->seen_own_bytes = own;
    }
}

/* What the domain has written since before the storm: our kernel counts it; elsewhere it shows in
 * what it has of its own, when its accounts are next made. */
static void
note_domain(const MfHost *host, const MfDomain *domain, MfStorm *storm, gint64 interval_usec)
{
    MfVictim *victim = mf_storm_victim(storm, domain->uuid);
    MfU64 breaks = growth(victim->last_cow_breaks_count, domain->cow_breaks_count);
    MfI64 own = own_bytes(domain);

    note_own(victim, own);
    victim->rate_bytes =
        breaks.known && interval_usec > 0
            ? MF_U64(per_second(mf_mul_sat(breaks.value, host->page_size_bytes), interval_usec))
            : MF_U64_ABSENT;
    victim->last_cow_breaks_count = domain->cow_breaks_count;
    breaks = growth(victim->cow_breaks_count, domain->cow_breaks_count);
    victim->written_bytes = MF_U64_ABSENT;
    if (breaks.known) {
        victim->written_bytes = MF_U64(mf_mul_sat(breaks.value, host->page_size_bytes));
    } else if (own.known && victim->own_bytes.known && own.value > victim->own_bytes.value) {
        victim->written_bytes = MF_U64((guint64)(own.value - victim->own_bytes.value));
    }
}

/* While there is no storm, what it will be compared with moves along; and while memfold un-merges
 * it, for that is not what the guest writes. */
static void
move_baseline(const MfDomain *domain, MfStorm *storm)
{
    MfVictim *victim = mf_storm_victim(storm, domain->uuid);
    /* One that comes in the middle of a storm is compared with what it came with. */
    gboolean calm = !storm->raging || !victim->has_baseline;

    if (calm || victim->unmerged) {
        victim->has_baseline = TRUE;
        victim->cow_breaks_count = domain->cow_breaks_count;
        victim->own_bytes = own_bytes(domain);
    }
    if (!calm) {
        return;
    }
    victim->reclaimed_bytes = 0;
    victim->given_bytes = 0;
    victim->relieved = FALSE;
}

/* While somebody is paused, what the others can still write; absent when that is not known. */
static MfU64
writable_bytes(const MfSnapshot *snapshot, const MfStorm *storm)
{
    guint64 sum_bytes = 0;

    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);
        const MfVictim *victim = g_hash_table_lookup(storm->victims, domain->uuid);
        if (victim != NULL && victim->suspended) {
            continue;
        }
        if (!domain->merged_bytes.known) {
            return MF_U64_ABSENT;
        }
        sum_bytes = mf_add_sat(sum_bytes, domain->merged_bytes.value);
        sum_bytes = mf_add_sat(sum_bytes, domain->zero_bytes.known ? domain->zero_bytes.value : 0);
    }
    return MF_U64(sum_bytes);
}

/* What is merged and may be written. */
static MfU64
exposure_bytes(const MfSnapshot *snapshot, const MfStorm *storm)
{
    MfU64 need = mf_storm_cover(storm, &snapshot->host).need_bytes;
    MfU64 writable = mf_storm_has_suspended(storm) ? writable_bytes(snapshot, storm) : need;

    return need.known && writable.known ? MF_U64(MIN(need.value, writable.value)) : need;
}

/* A snapshot may be older than the end of its domain, and mf_storm_forget() then comes too early.
 * One that owes something may also be too new for the snapshot, so that it stays. */
static gboolean
owes_nothing(const MfVictim *victim)
{
    return !victim->swapping.busy && !victim->calling.busy && !victim->suspended &&
           victim->balloon.before_bytes == 0;
}

static void
drop_those_of_nobody(const MfSnapshot *snapshot, MfStorm *storm)
{
    g_autoptr(GHashTable) uuids = mf_snapshot_uuids(snapshot);
    GHashTableIter iter;
    gpointer uuid;
    gpointer victim;

    g_hash_table_iter_init(&iter, storm->victims);
    while (g_hash_table_iter_next(&iter, &uuid, &victim)) {
        if (g_hash_table_contains(uuids, uuid)) {
            continue;
        }
        mf_storm_note_unmerging(victim, FALSE);
        if (owes_nothing(victim)) {
            mf_storm_bury(storm, victim);
            g_hash_table_iter_remove(&iter);
        }
    }
    mf_snapshot_drop_gone(snapshot, storm->gone);
}

void
mf_storm_note(const MfConfig *config, const MfSnapshot *snapshot, MfStorm *storm)
{
    const MfHost *host = &snapshot->host;
    MfU64 have = mf_cover_measure(host).have_bytes;
    gint64 interval_usec = snapshot->taken_usec - storm->taken_usec;
    gboolean first = storm->taken_usec == 0 || interval_usec < 0;
    guint64 reserve_bytes =
        host->mem_total_bytes.known
            ? mf_mul_div(host->mem_total_bytes.value, config->reserve_permyriad, MF_PERMYRIAD)
            : 0;

    if (!first && interval_usec < MEASURE_MIN_USEC) {
        return;
    }
    if (first) {
        mf_unseen_note(&storm->unseen, host, 0);
    } else {
        measure(host, storm, have, interval_usec);
    }
    drop_those_of_nobody(snapshot, storm);
    MfU64 need = exposure_bytes(snapshot, storm);
    storm->headroom_bytes =
        have.known ? MF_U64(mf_sub_clamp(have.value, reserve_bytes)) : MF_U64_ABSENT;
    storm->expected_bytes =
        need.known && storm->loss_rate_bytes.known
            ? mf_mul_div(need.value, storm->loss_rate_bytes.value, storm->written_rate_bytes.value)
            : 0;
    storm->exposed = need.known && have.known && need.value > storm->headroom_bytes.value;
    judge(config, storm, snapshot->taken_usec);
    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);
        mf_storm_note_shared(storm, domain);
        note_domain(host, domain, storm, first ? 0 : interval_usec);
        MfVictim *victim = mf_storm_victim(storm, domain->uuid);
        gboolean is_new = victim->unmerging_usec >= storm->taken_usec;
        mf_storm_note_unmerging(victim, domain->is_unmerging || domain->is_moving || is_new);
        move_baseline(domain, storm);
    }
    storm->begun_usec = storm->taken_usec;
    storm->taken_usec = snapshot->taken_usec;
    storm->cow_breaks_count = host->cow_breaks_count;
    storm->saved_bytes = host->saved_bytes;
    storm->zero_pages = host->zero_pages;
    storm->have_bytes = have;
}

/* One that has written and is not named yet: the one that has written most. */
static const MfDomain *
next_writer(const MfSnapshot *snapshot, const MfStorm *storm, GHashTable *named, guint64 *ret_bytes)
{
    const MfDomain *most = NULL;

    *ret_bytes = 0;
    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);
        const MfVictim *victim = g_hash_table_lookup(storm->victims, domain->uuid);
        if (victim != NULL && victim->written_bytes.known &&
            victim->written_bytes.value > *ret_bytes &&
            !g_hash_table_contains(named, domain->uuid)) {
            most = domain;
            *ret_bytes = victim->written_bytes.value;
        }
    }
    return most;
}

static char *
describe_writers(const MfSnapshot *snapshot, const MfStorm *storm)
{
    g_autoptr(GHashTable) named = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GString) text = g_string_new(NULL);
    const MfDomain *domain = NULL;
    guint64 bytes = 0;

    while (g_hash_table_size(named) < NAMES_MAX &&
           (domain = next_writer(snapshot, storm, named, &bytes)) != NULL) {
        g_autofree char *bytes_text = mf_format_bytes(bytes);
        g_string_append_printf(text, "%s%s (%s so far)", text->len > 0 ? ", " : ", most of it by ",
                               domain->name, bytes_text);
        g_hash_table_add(named, domain->uuid);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

MfReason *
mf_storm_reason(const MfConfig *config, const MfSnapshot *snapshot, const MfStorm *storm,
                gboolean stops_ksmd)
{
    const char *left_alone = "ksmd is not memfold's to stop";
    g_autofree char *rate = mf_format_bytes(storm->written_rate_bytes.value);
    g_autofree char *expected = mf_format_bytes(storm->expected_bytes);
    g_autofree char *headroom = mf_format_bytes(storm->headroom_bytes.value);
    g_autofree char *writers = describe_writers(snapshot, storm);
    const char *remedy = "add swap, stop or migrate a domain; reclaim, balloon and suspend under "
                         "[storm] in memfold.conf say how domains may give way";

    if (!falls_short(storm, (guint64)config->storm_horizon_msec * RELIEF_FACTOR)) {
        return mf_reason_new(MF_REASON_STORM, remedy,
                             "merged memory was written faster than the host can bear, and is "
                             "written at %s a second now%s: %s",
                             rate, writers,
                             stops_ksmd ? "ksmd waits until it is over" : left_alone);
    }
    guint64 left_msec = mf_storm_left_msec(storm).value;
    return mf_reason_new(MF_REASON_STORM, remedy,
                         "merged memory is written at %s a second%s: %s at hand last "
                         "%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT " s, and all of it would take "
                         "%s: %s",
                         rate, writers, headroom, left_msec / 1000, left_msec % 1000 / 100,
                         expected, stops_ksmd ? "ksmd stops" : left_alone);
}
