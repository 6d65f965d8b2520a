/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From files to a snapshot: what is there is told, what is not is absent, and each trouble once. */
#include "../../src/core/mf-account.h"
#include "../../src/core/mf-error.h"
#include "../../src/engine/mf-collect.h"
#include "fakeroot.h"
#include "logcatch.h"

#define UUID_A "11111111-1111-4111-8111-111111111111"
#define UUID_B "22222222-2222-4222-8222-222222222222"
#define KIB    G_GUINT64_CONSTANT(1024)

static const FakeDomain vm_a = {
    .name = "a",
    .uuid = UUID_A,
    .pid = 1001,
    .mergeable_kib = 65536,
    .resident_kib = 40000,
    .proportional_kib = 30000,
    .merged_kib = 12000,
    .merging_pages = 3000,
    .rmap_items_pages = 10000,
    .profit_bytes = 777,
};

typedef struct {
    FakeRoot *fake;
    MfRoot *root;
    MfProblems *problems;
    GPtrArray *domains;
    MfSnapshot *snapshot;
} Scene;

static void
scene_open(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->fake = fake_root_new();
    scene->root = fake_root_open(scene->fake);
    scene->problems = mf_problems_new();
    scene->domains = g_ptr_array_new_with_free_func((GDestroyNotify)mf_domain_free);
    scene->snapshot = NULL;
    log_catch_clear();
    g_ptr_array_add(scene->domains, mf_domain_new(UUID_A, "a"));
}

static void
scene_close(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    mf_snapshot_free(scene->snapshot);
    g_ptr_array_unref(scene->domains);
    mf_problems_free(scene->problems);
    mf_root_unref(scene->root);
    fake_root_free(scene->fake);
}

/* The domain as the next snapshot has it. */
static MfDomain *
collect(Scene *scene, gboolean with_accounts)
{
    mf_snapshot_free(scene->snapshot);
    scene->snapshot = mf_collect(scene->root, scene->domains, with_accounts, scene->problems);
    return scene->domains->pdata[0];
}

static void
test_figures(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    const MfDomain *domain = NULL;

    fake_root_add_domain(scene->fake, &vm_a);
    fake_root_set_ksm(scene->fake, "pages_sharing", "2500");
    domain = collect(scene, TRUE);
    g_assert_cmpint(domain->pid, ==, 1001);
    g_assert_cmpuint(domain->mergeable_bytes.value, ==, 65536 * KIB);
    g_assert_cmpuint(domain->resident_bytes.value, ==, 40000 * KIB);
    g_assert_cmpuint(domain->merged_bytes.value, ==, 12000 * KIB);
    g_assert_cmpuint(domain->saved_bytes.value, ==, 10000 * KIB);
    g_assert_cmpint(domain->profit_bytes.value, ==, 777);
    g_assert_cmpuint(scene->snapshot->host.saved_bytes.value, ==, 2500 * 4096);
    g_assert_true(scene->snapshot->host.other_saved_bytes.known);
    g_assert_cmpint(scene->snapshot->taken_usec, >, 0);
}

static void
test_no_process(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    const MfDomain *domain = collect(scene, TRUE);

    g_assert_cmpint(domain->pid, ==, 0);
    g_assert_false(domain->resident_bytes.known);
    g_assert_false(domain->zero_bytes.known);
    g_assert_cmpuint(log_catch_count(G_LOG_LEVEL_WARNING, "figures*"), ==, 0);
}

/* Between two reads the process ends and its number is given to somebody else. */
static void
test_pid_of_another(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const char *const arguments[] = {"qemu", "-uuid", UUID_B, NULL};
    const MfDomain *domain = NULL;

    fake_root_add_domain(scene->fake, &vm_a);
    g_assert_true(collect(scene, TRUE)->saved_bytes.known);
    fake_root_end_process(scene->fake, 1001);
    fake_root_add_process(scene->fake, 1001, "qemu-system-x86", arguments);
    domain = collect(scene, FALSE);
    g_assert_cmpint(domain->pid, ==, 0);
    g_assert_false(domain->saved_bytes.known);
    g_assert_false(domain->counted_bytes.known);
    g_assert_false(domain->zero_bytes.known);
}

static void
test_accounts_are_carried_along(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    FakeDomain later = vm_a;
    const MfDomain *domain = NULL;

    fake_root_add_domain(scene->fake, &vm_a);
    collect(scene, TRUE);
    later.merged_kib = 0;
    later.proportional_kib = vm_a.resident_kib;
    later.profit_bytes = -5;
    fake_root_add_domain(scene->fake, &later);
    domain = collect(scene, FALSE);
    g_assert_cmpuint(domain->merged_bytes.value, ==, 12000 * KIB);
    g_assert_cmpint(domain->profit_bytes.value, ==, -5);
    g_assert_cmpuint(domain->counted_bytes.value, ==, 777 + 10000 * 64);
    g_assert_false(scene->snapshot->host.other_saved_bytes.known);
    domain = collect(scene, TRUE);
    g_assert_cmpuint(domain->merged_bytes.value, ==, 0);
    g_assert_cmpuint(domain->counted_bytes.value, ==, 10000 * 64 - 5);
    g_assert_cmpuint(domain->saved_bytes.value, ==, 0);
}

/* Page tables are walked for nodes only where it matters on which one a page is. */
static void
test_nodes_only_where_they_do_not_merge(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    const char *maps = "7f00 default anon=9 N0=2 N1=7 kernelpagesize_kB=4\n";

    fake_root_add_domain(scene->fake, &vm_a);
    fake_root_set_file(scene->fake, "proc/1001/numa_maps", maps);
    g_assert_false(collect(scene, TRUE)->main_node.known); /* a kernel without NUMA */
    fake_root_set_ksm(scene->fake, "merge_across_nodes", "1");
    g_assert_false(collect(scene, TRUE)->main_node.known);
    fake_root_set_ksm(scene->fake, "merge_across_nodes", "0");
    g_assert_false(collect(scene, FALSE)->main_node.known); /* not in each tick */
    g_assert_cmpuint(collect(scene, TRUE)->main_node.value, ==, 1);
    g_assert_cmpuint(collect(scene, TRUE)->other_node_bytes.value, ==, 8 * KIB);
    fake_root_set_ksm(scene->fake, "merge_across_nodes", "1");
    g_assert_false(collect(scene, TRUE)->main_node.known);
}

/* A domain that migrates within the host has two QEMUs for a while.  It stays with the one that it
 * was known by until that ends; the other process is somebody else's saving, and the sum is still
 * the host's. */
static void
test_two_qemus_of_one_domain(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    FakeDomain incoming = vm_a;
    const MfDomain *domain = NULL;

    fake_root_add_domain(scene->fake, &vm_a);
    fake_root_set_ksm(scene->fake, "pages_sharing", "2500");
    g_assert_cmpuint(collect(scene, TRUE)->saved_bytes.value, ==, 10000 * KIB);
    g_assert_cmpuint(scene->snapshot->host.other_saved_bytes.value, ==, 0);

    incoming.pid = 1002;
    incoming.proportional_kib = 36000;
    fake_root_add_domain(scene->fake, &incoming);
    fake_root_set_ksm(scene->fake, "pages_sharing", "3500");
    domain = collect(scene, TRUE);
    g_assert_cmpuint(domain->saved_bytes.value + scene->snapshot->host.other_saved_bytes.value, ==,
                     14000 * KIB);
    g_assert_cmpuint(mf_account_sum_error_permyriad(scene->snapshot).value, ==, 0);

    fake_root_end_process(scene->fake, 1001);
    fake_root_set_ksm(scene->fake, "pages_sharing", "1000");
    domain = collect(scene, TRUE);
    g_assert_cmpint(domain->pid, ==, 1002);
    g_assert_cmpuint(domain->saved_bytes.value, ==, 4000 * KIB);
    g_assert_cmpuint(scene->snapshot->host.other_saved_bytes.value, ==, 0);
    g_assert_cmpuint(mf_account_sum_error_permyriad(scene->snapshot).value, ==, 0);
}

static void
test_a_new_domain_is_accounted_at_once(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_add_domain(scene->fake, &vm_a);
    g_assert_cmpuint(collect(scene, FALSE)->saved_bytes.value, ==, 10000 * KIB);
}

static void
test_who_is_switched_is_not_waited_for(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = NULL;

    fake_root_add_domain(scene->fake, &vm_a);
    domain = collect(scene, TRUE);
    domain->switching = TRUE;
    fake_root_end_process(scene->fake, 1001);
    g_assert_cmpint(collect(scene, FALSE)->pid, ==, 1001);
    g_assert_cmpint(collect(scene, TRUE)->pid, ==, 0);
}

static void
test_trouble_is_told_once(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    const MfDomain *domain = NULL;

    fake_root_add_domain(scene->fake, &vm_a);
    fake_root_set_file(scene->fake, "proc/1001/ksm_stat", "ksm_zero_pages many\n");
    for (guint i = 0; i < 3; i++) {
        domain = collect(scene, TRUE);
        g_assert_false(domain->zero_bytes.known);
        g_assert_true(domain->saved_bytes.known);
    }
    g_assert_cmpuint(log_catch_count(G_LOG_LEVEL_WARNING, "figures: *"), ==, 1);
    fake_root_add_domain(scene->fake, &vm_a);
    g_assert_true(collect(scene, TRUE)->zero_bytes.known);
    fake_root_set_file(scene->fake, "proc/1001/ksm_stat", "ksm_zero_pages many\n");
    collect(scene, TRUE);
    g_assert_cmpuint(log_catch_count(G_LOG_LEVEL_WARNING, "figures: *"), ==, 2);
}

static void
test_trouble_of_who_is_gone_is_forgotten(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(GPtrArray) others = g_ptr_array_new_with_free_func((GDestroyNotify)mf_domain_free);

    fake_root_add_domain(scene->fake, &vm_a);
    fake_root_set_file(scene->fake, "proc/1001/ksm_stat", "ksm_zero_pages few\n");
    collect(scene, TRUE);
    mf_snapshot_free(mf_collect(scene->root, others, TRUE, scene->problems));
    collect(scene, TRUE);
    g_assert_cmpuint(log_catch_count(G_LOG_LEVEL_WARNING, "figures: *"), ==, 2);
}

/* What merged since the accounts ksmd has scanned since. */
static void
test_scanned_since(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_add_domain(scene->fake, &vm_a);
    fake_root_set_ksm(scene->fake, "pages_scanned", "100");
    g_assert_cmpuint(collect(scene, TRUE)->scanned_since_bytes.value, ==, 0);
    fake_root_set_ksm(scene->fake, "pages_scanned", "150");
    const MfDomain *domain = collect(scene, FALSE);
    g_assert_true(domain->scanned_since_bytes.known);
    g_assert_cmpuint(domain->scanned_since_bytes.value, ==,
                     50 * scene->snapshot->host.page_size_bytes);
    fake_root_set_ksm(scene->fake, "pages_scanned", "many");
    g_assert_false(collect(scene, FALSE)->scanned_since_bytes.known);
}

static void
test_forget(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(GError) error = g_error_new_literal(MF_ERROR, MF_ERROR_FAILED, "broken");
    const char *const subjects[] = {UUID_A, UUID_A "/qemu", UUID_B "/qemu", "list"};

    for (guint round = 0; round < 2; round++) {
        for (gsize i = 0; i < G_N_ELEMENTS(subjects); i++) {
            mf_problems_note(scene->problems, subjects[i], "it", error);
        }
        mf_problems_forget(scene->problems, UUID_A);
    }
    g_assert_cmpuint(log_catch_count(G_LOG_LEVEL_WARNING, "it: broken"), ==, 6);
}

static void
test_no_ksm(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    fake_root_remove_ksm(scene->fake, NULL);
    collect(scene, FALSE);
    collect(scene, FALSE);
    g_assert_false(scene->snapshot->host.run.known);
    g_assert_true(scene->snapshot->host.mem_total_bytes.known);
    g_assert_cmpuint(log_catch_count(G_LOG_LEVEL_WARNING, "ksm: *"), ==, 1);
}

static void
add(const char *name, void (*function)(Scene *, gconstpointer))
{
    g_autofree char *path = g_strdup_printf("/collect/%s", name);

    g_test_add(path, Scene, NULL, scene_open, function, scene_close);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    log_catch_begin();
    add("figures", test_figures);
    add("no-process", test_no_process);
    add("pid-of-another", test_pid_of_another);
    add("accounts-are-carried-along", test_accounts_are_carried_along);
    add("nodes-only-where-they-do-not-merge", test_nodes_only_where_they_do_not_merge);
    add("two-qemus-of-one-domain", test_two_qemus_of_one_domain);
    add("a-new-domain-is-accounted-at-once", test_a_new_domain_is_accounted_at_once);
    add("who-is-switched-is-not-waited-for", test_who_is_switched_is_not_waited_for);
    add("trouble-is-told-once", test_trouble_is_told_once);
    add("trouble-of-who-is-gone-is-forgotten", test_trouble_of_who_is_gone_is_forgotten);
    add("scanned-since", test_scanned_since);
    add("forget", test_forget);
    add("no-ksm", test_no_ksm);
    return g_test_run();
}
