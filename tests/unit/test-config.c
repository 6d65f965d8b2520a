/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memfold.conf: each key, each refusal, drop-ins on top of each other. */
#include <string.h>

#include "../../src/core/mf-config.h"
#include "mf-test.h"

static const char everything[] = "# all keys\n"
                                 "[merge]\n"
                                 "default-group=shared\n"
                                 "reserve-permyriad=0\n"
                                 "[ksmd]\n"
                                 "manage=false\n"
                                 "cpu-budget-permyriad=10000\n"
                                 "min-pages-to-scan=1\n"
                                 "max-pages-to-scan=5000\n"
                                 "sleep-msec=10000\n"
                                 "use-zero-pages=on\n"
                                 "smart-scan=keep\n"
                                 "[daemon]\n"
                                 "tick-msec=100\n"
                                 "accounting-interval-msec=3600000\n"
                                 "libvirt-uri=test:///default\n";

static void
test_everything(void)
{
    g_autoptr(MfConfig) base = mf_config_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(MfConfig) config =
        mf_config_apply(base, everything, strlen(everything), "a.conf", &error);

    g_assert_no_error(error);
    g_assert_cmpint(config->default_group, ==, MF_DEFAULT_GROUP_SHARED);
    g_assert_cmpuint(config->reserve_permyriad, ==, 0);
    g_assert_false(config->manage);
    g_assert_cmpuint(config->cpu_budget_permyriad, ==, 10000);
    g_assert_cmpuint(config->min_pages_to_scan_pages, ==, 1);
    g_assert_cmpuint(config->max_pages_to_scan_pages, ==, 5000);
    g_assert_cmpuint(config->sleep_msec, ==, 10000);
    g_assert_cmpint(config->use_zero_pages, ==, MF_SETTING_ON);
    g_assert_cmpint(config->smart_scan, ==, MF_SETTING_KEEP);
    g_assert_cmpuint(config->tick_msec, ==, 100);
    g_assert_cmpuint(config->accounting_interval_msec, ==, 3600000);
    g_assert_cmpstr(config->libvirt_uri, ==, "test:///default");
    g_assert_true(mf_config_validate(config, &error));

    /* The one below it stays as it was. */
    g_assert_true(base->manage);
    g_assert_cmpstr(base->libvirt_uri, ==, "qemu:///system");
}

static void
test_drop_in(void)
{
    g_autoptr(MfConfig) base = mf_config_new();
    g_autoptr(GError) error = NULL;
    static const char text[] = "[ksmd]\nsleep-msec=50\n";
    g_autoptr(MfConfig) first = mf_config_apply(base, text, strlen(text), "a.conf", &error);
    g_autoptr(MfConfig) second = mf_config_apply(first, "", 0, "b.conf", &error);

    g_assert_no_error(error);
    g_assert_cmpuint(second->sleep_msec, ==, 50);
    g_assert_cmpuint(second->tick_msec, ==, 2000);
}

static void
test_refused(void)
{
    static const struct {
        const char *text;
        const char *part;
    } cases[] = {
        {"hello\n", "x.conf: "},
        {"sleep-msec=5\n", "x.conf: "},
        {"[ksm]\nrun=1\n", "unknown group \"ksm\"; allowed: merge, admission, storm, ksmd, daemon"},
        {"[ksmd]\nsleep=5\n", "[ksmd] has no key \"sleep\""},
        {"[merge]\nsleep-msec=5\n", "[merge] has no key \"sleep-msec\""},
        {"[ksmd]\nsleep-msec[de]=5\n", "has no key"},
        {"[ksmd]\nsleep-msec=0\n", "sleep-msec=\"0\"; allowed: 1 to 10000 (milliseconds)"},
        {"[ksmd]\nsleep-msec=10001\n", "1 to 10000"},
        {"[ksmd]\nsleep-msec=-1\n", "1 to 10000"},
        {"[ksmd]\nsleep-msec=1.5\n", "1 to 10000"},
        {"[ksmd]\nsleep-msec=0x10\n", "1 to 10000"},
        {"[ksmd]\nsleep-msec=18446744073709551636\n", "1 to 10000"},
        {"[ksmd]\nsleep-msec=\n", "1 to 10000"},
        {"[ksmd]\ncpu-budget-permyriad=10001\n", "1 to 10000 (1/10000 of one CPU)"},
        {"[ksmd]\nmanage=yes\n", "manage=\"yes\"; allowed: true, false"},
        {"[ksmd]\nuse-zero-pages=true\n", "allowed: keep, on, off"},
        {"[merge]\ndefault-group=none\n", "allowed: isolated, shared"},
        {"[daemon]\ntick-msec=99\n", "100 to 60000"},
        {"[daemon]\nlibvirt-uri=\n", "printable"},
        {"[daemon]\nlibvirt-uri=a\\nb\n", "printable"},
        {"[daemon]\nlibvirt-uri=\xff\xfe\n", "UTF-8"},
    };
    g_autoptr(MfConfig) base = mf_config_new();

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        MfConfig *config =
            mf_config_apply(base, cases[i].text, strlen(cases[i].text), "x.conf", &error);
        mf_test_case(cases[i].text);
        g_assert_null(config);
        mf_assert_error(error, MF_ERROR_INVALID, cases[i].part);
    }
}

static void
test_nul(void)
{
    static const char text[] = "[ksmd]\nsleep-msec=5\n\0\n[merge]\n";
    g_autoptr(MfConfig) base = mf_config_new();
    g_autoptr(GError) error = NULL;

    g_assert_null(mf_config_apply(base, text, sizeof(text) - 1, "x.conf", &error));
    mf_assert_error(error, MF_ERROR_INVALID, "x.conf");
}

static void
test_validate(void)
{
    g_autoptr(MfConfig) config = mf_config_new();
    g_autoptr(GError) error = NULL;

    g_assert_true(mf_config_validate(config, &error));
    config->min_pages_to_scan_pages = config->max_pages_to_scan_pages + 1;
    g_assert_false(mf_config_validate(config, &error));
    mf_assert_error(error, MF_ERROR_INVALID, "min-pages-to-scan=200001");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/config/everything", test_everything);
    g_test_add_func("/config/drop-in", test_drop_in);
    g_test_add_func("/config/refused", test_refused);
    g_test_add_func("/config/nul", test_nul);
    g_test_add_func("/config/validate", test_validate);
    return g_test_run();
}
