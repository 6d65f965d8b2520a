/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may start: the balance, what is promised meanwhile, and the sentence that says so. */
#include <string.h>

#include "../../src/core/mf-admission.h"
#include "mf-test.h"

#define MIB (G_GUINT64_CONSTANT(1) << 20)
#define SEC ((gint64)G_USEC_PER_SEC)
#define A   "aaaaaaaa-0000-4000-8000-000000000001"
#define B   "bbbbbbbb-0000-4000-8000-000000000002"

/* A host with room for 1000 MiB in RAM and 200 in swap, 10000 MiB of RAM and nothing merged. */
static MfHost
roomy_host(void)
{
    return (MfHost){
        .mem_total_bytes = MF_U64(10000 * MIB),
        .mem_available_bytes = MF_U64(1000 * MIB),
        .swap_free_bytes = MF_U64(200 * MIB),
        .saved_bytes = MF_U64(0),
    };
}

static MfConfig *
config_with(MfAdmission admission)
{
    MfConfig *config = mf_config_new();

    config->admission = admission;
    config->reserve_permyriad = 0;
    return config;
}

/* needs_mib: with what QEMU and the kernel take. */
static MfDomain *
domain_needing(guint64 needs_mib)
{
    MfDomain *domain = mf_domain_new(A, "vm1");

    /* 80 bytes are spent on each 4096. */
    domain->memory_bytes = MF_U64((needs_mib - 32) * MIB / 4176 * 4096);
    domain->memory_kind = MF_MEMORY_ANONYMOUS;
    return domain;
}

/* Where KSM's counters are right. */
static gboolean
judge(const MfConfig *config, const MfHost *host, guint64 promised_bytes, const MfDomain *domain,
      MfReason **ret_reason)
{
    MfCover cover = mf_cover_measure(host);

    return mf_admission_judge(config, host, &cover, promised_bytes, domain, ret_reason);
}

static void
test_need(void)
{
    static const struct {
        guint64 memory_bytes, need_bytes;
        MfMemoryKind kind;
    } cases[] = {
        {0, 32 * MIB, MF_MEMORY_ANONYMOUS},
        {4096 * MIB, (4096 + 80 + 32) * MIB, MF_MEMORY_ANONYMOUS},
        {4096 * MIB, (4096 + 80 + 32) * MIB, MF_MEMORY_SHARED},
        {4096 * MIB, (4096 + 80 + 32) * MIB, MF_MEMORY_FILE},
        {4096 * MIB, (4096 + 80 + 32) * MIB, MF_MEMORY_UNKNOWN},
        {4096 * MIB, 32 * MIB, MF_MEMORY_HUGEPAGES},
        {G_MAXUINT64, G_MAXUINT64, MF_MEMORY_ANONYMOUS},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        MfDomain domain = {.memory_bytes = MF_U64(cases[i].memory_bytes),
                           .memory_kind = cases[i].kind};
        g_test_message("case %u", i);
        g_assert_true(mf_admission_need_bytes(&domain).known);
        g_assert_cmpuint(mf_admission_need_bytes(&domain).value, ==, cases[i].need_bytes);
    }
    MfDomain domain = {.memory_bytes = MF_U64_ABSENT};
    g_assert_false(mf_admission_need_bytes(&domain).known);
}

/* One term of the balance at a time, each at the last page that fits and one MiB more. */
static void
test_balance(void)
{
    static const struct {
        guint64 saved_mib, promised_mib, room_mib;
        guint coverage_permyriad, reserve_permyriad;
    } cases[] = {
        {0, 0, 1200, 10000, 0},  {300, 0, 900, 10000, 0},     {300, 0, 750, 15000, 0},
        {300, 0, 1050, 5000, 0}, {300, 0, 1200, 0, 0},        {0, 0, 700, 10000, 500},
        {0, 400, 800, 10000, 0}, {300, 400, 400, 10000, 100}, {300, 100, 50, 10000, 750},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(MfConfig) config = config_with(MF_ADMISSION_ENFORCE);
        MfHost host = roomy_host();
        host.saved_bytes = MF_U64(cases[i].saved_mib * MIB);
        config->coverage_permyriad = cases[i].coverage_permyriad;
        config->reserve_permyriad = cases[i].reserve_permyriad;
        for (guint over = 0; over <= 1; over++) {
            g_autoptr(MfDomain) domain = domain_needing(cases[i].room_mib + over);
            g_autoptr(MfReason) reason = NULL;
            g_test_message("case %u, %u MiB over", i, over);
            g_assert_cmpint(judge(config, &host, cases[i].promised_mib * MIB, domain, &reason), ==,
                            over == 0);
            g_assert_cmpint(reason == NULL, ==, over == 0);
        }
    }
}

/* The same shortage under each word of the configuration. */
static void
test_words(void)
{
    static const struct {
        MfAdmission admission;
        gboolean starts;
        const char *text;
        const char *remedy;
    } cases[] = {
        {MF_ADMISSION_OFF, TRUE, NULL, NULL},
        {MF_ADMISSION_WARN, TRUE, "domain \"vm1\" is started uncovered: it needs 1.0 GiB",
         "free 224 MiB; with admission=enforce it would not start"},
        {MF_ADMISSION_ENFORCE, FALSE, "domain \"vm1\" is not started: it needs 1.0 GiB",
         "free 224 MiB, or set admission=warn in memfold.conf"},
    };
    MfHost host = roomy_host();

    host.saved_bytes = MF_U64(300 * MIB);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(MfConfig) config = config_with(cases[i].admission);
        g_autoptr(MfDomain) domain = domain_needing(1024);
        g_autoptr(MfReason) reason = NULL;
        config->reserve_permyriad = 50;
        g_test_message("case %u", i);
        g_assert_cmpint(judge(config, &host, 50 * MIB, domain, &reason), ==, cases[i].starts);
        if (cases[i].text == NULL) {
            g_assert_null(reason);
            continue;
        }
        g_assert_cmpint(reason->code, ==, MF_REASON_ADMISSION);
        g_assert_true(g_str_has_prefix(reason->text, cases[i].text));
        g_assert_nonnull(strstr(reason->text,
                                ", and 800.0 MiB are left (1.2 GiB available or free in swap, less "
                                "300.0 MiB that merged memory may take back, 50.0 MiB of reserve "
                                "and 50.0 MiB promised to domains that have just started)"));
        g_assert_cmpstr(reason->remedy, ==, cases[i].remedy);
    }
}

/* A host that owes more than it has: the remedy names all that is missing. */
static void
test_overdrawn(void)
{
    g_autoptr(MfConfig) config = config_with(MF_ADMISSION_ENFORCE);
    g_autoptr(MfDomain) domain = domain_needing(100);
    g_autoptr(MfReason) reason = NULL;
    MfHost host = roomy_host();

    host.saved_bytes = MF_U64(5000 * MIB);
    g_assert_false(judge(config, &host, 0, domain, &reason));
    g_assert_nonnull(strstr(reason->text, "0 B are left"));
    g_assert_nonnull(strstr(reason->remedy, "free 3900 MiB"));
}

/* What merging owes is what the guard against storms says of it, not what KSM's counters say. */
static void
test_counters_that_are_stale(void)
{
    g_autoptr(MfConfig) config = config_with(MF_ADMISSION_ENFORCE);
    g_autoptr(MfDomain) domain = domain_needing(500);
    g_autoptr(MfReason) reason = NULL;
    MfHost host = roomy_host();

    host.saved_bytes = MF_U64(900 * MIB);
    g_assert_false(judge(config, &host, 0, domain, &reason));
    g_clear_pointer(&reason, mf_reason_free);
    MfCover cover = mf_cover_measure(&host);
    cover.need_bytes = MF_U64(700 * MIB);
    g_assert_true(mf_admission_judge(config, &host, &cover, 0, domain, &reason));
    g_assert_null(reason);
}

/* To the byte: a domain of hugetlb pages needs 32 MiB of the rest. */
static void
test_last_byte(void)
{
    for (guint missing_bytes = 0; missing_bytes <= 1; missing_bytes++) {
        g_autoptr(MfConfig) config = config_with(MF_ADMISSION_ENFORCE);
        g_autoptr(MfDomain) domain = domain_needing(100);
        g_autoptr(MfReason) reason = NULL;
        MfHost host = roomy_host();
        domain->memory_kind = MF_MEMORY_HUGEPAGES;
        host.mem_available_bytes = MF_U64(20 * MIB - missing_bytes);
        host.swap_free_bytes = MF_U64(12 * MIB);
        g_assert_cmpint(judge(config, &host, 0, domain, &reason), ==, missing_bytes == 0);
    }
}

/* What is not known refuses nobody, and is said; what is not asked for is not missed. */
static void
test_unknown(void)
{
    static const struct {
        gboolean memory, total, available, swap, saved;
        guint coverage_permyriad, reserve_permyriad;
        const char *said; /* NULL: all is known that matters, and the domain does not fit */
    } cases[] = {
        {FALSE, TRUE, TRUE, TRUE, TRUE, 10000, 500, "its XML told no <memory>"},
        {TRUE, FALSE, TRUE, TRUE, TRUE, 10000, 500, "the host's RAM"},
        {TRUE, TRUE, FALSE, TRUE, TRUE, 10000, 500, "available memory and free swap"},
        {TRUE, TRUE, TRUE, FALSE, TRUE, 10000, 500, "available memory and free swap"},
        {TRUE, TRUE, TRUE, TRUE, FALSE, 10000, 500, "what merging saves"},
        {TRUE, TRUE, TRUE, TRUE, FALSE, 0, 500, NULL},
        {TRUE, FALSE, TRUE, TRUE, TRUE, 10000, 0, NULL},
    };
    const MfU64 absent = MF_U64_ABSENT;

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(MfConfig) config = config_with(MF_ADMISSION_ENFORCE);
        g_autoptr(MfDomain) domain = domain_needing(5000);
        g_autoptr(MfReason) reason = NULL;
        MfHost host = roomy_host();
        config->coverage_permyriad = cases[i].coverage_permyriad;
        config->reserve_permyriad = cases[i].reserve_permyriad;
        domain->memory_bytes = cases[i].memory ? domain->memory_bytes : absent;
        host.mem_total_bytes = cases[i].total ? host.mem_total_bytes : absent;
        host.mem_available_bytes = cases[i].available ? host.mem_available_bytes : absent;
        host.swap_free_bytes = cases[i].swap ? host.swap_free_bytes : absent;
        host.saved_bytes = cases[i].saved ? host.saved_bytes : absent;
        g_test_message("case %u", i);
        g_assert_cmpint(judge(config, &host, 0, domain, &reason), ==, cases[i].said != NULL);
        g_assert_nonnull(reason);
        if (cases[i].said != NULL) {
            g_assert_nonnull(strstr(reason->text, "started unchecked"));
            g_assert_nonnull(strstr(reason->text, cases[i].said));
        }
    }
}

static void
test_bad_policy(void)
{
    static const struct {
        MfAdmission admission;
        gboolean starts;
    } cases[] = {
        {MF_ADMISSION_OFF, TRUE},
        {MF_ADMISSION_WARN, TRUE},
        {MF_ADMISSION_ENFORCE, FALSE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(MfConfig) config = config_with(cases[i].admission);
        g_autoptr(MfDomain) domain = domain_needing(100);
        g_autoptr(MfReason) reason = NULL;
        MfHost host = roomy_host();
        domain->policy_error = g_strdup("merge=\"sometimes\"");
        g_assert_cmpint(judge(config, &host, 0, domain, &reason), ==, cases[i].starts);
        g_assert_cmpint(reason == NULL, ==, cases[i].starts);
        if (reason != NULL) {
            g_assert_nonnull(strstr(reason->text, "\"vm1\" is not started: its policy is refused"));
            g_assert_nonnull(strstr(reason->text, "sometimes"));
            g_assert_nonnull(strstr(reason->remedy, "correct"));
        }
    }
}

/* A name is somebody's text, and the sentence goes to logs and terminals. */
static void
test_hostile_name(void)
{
    g_autoptr(MfConfig) config = config_with(MF_ADMISSION_ENFORCE);
    g_autoptr(MfDomain) domain = domain_needing(5000);
    g_autoptr(MfReason) reason = NULL;
    MfHost host = roomy_host();

    g_free(domain->name);
    domain->name = g_strdup("b\xc3\xbcro\x1b[2J");
    g_assert_false(judge(config, &host, 0, domain, &reason));
    g_assert_true(g_str_has_prefix(reason->text, "domain \"b\xc3\xbcro?[2J\" is not started"));
}

/* Steps on one set of promises; each says what is promised afterwards. */
static void
test_promises(void)
{
    enum { MAKE, END, RESIDENT, LOOK };
    static const struct {
        int what;
        const char *uuid;
        guint64 mib;
        gint64 at_sec;
        guint64 sum_mib;
    } steps[] = {
        {LOOK, A, 0, 0, 0},         {MAKE, A, 100, 0, 100},     {MAKE, B, 50, 10, 150},
        {RESIDENT, A, 30, 11, 120}, {RESIDENT, A, 10, 12, 120}, /* swapped out since: it was touched
                                                                 */
        {RESIDENT, A, 60, 13, 90},  {RESIDENT, A, 200, 14, 50}, /* all shown: over, and not below
                                                                   zero */
        {RESIDENT, A, 0, 15, 50},   {MAKE, B, 80, 20, 80}, /* a new start of B in place of the old
                                                              one */
        {RESIDENT, B, 20, 21, 60},  {MAKE, B, 80, 30, 80}, /* and again: what the old one showed is
                                                              gone with it */
        {END, B, 0, 31, 0},         {END, B, 0, 32, 0},         {MAKE, A, 70, 100, 70},
        {LOOK, A, 0, 699, 70},      {LOOK, A, 0, 700, 0}, /* ten minutes later */
        {LOOK, A, 0, 100, 0},       {RESIDENT, A, 10, 701, 0},
    };
    g_autoptr(MfPromises) promises = mf_promises_new();

    for (guint i = 0; i < G_N_ELEMENTS(steps); i++) {
        g_autofree char *upper = g_ascii_strup(steps[i].uuid, -1);
        const char *uuid = i % 2 == 0 ? steps[i].uuid : upper;
        g_test_message("step %u", i);
        if (steps[i].what == MAKE) {
            mf_promises_make(promises, uuid, steps[i].mib * MIB, steps[i].at_sec * SEC);
            g_assert_true(mf_promises_has(promises, uuid));
        } else if (steps[i].what == END) {
            mf_promises_end(promises, uuid);
            g_assert_false(mf_promises_has(promises, uuid));
        } else if (steps[i].what == RESIDENT) {
            mf_promises_note_resident(promises, uuid, steps[i].mib * MIB);
        }
        g_assert_cmpuint(mf_promises_sum_bytes(promises, steps[i].at_sec * SEC), ==,
                         steps[i].sum_mib * MIB);
    }
    mf_promises_make(promises, A, G_MAXUINT64, 0);
    mf_promises_make(promises, B, G_MAXUINT64, 0);
    g_assert_cmpuint(mf_promises_sum_bytes(promises, 0), ==, G_MAXUINT64);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/admission/need", test_need);
    g_test_add_func("/admission/balance", test_balance);
    g_test_add_func("/admission/words", test_words);
    g_test_add_func("/admission/overdrawn", test_overdrawn);
    g_test_add_func("/admission/stale", test_counters_that_are_stale);
    g_test_add_func("/admission/last-byte", test_last_byte);
    g_test_add_func("/admission/unknown", test_unknown);
    g_test_add_func("/admission/bad-policy", test_bad_policy);
    g_test_add_func("/admission/hostile-name", test_hostile_name);
    g_test_add_func("/admission/promises", test_promises);
    return g_test_run();
}
