/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shipped memfold.conf: what it says in comments is what the code does without it. */
#include <string.h>

#include "mf-config.h"

static char *path;

/* The shipped file with every "#key=value" made a line that counts; ret_n_keys tells how many. */
static char *
read_uncommented(guint *ret_n_keys)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    g_file_get_contents(path, &text, NULL, &error);
    g_assert_no_error(error);
    lines = g_strsplit(text, "\n", -1);
    *ret_n_keys = 0;
    for (guint i = 0; lines[i] != NULL; i++) {
        if (g_regex_match_simple("^#[a-z-]+=", lines[i], 0, 0)) {
            memmove(lines[i], lines[i] + 1, strlen(lines[i]));
            (*ret_n_keys)++;
        }
    }
    return g_strjoinv("\n", lines);
}

static void
test_defaults(void)
{
    g_autoptr(MfConfig) defaults = mf_config_new();
    g_autoptr(MfConfig) base = mf_config_new();
    g_autoptr(MfConfig) shipped = NULL;
    g_autoptr(GError) error = NULL;
    guint n_keys;
    g_autofree char *text = read_uncommented(&n_keys);

    /* Nothing that the file leaves out may look as if it were there. */
    memset(base, 0xff, G_STRUCT_OFFSET(MfConfig, libvirt_uri));
    shipped = mf_config_apply(base, text, strlen(text), path, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(n_keys, ==, 26);
    g_assert_cmpint(shipped->default_group, ==, defaults->default_group);
    g_assert_cmpuint(shipped->coverage_permyriad, ==, defaults->coverage_permyriad);
    g_assert_cmpuint(shipped->reserve_permyriad, ==, defaults->reserve_permyriad);
    g_assert_cmpint(shipped->admission, ==, defaults->admission);
    g_assert_cmpint(shipped->admission_refuses, ==, defaults->admission_refuses);
    g_assert_cmpuint(shipped->storm_horizon_msec, ==, defaults->storm_horizon_msec);
    g_assert_cmpint(shipped->storm_reclaim, ==, defaults->storm_reclaim);
    g_assert_cmpint(shipped->storm_balloon, ==, defaults->storm_balloon);
    g_assert_cmpint(shipped->storm_suspend, ==, defaults->storm_suspend);
    g_assert_cmpint(shipped->manage, ==, defaults->manage);
    g_assert_cmpuint(shipped->cpu_budget_permyriad, ==, defaults->cpu_budget_permyriad);
    g_assert_cmpuint(shipped->boost_cpu_budget_permyriad, ==, defaults->boost_cpu_budget_permyriad);
    g_assert_cmpuint(shipped->rest_cpu_budget_permyriad, ==, defaults->rest_cpu_budget_permyriad);
    g_assert_cmpuint(shipped->converged_permyriad, ==, defaults->converged_permyriad);
    g_assert_cmpuint(shipped->wait_permyriad, ==, defaults->wait_permyriad);
    g_assert_cmpuint(shipped->pressure_permyriad, ==, defaults->pressure_permyriad);
    g_assert_cmpuint(shipped->min_pages_to_scan_pages, ==, defaults->min_pages_to_scan_pages);
    g_assert_cmpuint(shipped->max_pages_to_scan_pages, ==, defaults->max_pages_to_scan_pages);
    g_assert_cmpuint(shipped->sleep_msec, ==, defaults->sleep_msec);
    g_assert_cmpint(shipped->use_zero_pages, ==, defaults->use_zero_pages);
    g_assert_cmpint(shipped->index, ==, defaults->index);
    g_assert_cmpuint(shipped->skip_unwritten_count, ==, defaults->skip_unwritten_count);
    g_assert_cmpint(shipped->smart_scan, ==, defaults->smart_scan);
    g_assert_cmpuint(shipped->tick_msec, ==, defaults->tick_msec);
    g_assert_cmpuint(shipped->accounting_interval_msec, ==, defaults->accounting_interval_msec);
    g_assert_cmpstr(shipped->libvirt_uri, ==, defaults->libvirt_uri);
    g_assert_true(mf_config_validate(shipped, &error));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(argc, ==, 2);
    path = argv[1];
    g_test_add_func("/shipped-config/defaults", test_defaults);
    return g_test_run();
}
