/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A day of ticks by a clock of its own: what memfoldd keeps does not grow with time.
 *
 * Registry, collect and decide go round as the engine takes them round, over domains that come, are
 * switched, have trouble and go.  The heap is looked at once an hour, always at the same point of
 * that life.
 */
#include <malloc.h>

#include "../../src/core/mf-decide.h"
#include "../../src/core/mf-error.h"
#include "../../src/engine/mf-collect.h"
#include "../../src/engine/mf-registry.h"
#include "../../src/io/mf-ksm.h"
#include "fakeroot.h"
#include "logcatch.h"

#define SEC            ((gint64)G_USEC_PER_SEC)
#define TICK_SEC       4
#define TICKS_AN_HOUR  (3600 / TICK_SEC)
#define DOMAINS_COUNT  4
#define LIFE_TICKS     90 /* a new one takes the place of the oldest so often */
#define ACCOUNTS_TICKS 15
#define WARM_HOURS     6 /* pools and tables have their size by then */
#define GROWTH_BYTES   4096
#define SETTLE_USEC    (10 * G_USEC_PER_SEC)
#define BOOT_USEC      (1000 * SEC)

/* The sanitizer's heap is not told by mallinfo2(), and it finds leaks by itself. */
#ifdef __SANITIZE_ADDRESS__
#define HOURS_COUNT 2
#else
#define HOURS_COUNT 24
#endif

typedef struct {
    FakeRoot *fake;
    MfRoot *root;
    MfConfig *config;
    MfMemory *memory;
    MfRegistry *registry;
    MfProblems *problems;
    guint ticks_count;
    guint born_count;
    guint switched_count;
    guint knobs_count;
} Day;

static void
day_open(Day *day, gconstpointer unused G_GNUC_UNUSED)
{
    *day = (Day){0};
    day->fake = fake_root_new();
    day->root = fake_root_open(day->fake);
    day->config = mf_config_new();
    day->config->default_group = MF_DEFAULT_GROUP_SHARED;
    day->memory = mf_memory_new();
    day->registry = mf_registry_new();
    day->problems = mf_problems_new();
}

static void
day_close(Day *day, gconstpointer unused G_GNUC_UNUSED)
{
    mf_problems_free(day->problems);
    mf_registry_free(day->registry);
    mf_memory_free(day->memory);
    mf_config_free(day->config);
    mf_root_unref(day->root);
    fake_root_free(day->fake);
}

static gint64
now_usec(const Day *day)
{
    return BOOT_USEC + (gint64)day->ticks_count * TICK_SEC * SEC;
}

static char *
name_of(guint number)
{
    return g_strdup_printf("vm%05u", number);
}

static char *
uuid_of(guint number)
{
    return g_strdup_printf("00000000-0000-4000-8000-%012u", number);
}

/* Every third one asks to be left out, and every fifth has figures that nobody can read. */
static void
be_born(Day *day)
{
    guint number = day->born_count++;
    g_autofree char *name = name_of(number);
    g_autofree char *uuid = uuid_of(number);
    g_autofree char *ksm_stat = g_strdup_printf("proc/%u/ksm_stat", 1000 + number);
    g_autoptr(MfDomain) facts = mf_domain_new(uuid, name);
    FakeDomain figures = {
        .name = name,
        .uuid = uuid,
        .pid = 1000 + number,
        .mergeable_kib = 65536,
        .resident_kib = 40000,
        .proportional_kib = 30000,
        .merged_kib = 12000,
        .merging_pages = 3000,
        .rmap_items_pages = 10000,
    };

    fake_root_add_domain(day->fake, &figures);
    if (number % 5 == 0) {
        fake_root_set_file(day->fake, ksm_stat, "ksm_zero_pages many\n");
    }
    facts->memory_kind = MF_MEMORY_ANONYMOUS;
    facts->policy->merge = number % 3 == 0 ? MF_MERGE_OFF : MF_MERGE_AUTO;
    mf_registry_update(day->registry, facts, MF_SOURCE_LIBVIRT, now_usec(day));
    if (number % 3 == 0) {
        mf_memory_hold(day->memory, uuid, now_usec(day) + 3 * SEC);
    }
}

static void
die(Day *day, guint number)
{
    g_autofree char *name = name_of(number);
    g_autofree char *uuid = uuid_of(number);
    g_autofree char *pid_file = g_strdup_printf("run/libvirt/qemu/%s.pid", name);

    fake_root_end_process(day->fake, 1000 + number);
    fake_root_remove_file(day->fake, pid_file);
    mf_memory_release(day->memory, uuid);
    g_assert_true(mf_registry_remove(day->registry, uuid));
}

/* ksmd goes through the host and finds a little. */
static void
let_ksmd_work(Day *day)
{
    guint turns = day->ticks_count / ACCOUNTS_TICKS;
    g_autofree char *scans = g_strdup_printf("%u", turns);
    g_autofree char *scanned = g_strdup_printf("%u", turns * 5000);
    g_autofree char *sharing = g_strdup_printf("%u", 10000 + turns % 100);

    fake_root_set_ksm(day->fake, "full_scans", scans);
    fake_root_set_ksm(day->fake, "pages_scanned", scanned);
    fake_root_set_ksm(day->fake, "pages_sharing", sharing);
    fake_root_set_ksmd(day->fake, turns * 300, TRUE);
}

/* Every QEMU does as it is told; some fail first. */
static void
answer_questions(Day *day)
{
    MfQuestion question = {0};
    guint serial = 0;

    while (mf_registry_next_question(day->registry, now_usec(day), &question, &serial)) {
        g_autoptr(MfAnswer) answer = g_new0(MfAnswer, 1);
        const MfDomain *domain = mf_registry_find(day->registry, question.uuid);
        MfBlock *block = mf_block_new();

        answer->question = question;
        answer->question.uuid = g_strdup(question.uuid);
        answer->facts = mf_domain_new(question.uuid, "");
        answer->facts->caps = MF_CAP_PROBED | MF_CAP_SET_MERGE;
        answer->facts->mode = domain->mode == MF_MODE_UNKNOWN ? MF_MODE_ON : domain->mode;
        block->id = g_strdup("pc.ram");
        answer->facts->blocks = g_ptr_array_new_with_free_func((GDestroyNotify)mf_block_free);
        g_ptr_array_add(answer->facts->blocks, block);
        if (question.set != MF_MODE_UNKNOWN) {
            answer->facts->mode = question.set;
            day->switched_count++;
        } else if (day->ticks_count % 7 == 0) {
            answer->error = g_error_new_literal(MF_ERROR, MF_ERROR_FAILED, "not now");
        }
        mf_registry_take_answer(day->registry, serial, answer, now_usec(day));
    }
}

static void
apply(Day *day, const MfPlan *plan)
{
    for (guint i = 0; i < plan->actions->len; i++) {
        const MfAction *action = plan->actions->pdata[i];

        if (action->kind == MF_ACTION_DOMAIN_MODE) {
            mf_registry_want_mode(day->registry, action->uuid, action->mode);
        } else if (action->kind == MF_ACTION_KNOB) {
            g_assert_true(mf_ksm_write_knob(day->root, action->knob, action->to, NULL));
            day->knobs_count++;
        }
    }
}

static void
tick(Day *day)
{
    gboolean with_accounts = day->ticks_count % ACCOUNTS_TICKS == 0;
    g_autoptr(MfSnapshot) snapshot = NULL;
    g_autoptr(MfPlan) plan = NULL;
    g_autoptr(GPtrArray) domains = NULL;

    if (day->ticks_count % LIFE_TICKS == 0) {
        be_born(day);
        if (day->born_count > DOMAINS_COUNT) {
            die(day, day->born_count - DOMAINS_COUNT - 1);
        }
    }
    if (with_accounts) {
        let_ksmd_work(day);
    }
    domains = mf_registry_copy_domains(day->registry, now_usec(day));
    snapshot = mf_collect(day->root, domains, with_accounts, day->problems);
    snapshot->taken_usec = now_usec(day);
    mf_registry_take_figures(day->registry, snapshot, with_accounts, now_usec(day));
    plan = mf_decide(day->config, snapshot, day->memory);
    apply(day, plan);
    answer_questions(day);
    day->ticks_count++;
}

static gsize
heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* Threads that a busy machine has needed one more of go again, and take what they hold along. */
static gsize
settled_heap_bytes(gsize limit_bytes)
{
    gint64 end_usec = g_get_monotonic_time() + SETTLE_USEC;

    while (heap_bytes() > limit_bytes && g_get_monotonic_time() < end_usec) {
        g_thread_pool_stop_unused_threads();
        g_usleep(10000);
    }
    return heap_bytes();
}

static void
test_day(Day *day, gconstpointer unused G_GNUC_UNUSED)
{
    gsize warm_bytes = 0;

    for (guint hour = 1; hour <= HOURS_COUNT; hour++) {
        for (guint i = 0; i < TICKS_AN_HOUR; i++) {
            tick(day);
        }
        log_catch_clear();
        g_test_message("heap after hour %u: %" G_GSIZE_FORMAT " bytes", hour, heap_bytes());
        if (hour <= WARM_HOURS) {
            warm_bytes = heap_bytes();
        }
        gsize limit_bytes = warm_bytes + GROWTH_BYTES;
        g_assert_cmpuint(settled_heap_bytes(limit_bytes), <=, limit_bytes);
    }
    g_test_message("%u ticks, %u domains, %u switches, %u knobs", day->ticks_count, day->born_count,
                   day->switched_count, day->knobs_count);
    g_assert_cmpuint(mf_registry_get_n_domains(day->registry), ==, DOMAINS_COUNT);
    g_assert_cmpuint(day->switched_count, >, day->born_count / 4);
    g_assert_cmpuint(day->knobs_count, >, HOURS_COUNT);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    log_catch_begin();
    g_test_add("/day/heap", Day, NULL, day_open, test_day, day_close);
    return g_test_run();
}
