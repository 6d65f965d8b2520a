/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What memfoldd finds at its start: the journal and the debts of one that died, perhaps while it
 * wrote them.  The input is a folder as head(1) prints one.
 */
#include <string.h>

#include "../../src/engine/mf-journal.h"
#include "../../src/engine/mf-owed.h"
#include "mf-fuzz.h"

#define UUID "c7a5fdbd-edaf-9455-926a-d65c16db1809"
#define KSM  "sys/kernel/mm/ksm/"
#define RUN  "run/memfold/"

static const char *const known[] = {RUN MF_JOURNAL_NAME,
                                    RUN MF_OWED_NAME,
                                    KSM "run",
                                    KSM "pages_to_scan",
                                    KSM "sleep_millisecs",
                                    KSM "use_zero_pages",
                                    KSM "smart_scan",
                                    KSM "advisor_mode",
                                    KSM "index",
                                    KSM "cpu_max_permyriad",
                                    NULL};

static MfFuzzFolder *folder;
static MfRoot *host;
static MfRoot *runtime;

int
LLVMFuzzerInitialize(G_GNUC_UNUSED int *argc, G_GNUC_UNUSED char ***argv)
{
    g_autofree char *path = NULL;
    g_autoptr(GError) error = NULL;

    mf_fuzz_quiet();
    folder = mf_fuzz_folder_new();
    mf_fuzz_folder_write(folder, "proc/sys/kernel/random/boot_id", "boot-1\n", 7);
    mf_fuzz_folder_write(folder, RUN "lock", "", 0);
    path = g_build_filename(mf_fuzz_folder_get_path(folder), RUN, NULL);
    host = mf_root_new(mf_fuzz_folder_get_path(folder), &error);
    g_assert_no_error(error);
    runtime = mf_root_new(path, &error);
    g_assert_no_error(error);
    return 0;
}

/* Whatever a journal says, nothing is un-merged by it, and what is done with is gone. */
static void
restore(MfJournal *journal)
{
    g_autofree char *before = mf_fuzz_folder_read(folder, KSM "run");
    gboolean all = mf_journal_restore(journal, NULL);
    g_autofree char *after = mf_fuzz_folder_read(folder, KSM "run");
    g_autofree char *left = mf_fuzz_folder_read(folder, RUN MF_JOURNAL_NAME);

    if (g_strcmp0(before, after) != 0) {
        g_assert_true(g_str_equal(after, "0") || g_str_equal(after, "1"));
    }
    if (all) {
        g_assert_true(mf_journal_is_empty(journal));
        g_assert_null(left);
    }
}

static void
read_journal(void)
{
    g_autoptr(MfJournal) journal = mf_journal_new(runtime, host);
    g_autoptr(MfJournal) next = mf_journal_new(runtime, host);
    g_autoptr(GError) error = NULL;
    gint64 pid = 0;
    gboolean loaded = mf_journal_load(journal, &pid, &error);

    g_assert_cmpint(loaded, ==, error == NULL);
    if (!loaded) {
        g_assert_true(mf_journal_is_empty(journal));
        mf_journal_set_aside(journal, NULL);
    } else {
        restore(journal);
    }
    g_clear_error(&error);
    mf_journal_record(journal, MF_KNOB_RUN, "0", "1", &error);
    g_assert_no_error(error);
    mf_journal_load(next, NULL, &error);
    g_assert_no_error(error);
    g_assert_false(mf_journal_is_empty(next));
    mf_root_remove(runtime, MF_JOURNAL_NAME, NULL);
}

/* Debts that were taken up are kept as they are by the next one's file. */
static void
read_debts(void)
{
    g_autoptr(MfOwed) owed = mf_owed_new(runtime, host);
    g_autoptr(MfOwed) next = mf_owed_new(runtime, host);
    const MfDebt mine = {.pid = 1, .suspended = TRUE};
    g_autoptr(GError) error = NULL;
    gboolean loaded = mf_owed_load(owed, &error);
    g_auto(GStrv) uuids = mf_owed_list(owed);

    g_assert_cmpint(loaded, ==, error == NULL);
    g_assert_true(loaded || uuids[0] == NULL);
    g_clear_error(&error);
    mf_owed_set(owed, UUID, &mine, &error);
    g_assert_no_error(error);
    mf_owed_load(next, &error);
    g_assert_no_error(error);
    for (guint i = 0; uuids[i] != NULL; i++) {
        MfDebt debt;
        MfDebt again;

        g_assert_true(g_uuid_string_is_valid(uuids[i]));
        mf_owed_get(owed, uuids[i], &debt);
        mf_owed_get(next, uuids[i], &again);
        g_assert_cmpint(debt.pid, >, 0);
        g_assert_cmpint(debt.pid, ==, again.pid);
        g_assert_cmpint(debt.suspended, ==, again.suspended);
        g_assert_cmpuint(debt.balloon.before_bytes, ==, again.balloon.before_bytes);
        g_assert_cmpuint(debt.balloon.asked_bytes, ==, again.balloon.asked_bytes);
        g_assert_cmpuint(debt.balloon.lowest_bytes, ==, again.balloon.lowest_bytes);
    }
    mf_root_remove(runtime, MF_OWED_NAME, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mf_fuzz_folder_fill(folder, known, data, size);
    read_journal();
    read_debts();
    return 0;
}
