/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is told of memory that failed, and when that is news. */
#include <string.h>

#include "../../src/core/mf-decide.h"
#include "../../src/core/mf-parse.h"
#include "../../src/core/mf-poison.h"
#include "mf-test.h"

/* The reason that decide gives, or NULL; the caller owns it. */
static MfReason *
decide_told(MfU64 corrupted_bytes)
{
    g_autoptr(MfConfig) config = mf_config_new();
    g_autoptr(MfSnapshot) snapshot = mf_snapshot_new();
    g_autoptr(MfMemory) memory = mf_memory_new();
    MfReason *found = NULL;

    snapshot->taken_usec = G_USEC_PER_SEC;
    snapshot->host.hardware_corrupted_bytes = corrupted_bytes;
    g_autoptr(MfPlan) plan = mf_decide(config, snapshot, memory);
    for (guint i = 0; i < plan->host_reasons->len; i++) {
        const MfReason *reason = g_ptr_array_index(plan->host_reasons, i);
        if (reason->code == MF_REASON_HARDWARE_POISONED) {
            g_assert_null(found);
            found = mf_reason_copy(reason);
        }
    }
    return found;
}

static void
test_told(void)
{
    static const struct {
        const char *meminfo;
        const char *words; /* NULL: nothing is told */
    } cases[] = {
        {"MemTotal: 100 kB\n", NULL},
        {"HardwareCorrupted:     0 kB\n", NULL},
        {"HardwareCorrupted:     4 kB\n", "4.0 KiB of the host's memory failed"},
        {"HardwareCorrupted:  2048 kB\n", "2.0 MiB of the host's memory failed"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        MfHost host = {.hardware_corrupted_bytes = MF_U64(1)};
        g_autoptr(GError) error = NULL;
        mf_test_case(cases[i].meminfo);
        g_assert_true(mf_parse_meminfo(cases[i].meminfo, strlen(cases[i].meminfo), &host, &error));
        g_autoptr(MfReason) reason = decide_told(host.hardware_corrupted_bytes);
        g_assert_cmpint(reason != NULL, ==, cases[i].words != NULL);
        if (reason != NULL) {
            g_assert_nonnull(strstr(reason->text, cases[i].words));
            g_assert_nonnull(strstr(reason->remedy, "dmesg"));
        }
    }
}

/* Once for each failure; a figure that can't be read changes nothing. */
static void
test_news(void)
{
    static const struct {
        MfU64 bytes;
        gboolean news;
    } steps[] = {
        {{TRUE, 0}, FALSE},    {{TRUE, 4096}, TRUE},  {{TRUE, 4096}, FALSE}, {{FALSE, 0}, FALSE},
        {{TRUE, 4096}, FALSE}, {{TRUE, 12288}, TRUE}, {{TRUE, 0}, FALSE},    {{TRUE, 4096}, TRUE},
    };
    guint64 told_bytes = 0;

    for (guint i = 0; i < G_N_ELEMENTS(steps); i++) {
        MfHost host = {.hardware_corrupted_bytes = steps[i].bytes};
        g_test_message("step %u", i);
        g_assert_cmpint(mf_poison_is_news(&host, &told_bytes), ==, steps[i].news);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/poison/told", test_told);
    g_test_add_func("/poison/news", test_news);
    return g_test_run();
}
