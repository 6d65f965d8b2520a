/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is kept of rounds of accounts, over times that nobody waits for. */
#include "../../src/core/mf-history.h"
#include "mf-test.h"

#define HOUR_SEC  3600u
#define DAY_SEC   (24 * HOUR_SEC)
#define WEEK_SEC  (7 * DAY_SEC)
#define MIB       (G_GUINT64_CONSTANT(1) << 20)
#define FIRST_SEC 100000u /* of monotonic time; a multiple of 20 s, and not of 10 min */
#define ANY_PID   4711

static MfSnapshot *
round_at(guint64 sec)
{
    MfSnapshot *snapshot = mf_snapshot_new();

    snapshot->taken_usec = (gint64)(sec * G_USEC_PER_SEC);
    snapshot->host.page_size_bytes = 4096;
    return snapshot;
}

static MfDomain *
add_domain(MfSnapshot *snapshot, const char *name, gint64 pid)
{
    g_autofree char *uuid = g_strdup_printf("%s-uuid", name);
    MfDomain *domain = mf_domain_new(uuid, name);

    domain->pid = pid;
    g_ptr_array_add(snapshot->domains, domain);
    return domain;
}

static void
take(MfHistory *history, MfSnapshot *snapshot)
{
    mf_history_add(history, snapshot);
    mf_snapshot_free(snapshot);
}

/* A round of one domain that saves and has counted so much. */
static void
take_simple(MfHistory *history, guint64 sec, gint64 pid, guint64 saved_mib, guint64 breaks_count)
{
    MfSnapshot *snapshot = round_at(sec);
    MfDomain *domain = add_domain(snapshot, "vm", pid);

    domain->saved_bytes = MF_U64(saved_mib * MIB);
    domain->cow_breaks_count = MF_U64(breaks_count);
    take(history, snapshot);
}

static MfHistorySummary
summary_of(const MfHistory *history, const char *name, guint64 now_sec, guint period_sec)
{
    g_autofree char *uuid = g_strdup_printf("%s-uuid", name);
    const MfRecord *record = mf_history_find(history, uuid);

    g_assert_nonnull(record);
    return mf_record_summarise(record, (gint64)(now_sec * G_USEC_PER_SEC), period_sec);
}

static GArray *
series_of(const MfHistory *history, MfSeries series, guint64 now_sec, guint period_sec)
{
    return mf_record_get_series(mf_history_find(history, "vm-uuid"), series,
                                (gint64)(now_sec * G_USEC_PER_SEC), period_sec);
}

#define POINT(points, i) g_array_index(points, MfHistoryPoint, i)

#define assert_figure(figure, wanted)                                                              \
    do {                                                                                           \
        g_assert_true((figure).known);                                                             \
        g_assert_true((figure).value == (wanted));                                                 \
    } while (0)

/* Our kernel counts: 30 s in which ksmd took 3 s and scanned 3000 pages, 1000 of this domain. */
static void
test_counts_and_shares(void)
{
    g_autoptr(MfHistory) history = mf_history_new();
    MfHistorySummary found;

    for (guint i = 0; i <= 3; i++) {
        MfSnapshot *snapshot = round_at(FIRST_SEC + 10 * i);
        MfDomain *domain = add_domain(snapshot, "vm", ANY_PID);

        snapshot->host.saved_bytes = MF_U64((20 + i) * MIB);
        snapshot->host.ksmd_cpu_usec = MF_U64(7 * G_USEC_PER_SEC + i * G_USEC_PER_SEC);
        snapshot->host.pages_scanned_pages = MF_U64(50 + i * 1000);
        snapshot->host.cow_breaks_count = MF_U64(i * 20);
        domain->saved_bytes = MF_U64((10 + 2 * i) * MIB);
        domain->zero_bytes = MF_U64(0);
        domain->cow_breaks_count = MF_U64(900 + 5 * i);
        domain->swap_in_copies_count = MF_U64(2 * i);
        domain->scanned_pages = MF_U64(70000 + (i * 1000 + 1) / 3);
        take(history, snapshot);
    }
    found = summary_of(history, "vm", FIRST_SEC + 30, HOUR_SEC);
    g_assert_cmpuint(found.points_count, ==, 2);
    assert_figure(found.saved_bytes, 16 * MIB);
    assert_figure(found.saved_average_bytes, 13 * MIB); /* of 11 and 15 */
    assert_figure(found.saved_max_bytes, 16 * MIB);
    assert_figure(found.cow_breaks_count, 15u);
    assert_figure(found.cow_breaks_per_1000_sec, 500u);
    assert_figure(found.swap_in_copies_count, 6u);
    assert_figure(found.scanned_pages, 1000u);
    g_assert_true(found.scan_cpu_usec.known);
    g_assert_cmpuint(found.scan_cpu_usec.value, >=, G_USEC_PER_SEC - 3);
    g_assert_cmpuint(found.scan_cpu_usec.value, <=, G_USEC_PER_SEC);
    g_assert_false(found.scan_cpu_is_estimated);
    g_assert_true(found.gain_bytes_per_cpu_sec.known);
    g_assert_cmpint(found.gain_bytes_per_cpu_sec.value / 1024, ==, 6 * 1024);
    g_assert_cmpuint(found.saved_bytes_per_cpu_sec.value / 1024, ==, 13 * 1024);

    found = mf_record_summarise(mf_history_get_host(history),
                                (gint64)(FIRST_SEC + 30) * G_USEC_PER_SEC, HOUR_SEC);
    assert_figure(found.scan_cpu_usec, 3 * G_USEC_PER_SEC);
    assert_figure(found.cow_breaks_per_1000_sec, 2000u);
    g_assert_cmpint(found.gain_bytes_per_cpu_sec.value, ==, (gint64)MIB);
}

/* A stock kernel: what is not counted stays absent, and the CPU time is shared out by the pages
 * that are tracked. */
static void
test_absent_and_estimated(void)
{
    g_autoptr(MfHistory) history = mf_history_new();
    MfHistorySummary found;

    for (guint i = 0; i <= 1; i++) {
        MfSnapshot *snapshot = round_at(FIRST_SEC + 10 * i);
        MfDomain *domain = add_domain(snapshot, "vm", ANY_PID);
        MfDomain *other = add_domain(snapshot, "other", ANY_PID + 1);

        snapshot->host.ksmd_cpu_usec = MF_U64(i * 4000);
        snapshot->host.pages_scanned_pages = MF_U64(i * 1000);
        domain->rmap_items_pages = MF_U64(300);
        other->rmap_items_pages = MF_U64(100);
        take(history, snapshot);
    }
    found = summary_of(history, "vm", FIRST_SEC + 10, HOUR_SEC);
    assert_figure(found.scan_cpu_usec, 3000u);
    g_assert_true(found.scan_cpu_is_estimated);
    g_assert_false(found.saved_bytes.known);
    g_assert_false(found.saved_average_bytes.known);
    g_assert_false(found.saved_max_bytes.known);
    g_assert_false(found.cow_breaks_count.known);
    g_assert_false(found.cow_breaks_per_1000_sec.known);
    g_assert_false(found.swap_in_copies_count.known);
    g_assert_false(found.scanned_pages.known);
    g_assert_false(found.gain_bytes_per_cpu_sec.known);
    g_assert_false(found.saved_bytes_per_cpu_sec.known);
    g_autoptr(GArray) breaks = series_of(history, MF_SERIES_COW_BREAKS, FIRST_SEC + 10, HOUR_SEC);
    g_assert_cmpuint(breaks->len, ==, 0);
}

/* A counter that was not there for a while would count too little. */
static void
test_absent_in_between(void)
{
    g_autoptr(MfHistory) history = mf_history_new();

    take_simple(history, FIRST_SEC, ANY_PID, 1, 100);
    take_simple(history, FIRST_SEC + 5, ANY_PID, 1, 150);
    g_assert_true(summary_of(history, "vm", FIRST_SEC + 5, HOUR_SEC).cow_breaks_count.known);
    for (guint i = 0; i < 2; i++) {
        MfSnapshot *snapshot = round_at(FIRST_SEC + 6 + i);

        add_domain(snapshot, "vm", ANY_PID);
        take(history, snapshot);
    }
    g_assert_false(summary_of(history, "vm", FIRST_SEC + 7, HOUR_SEC).cow_breaks_count.known);
}

static void
test_counting_starts_anew(void)
{
    static const struct {
        gint64 pid;
        guint64 before_count, after_count;
        gboolean follows;
        const char *text;
    } cases[] = {
        {ANY_PID, 1000, 1400, TRUE, "goes on"},
        {ANY_PID, 1000, 1000, TRUE, "stands still"},
        {ANY_PID, 1000, 999, FALSE, "went back"},
        {ANY_PID + 1, 1000, 3, FALSE, "another QEMU"},
        {ANY_PID + 1, 1000, 5000, FALSE, "another QEMU that has counted more"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(MfHistory) history = mf_history_new();
        MfHistorySummary found;

        mf_test_case(cases[i].text);
        take_simple(history, FIRST_SEC, ANY_PID, 1, cases[i].before_count);
        take_simple(history, FIRST_SEC + 10, cases[i].pid, 1, cases[i].after_count);
        found = summary_of(history, "vm", FIRST_SEC + 10, HOUR_SEC);
        g_assert_cmpint(found.cow_breaks_count.known, ==, cases[i].follows);
        take_simple(history, FIRST_SEC + 20, cases[i].pid, 1, cases[i].after_count + 7);
        found = summary_of(history, "vm", FIRST_SEC + 20, HOUR_SEC);
        assert_figure(found.cow_breaks_count,
                      7 + (cases[i].follows ? cases[i].after_count - cases[i].before_count : 0));
        assert_figure(found.cow_breaks_per_1000_sec,
                      cases[i].follows ? found.cow_breaks_count.value * 50 : 700);
    }
}

/* Rounds for an hour and a half: the finest ring goes round, and the others have it all. */
static void
test_rings_go_round(void)
{
    g_autoptr(MfHistory) history = mf_history_new();
    guint64 last_sec = FIRST_SEC + 5400;

    for (guint64 sec = FIRST_SEC; sec <= last_sec; sec += 10) {
        take_simple(history, sec, ANY_PID, sec - FIRST_SEC, 3 * (sec - FIRST_SEC));
    }
    g_autoptr(GArray) hour = series_of(history, MF_SERIES_SAVED, last_sec, HOUR_SEC);
    g_assert_cmpuint(hour->len, ==, 180);
    for (guint i = 1; i < hour->len; i++) {
        g_assert_cmpuint(POINT(hour, i).ago_usec, <, POINT(hour, i - 1).ago_usec);
        g_assert_cmpuint(POINT(hour, i).value, >, POINT(hour, i - 1).value);
    }
    g_assert_cmpuint(POINT(hour, 0).ago_usec, ==, 3570 * (guint64)G_USEC_PER_SEC);
    g_assert_cmpuint(POINT(hour, 0).value, ==, 1825 * MIB);
    g_assert_cmpuint(POINT(hour, 179).ago_usec, ==, 0);
    g_autoptr(GArray) minute = series_of(history, MF_SERIES_COW_BREAKS, last_sec, 60);
    g_assert_cmpuint(minute->len, ==, 4);
    g_assert_cmpuint(POINT(minute, 0).value, ==, 3000);

    g_autoptr(GArray) day = series_of(history, MF_SERIES_SAVED, last_sec, DAY_SEC);
    g_assert_cmpuint(day->len, ==, 10);
    g_autoptr(GArray) week = series_of(history, MF_SERIES_SAVED, last_sec, WEEK_SEC);
    g_assert_cmpuint(week->len, ==, 3);
    MfHistorySummary found = summary_of(history, "vm", last_sec, DAY_SEC);
    assert_figure(found.cow_breaks_count, 3 * 5400u);
    g_assert_cmpint(found.saved_trend_bytes_per_hour.value / (gint64)MIB, >, 3300);
    g_assert_cmpint(found.saved_trend_bytes_per_hour.value / (gint64)MIB, <, 3900);
}

static void
test_steps(void)
{
    static const struct {
        guint period_sec, step_sec;
    } cases[] = {{60, 20},       {HOUR_SEC, 20},      {HOUR_SEC + 1, 600},
                 {DAY_SEC, 600}, {DAY_SEC + 1, 3600}, {WEEK_SEC, 3600}};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmpuint(mf_history_step_sec(cases[i].period_sec), ==, cases[i].step_sec);
    }
}

/* Half an hour without rounds: no point is made up, and what was counted is spread over it. */
static void
test_gap(void)
{
    g_autoptr(MfHistory) history = mf_history_new();
    MfHistorySummary found;

    take_simple(history, FIRST_SEC, ANY_PID, 1, 0);
    take_simple(history, FIRST_SEC + 1800, ANY_PID, 3, 900);
    g_autoptr(GArray) points = series_of(history, MF_SERIES_SAVED, FIRST_SEC + 1800, HOUR_SEC);
    g_assert_cmpuint(points->len, ==, 2);
    found = summary_of(history, "vm", FIRST_SEC + 1800, HOUR_SEC);
    assert_figure(found.cow_breaks_per_1000_sec, 500u);
    assert_figure(found.saved_average_bytes, 2 * MIB);
    /* Much later nothing of it is left in the hour, and all of it in the day. */
    g_autoptr(GArray) later = series_of(history, MF_SERIES_SAVED, FIRST_SEC + 9000, HOUR_SEC);
    g_assert_cmpuint(later->len, ==, 0);
    found = summary_of(history, "vm", FIRST_SEC + 9000, DAY_SEC);
    assert_figure(found.cow_breaks_count, 900u);
    g_assert_cmpuint(summary_of(history, "vm", FIRST_SEC + 9000, HOUR_SEC).points_count, ==, 0);
}

/* A round without its figures, or without itself, ends the counting; what was is kept. */
static void
test_comes_and_goes(void)
{
    g_autoptr(MfHistory) history = mf_history_new();
    MfHistorySummary found;

    take_simple(history, FIRST_SEC, ANY_PID, 5, 100);
    take(history, round_at(FIRST_SEC + 10));
    g_assert_true(mf_record_is_gone(mf_history_find(history, "vm-uuid")));
    found = summary_of(history, "vm", FIRST_SEC + 10, HOUR_SEC);
    g_assert_false(found.saved_bytes.known);
    assert_figure(found.saved_average_bytes, 5 * MIB);

    take_simple(history, FIRST_SEC + 20, ANY_PID, 5, 300);
    g_assert_false(mf_record_is_gone(mf_history_find(history, "vm-uuid")));
    g_assert_false(summary_of(history, "vm", FIRST_SEC + 20, HOUR_SEC).cow_breaks_count.known);

    MfSnapshot *unread = round_at(FIRST_SEC + 30);
    add_domain(unread, "vm", 0);
    add_domain(unread, "unborn", 0);
    take(history, unread);
    g_assert_false(mf_record_is_gone(mf_history_find(history, "vm-uuid")));
    g_assert_false(summary_of(history, "vm", FIRST_SEC + 30, HOUR_SEC).saved_bytes.known);
    g_assert_null(mf_history_find(history, "unborn-uuid"));
    take_simple(history, FIRST_SEC + 40, ANY_PID, 5, 500);
    g_assert_false(summary_of(history, "vm", FIRST_SEC + 40, HOUR_SEC).cow_breaks_count.known);

    take(history, round_at(FIRST_SEC + 40 + WEEK_SEC));
    g_assert_nonnull(mf_history_find(history, "vm-uuid"));
    take(history, round_at(FIRST_SEC + 41 + WEEK_SEC));
    g_assert_null(mf_history_find(history, "vm-uuid"));
}

/* A round that is no later than the last one would count time twice. */
static void
test_time_does_not_stand_still(void)
{
    g_autoptr(MfHistory) history = mf_history_new();

    take_simple(history, FIRST_SEC, ANY_PID, 1, 0);
    take_simple(history, FIRST_SEC + 10, ANY_PID, 1, 10);
    take_simple(history, FIRST_SEC + 10, ANY_PID, 9, 99);
    take_simple(history, FIRST_SEC, ANY_PID, 9, 99);
    assert_figure(summary_of(history, "vm", FIRST_SEC + 10, HOUR_SEC).cow_breaks_count, 10u);
    assert_figure(summary_of(history, "vm", FIRST_SEC + 10, HOUR_SEC).saved_bytes, MIB);
}

static void
take_many(MfHistory *history, guint64 sec, guint first, guint count)
{
    MfSnapshot *snapshot = round_at(sec);

    for (guint i = first; i < first + count; i++) {
        g_autofree char *name = g_strdup_printf("vm%04u", i);

        add_domain(snapshot, name, ANY_PID + i)->saved_bytes = MF_U64(i);
    }
    take(history, snapshot);
}

static void
test_bound(void)
{
    g_autoptr(MfHistory) history = mf_history_new();

    take_many(history, FIRST_SEC, 0, 500);
    g_assert_cmpuint(mf_history_get_size_bytes(history), <=, MIB);
    take_many(history, FIRST_SEC + 10, 1, 700);
    g_assert_cmpuint(mf_history_get_size_bytes(history), <=, MF_HISTORY_BYTES_MAX);
    g_autoptr(GPtrArray) full = mf_history_list(history);
    g_assert_cmpuint(full->len, ==, MF_HISTORY_RECORDS_MAX);
    g_assert_cmpuint(mf_history_get_unrecorded_count(history), ==, 700 - MF_HISTORY_RECORDS_MAX);
    g_assert_null(mf_history_find(history, "vm0000-uuid"));

    /* The ones that went first make room first. */
    take_many(history, FIRST_SEC + 20, 2, 500);
    take_many(history, FIRST_SEC + 30, 3, 499);
    take_many(history, FIRST_SEC + 40, 1000, 2 + MF_HISTORY_RECORDS_MAX - 502);
    g_assert_cmpuint(mf_history_get_unrecorded_count(history), ==, 0);
    g_assert_nonnull(mf_history_find(history, "vm0003-uuid"));
    g_assert_nonnull(mf_history_find(history, "vm0002-uuid"));
    g_assert_null(mf_history_find(history, "vm0001-uuid"));
    g_autoptr(GPtrArray) list = mf_history_list(history);
    g_assert_cmpuint(list->len, ==, MF_HISTORY_RECORDS_MAX);
    g_assert_cmpstr(mf_record_get_name(list->pdata[0]), ==, "vm0002");
}

/* A week of rounds of one domain, each with other figures, of up to so many bits. */
static gsize
week_size_bytes(guint bits)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(bits);
    g_autoptr(MfHistory) history = mf_history_new();
    gsize empty_bytes = mf_history_get_size_bytes(history);
    guint32 mask = bits == 0 ? 0 : G_MAXUINT32 >> (32 - bits);
    guint64 totals[3] = {0};

    for (guint64 sec = FIRST_SEC; sec <= FIRST_SEC + WEEK_SEC; sec += 20) {
        MfSnapshot *snapshot = round_at(sec);
        MfDomain *domain = add_domain(snapshot, "vm", ANY_PID);
        MfU64 *levels[] = {&domain->saved_bytes, &domain->merged_bytes, &domain->zero_bytes,
                           &domain->resident_bytes};

        for (guint i = 0; i < G_N_ELEMENTS(levels); i++) {
            *levels[i] = MF_U64((MIB + (g_rand_int(random) & mask)) * 4096);
        }
        for (guint i = 0; i < G_N_ELEMENTS(totals); i++) {
            totals[i] += g_rand_int(random) & mask;
        }
        domain->cow_breaks_count = MF_U64(totals[0]);
        domain->swap_in_copies_count = MF_U64(totals[1]);
        domain->scanned_pages = MF_U64(totals[2]);
        take(history, snapshot);
    }
    return mf_history_get_size_bytes(history) - empty_bytes;
}

/* What a record takes is by what changes in it. */
static void
test_size(void)
{
    static const struct {
        guint bits;
        gsize least_bytes, most_bytes;
    } cases[] = {{0, 2048, 4096}, {8, 4096, 10240}, {32, 16384, MF_HISTORY_RECORD_BYTES_MAX}};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        gsize size_bytes = week_size_bytes(cases[i].bits);

        g_test_message("%u bits: %" G_GSIZE_FORMAT " bytes", cases[i].bits, size_bytes);
        g_assert_cmpuint(size_bytes, >=, cases[i].least_bytes);
        g_assert_cmpuint(size_bytes, <=, cases[i].most_bytes);
    }
}

/* Levels beyond 32 bits of units stay at the end of the scale, and are not taken for absent. */
static void
test_saturates(void)
{
    /* 2^32 units, one less, which is the mark of what is absent, and much more. */
    static const guint64 saved_bytes[] = {16 * MIB * MIB, 16 * MIB * MIB - 4096, G_MAXUINT64};

    for (guint i = 0; i < G_N_ELEMENTS(saved_bytes); i++) {
        g_autoptr(MfHistory) history = mf_history_new();
        MfSnapshot *snapshot = round_at(FIRST_SEC);

        add_domain(snapshot, "vm", ANY_PID)->saved_bytes = MF_U64(saved_bytes[i]);
        take(history, snapshot);
        g_autoptr(GArray) points = series_of(history, MF_SERIES_SAVED, FIRST_SEC, HOUR_SEC);
        g_assert_cmpuint(points->len, ==, 1);
        g_assert_cmpuint(POINT(points, 0).value, ==, 16 * MIB * MIB - 8192);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/history/counts-and-shares", test_counts_and_shares);
    g_test_add_func("/history/absent-and-estimated", test_absent_and_estimated);
    g_test_add_func("/history/absent-in-between", test_absent_in_between);
    g_test_add_func("/history/counting-starts-anew", test_counting_starts_anew);
    g_test_add_func("/history/rings-go-round", test_rings_go_round);
    g_test_add_func("/history/steps", test_steps);
    g_test_add_func("/history/gap", test_gap);
    g_test_add_func("/history/comes-and-goes", test_comes_and_goes);
    g_test_add_func("/history/time-does-not-stand-still", test_time_does_not_stand_still);
    g_test_add_func("/history/bound", test_bound);
    g_test_add_func("/history/size", test_size);
    g_test_add_func("/history/saturates", test_saturates);
    return g_test_run();
}
