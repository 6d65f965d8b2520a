/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-journal.h"

#include <string.h>
#include <unistd.h>

#include "../core/mf-error.h"
#include "../io/mf-ksm.h"

#define JOURNAL_VERSION   1
#define JOURNAL_MAX_BYTES (64 * 1024)
#define VALUE_MAX_BYTES   64
#define BOOT_ID_PATH      "proc/sys/kernel/random/boot_id"
#define GROUP_HEAD        "journal"
#define GROUP_ORIGINAL    "original"
#define GROUP_WRITTEN     "written"
#define GROUP_BEFORE      "before"

/* `before` is the value that `written` took the place of: between the journal's write and the
 * knob's, either may be found. */
typedef struct {
    char *original;
    char *written;
    char *before;
} Entry;

struct _MfJournal {
    MfRoot *runtime;
    MfRoot *host;
    char *boot_id;
    Entry entries[MF_KNOB_N];
};

/* ksmd starts last, when it finds everything else as it should be; pages_to_scan can only be
 * written while the advisor is off. */
static const MfKnob restore_order[] = {
    MF_KNOB_SLEEP_MSEC,     MF_KNOB_PAGES_TO_SCAN, MF_KNOB_USE_ZERO_PAGES,
    MF_KNOB_SMART_SCAN,     MF_KNOB_ADVISOR_MODE,  MF_KNOB_CPU_MAX,
    MF_KNOB_SKIP_UNWRITTEN, MF_KNOB_BOOST_NEW,     MF_KNOB_INDEX,
    MF_KNOB_GROUP_DEFAULT,  MF_KNOB_RUN,
};
G_STATIC_ASSERT(G_N_ELEMENTS(restore_order) == MF_KNOB_N);

static void
entry_clear(Entry *entry)
{
    g_clear_pointer(&entry->original, g_free);
    g_clear_pointer(&entry->written, g_free);
    g_clear_pointer(&entry->before, g_free);
}

MfJournal *
mf_journal_new(MfRoot *runtime, MfRoot *host)
{
    MfJournal *journal = g_new0(MfJournal, 1);
    g_autofree char *boot_id = mf_root_read(host, BOOT_ID_PATH, VALUE_MAX_BYTES, NULL, NULL);

    journal->runtime = mf_root_ref(runtime);
    journal->host = mf_root_ref(host);
    journal->boot_id = g_strdup(boot_id ? g_strstrip(boot_id) : "unknown");
    return journal;
}

void
mf_journal_free(MfJournal *journal)
{
    if (!journal) {
        return;
    }
    for (guint i = 0; i < MF_KNOB_N; i++) {
        entry_clear(&journal->entries[i]);
    }
    mf_root_unref(journal->runtime);
    mf_root_unref(journal->host);
    g_free(journal->boot_id);
    g_free(journal);
}

MfRoot *
mf_journal_get_runtime(const MfJournal *journal)
{
    return journal->runtime;
}

gboolean
mf_journal_is_empty(const MfJournal *journal)
{
    for (guint i = 0; i < MF_KNOB_N; i++) {
        if (journal->entries[i].original) {
            return FALSE;
        }
    }
    return TRUE;
}

/* A knob's value is a number or a word; nothing else goes to the kernel from a file. */
static char *
get_value(GKeyFile *file, const char *group, const char *key, GError **error)
{
    g_autofree char *value = g_key_file_get_string(file, group, key, error);

    if (!value) {
        return NULL;
    }
    if (!*value || strlen(value) > VALUE_MAX_BYTES ||
        strspn(value, "0123456789abcdefghijklmnopqrstuvwxyz-_") != strlen(value)) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "[%s] %s: not a knob's value", group, key);
        return NULL;
    }
    return g_steal_pointer(&value);
}

static gboolean
load_entries(MfJournal *journal, GKeyFile *file, GError **error)
{
    g_auto(GStrv) keys = g_key_file_get_keys(file, GROUP_ORIGINAL, NULL, error);

    for (gsize i = 0; keys && keys[i]; i++) {
        MfKnob knob = MF_KNOB_N;
        Entry *entry = NULL;

        if (!mf_knob_from_string(keys[i], &knob)) {
            g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "[%s] %s: no such knob", GROUP_ORIGINAL,
                        keys[i]);
            return FALSE;
        }
        /* A key that stands twice is given twice. */
        entry = &journal->entries[knob];
        entry_clear(entry);
        entry->original = get_value(file, GROUP_ORIGINAL, keys[i], error);
        entry->written = entry->original ? get_value(file, GROUP_WRITTEN, keys[i], error) : NULL;
        entry->before = entry->written ? get_value(file, GROUP_BEFORE, keys[i], error) : NULL;
        if (!entry->before) {
            return FALSE;
        }
    }
    return keys != NULL;
}

gboolean
mf_journal_load(MfJournal *journal, gint64 *ret_pid, GError **error)
{
    g_autofree char *text = NULL;
    g_autofree char *boot_id = NULL;
    gsize length_bytes = 0;
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) problem = NULL;

    text =
        mf_root_read(journal->runtime, MF_JOURNAL_NAME, JOURNAL_MAX_BYTES, &length_bytes, &problem);
    if (!text) {
        if (mf_error_is_gone(problem)) {
            return TRUE;
        }
        g_propagate_prefixed_error(error, g_steal_pointer(&problem), "journal: ");
        return FALSE;
    }
    if (!g_key_file_load_from_data(file, text, length_bytes, G_KEY_FILE_NONE, &problem) ||
        g_key_file_get_integer(file, GROUP_HEAD, "version", &problem) != JOURNAL_VERSION ||
        !(boot_id = g_key_file_get_string(file, GROUP_HEAD, "boot-id", &problem))) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "journal: %s",
                    problem ? problem->message : "of another version");
        return FALSE;
    }
    if (strcmp(boot_id, journal->boot_id) != 0) {
        return mf_root_remove(journal->runtime, MF_JOURNAL_NAME, error);
    }
    if (!load_entries(journal, file, &problem)) {
        for (guint i = 0; i < MF_KNOB_N; i++) {
            entry_clear(&journal->entries[i]);
        }
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "journal: %s", problem->message);
        return FALSE;
    }
    if (ret_pid) {
        *ret_pid = g_key_file_get_int64(file, GROUP_HEAD, "pid", NULL);
    }
    return TRUE;
}

gboolean
mf_journal_set_aside(MfJournal *journal, GError **error)
{
    return mf_root_rename(journal->runtime, MF_JOURNAL_NAME, MF_JOURNAL_BAD_NAME, error);
}

static gboolean
save(MfJournal *journal, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autofree char *text = NULL;

    if (mf_journal_is_empty(journal)) {
        return mf_root_remove(journal->runtime, MF_JOURNAL_NAME, error);
    }
    g_key_file_set_integer(file, GROUP_HEAD, "version", JOURNAL_VERSION);
    g_key_file_set_string(file, GROUP_HEAD, "boot-id", journal->boot_id);
    g_key_file_set_int64(file, GROUP_HEAD, "pid", getpid());
    for (guint i = 0; i < MF_KNOB_N; i++) {
        const Entry *entry = &journal->entries[i];
        const char *name = mf_knob_to_string(i);

        if (entry->original) {
            g_key_file_set_string(file, GROUP_ORIGINAL, name, entry->original);
            g_key_file_set_string(file, GROUP_WRITTEN, name, entry->written);
            g_key_file_set_string(file, GROUP_BEFORE, name, entry->before);
        }
    }
    text = g_key_file_to_data(file, NULL, NULL);
    return mf_root_replace(journal->runtime, MF_JOURNAL_NAME, text, error);
}

gboolean
mf_journal_record(MfJournal *journal, MfKnob knob, const char *from, const char *to, GError **error)
{
    Entry *entry = &journal->entries[knob];
    Entry next = {
        .original = g_strdup(entry->original ? entry->original : from),
        .written = g_strdup(to),
        .before = g_strdup(from),
    };
    Entry old = *entry;

    *entry = next;
    if (!save(journal, error)) {
        g_prefix_error(error, "journal: ");
        *entry = old;
        entry_clear(&next);
        return FALSE;
    }
    entry_clear(&old);
    return TRUE;
}

/* TRUE when the entry is done with, whether by writing or by leaving it to somebody else. */
static gboolean
restore_knob(MfJournal *journal, MfKnob knob)
{
    const Entry *entry = &journal->entries[knob];
    const char *name = mf_knob_to_string(knob);
    const char *to = entry->original;
    g_autoptr(GError) error = NULL;
    g_autofree char *now = mf_ksm_read_knob(journal->host, knob, &error);

    if (!now) {
        g_warning("ksm %s: can't be put back to %s: %s", name, to, error->message);
        return mf_error_is_gone(error);
    }
    if (strcmp(now, to) == 0) {
        return TRUE;
    }
    if (strcmp(now, entry->written) != 0 && strcmp(now, entry->before) != 0) {
        g_message("ksm %s: left at %s, which somebody else wrote (it was %s before memfold)", name,
                  now, to);
        return TRUE;
    }
    if (!mf_ksm_write_knob(journal->host, knob, to, &error)) {
        if (knob == MF_KNOB_INDEX && g_error_matches(error, MF_ERROR, MF_ERROR_BUSY)) {
            /* It says how ksmd finds pages, not what is merged. */
            g_message(
                "ksm %s: left at %s, since the kernel changes it only while nothing is merged",
                name, now);
            return TRUE;
        }
        g_warning("ksm %s: can't be put back to %s: %s", name, to, error->message);
        return FALSE;
    }
    g_message("ksm %s: %s -> %s (put back)", name, now, to);
    return TRUE;
}

gboolean
mf_journal_restore(MfJournal *journal, const char *other_manager)
{
    gboolean all = TRUE;
    g_autoptr(GError) error = NULL;

    if (other_manager && !mf_journal_is_empty(journal)) {
        g_message("ksm: %s manages the knobs now, they are left to it", other_manager);
    }
    for (guint i = 0; i < G_N_ELEMENTS(restore_order); i++) {
        MfKnob knob = restore_order[i];

        if (!journal->entries[knob].original) {
            continue;
        }
        if (other_manager || restore_knob(journal, knob)) {
            entry_clear(&journal->entries[knob]);
        } else {
            all = FALSE;
        }
    }
    if (!save(journal, &error)) {
        g_warning("journal: %s", error->message);
        return FALSE;
    }
    return all;
}
