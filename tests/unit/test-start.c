/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long ksmd waits for a domain that starts and must not merge. */
#include "../../src/core/mf-start.h"
#include "mf-test.h"

#define PROBED   MF_CAP_PROBED
#define SWITCHES (MF_CAP_PROBED | MF_CAP_BACKEND_MERGE)

static void
test_open(void)
{
    static const struct {
        const char *name;
        MfMode want; /* UNKNOWN: no verdict yet */
        MfReasonCode code;
        MfMode mode;
        guint caps;
        gboolean refused;
        gboolean open;
    } cases[] = {
        {"not asked yet", MF_MODE_UNKNOWN, 0, MF_MODE_UNKNOWN, 0, FALSE, TRUE},
        {"nobody is let in", MF_MODE_OFF, MF_REASON_MODE_UNKNOWN, MF_MODE_UNKNOWN, 0, FALSE, TRUE},
        {"is switched", MF_MODE_OFF, MF_REASON_WAITING, MF_MODE_ON, SWITCHES, FALSE, TRUE},
        {"waits for the storm", MF_MODE_OFF, MF_REASON_WAITING, MF_MODE_ON, SWITCHES, FALSE, TRUE},
        {"is off", MF_MODE_OFF, MF_REASON_POLICY, MF_MODE_OFF, SWITCHES, FALSE, FALSE},
        {"may merge after all", MF_MODE_ON, MF_REASON_POLICY, MF_MODE_ON, SWITCHES, FALSE, FALSE},
        {"can't be switched", MF_MODE_OFF, MF_REASON_SWITCH_UNSUPPORTED, MF_MODE_UNKNOWN, PROBED,
         FALSE, FALSE},
        {"answers with errors", MF_MODE_OFF, MF_REASON_MODE_UNKNOWN, MF_MODE_UNKNOWN, 0, TRUE,
         FALSE},
        {"refuses to switch", MF_MODE_OFF, MF_REASON_SWITCH_FAILED, MF_MODE_ON, SWITCHES, TRUE,
         FALSE},
        {"no memory", MF_MODE_OFF, MF_REASON_NO_HEADROOM, MF_MODE_ON, SWITCHES, FALSE, FALSE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(MfDomain) domain = mf_domain_new("u", "d");
        g_autoptr(MfVerdict) verdict = mf_verdict_new("u");

        mf_test_case(cases[i].name);
        domain->mode = cases[i].mode;
        domain->caps = cases[i].caps;
        verdict->want = cases[i].want;
        mf_verdict_tell_first(verdict, mf_reason_new(cases[i].code, NULL, "so"));
        g_assert_cmpint(mf_start_is_open(domain, cases[i].refused,
                                         cases[i].want == MF_MODE_UNKNOWN ? NULL : verdict),
                        ==, cases[i].open);
    }
    g_assert_true(mf_start_is_open(NULL, FALSE, NULL));
}

static void
test_over(void)
{
    static const struct {
        const char *name;
        MfMode want; /* UNKNOWN: it is left as it is */
        MfMode mode;
        gboolean over;
    } cases[] = {
        {"nobody is let in", MF_MODE_OFF, MF_MODE_UNKNOWN, FALSE},
        {"may merge, and nobody is let in", MF_MODE_ON, MF_MODE_UNKNOWN, FALSE},
        {"is to be moved, and nobody is let in", MF_MODE_UNKNOWN, MF_MODE_UNKNOWN, FALSE},
        {"is to be moved", MF_MODE_UNKNOWN, MF_MODE_ON, FALSE},
        {"is to be switched", MF_MODE_OFF, MF_MODE_ON, FALSE},
        {"is to be frozen", MF_MODE_FROZEN, MF_MODE_ON, FALSE},
        {"is off", MF_MODE_OFF, MF_MODE_OFF, TRUE},
        {"is frozen", MF_MODE_FROZEN, MF_MODE_FROZEN, TRUE},
        {"may merge after all", MF_MODE_ON, MF_MODE_ON, TRUE},
    };
    g_autoptr(MfDomain) domain = mf_domain_new("u", "d");
    g_autoptr(MfVerdict) verdict = mf_verdict_new("u");

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        mf_test_case(cases[i].name);
        domain->mode = cases[i].mode;
        verdict->want = cases[i].want;
        g_assert_cmpint(mf_start_is_over(domain, verdict), ==, cases[i].over);
    }
    g_assert_false(mf_start_is_over(domain, NULL));
    g_assert_false(mf_start_is_over(NULL, NULL));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/start/open", test_open);
    g_test_add_func("/start/over", test_over);
    return g_test_run();
}
