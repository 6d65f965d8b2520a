/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages that ksmd has looked at and did not merge: told with evidence above a threshold only. */
#include "why-scene.h"

static void
test_volatile_host(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->domain->merged_bytes = MF_U64(2000 * PAGE);
    scene->host->pages_shared_pages = MF_U64(0);
    scene->host->pages_sharing_pages = MF_U64(2000);
    scene->host->pages_unshared_pages = MF_U64(5500);
    scene->host->pages_volatile_pages = MF_U64(2500);
    tick(scene, 1, 0, 0);
    tell_one(scene, MF_REASON_VOLATILE, "25.00 %|(2500)|tracks 25600|2000 are merged");
    scene->host->pages_volatile_pages = MF_U64(2499);
    scene->host->pages_unshared_pages = MF_U64(5501);
    tell_nothing(scene);
    scene->host->pages_volatile_pages = MF_U64(2500);
    scene->host->pages_unshared_pages = MF_U64(5500);
    scene->host->smart_scan = MF_U64(1); /* pages that were skipped count as if they had changed */
    tell_nothing(scene);
    scene->host->smart_scan = MF_U64(0);
    scene->domain->merged_bytes = MF_U64(PAGES / 2 * PAGE);
    tell_nothing(scene);
    scene->domain->merged_bytes = MF_U64(2000 * PAGE);
    MfDomain *newcomer = add_domain(scene); /* whose pages have not been looked at twice */
    newcomer->rmap_items_pages = MF_U64(0);
    tick(scene, 1, 0, 0);
    tell_nothing(scene);
}

static void
test_volatile_count(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->domain->cow_breaks_count = MF_U64(70000);
    tick(scene, 1, 0, 0);
    tell_nothing(scene); /* that was before */
    scene->domain->cow_breaks_count = MF_U64(70000 + PAGES / 10);
    tick(scene, 1, 0, 0);
    g_assert_nonnull(tell_one(scene, MF_REASON_VOLATILE, "2560 of its merged|10.0 MiB")->remedy);
    tick(scene, 10, 25000, 1);
    tell_one(scene, MF_REASON_VOLATILE, "2560 of its merged");
    tick(scene, 10, 25000, 1);
    tell_nothing(scene); /* what was written then has been looked at twice since */
    scene->domain->cow_breaks_count = MF_U64(70000 + PAGES / 5 - 1);
    tick(scene, 1, 0, 0);
    tell_nothing(scene);
    scene->domain->cow_breaks_count.value++;
    tick(scene, 1, 0, 0);
    tell_one(scene, MF_REASON_VOLATILE, "2560 of");
    tick(scene, 1, 0, 2); /* two sweeps between two ticks */
    tell_nothing(scene);
    scene->domain->cow_breaks_count = MF_U64(0); /* another process, or a counter that began anew */
    tick(scene, 1, 0, 0);
    tell_nothing(scene);
    scene->domain->cow_breaks_count = MF_U64(PAGES / 10);
    tick(scene, 1, 0, 0);
    tell_one(scene, MF_REASON_VOLATILE, "2560 of");
}

static void
test_huge_pages(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->domain->huge_bytes = MF_U64(50 * MIB);
    tick(scene, 1, 0, 0);
    tell_nothing(scene); /* as much is merged */
    scene->domain->merged_bytes = MF_U64(MIB);
    const MfReason *found = tell_one(scene, MF_REASON_HUGE_PAGES, "50.0 MiB|1.0 MiB are merged");
    g_assert_nonnull(strstr(found->remedy, "memfold estimate vm"));
    scene->domain->huge_bytes = MF_U64(50 * MIB - 1);
    tell_nothing(scene);

    scene->domain->merged_bytes = MF_U64(50 * MIB);
    scene->domain->huge_bytes = MF_U64(10 * MIB);
    scene->host->huge_min_pages = MF_U64(64);
    tell_nothing(scene); /* nothing was left because of it */
    scene->host->pages_unsplit_pages = MF_U64(333);
    found = tell_one(scene, MF_REASON_HUGE_PAGES, "10.0 MiB|64 pages|333 pages");
    g_assert_nonnull(strstr(found->remedy, "huge_min_pages"));
    scene->domain->huge_bytes = MF_U64(10 * MIB - 1);
    tell_nothing(scene);
    scene->domain->huge_bytes = MF_U64(10 * MIB);
    scene->host->huge_min_pages = MF_U64(1);
    tell_nothing(scene);
}

static void
test_other_node(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->domain->main_node = MF_U64(0);
    scene->domain->other_node_bytes = MF_U64(10 * MIB);
    tick(scene, 1, 0, 0);
    tell_nothing(scene); /* they merge across nodes */
    scene->host->merge_across_nodes = MF_U64(0);
    g_assert_nonnull(
        strstr(tell_one(scene, MF_REASON_OTHER_NODE, "node 0, 10.0 MiB on others|0 of 0")->remedy,
               "merge_across_nodes"));
    scene->domain->other_node_bytes = MF_U64(10 * MIB - 1);
    tell_nothing(scene);
    MfDomain *other = add_domain(scene);
    other->main_node = MF_U64(0);
    tell_nothing(scene);
    other->main_node = MF_U64(1);
    tell_one(scene, MF_REASON_OTHER_NODE, "1 of 1 other domains");
    scene->domain->main_node = MF_U64_ABSENT;
    tell_nothing(scene);
}

static void
test_sharing_limit(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->host->stable_node_chains_count = MF_U64(2);
    scene->host->stable_node_dups_pages = MF_U64(1026);
    scene->host->max_page_sharing_pages = MF_U64(10);
    scene->host->pages_sharing_pages = MF_U64(102400);
    tick(scene, 1, 0, 0);
    g_assert_nonnull(
        tell_one(scene, MF_REASON_SHARING_LIMIT, "2 contents|max_page_sharing=10|4.0 MiB")->remedy);
    scene->host->stable_node_dups_pages = MF_U64(1025); /* below 4 MiB */
    tell_nothing(scene);
    scene->host->stable_node_dups_pages = MF_U64(1026);
    scene->host->pages_sharing_pages = MF_U64(102600); /* less than a hundredth of it */
    tell_nothing(scene);
    scene->host->pages_sharing_pages = MF_U64(102400);
    scene->domain->merged_bytes = MF_U64(0);
    tell_nothing(scene);
}

static void
test_swapped_in(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->host->swap_in_copies_count = MF_U64(5000);
    scene->domain->swapped_bytes = MF_U64(10 * MIB);
    tick(scene, 1, 0, 0);
    tell_nothing(scene);
    scene->host->swap_in_copies_count = MF_U64(6024);
    tick(scene, 1, 0, 0);
    g_assert_nonnull(
        tell_one(scene, MF_REASON_SWAPPED_IN, "10.0 MiB|1024 merged pages came back")->remedy);
    scene->domain->swapped_bytes = MF_U64(10 * MIB - 1);
    tell_nothing(scene);
    scene->domain->swapped_bytes = MF_U64(10 * MIB);
    tick(scene, 1, 0, 2);
    tell_nothing(scene);

    /* A kernel that counts for each process: then it is told of those whose pages they were. */
    scene->domain->swap_in_copies_count = MF_U64(0);
    tick(scene, 1, 0, 0);
    scene->host->swap_in_copies_count = MF_U64(9999);
    tick(scene, 1, 0, 0);
    tell_nothing(scene);
    scene->domain->swap_in_copies_count = MF_U64(PAGES / 10);
    tick(scene, 1, 0, 0);
    tell_one(scene, MF_REASON_SWAPPED_IN, "2560 of its merged pages (10.0 MiB) came back");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_test("/why/volatile/host", test_volatile_host);
    add_test("/why/volatile/count", test_volatile_count);
    add_test("/why/huge-pages", test_huge_pages);
    add_test("/why/other-node", test_other_node);
    add_test("/why/sharing-limit", test_sharing_limit);
    add_test("/why/swapped-in", test_swapped_in);
    return g_test_run();
}
