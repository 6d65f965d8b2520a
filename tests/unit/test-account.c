/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Savings add up: by example, and over random ways to share pages. */
#include "../../src/core/mf-account.h"

#define PAGE G_GUINT64_CONSTANT(4096)

static MfArea
area(guint64 resident_pages, guint64 proportional_bytes)
{
    return (MfArea){.resident_bytes = resident_pages * PAGE,
                    .proportional_bytes = proportional_bytes};
}

static void
test_saved(void)
{
    MfArea merged = area(10, 5 * PAGE);
    MfArea rounded = area(10, 10 * PAGE + 1024);

    g_assert_cmpuint(mf_account_saved_bytes(TRUE, &merged, MF_U64_ABSENT, PAGE).value, ==,
                     5 * PAGE);
    g_assert_cmpuint(mf_account_saved_bytes(TRUE, &merged, MF_U64(3), PAGE).value, ==, 8 * PAGE);
    g_assert_cmpuint(mf_account_saved_bytes(TRUE, &rounded, MF_U64(0), PAGE).value, ==, 0);
    g_assert_cmpuint(mf_account_saved_bytes(TRUE, &merged, MF_U64(G_MAXUINT64), PAGE).value, ==,
                     G_MAXUINT64);
    g_assert_false(mf_account_saved_bytes(FALSE, NULL, MF_U64(3), PAGE).known);
}

static void
test_host(void)
{
    MfHost host = {.page_size_bytes = PAGE};

    g_assert_false(mf_account_host_saved_bytes(&host).known);
    host.pages_sharing_pages = MF_U64(7);
    g_assert_cmpuint(mf_account_host_saved_bytes(&host).value, ==, 7 * PAGE);
    host.zero_pages = MF_U64(2);
    g_assert_cmpuint(mf_account_host_saved_bytes(&host).value, ==, 9 * PAGE);
    host.page_size_bytes = 0;
    g_assert_false(mf_account_host_saved_bytes(&host).known);
}

static void
add_domain(MfSnapshot *snapshot, MfU64 saved)
{
    MfDomain *domain = mf_domain_new("c7a5fdbd-edaf-9455-926a-d65c16db1801", "vm");

    domain->saved_bytes = saved;
    g_ptr_array_add(snapshot->domains, domain);
}

static void
test_sum_error(void)
{
    g_autoptr(MfSnapshot) snapshot = mf_snapshot_new();

    g_assert_false(mf_account_sum_error_permyriad(snapshot).known);
    snapshot->host.saved_bytes = MF_U64(0);
    g_assert_false(mf_account_sum_error_permyriad(snapshot).known);
    snapshot->host.other_saved_bytes = MF_U64(0);
    g_assert_cmpuint(mf_account_sum_error_permyriad(snapshot).value, ==, 0);
    add_domain(snapshot, MF_U64(6000));
    g_assert_cmpuint(mf_account_sum_error_permyriad(snapshot).value, ==, 10000);
    snapshot->host.saved_bytes = MF_U64(10000);
    snapshot->host.other_saved_bytes = MF_U64(3900);
    g_assert_cmpuint(mf_account_sum_error_permyriad(snapshot).value, ==, 100);
    snapshot->host.other_saved_bytes = MF_U64(4200);
    g_assert_cmpuint(mf_account_sum_error_permyriad(snapshot).value, ==, 200);
    add_domain(snapshot, MF_U64_ABSENT);
    g_assert_false(mf_account_sum_error_permyriad(snapshot).known);
}

/*
 * Processes map random KSM pages; each gets the Rss and Pss that the kernel would print (a page
 * mapped n times counts 1/n, and the whole is cut to KiB).  The sum is mappings - pages, within the
 * rounding.
 */
static void
test_sum_is_sharing(void)
{
    enum { PROCESSES = 5, PAGES = 400, ROUNDS = 50 };

    for (int round = 0; round < ROUNDS; round++) {
        guint mapped[PROCESSES][PAGES] = {{0}};
        guint users[PAGES] = {0};
        guint64 sharing_pages = 0;
        for (int page = 0; page < PAGES; page++) {
            for (int process = 0; process < PROCESSES; process++) {
                mapped[process][page] = (guint)g_test_rand_int_range(0, 4);
                users[page] += mapped[process][page];
            }
            sharing_pages += users[page] > 0 ? users[page] - 1 : 0;
        }

        guint64 sum_bytes = 0;
        for (int process = 0; process < PROCESSES; process++) {
            guint64 resident_pages = 0;
            guint64 proportional_bytes = 0;
            for (int page = 0; page < PAGES; page++) {
                resident_pages += mapped[process][page];
                if (mapped[process][page] > 0) {
                    proportional_bytes += mapped[process][page] * PAGE / users[page];
                }
            }
            MfArea one = area(resident_pages, proportional_bytes / 1024 * 1024);
            sum_bytes += mf_account_saved_bytes(TRUE, &one, MF_U64(0), PAGE).value;
        }
        guint64 bound_bytes = PROCESSES * (1024 + PAGES);
        g_assert_cmpuint(sum_bytes, >=, sharing_pages * PAGE);
        g_assert_cmpuint(sum_bytes, <=, sharing_pages * PAGE + bound_bytes);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/account/saved", test_saved);
    g_test_add_func("/account/host", test_host);
    g_test_add_func("/account/sum-error", test_sum_error);
    g_test_add_func("/account/sum-is-sharing", test_sum_is_sharing);
    return g_test_run();
}
