/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reckoning of an audit, on worlds whose mappings are known: what each look sees, and the
 * kernel's counts. */
#include "../../src/core/mf-audit.h"
#include "mf-test.h"

#define SWAP(slot)  ((slot) | MF_AUDIT_KEY_SWAP)
#define ROOMY       1024u
#define LOOKS_COUNT 3u

typedef struct {
    guint party;
    guint64 key; /* 0: no mapping */
} Mapping;

/* What maps what in one look; the kernel's counts are of the same moment, and of hidden ones. */
typedef struct {
    Mapping mappings[16];
    guint64 hidden_key; /* mapped once more, by somebody who is never shown */
    gboolean is_missed; /* both that share are seen, but never at one moment */
    gboolean is_moving; /* one page is on its way */
} World;

static guint64
count_mappings(const World *world, guint64 key)
{
    guint64 count = world->hidden_key == key ? 1 : 0;

    for (guint i = 0; i < G_N_ELEMENTS(world->mappings); i++) {
        count += world->mappings[i].key == key ? 1 : 0;
    }
    return count;
}

/* Looks at one window: first at worlds[0], then at worlds[1] as often as is needed. */
static void
look(MfAudit *audit, const World *worlds)
{
    guint cursor = 0;
    guint64 frame = 0;
    const World *world = &worlds[0];

    for (guint i = 0; i < G_N_ELEMENTS(world->mappings); i++) {
        if (world->mappings[i].key != 0) {
            mf_audit_show(audit, world->mappings[i].party, world->mappings[i].key);
        }
    }
    if (world->is_moving) {
        mf_audit_show(audit, 0, 0);
    }
    while (mf_audit_next_frame(audit, &cursor, &frame)) {
        mf_audit_set_mapped(audit, frame, count_mappings(world, frame));
    }
    gboolean needs_look = mf_audit_list_suspects(audit);
    world = &worlds[1];
    for (guint k = 0; needs_look && k < LOOKS_COUNT; k++) {
        mf_audit_begin_look(audit);
        for (guint i = 0; i < G_N_ELEMENTS(world->mappings); i++) {
            if (world->mappings[i].key != 0) {
                mf_audit_show_again(audit, world->mappings[i].party, world->mappings[i].key, i);
            }
        }
        for (guint i = mf_audit_get_n_suspects(audit); i > 0; i--) {
            const MfAuditSuspect *suspect = mf_audit_get_suspect(audit, i - 1);
            mf_audit_settle(audit, i - 1, !world->is_missed,
                            MF_U64(count_mappings(world, suspect->key)));
        }
        needs_look = mf_audit_get_n_suspects(audit) > 0;
    }
    mf_audit_end_looks(audit);
}

/* Two parties with one page. */
static void
test_who_is_apart(void)
{
    static const struct {
        const char *what;
        const char *groups[2];
        guint64 numbers[2]; /* 0: absent */
        guint64 violations;
    } cases[] = {
        {"one group", {"tenant-a", "tenant-a"}, {0, 0}, 0},
        {"two groups", {"tenant-a", "tenant-b"}, {0, 0}, 1},
        {"isolated both", {NULL, NULL}, {0, 0}, 1},
        {"isolated one", {"tenant-a", NULL}, {0, 0}, 1},
        {"the kernel says so, too", {"tenant-a", "tenant-a"}, {7, 7}, 0},
        {"the kernel keeps them apart", {"tenant-a", "tenant-a"}, {7, 8}, 1},
        {"the kernel's group is of one only", {"tenant-a", "tenant-a"}, {7, 0}, 0},
        {"the kernel has them in one", {"tenant-a", "tenant-b"}, {7, 7}, 1},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(MfAudit) audit = mf_audit_new(ROOMY, 4);
        const World worlds[2] = {{.mappings = {{0, 5}, {1, 5}}}, {.mappings = {{0, 5}, {1, 5}}}};

        mf_test_case(cases[i].what);
        for (guint k = 0; k < 2; k++) {
            MfU64 number = cases[i].numbers[k] ? MF_U64(cases[i].numbers[k]) : MF_U64_ABSENT;
            g_assert_cmpuint(mf_audit_add_party(audit, cases[i].groups[k], number, TRUE), ==, k);
        }
        while (mf_audit_next_window(audit)) {
            look(audit, worlds);
        }
        MfAuditCounts counts = mf_audit_get_counts(audit);
        g_assert_cmpuint(counts.violation_pages, ==, cases[i].violations);
        g_assert_cmpuint(counts.within_pages, ==, 1 - cases[i].violations);
        g_assert_cmpuint(mf_audit_get_violations_of(audit, 0), ==, cases[i].violations);
        g_assert_cmpuint(mf_audit_get_violations_of(audit, 1), ==, cases[i].violations);
        g_assert_cmpuint(mf_audit_get_pairs(audit)->len, ==, cases[i].violations);
    }
}

/* Parties 0 and 1 are of tenant-a, 2 is of tenant-b, 3 is no domain's and nobody's friend. */
static const struct {
    const char *what;
    World worlds[2];
    MfAuditCounts counts;
} world_cases[] = {
    {"nothing", {{}, {}}, {0, 0, 0, 0}},
    {"one group shares", {{.mappings = {{0, 5}, {0, 5}, {1, 5}, {1, 6}}}, {}}, {2, 0, 0, 0}},
    {"each page counts once",
     {{.mappings = {{0, 5}, {1, 5}, {2, 5}, {2, 5}}},
      {.mappings = {{0, 5}, {1, 5}, {2, 5}, {2, 5}}}},
     {0, 1, 0, 0}},
    {"only the judged are asked about", {{.mappings = {{0, 5}, {3, 6}, {3, 6}}}, {}}, {1, 0, 0, 0}},
    {"un-merged meanwhile", {{.mappings = {{0, 5}, {2, 5}}}, {.mappings = {{2, 5}}}}, {0, 0, 1, 0}},
    {"gone meanwhile", {{.mappings = {{0, 5}, {2, 5}}}, {}}, {0, 0, 1, 0}},
    {"seen, but never at one moment",
     {{.mappings = {{0, 5}, {2, 5}}}, {.mappings = {{0, 5}, {2, 5}}, .is_missed = TRUE}},
     {0, 0, 0, 1}},
    {"mapped by who is not found",
     {{.mappings = {{0, 5}}, .hidden_key = 5}, {.mappings = {{0, 5}}, .hidden_key = 5}},
     {0, 0, 0, 1}},
    {"mapped by a stranger who is found",
     {{.mappings = {{0, 5}}, .hidden_key = 5}, {.mappings = {{0, 5}, {3, 5}}}},
     {0, 1, 0, 0}},
    {"mapped by a friend who came late",
     {{.mappings = {{0, 5}}, .hidden_key = 5}, {.mappings = {{0, 5}, {1, 5}}}},
     {1, 0, 0, 0}},
    {"mapped by who has left",
     {{.mappings = {{0, 5}}, .hidden_key = 5}, {.mappings = {{0, 5}}}},
     {1, 0, 0, 0}},
    {"moved between the looks",
     {{.mappings = {{0, 5}}, .hidden_key = 5}, {.mappings = {{0, 9}, {2, 9}}}},
     {0, 1, 0, 0}},
    {"on its way at the first look",
     {{.mappings = {{1, 5}}, .is_moving = TRUE}, {.mappings = {{0, 9}, {2, 9}}}},
     {1, 1, 0, 0}},
    {"in swap, of one group", {{.mappings = {{0, SWAP(5)}, {1, SWAP(5)}}}, {}}, {1, 0, 0, 0}},
    {"in swap, and perhaps never merged",
     {{.mappings = {{0, SWAP(5)}, {1, SWAP(6)}}}, {}},
     {0, 0, 0, 0}},
    {"in swap, of two groups",
     {{.mappings = {{0, SWAP(5)}, {2, SWAP(5)}}}, {.mappings = {{0, SWAP(5)}, {2, SWAP(5)}}}},
     {0, 1, 0, 0}},
    {"a frame is no slot of that number", {{.mappings = {{0, SWAP(5)}, {2, 5}}}, {}}, {1, 0, 0, 0}},
    {"read back from swap meanwhile",
     {{.mappings = {{0, SWAP(5)}, {2, SWAP(5)}}}, {.mappings = {{0, 7}, {2, SWAP(5)}}}},
     {1, 0, 1, 0}},
};

static void
test_worlds(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(world_cases); i++) {
        g_autoptr(MfAudit) audit = mf_audit_new(ROOMY, 4);

        mf_test_case(world_cases[i].what);
        mf_audit_add_party(audit, "tenant-a", MF_U64_ABSENT, TRUE);
        mf_audit_add_party(audit, "tenant-a", MF_U64_ABSENT, TRUE);
        mf_audit_add_party(audit, "tenant-b", MF_U64_ABSENT, TRUE);
        mf_audit_add_party(audit, NULL, MF_U64_ABSENT, FALSE);
        while (mf_audit_next_window(audit)) {
            look(audit, world_cases[i].worlds);
        }
        MfAuditCounts counts = mf_audit_get_counts(audit);
        g_assert_cmpuint(counts.within_pages, ==, world_cases[i].counts.within_pages);
        g_assert_cmpuint(counts.violation_pages, ==, world_cases[i].counts.violation_pages);
        g_assert_cmpuint(counts.transient_pages, ==, world_cases[i].counts.transient_pages);
        g_assert_cmpuint(counts.unexplained_pages, ==, world_cases[i].counts.unexplained_pages);
    }
}

enum { MANY = 3000, MANY_PARTIES = 5 };

/* Page p is mapped by party p % 5 and, every third one, by the next; parties 0 and 1 are friends.
 */
static void
show_many(MfAudit *audit, gboolean again)
{
    for (guint party = 0; party < MANY_PARTIES; party++) {
        for (guint page = 1; page <= MANY; page++) {
            gboolean is_second = page % 3 == 0 && (page + 1) % MANY_PARTIES == party;

            if (page % MANY_PARTIES != party && !is_second) {
                continue;
            }
            if (again) {
                mf_audit_show_again(audit, party, page, page * 4096);
            } else {
                mf_audit_show(audit, party, page);
            }
        }
    }
}

static void
look_at_many(MfAudit *audit)
{
    guint cursor = 0;
    guint64 frame = 0;

    show_many(audit, FALSE);
    while (mf_audit_next_frame(audit, &cursor, &frame)) {
        mf_audit_set_mapped(audit, frame, frame % 3 == 0 ? 2 : 1);
    }
    if (mf_audit_list_suspects(audit)) {
        mf_audit_begin_look(audit);
        show_many(audit, TRUE);
        for (guint i = mf_audit_get_n_suspects(audit); i > 0; i--) {
            const MfAuditSuspect *suspect = mf_audit_get_suspect(audit, i - 1);
            g_assert_cmpuint(suspect->first_address_bytes, ==, suspect->key * 4096);
            g_assert_cmpuint(suspect->other_address_bytes, ==, suspect->key * 4096);
            mf_audit_settle(audit, i - 1, TRUE, MF_U64_ABSENT);
        }
    }
    mf_audit_end_looks(audit);
}

/* The answer is the same in one window and in many, and exact where not all pairs are told. */
static void
test_windows(void)
{
    static const char *const groups[MANY_PARTIES] = {"a", "a", "b", NULL, NULL};
    static const guint sizes[] = {4096, 1024, 64};
    guint windows_before = 0;

    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(MfAudit) audit = mf_audit_new(sizes[i], 3);
        guint windows = 0;
        guint end_permyriad = 0;

        for (guint party = 0; party < MANY_PARTIES; party++) {
            mf_audit_add_party(audit, groups[party], MF_U64_ABSENT, TRUE);
        }
        while (mf_audit_next_window(audit)) {
            guint start_permyriad = 0;
            windows++;
            look_at_many(audit);
            guint last_permyriad = end_permyriad;
            mf_audit_get_window(audit, &start_permyriad, &end_permyriad);
            g_assert_cmpuint(start_permyriad, ==, last_permyriad);
        }
        g_assert_cmpuint(end_permyriad, ==, 10000);
        g_assert_cmpuint(windows, >=, i == 0 ? 1 : 2 * windows_before);
        windows_before = windows;
        MfAuditCounts counts = mf_audit_get_counts(audit);
        /* A thousand are shared, a fifth of them by the two friends. */
        g_assert_cmpuint(counts.violation_pages, ==, 800);
        g_assert_cmpuint(counts.within_pages, ==, MANY - 800);
        g_assert_cmpuint(counts.unexplained_pages, ==, 0);
        g_assert_cmpuint(mf_audit_get_violations_of(audit, 0), ==, 200);
        g_assert_cmpuint(mf_audit_get_violations_of(audit, 3), ==, 400);
        const GArray *pairs = mf_audit_get_pairs(audit);
        g_assert_cmpuint(pairs->len, ==, 3);
        for (guint k = 0; k < pairs->len; k++) {
            g_assert_cmpuint(g_array_index(pairs, MfAuditPair, k).pages, ==, 200);
        }
    }
}

static void
test_verdicts(void)
{
    static const struct {
        MfAuditCounts counts;
        guint64 zero_pages;
        guint failed;
        const char *verdict;
    } cases[] = {
        {{7, 0, 3, 0}, 0, 0, "clean"},      {{7, 1, 0, 0}, 0, 0, "violated"},
        {{7, 0, 0, 1}, 0, 0, "not-proven"}, {{7, 0, 0, 0}, 0, 1, "not-proven"},
        {{7, 0, 0, 0}, 1, 0, "violated"},   {{7, 1, 0, 1}, 0, 1, "violated"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        MfAuditVerdict verdict =
            mf_audit_judge(&cases[i].counts, cases[i].zero_pages, cases[i].failed);
        g_assert_cmpstr(mf_audit_verdict_to_string(verdict), ==, cases[i].verdict);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/audit/who-is-apart", test_who_is_apart);
    g_test_add_func("/audit/worlds", test_worlds);
    g_test_add_func("/audit/windows", test_windows);
    g_test_add_func("/audit/verdicts", test_verdicts);
    return g_test_run();
}
