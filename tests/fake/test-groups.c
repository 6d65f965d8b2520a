/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's merge groups, as files tell of them, and which of them a domain is in. */
#include "../../src/core/mf-error.h"
#include "../../src/engine/mf-collect.h"
#include "../../src/engine/mf-registry.h"
#include "../../src/io/mf-ksm-groups.h"
#include "../../src/io/mf-proc.h"
#include "fakeroot.h"

#define UUID   "11111111-1111-4111-8111-111111111111"
#define GROUPS "sys/kernel/mm/ksm/groups"

static void
set_group(FakeRoot *fake, const char *number, const char *shared, const char *sharing,
          const char *members)
{
    const char *const files[][2] = {
        {"pages_shared", shared}, {"pages_sharing", sharing}, {"members", members}};

    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_strdup_printf(GROUPS "/%s/%s", number, files[i][0]);

        if (files[i][1]) {
            fake_root_set_file(fake, path, files[i][1]);
        }
    }
}

static void
test_reads(void)
{
    g_autoptr(FakeRoot) fake = fake_root_new();
    g_autoptr(MfRoot) root = fake_root_open(fake);
    g_autoptr(GError) error = NULL;
    const MfKsmGroup *group;

    g_assert_null(mf_ksm_read_groups(root, &error));
    g_assert_no_error(error);
    set_group(fake, "12", "100\n", "900\n", "3\n");
    set_group(fake, "3", "0\n", "0\n", "1\n");
    set_group(fake, "0", "20\n", "70\n", NULL);
    /* One that is going away. */
    fake_root_set_file(fake, GROUPS "/5/members", "1\n");
    g_autoptr(GPtrArray) groups = mf_ksm_read_groups(root, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(groups->len, ==, 3);
    group = groups->pdata[0];
    g_assert_cmpuint(group->number, ==, 0);
    g_assert_cmpuint(group->pages_sharing_pages, ==, 70);
    g_assert_false(group->members_count.known);
    group = groups->pdata[1];
    g_assert_cmpuint(group->number, ==, 3);
    group = groups->pdata[2];
    g_assert_cmpuint(group->number, ==, 12);
    g_assert_cmpuint(group->pages_shared_pages, ==, 100);
    g_assert_cmpuint(group->pages_sharing_pages, ==, 900);
    g_assert_cmpuint(group->members_count.value, ==, 3);

    set_group(fake, "3", "none\n", "0\n", "1\n");
    g_assert_null(mf_ksm_read_groups(root, &error));
    g_assert_error(error, MF_ERROR, MF_ERROR_INVALID);
}

static void
test_of_a_domain(void)
{
    static const struct {
        const char *text;
        gboolean known;
        guint64 number;
    } cases[] = {{"12\n", TRUE, 12}, {"0\n", TRUE, 0}, {"unused\n", FALSE, 0}, {NULL, FALSE, 0}};
    static const FakeDomain vm = {.name = "a", .uuid = UUID, .pid = 1001, .mergeable_kib = 4096};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(FakeRoot) fake = fake_root_new();
        g_autoptr(MfRoot) root = fake_root_open(fake);
        g_autoptr(GPtrArray) domains =
            g_ptr_array_new_with_free_func((GDestroyNotify)mf_domain_free);
        const MfDomain *domain;

        g_test_message("case %u", i);
        fake_root_add_domain(fake, &vm);
        set_group(fake, "12", "1\n", "1\n", "1\n");
        if (cases[i].text != NULL) {
            fake_root_set_file(fake, "proc/1001/ksm_group", cases[i].text);
        }
        g_ptr_array_add(domains, mf_domain_new(UUID, "a"));
        g_autoptr(MfSnapshot) snapshot = mf_collect(root, domains, TRUE, NULL);
        domain = snapshot->domains->pdata[0];
        g_assert_nonnull(snapshot->groups);
        g_assert_cmpint(domain->ksm_group_number.known, ==, cases[i].known);
        g_assert_cmpuint(domain->ksm_group_number.value, ==, cases[i].number);
        g_autoptr(MfSnapshot) without = mf_collect(root, domains, FALSE, NULL);
        g_assert_null(without->groups);
    }
}

/* What is told to a process, and what it was told. */
static void
test_orders(void)
{
    static const FakeDomain vm = {.name = "a", .uuid = UUID, .pid = 1001, .mergeable_kib = 4096};
    g_autoptr(FakeRoot) fake = fake_root_new();
    g_autoptr(MfRoot) root = fake_root_open(fake);
    g_autoptr(MfDomain) domain = mf_domain_new(UUID, "a");
    g_autoptr(GError) error = NULL;

    fake_root_add_domain(fake, &vm);
    domain->pid = 1001;
    g_assert_false(mf_proc_read_zero_only(root, domain).known);
    g_assert_false(mf_proc_write_ksm_group(root, domain, "new", &error));
    g_assert_true(mf_error_is_gone(error));
    g_clear_error(&error);

    fake_root_set_file(fake, "proc/1001/ksm_group", "3\n");
    g_assert_true(mf_proc_write_ksm_group(root, domain, "7", &error));
    g_assert_cmpuint(mf_proc_read_ksm_group(root, domain).value, ==, 7);
    fake_root_set_file(fake, "proc/1001/ksm_flags", "frozen zero\n");
    g_assert_cmpuint(mf_proc_read_zero_only(root, domain).value, ==, 1);
    fake_root_set_file(fake, "proc/1001/ksm_flags", "none\n");
    g_assert_true(mf_proc_read_zero_only(root, domain).known);
    g_assert_cmpuint(mf_proc_read_zero_only(root, domain).value, ==, 0);

    /* A process that has got the PID of a QEMU that is gone is told nothing. */
    g_autoptr(MfDomain) other = mf_domain_new("22222222-2222-4222-8222-222222222222", "b");
    other->pid = 1001;
    g_assert_false(mf_proc_write_ksm_group(root, other, "9", &error));
    g_assert_true(mf_error_is_gone(error));
    g_assert_cmpuint(mf_proc_read_ksm_group(root, domain).value, ==, 7);
    g_assert_false(mf_proc_read_zero_only(root, other).known);
}

/* A move that ended makes what was read before it void; one that failed is tried again later, and
 * told unless the group had gone. */
static void
test_moves(void)
{
    g_autoptr(MfRegistry) registry = mf_registry_new();
    g_autoptr(MfDomain) facts = mf_domain_new(UUID, "a");
    g_autoptr(MfSnapshot) snapshot = mf_snapshot_new();
    g_autoptr(GError) refused = g_error_new_literal(MF_ERROR, MF_ERROR_DENIED, "no");
    g_autoptr(GError) gone = g_error_new_literal(MF_ERROR, MF_ERROR_GONE, "no such group");
    guint serial = 0;

    mf_registry_update(registry, facts, MF_SOURCE_LIBVIRT, 100);
    g_ptr_array_add(snapshot->domains, mf_domain_copy(facts));
    ((MfDomain *)snapshot->domains->pdata[0])->ksm_group_number = MF_U64(4);
    mf_registry_take_figures(registry, snapshot, FALSE, 200);
    g_assert_cmpuint(mf_registry_find(registry, UUID)->ksm_group_number.value, ==, 4);

    g_assert_true(mf_registry_begin_move(registry, UUID, &serial));
    g_assert_false(mf_registry_begin_move(registry, UUID, &serial));
    g_autoptr(GPtrArray) moving = mf_registry_copy_domains(registry, 300);
    g_assert_true(((MfDomain *)moving->pdata[0])->regrouping);
    g_assert_true(((MfDomain *)moving->pdata[0])->is_moving);
    mf_registry_end_move(registry, UUID, serial, NULL, 400);
    g_assert_false(mf_registry_find(registry, UUID)->ksm_group_number.known);
    mf_registry_take_figures(registry, snapshot, FALSE, 300);
    g_assert_false(mf_registry_find(registry, UUID)->ksm_group_number.known);
    mf_registry_take_figures(registry, snapshot, FALSE, 500);
    g_assert_true(mf_registry_find(registry, UUID)->ksm_group_number.known);

    g_assert_true(mf_registry_begin_move(registry, UUID, &serial));
    mf_registry_end_move(registry, UUID, serial, gone, 600);
    g_assert_null(mf_registry_find(registry, UUID)->group_error);
    g_assert_true(mf_registry_begin_move(registry, UUID, &serial));
    mf_registry_end_move(registry, UUID, serial, refused, 700);
    g_assert_cmpstr(mf_registry_find(registry, UUID)->group_error, ==, "no");
    g_autoptr(GPtrArray) later = mf_registry_copy_domains(registry, 700 + G_USEC_PER_SEC);
    g_assert_true(((MfDomain *)later->pdata[0])->regrouping);
    g_assert_false(((MfDomain *)later->pdata[0])->is_moving);
    g_autoptr(GPtrArray) again = mf_registry_copy_domains(registry, 700 + 6 * G_USEC_PER_SEC);
    g_assert_false(((MfDomain *)again->pdata[0])->regrouping);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/groups/reads", test_reads);
    g_test_add_func("/groups/of-a-domain", test_of_a_domain);
    g_test_add_func("/groups/orders", test_orders);
    g_test_add_func("/groups/moves", test_moves);
    return g_test_run();
}
