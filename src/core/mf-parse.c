/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading the kernel's text; that of smaps has a file of its own. */
#include "mf-parse.h"

#include <string.h>

#include "mf-error.h"
#include "mf-span.h"
#include "mf-text.h"
#include "mf-units.h"

/* The one word of text; an empty span when there are none or several. */
static MfSpan
only_word(const char *text, gsize length_bytes)
{
    MfSpan rest = {text, length_bytes};
    MfSpan word;
    MfSpan more;

    if (!mf_span_next_word(&rest, &word) || mf_span_next_word(&rest, &more)) {
        return (MfSpan){text, 0};
    }
    return word;
}

gboolean
mf_parse_u64(const char *text, gsize length_bytes, guint64 *ret_value, GError **error)
{
    return mf_span_to_u64(only_word(text, length_bytes), ret_value) ||
           mf_span_refuse(error, "not an unsigned number", (MfSpan){text, length_bytes});
}

gboolean
mf_parse_i64(const char *text, gsize length_bytes, gint64 *ret_value, GError **error)
{
    return mf_span_to_i64(only_word(text, length_bytes), ret_value) ||
           mf_span_refuse(error, "not a number", (MfSpan){text, length_bytes});
}

gboolean
mf_parse_meminfo(const char *text, gsize length_bytes, MfHost *host, GError **error)
{
    MfU64 total_bytes = MF_U64_ABSENT;
    MfU64 available_bytes = MF_U64_ABSENT;
    MfU64 swap_free_bytes = MF_U64_ABSENT;
    MfU64 hardware_corrupted_bytes = MF_U64_ABSENT;
    MfSpan rest = {text, length_bytes};
    MfSpan line;

    while (mf_span_next_line(&rest, &line)) {
        MfSpan figures = line;
        MfSpan key;
        MfU64 *field = NULL;
        if (!mf_span_next_word(&figures, &key)) {
            continue;
        }
        if (mf_span_is(key, "MemTotal:")) {
            field = &total_bytes;
        } else if (mf_span_is(key, "MemAvailable:")) {
            field = &available_bytes;
        } else if (mf_span_is(key, "SwapFree:")) {
            field = &swap_free_bytes;
        } else if (mf_span_is(key, "HardwareCorrupted:")) {
            field = &hardware_corrupted_bytes;
        } else {
            continue;
        }
        if (!mf_span_to_kib_bytes(figures, &field->value)) {
            return mf_span_refuse(error, "bad line of meminfo", line);
        }
        field->known = TRUE;
    }
    host->mem_total_bytes = total_bytes;
    host->mem_available_bytes = available_bytes;
    host->swap_free_bytes = swap_free_bytes;
    host->hardware_corrupted_bytes = hardware_corrupted_bytes;
    return TRUE;
}

/* "12.34" to 1234: two decimals, as the kernel prints them, and at most a hundred percent. */
static gboolean
span_to_permyriad(MfSpan span, guint64 *ret_permyriad)
{
    const char *dot = memchr(span.text, '.', span.length_bytes);
    guint64 whole;
    guint64 hundredths;

    if (dot == NULL) {
        return FALSE;
    }
    gsize whole_bytes = (gsize)(dot - span.text);
    MfSpan tail = {dot + 1, span.length_bytes - whole_bytes - 1};
    if (tail.length_bytes != 2 || !mf_span_to_u64((MfSpan){span.text, whole_bytes}, &whole) ||
        !mf_span_to_u64(tail, &hundredths) || whole > 100) {
        return FALSE;
    }
    *ret_permyriad = MIN(whole * 100 + hundredths, MF_PERMYRIAD);
    return TRUE;
}

gboolean
mf_parse_pressure(const char *text, gsize length_bytes, MfHost *host, GError **error)
{
    static const char key[] = "avg10=";
    MfSpan rest = {text, length_bytes};
    MfSpan line;

    while (mf_span_next_line(&rest, &line)) {
        MfSpan figures = line;
        MfSpan kind;
        MfSpan word;
        guint64 permyriad;
        if (!mf_span_next_word(&figures, &kind) || !mf_span_is(kind, "some")) {
            continue;
        }
        gsize key_bytes = strlen(key);
        if (!mf_span_next_word(&figures, &word) || word.length_bytes < key_bytes ||
            memcmp(word.text, key, key_bytes) != 0 ||
            !span_to_permyriad((MfSpan){word.text + key_bytes, word.length_bytes - key_bytes},
                               &permyriad)) {
            return mf_span_refuse(error, "bad line of pressure/memory", line);
        }
        host->memory_waits_permyriad = MF_U64(permyriad);
        return TRUE;
    }
    return mf_span_refuse(error, "pressure/memory has no line \"some\"",
                          (MfSpan){text, length_bytes});
}

gboolean
mf_parse_vmstat(const char *text, gsize length_bytes, MfHost *host, GError **error)
{
    MfU64 cow_breaks_count = MF_U64_ABSENT;
    MfU64 swap_in_copies_count = MF_U64_ABSENT;
    MfSpan rest = {text, length_bytes};
    MfSpan line;

    while (mf_span_next_line(&rest, &line)) {
        MfSpan figures = line;
        MfSpan key;
        MfU64 *field = NULL;
        if (!mf_span_next_word(&figures, &key)) {
            continue;
        }
        if (mf_span_is(key, "cow_ksm")) {
            field = &cow_breaks_count;
        } else if (mf_span_is(key, "ksm_swpin_copy")) {
            field = &swap_in_copies_count;
        } else {
            continue;
        }
        if (!mf_span_to_u64(only_word(figures.text, figures.length_bytes), &field->value)) {
            return mf_span_refuse(error, "bad line of vmstat", line);
        }
        field->known = TRUE;
    }
    host->cow_breaks_count = cow_breaks_count;
    host->swap_in_copies_count = swap_in_copies_count;
    return TRUE;
}

/* The field that a line of ksm_stat is for; NULL when it is none of the unsigned ones. */
static MfU64 *
ksm_stat_field(MfKsmStat *stat, MfSpan key)
{
    const struct {
        const char *name;
        MfU64 *field;
    } fields[] = {
        {"ksm_rmap_items", &stat->rmap_items_pages},
        {"ksm_zero_pages", &stat->zero_pages},
        {"ksm_merging_pages", &stat->merging_pages},
        {"ksm_cow_breaks", &stat->cow_breaks_count},
        {"ksm_swpin_copies", &stat->swap_in_copies_count},
        {"ksm_pages_scanned", &stat->scanned_pages},
    };

    for (guint i = 0; i < G_N_ELEMENTS(fields); i++) {
        if (mf_span_is(key, fields[i].name)) {
            return fields[i].field;
        }
    }
    return NULL;
}

gboolean
mf_parse_ksm_stat(const char *text, gsize length_bytes, MfKsmStat *ret_stat, GError **error)
{
    MfKsmStat stat = {0};
    MfSpan rest = {text, length_bytes};
    MfSpan line;

    while (mf_span_next_line(&rest, &line)) {
        MfSpan figures = line;
        MfSpan key;
        if (!mf_span_next_word(&figures, &key)) {
            continue;
        }
        MfU64 *field = ksm_stat_field(&stat, key);
        if (field == NULL && !mf_span_is(key, "ksm_process_profit")) {
            continue;
        }
        MfSpan number = only_word(figures.text, figures.length_bytes);
        if (!(field != NULL ? mf_span_to_u64(number, &field->value)
                            : mf_span_to_i64(number, &stat.profit_bytes.value))) {
            return mf_span_refuse(error, "bad line of ksm_stat", line);
        }
        *(field != NULL ? &field->known : &stat.profit_bytes.known) = TRUE;
    }
    *ret_stat = stat;
    return TRUE;
}

gboolean
mf_parse_stat(const char *text, gsize length_bytes, MfProcStat *ret_stat, GError **error)
{
    /* Numbers of proc_pid_stat(5); comm, field 2, may itself hold spaces and parentheses. */
    enum { STATE = 3, PARENT = 4, USER = 14, SYSTEM = 15, START = 22 };
    MfProcStat stat = {0};
    guint64 user_ticks = 0;
    guint64 system_ticks = 0;
    MfSpan whole = {text, length_bytes};
    const char *open = length_bytes > 0 ? memchr(text, '(', length_bytes) : NULL;
    const char *close = length_bytes > 0 ? memrchr(text, ')', length_bytes) : NULL;

    if (open == NULL || close == NULL || close < open) {
        return mf_span_refuse(error, "bad stat of a process", whole);
    }
    gsize comm_bytes = MIN((gsize)(close - open - 1), sizeof(stat.comm) - 1);
    memcpy(stat.comm, open + 1, comm_bytes);

    MfSpan rest = {close + 1, length_bytes - (gsize)(close + 1 - text)};
    for (int field = STATE; field <= START; field++) {
        MfSpan word;
        if (!mf_span_next_word(&rest, &word) ||
            (field == PARENT && !mf_span_to_i64(word, &stat.parent_pid)) ||
            (field == USER && !mf_span_to_u64(word, &user_ticks)) ||
            (field == SYSTEM && !mf_span_to_u64(word, &system_ticks)) ||
            (field == START && !mf_span_to_u64(word, &stat.start_ticks))) {
            return mf_span_refuse(error, "bad stat of a process", whole);
        }
        if (field == STATE) {
            stat.state = word.text[0];
        }
    }
    stat.cpu_ticks = mf_add_sat(user_ticks, system_ticks);
    *ret_stat = stat;
    return TRUE;
}

gboolean
mf_parse_statm(const char *text, gsize length_bytes, guint64 *ret_resident_pages, GError **error)
{
    MfSpan rest = {text, length_bytes};
    MfSpan size;
    MfSpan resident;

    return (mf_span_next_word(&rest, &size) && mf_span_next_word(&rest, &resident) &&
            mf_span_to_u64(resident, ret_resident_pages)) ||
           mf_span_refuse(error, "bad statm of a process", (MfSpan){text, length_bytes});
}

char *
mf_parse_choice(const char *text, gsize length_bytes, GError **error)
{
    MfSpan rest = {text, length_bytes};
    MfSpan word;
    MfSpan chosen = {NULL, 0};
    guint chosen_count = 0;

    while (mf_span_next_word(&rest, &word)) {
        if (word.length_bytes > 2 && word.text[0] == '[' &&
            word.text[word.length_bytes - 1] == ']') {
            chosen = (MfSpan){word.text + 1, word.length_bytes - 2};
            chosen_count++;
        }
    }
    if (chosen_count != 1 || memchr(chosen.text, '\0', chosen.length_bytes) != NULL) {
        mf_span_refuse(error, "no single choice in brackets", (MfSpan){text, length_bytes});
        return NULL;
    }
    return g_strndup(chosen.text, chosen.length_bytes);
}

gboolean
mf_parse_cmdline_has_uuid(const char *text, gsize length_bytes, const char *uuid)
{
    gsize uuid_bytes = strlen(uuid);
    gboolean after_option = FALSE;
    gsize offset = 0;

    while (uuid_bytes > 0 && offset < length_bytes) {
        const char *argument = text + offset;
        gsize argument_bytes = strnlen(argument, length_bytes - offset);
        if (after_option) {
            return argument_bytes == uuid_bytes &&
                   g_ascii_strncasecmp(argument, uuid, uuid_bytes) == 0;
        }
        after_option = mf_span_is((MfSpan){argument, argument_bytes}, "-uuid");
        offset += argument_bytes + 1;
    }
    return FALSE;
}
