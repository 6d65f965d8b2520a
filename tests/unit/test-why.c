/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that can't merge, what is not marked, what ksmd has not come to, and the order of all. */
#include "why-scene.h"

static void
test_nothing(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    tick(scene, 1, 0, 0);
    tell_nothing(scene);
    tick(scene, 10, 50000, 1);
    tell_nothing(scene);
    g_assert_cmpuint(scene->plan->host_reasons->len, ==, 0);
}

/* What can't be read is no evidence. */
static void
test_unknown(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *bare = mf_domain_new(scene->domain->uuid, "vm");

    g_ptr_array_remove_index(scene->snapshot->domains, 0);
    g_ptr_array_add(scene->snapshot->domains, bare);
    tick(scene, 1, 0, 0);
    tell_nothing(scene);
    *scene->host = (MfHost){0};
    bare->mergeable_bytes = MF_U64(PAGES * PAGE);
    bare->resident_bytes = MF_U64(PAGES * PAGE);
    mf_watch_note(scene->snapshot, &scene->watch);
    tell_nothing(scene);
}

static void
test_fresh(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->domain->rmap_items_pages = MF_U64(100);
    tick(scene, 1, 0, 0);
    g_assert_null(tell_one(scene, MF_REASON_NOT_SCANNED, "is not known|0 of the 3 sweeps")->remedy);
    tick(scene, 10, 1000, 1);
    scene->domain->rmap_items_pages = MF_U64(PAGES);
    /* Two sweeps of 25700 pages and 50 at 100 pages a second. */
    tell_one(scene, MF_REASON_NOT_SCANNED, "about 8 minutes|100 pages a second|1 of the 3 sweeps");
    tick(scene, 10, 20000, 0);
    /* The sweep has come 20000 further, at 2000 a second. */
    tell_one(scene, MF_REASON_NOT_SCANNED, "about 15 s|2000 pages|1 of the 3");
    tick(scene, 1, 999999, 0); /* too soon to measure again */
    tell_one(scene, MF_REASON_NOT_SCANNED, "2000 pages a second");
    tick(scene, 10, 5000, 1);
    tell_one(scene, MF_REASON_NOT_SCANNED, "2 of the 3 sweeps");
    tick(scene, 10, 25000, 1);
    tell_nothing(scene);
}

/* A sweep is as long as what ksmd tracks on the whole host, or as what it has still to come to. */
static void
test_sweep(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->domain->rmap_items_pages = MF_U64(100);
    tick(scene, 1, 0, 0);
    tick(scene, 10, 1000, 0);
    scene->host->pages_unshared_pages = MF_U64(120000 - 100 - PAGES / 2);
    scene->host->pages_volatile_pages = MF_U64(0);
    tell_one(scene, MF_REASON_NOT_SCANNED, "about 60 minutes|100 pages a second");
    add_domain(scene)->resident_bytes = MF_U64((240000 - PAGES) * PAGE);
    tell_one(scene, MF_REASON_NOT_SCANNED, "about 2 hours");
}

/* The time that ksmd stood still is in no rate. */
static void
test_rate(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->domain->rmap_items_pages = MF_U64(100);
    tick(scene, 1, 0, 0);
    tick(scene, 10, 1000, 0);
    tell_one(scene, MF_REASON_NOT_SCANNED, "100 pages a second");
    scene->host->run = MF_U64(0);
    tick(scene, 10, 0, 0);
    scene->host->run = MF_U64(1);
    tick(scene, 1, 0, 0);
    tick(scene, 4, 4000, 0);
    tell_one(scene, MF_REASON_NOT_SCANNED, "is not known");
    tick(scene, 1, 1000, 0);
    tell_one(scene, MF_REASON_NOT_SCANNED, "1000 pages a second");
}

/* A domain that ran long before memfoldd has been looked at, whatever memfoldd saw of that. */
static void
test_not_fresh(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    tick(scene, 1, 0, 0);
    tell_nothing(scene);
    /* Then it grows, and ksmd knows less than three quarters of it. */
    scene->domain->resident_bytes = MF_U64(2 * PAGES * PAGE);
    tick(scene, 10, 1000, 0);
    tell_one(scene, MF_REASON_NOT_SCANNED, "found 25600 of its 51200 pages so far|100 pages");
    scene->domain->rmap_items_pages = MF_U64(PAGES * 3 / 2 - 1);
    tell_one(scene, MF_REASON_NOT_SCANNED, "found 38399 of");
    scene->domain->rmap_items_pages = MF_U64(PAGES * 3 / 2);
    tell_nothing(scene);
    scene->domain->rmap_items_pages = MF_U64(PAGES);
    scene->domain->memory_kind = MF_MEMORY_FILE; /* most of it can't be found, ever */
    tell_nothing(scene);
}

static void
test_new_again(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    tick(scene, 1, 0, 0);
    tell_nothing(scene);
    scene->domain->pid = 4712; /* another QEMU */
    scene->domain->rmap_items_pages = MF_U64(0);
    tick(scene, 1, 0, 0);
    tell_one(scene, MF_REASON_NOT_SCANNED, "0 of the 3 sweeps");
    tick(scene, 9, 9, 3);
    scene->domain->rmap_items_pages = MF_U64(PAGES);
    tell_nothing(scene);
    scene->domain->mergeable_bytes = MF_U64(0); /* switched off, and on again */
    tick(scene, 1, 0, 0);
    tell_nothing(scene);
    scene->domain->mergeable_bytes = MF_U64(PAGES * PAGE);
    scene->domain->rmap_items_pages = MF_U64(0);
    tick(scene, 1, 0, 0);
    tell_one(scene, MF_REASON_NOT_SCANNED, "0 of the 3 sweeps");
}

static void
test_scanned_by_count(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->domain->rmap_items_pages = MF_U64(0);
    scene->domain->scanned_pages = MF_U64(1000);
    tick(scene, 1, 0, 0);
    scene->domain->scanned_pages = MF_U64(1000 + PAGES);
    tick(scene, 10, 10000, 3);
    tell_one(scene, MF_REASON_NOT_SCANNED, "about 25 s|scanned 25600 of its pages|25600 are in");
    scene->domain->scanned_pages = MF_U64(1000 + 2 * PAGES - 1);
    tell_one(scene, MF_REASON_NOT_SCANNED, "scanned 51199");
    scene->domain->scanned_pages = MF_U64(1000 + 2 * PAGES);
    tell_nothing(scene);
}

static void
test_waits(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->domain->rmap_items_pages = MF_U64(0);
    tick(scene, 1, 0, 0);
    tick(scene, 10, 10, 0);
    /* 77100 pages, one a second. */
    const MfReason *slow =
        tell_one(scene, MF_REASON_NOT_SCANNED, "about 21 hours|1 pages a second");
    g_assert_nonnull(strstr(slow->remedy, "cpu-budget-permyriad"));
    scene->host->run = MF_U64(0);
    tick(scene, 10, 0, 0);
    g_assert_nonnull(tell_one(scene, MF_REASON_NOT_SCANNED, "does not run now")->remedy);
    scene->domain->resident_bytes = MF_U64(4 * MIB - 1); /* too little to speak of */
    tell_nothing(scene);
}

static void
test_guest_private(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->domain->launch_security = g_strdup("sev-snp");
    g_assert_nonnull(tell_one(scene, MF_REASON_GUEST_PRIVATE, "type \"sev-snp\"")->remedy);
    scene->want = MF_MODE_OFF; /* also of one that its policy keeps from merging: behind that */
    const MfVerdict *verdict = tell(scene, NOTHING);
    g_assert_cmpuint(verdict->reasons->len, ==, 3);
    g_assert_cmpint(((MfReason *)g_ptr_array_index(verdict->reasons, 2))->code, ==,
                    MF_REASON_GUEST_PRIVATE);
}

static void
test_pinned(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->domain->passthrough_count = 1;
    g_assert_nonnull(tell_one(scene, MF_REASON_PINNED, "1 passed-through device may")->remedy);
    scene->domain->passthrough_count = 2;
    tell_one(scene, MF_REASON_PINNED, "2 passed-through devices may");
}

static void
add_block(Scene *scene, const char *id, guint64 size_bytes, gboolean mergeable, const char *blocker)
{
    MfBlock *block = mf_block_new();

    block->id = g_strdup(id);
    block->size_bytes = size_bytes;
    block->mode = mergeable ? MF_MODE_ON : MF_MODE_OFF;
    block->mergeable_known = TRUE;
    block->mergeable = mergeable;
    block->blockers = g_strsplit(blocker, " ", -1);
    if (scene->domain->blocks == NULL) {
        scene->domain->blocks = g_ptr_array_new_with_free_func((GDestroyNotify)mf_block_free);
    }
    g_ptr_array_add(scene->domain->blocks, block);
}

/* Each blocker of QEMU's, on a block beside one that is marked. */
static void
test_blockers(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        const char *blockers;
        MfReasonCode code;
        const char *words;
        const char *remedy; /* NULL: there is none */
    } cases[] = {
        {"policy", MF_REASON_BLOCK_UNMARKED, "\"dimm0\" (512.0 MiB)|(policy)", "set-memory-merge"},
        {"", MF_REASON_BLOCK_UNMARKED, "\"dimm0\"|(mode off)", "set-memory-merge"},
        {"policy shared", MF_REASON_BLOCK_UNMARKED, "(policy, shared)", "not shared"},
        {"huge-pages", MF_REASON_BLOCK_UNMARKED, "(huge-pages)", "<hugepages/>"},
        {"device", MF_REASON_BLOCK_UNMARKED, "(device)", NULL},
        {"pmem", MF_REASON_BLOCK_UNMARKED, "(pmem)", NULL},
        {"snapshot", MF_REASON_BLOCK_UNMARKED, "(snapshot)", "wait"},
        {"host", MF_REASON_BLOCK_UNMARKED, "(host)", "QEMU's log"},
        {"guest-private", MF_REASON_GUEST_PRIVATE, "QEMU says", "<launchSecurity>"},
        {"pinned", MF_REASON_PINNED, "QEMU says", "virtio"},
        {"secret", NOTHING, NULL, NULL},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        mf_test_case(cases[i].blockers);
        g_clear_pointer(&scene->domain->blocks, g_ptr_array_unref);
        add_block(scene, "pc.ram", 1024 * MIB, TRUE, "");
        add_block(scene, "dimm0", 512 * MIB, FALSE, cases[i].blockers);
        if (cases[i].code == NOTHING) {
            tell_nothing(scene);
            continue;
        }
        const MfReason *found = tell_one(scene, cases[i].code, cases[i].words);
        g_assert_cmpint(found->remedy == NULL, ==, cases[i].remedy == NULL);
        if (found->remedy != NULL) {
            g_assert_nonnull(strstr(found->remedy, cases[i].remedy));
        }
    }
}

static void
test_blocks(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    add_block(scene, "dimm0", 512 * MIB, FALSE, "");
    tell_nothing(scene); /* the domain is off as a whole, which its mode tells */
    add_block(scene, "pc.ram", 1024 * MIB, TRUE, "");
    tell_one(scene, MF_REASON_BLOCK_UNMARKED, "block \"dimm0\"");
    ((MfBlock *)g_ptr_array_index(scene->domain->blocks, 1))->mergeable_known = FALSE;
    ((MfBlock *)g_ptr_array_index(scene->domain->blocks, 1))->mergeable = FALSE;
    tell_one(scene, MF_REASON_BLOCK_UNMARKED, "block \"dimm0\"");
    add_block(scene, "dimm1", 600 * MIB, FALSE, "");
    tell_one(scene, MF_REASON_BLOCK_UNMARKED, "\"dimm1\"|1 more are not");
    g_ptr_array_remove_index(scene->domain->blocks, 2);
    ((MfBlock *)g_ptr_array_index(scene->domain->blocks, 0))->size_bytes = 4 * MIB - 1;
    tell_nothing(scene);
    ((MfBlock *)g_ptr_array_index(scene->domain->blocks, 0))->size_bytes = 4 * MIB;
    MfBlock *dimm = g_ptr_array_index(scene->domain->blocks, 0);
    dimm->mergeable_known = FALSE; /* the host does not tell: its mode does */
    tell_one(scene, MF_REASON_BLOCK_UNMARKED, "(mode off)");
    dimm->mode = MF_MODE_ON;
    tell_nothing(scene);
    dimm->mergeable_known = TRUE; /* asked for, and not done */
    tell_one(scene, MF_REASON_BLOCK_UNMARKED, "\"dimm0\"");
    scene->want = MF_MODE_OFF;
    tell_nothing(scene);
}

/* From the ground up, between what keeps the domain from being marked and its policy. */
static void
test_order(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const MfReasonCode codes[] = {
        MF_REASON_WAITING,        MF_REASON_GUEST_PRIVATE, MF_REASON_PINNED,
        MF_REASON_BLOCK_UNMARKED, MF_REASON_NOT_SCANNED,   MF_REASON_VOLATILE,
        MF_REASON_HUGE_PAGES,     MF_REASON_OTHER_NODE,    MF_REASON_SHARING_LIMIT,
        MF_REASON_SWAPPED_IN,     MF_REASON_POLICY,
    };

    scene->domain->launch_security = g_strdup("tdx");
    scene->domain->passthrough_count = 1;
    add_block(scene, "pc.ram", 1024 * MIB, TRUE, "");
    add_block(scene, "dimm0", 512 * MIB, FALSE, "");
    scene->domain->rmap_items_pages = MF_U64(0);
    scene->domain->cow_breaks_count = MF_U64(0);
    scene->domain->swap_in_copies_count = MF_U64(0);
    scene->domain->huge_bytes = MF_U64(90 * MIB);
    scene->host->huge_min_pages = MF_U64(2);
    scene->host->pages_unsplit_pages = MF_U64(2);
    scene->host->merge_across_nodes = MF_U64(0);
    scene->domain->main_node = MF_U64(1);
    scene->domain->other_node_bytes = MF_U64(40 * MIB);
    scene->host->stable_node_chains_count = MF_U64(1);
    scene->host->stable_node_dups_pages = MF_U64(9000);
    tick(scene, 1, 0, 0);
    scene->domain->cow_breaks_count = MF_U64(PAGES);
    scene->domain->swap_in_copies_count = MF_U64(PAGES);
    tick(scene, 1, 0, 0);
    const MfVerdict *verdict = tell(scene, NOTHING);
    g_assert_cmpuint(verdict->reasons->len, ==, G_N_ELEMENTS(codes));
    for (guint i = 0; i < G_N_ELEMENTS(codes); i++) {
        const MfReason *reason = g_ptr_array_index(verdict->reasons, i);
        g_assert_cmpstr(mf_reason_code_to_string(reason->code), ==,
                        mf_reason_code_to_string(codes[i]));
    }
}

static void
test_ksm_off(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        guint64 run;
        MfMode want;
        MfReasonCode host;
        gboolean told;
    } cases[] = {
        {0, MF_MODE_ON, MF_REASON_UNMANAGED, TRUE},
        {0, MF_MODE_ON, MF_REASON_OTHER_MANAGER, TRUE},
        {1, MF_MODE_ON, MF_REASON_UNMANAGED, FALSE},
        {0, MF_MODE_OFF, MF_REASON_UNMANAGED, FALSE},
        {0, MF_MODE_ON, MF_REASON_START_HOLD, FALSE},
        {0, MF_MODE_ON, MF_REASON_UNCOVERED, FALSE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case %u", i);
        scene->host->run = MF_U64(cases[i].run);
        scene->want = cases[i].want;
        tell(scene, cases[i].host);
        const GPtrArray *reasons = scene->plan->host_reasons;
        g_assert_cmpuint(reasons->len, ==, cases[i].told ? 2 : 1);
        if (cases[i].told) {
            const MfReason *reason = g_ptr_array_index(reasons, 1);
            g_assert_cmpint(reason->code, ==, MF_REASON_KSM_OFF);
            g_assert_nonnull(reason->remedy);
        }
    }
}

/* What a dry run notes is forgotten with its copy. */
static void
test_copy(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfWatch copy;

    scene->domain->rmap_items_pages = MF_U64(0);
    tick(scene, 1, 0, 0);
    mf_watch_copy(&scene->watch, &copy);
    scene->host->full_scans_count.value += 3;
    mf_watch_note(scene->snapshot, &copy);
    const MfWatched *kept = mf_watch_find(&scene->watch, scene->domain->uuid);
    const MfWatched *copied = mf_watch_find(&copy, scene->domain->uuid);
    g_assert_cmpuint(mf_watch_sweeps_count(&scene->watch, kept).value, ==, 0);
    g_assert_cmpuint(mf_watch_sweeps_count(&copy, copied).value, ==, 3);
    g_ptr_array_set_size(scene->snapshot->domains, 0);
    mf_watch_note(scene->snapshot, &copy);
    g_assert_null(mf_watch_find(&copy, "00000000-0000-0000-0000-000000000000"));
    g_assert_nonnull(mf_watch_find(&scene->watch, "00000000-0000-0000-0000-000000000000"));
    mf_watch_clear(&copy);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_test("/why/nothing", test_nothing);
    add_test("/why/unknown", test_unknown);
    add_test("/why/not-scanned/fresh", test_fresh);
    add_test("/why/not-scanned/sweep", test_sweep);
    add_test("/why/not-scanned/rate", test_rate);
    add_test("/why/not-scanned/not-fresh", test_not_fresh);
    add_test("/why/not-scanned/new-again", test_new_again);
    add_test("/why/not-scanned/by-count", test_scanned_by_count);
    add_test("/why/not-scanned/waits", test_waits);
    add_test("/why/guest-private", test_guest_private);
    add_test("/why/pinned", test_pinned);
    add_test("/why/blockers", test_blockers);
    add_test("/why/blocks", test_blocks);
    add_test("/why/order", test_order);
    add_test("/why/ksm-off", test_ksm_off);
    add_test("/why/copy", test_copy);
    return g_test_run();
}
