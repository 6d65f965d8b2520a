/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading the kernel's text.
 *
 * A Span is a piece of the caller's buffer; lines and words are cut from its head, so that nothing
 * is copied and nothing needs a NUL.
 */
#include "mf-parse.h"

#include <string.h>

#include "mf-error.h"
#include "mf-text.h"
#include "mf-units.h"

typedef struct {
    const char *text;
    gsize length_bytes;
} Span;

static gboolean
refuse(GError **error, const char *what, Span span)
{
    g_autofree char *head = g_strndup(span.text, MIN(span.length_bytes, 80));
    g_autofree char *quoted = mf_text_quote(head);

    g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "%s: %s", what, quoted);
    return FALSE;
}

/* Cuts the first line, without its '\n', off rest; FALSE at the end. */
static gboolean
next_line(Span *rest, Span *ret_line)
{
    if (rest->length_bytes == 0) {
        return FALSE;
    }
    const char *end = memchr(rest->text, '\n', rest->length_bytes);
    gsize length_bytes = end != NULL ? (gsize)(end - rest->text) : rest->length_bytes;
    gsize used_bytes = end != NULL ? length_bytes + 1 : length_bytes;

    *ret_line = (Span){rest->text, length_bytes};
    rest->text += used_bytes;
    rest->length_bytes -= used_bytes;
    return TRUE;
}

/* Cuts the first word (up to white space) off rest; FALSE when there is none. */
static gboolean
next_word(Span *rest, Span *ret_word)
{
    gsize start = 0;
    gsize end;

    while (start < rest->length_bytes && g_ascii_isspace(rest->text[start])) {
        start++;
    }
    for (end = start; end < rest->length_bytes && !g_ascii_isspace(rest->text[end]); end++) {
        continue;
    }
    *ret_word = (Span){rest->text + start, end - start};
    rest->text += end;
    rest->length_bytes -= end;
    return end > start;
}

static gboolean
span_is(Span span, const char *text)
{
    return span.length_bytes == strlen(text) && memcmp(span.text, text, span.length_bytes) == 0;
}

static gboolean
span_to_u64(Span span, guint64 *ret_value)
{
    guint64 value = 0;

    if (span.length_bytes == 0) {
        return FALSE;
    }
    for (gsize i = 0; i < span.length_bytes; i++) {
        if (!g_ascii_isdigit(span.text[i]) || __builtin_mul_overflow(value, (guint64)10, &value) ||
            __builtin_add_overflow(value, (guint64)(span.text[i] - '0'), &value)) {
            return FALSE;
        }
    }
    *ret_value = value;
    return TRUE;
}

static gboolean
span_to_i64(Span span, gint64 *ret_value)
{
    gboolean negative = span.length_bytes > 0 && span.text[0] == '-';
    Span digits = negative ? (Span){span.text + 1, span.length_bytes - 1} : span;
    guint64 magnitude;

    if (!span_to_u64(digits, &magnitude) || magnitude > (guint64)G_MAXINT64 + (negative ? 1 : 0)) {
        return FALSE;
    }
    *ret_value = negative ? (gint64)(0 - magnitude) : (gint64)magnitude;
    return TRUE;
}

/* The one word of text; an empty span when there are none or several. */
static Span
only_word(const char *text, gsize length_bytes)
{
    Span rest = {text, length_bytes};
    Span word;
    Span more;

    if (!next_word(&rest, &word) || next_word(&rest, &more)) {
        return (Span){text, 0};
    }
    return word;
}

gboolean
mf_parse_u64(const char *text, gsize length_bytes, guint64 *ret_value, GError **error)
{
    return span_to_u64(only_word(text, length_bytes), ret_value) ||
           refuse(error, "not an unsigned number", (Span){text, length_bytes});
}

gboolean
mf_parse_i64(const char *text, gsize length_bytes, gint64 *ret_value, GError **error)
{
    return span_to_i64(only_word(text, length_bytes), ret_value) ||
           refuse(error, "not a number", (Span){text, length_bytes});
}

/* The rest of a line such as "   1234 kB", as bytes. */
static gboolean
rest_to_kib_bytes(Span rest, guint64 *ret_bytes)
{
    Span number;
    Span unit;
    Span more;
    guint64 kib;

    return next_word(&rest, &number) && next_word(&rest, &unit) && !next_word(&rest, &more) &&
           span_to_u64(number, &kib) && span_is(unit, "kB") &&
           !__builtin_mul_overflow(kib, (guint64)1024, ret_bytes);
}

gboolean
mf_parse_meminfo(const char *text, gsize length_bytes, MfHost *host, GError **error)
{
    MfU64 total_bytes = MF_U64_ABSENT;
    MfU64 available_bytes = MF_U64_ABSENT;
    MfU64 swap_free_bytes = MF_U64_ABSENT;
    Span rest = {text, length_bytes};
    Span line;

    while (next_line(&rest, &line)) {
        Span figures = line;
        Span key;
        MfU64 *field = NULL;
        if (!next_word(&figures, &key)) {
            continue;
        }
        if (span_is(key, "MemTotal:")) {
            field = &total_bytes;
        } else if (span_is(key, "MemAvailable:")) {
            field = &available_bytes;
        } else if (span_is(key, "SwapFree:")) {
            field = &swap_free_bytes;
        } else {
            continue;
        }
        if (!rest_to_kib_bytes(figures, &field->value)) {
            return refuse(error, "bad line of meminfo", line);
        }
        field->known = TRUE;
    }
    host->mem_total_bytes = total_bytes;
    host->mem_available_bytes = available_bytes;
    host->swap_free_bytes = swap_free_bytes;
    return TRUE;
}

gboolean
mf_parse_ksm_stat(const char *text, gsize length_bytes, MfKsmStat *ret_stat, GError **error)
{
    MfKsmStat stat = {MF_U64_ABSENT, MF_U64_ABSENT, MF_U64_ABSENT, MF_I64_ABSENT};
    Span rest = {text, length_bytes};
    Span line;

    while (next_line(&rest, &line)) {
        Span figures = line;
        Span key;
        Span number;
        Span more;
        MfU64 *field = NULL;
        if (!next_word(&figures, &key)) {
            continue;
        }
        if (span_is(key, "ksm_rmap_items")) {
            field = &stat.rmap_items_pages;
        } else if (span_is(key, "ksm_zero_pages")) {
            field = &stat.zero_pages;
        } else if (span_is(key, "ksm_merging_pages")) {
            field = &stat.merging_pages;
        } else if (!span_is(key, "ksm_process_profit")) {
            continue;
        }
        gboolean single = next_word(&figures, &number) && !next_word(&figures, &more);
        if (!single || !(field != NULL ? span_to_u64(number, &field->value)
                                       : span_to_i64(number, &stat.profit_bytes.value))) {
            return refuse(error, "bad line of ksm_stat", line);
        }
        *(field != NULL ? &field->known : &stat.profit_bytes.known) = TRUE;
    }
    *ret_stat = stat;
    return TRUE;
}

/* What is read of one area of smaps until its VmFlags say whether it counts. */
typedef struct {
    gboolean open; /* an area has begun and its VmFlags are not read yet */
    MfU64 size_bytes;
    MfU64 resident_bytes;
    MfU64 proportional_bytes;
    MfU64 merged_bytes;
} SmapsArea;

static MfU64 *
smaps_field(SmapsArea *area, Span key)
{
    static const struct {
        const char *key;
        gsize offset;
    } fields[] = {
        {"Size:", G_STRUCT_OFFSET(SmapsArea, size_bytes)},
        {"Rss:", G_STRUCT_OFFSET(SmapsArea, resident_bytes)},
        {"Pss:", G_STRUCT_OFFSET(SmapsArea, proportional_bytes)},
        {"KSM:", G_STRUCT_OFFSET(SmapsArea, merged_bytes)},
    };

    for (guint i = 0; i < G_N_ELEMENTS(fields); i++) {
        if (span_is(key, fields[i].key)) {
            return (MfU64 *)((char *)area + fields[i].offset);
        }
    }
    return NULL;
}

static gboolean
flags_hold(Span flags, const char *flag)
{
    Span word;

    while (next_word(&flags, &word)) {
        if (span_is(word, flag)) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Closes an area at its VmFlags and adds it to total when it is mergeable. */
static gboolean
close_area(SmapsArea *area, Span flags, MfArea *total)
{
    area->open = FALSE;
    if (!flags_hold(flags, "mg")) {
        return TRUE;
    }
    if (!area->size_bytes.known || !area->resident_bytes.known || !area->proportional_bytes.known) {
        return FALSE;
    }
    total->size_bytes = mf_add_sat(total->size_bytes, area->size_bytes.value);
    total->resident_bytes = mf_add_sat(total->resident_bytes, area->resident_bytes.value);
    total->proportional_bytes =
        mf_add_sat(total->proportional_bytes, area->proportional_bytes.value);
    total->merged_bytes.known = total->merged_bytes.known && area->merged_bytes.known;
    total->merged_bytes.value = mf_add_sat(total->merged_bytes.value, area->merged_bytes.value);
    return TRUE;
}

/* An area begins with its address range; all keys begin with a capital letter. */
static gboolean
is_area_head(Span line)
{
    return line.length_bytes > 0 && g_ascii_isxdigit(line.text[0]) &&
           !g_ascii_isupper(line.text[0]) && memchr(line.text, '-', line.length_bytes) != NULL;
}

gboolean
mf_parse_smaps(const char *text, gsize length_bytes, MfArea *ret_area, GError **error)
{
    MfArea total = {.merged_bytes = MF_U64(0)};
    SmapsArea area = {0};
    Span rest = {text, length_bytes};
    Span line;

    while (next_line(&rest, &line)) {
        Span figures = line;
        Span key;
        if (is_area_head(line)) {
            if (area.open) {
                return refuse(error, "area of smaps without VmFlags before", line);
            }
            area = (SmapsArea){.open = TRUE};
            continue;
        }
        if (!area.open || !next_word(&figures, &key)) {
            return refuse(error, "line of smaps outside an area", line);
        }
        MfU64 *field = smaps_field(&area, key);
        if (field != NULL) {
            field->known = rest_to_kib_bytes(figures, &field->value);
        }
        if ((field != NULL && !field->known) ||
            (span_is(key, "VmFlags:") && !close_area(&area, figures, &total))) {
            return refuse(error, "bad line of smaps", line);
        }
    }
    if (area.open) {
        return refuse(error, "smaps ends within an area", (Span){text, length_bytes});
    }
    if (!total.merged_bytes.known) {
        total.merged_bytes = MF_U64_ABSENT;
    }
    *ret_area = total;
    return TRUE;
}

static gboolean
span_to_hex(Span span, guint64 *ret_value)
{
    guint64 value = 0;

    for (gsize i = 0; i < span.length_bytes; i++) {
        gint digit = g_ascii_xdigit_value(span.text[i]);
        if (digit < 0 || __builtin_mul_overflow(value, (guint64)16, &value)) {
            return FALSE;
        }
        value += (guint64)digit;
    }
    *ret_value = value;
    return span.length_bytes > 0;
}

/* "7f00-7f10 rw-p 00000000 00:00 0": where, and whether it is private and of no file. */
static gboolean
read_area_head(Span line, MfStretch *ret_stretch, gboolean *ret_private)
{
    enum { RANGE, MODE, OFFSET, DEVICE, INODE, WORDS };
    Span words[WORDS];

    for (guint i = 0; i < WORDS; i++) {
        if (!next_word(&line, &words[i])) {
            return FALSE;
        }
    }
    Span range = words[RANGE];
    const char *dash = memchr(range.text, '-', range.length_bytes);
    if (dash == NULL) {
        return FALSE;
    }
    Span start = {range.text, (gsize)(dash - range.text)};
    Span end = {dash + 1, range.length_bytes - start.length_bytes - 1};
    *ret_private =
        words[MODE].length_bytes == 4 && words[MODE].text[3] == 'p' && span_is(words[INODE], "0");
    return span_to_hex(start, &ret_stretch->start_bytes) &&
           span_to_hex(end, &ret_stretch->end_bytes) &&
           ret_stretch->start_bytes < ret_stretch->end_bytes;
}

GArray *
mf_parse_smaps_guest(const char *text, gsize length_bytes, GError **error)
{
    g_autoptr(GArray) stretches = g_array_new(FALSE, FALSE, sizeof(MfStretch));
    MfStretch stretch = {0};
    gboolean is_private = FALSE;
    Span rest = {text, length_bytes};
    Span line;

    while (next_line(&rest, &line)) {
        Span flags = line;
        Span key;
        if (is_area_head(line)) {
            if (!read_area_head(line, &stretch, &is_private)) {
                refuse(error, "bad head of an area of smaps", line);
                return NULL;
            }
        } else if (next_word(&flags, &key) && span_is(key, "VmFlags:") && is_private &&
                   (flags_hold(flags, "mg") || flags_hold(flags, "dc")) &&
                   !flags_hold(flags, "ht")) {
            g_array_append_val(stretches, stretch);
        }
    }
    return g_steal_pointer(&stretches);
}

gboolean
mf_parse_stat(const char *text, gsize length_bytes, MfProcStat *ret_stat, GError **error)
{
    /* Numbers of proc_pid_stat(5); comm, field 2, may itself hold spaces and parentheses. */
    enum { PARENT = 4, USER = 14, SYSTEM = 15, START = 22 };
    MfProcStat stat = {0};
    guint64 user_ticks = 0;
    guint64 system_ticks = 0;
    Span whole = {text, length_bytes};
    const char *open = length_bytes > 0 ? memchr(text, '(', length_bytes) : NULL;
    const char *close = length_bytes > 0 ? memrchr(text, ')', length_bytes) : NULL;

    if (open == NULL || close == NULL || close < open) {
        return refuse(error, "bad stat of a process", whole);
    }
    gsize comm_bytes = MIN((gsize)(close - open - 1), sizeof(stat.comm) - 1);
    memcpy(stat.comm, open + 1, comm_bytes);

    Span rest = {close + 1, length_bytes - (gsize)(close + 1 - text)};
    for (int field = 3; field <= START; field++) {
        Span word;
        if (!next_word(&rest, &word) || (field == PARENT && !span_to_i64(word, &stat.parent_pid)) ||
            (field == USER && !span_to_u64(word, &user_ticks)) ||
            (field == SYSTEM && !span_to_u64(word, &system_ticks)) ||
            (field == START && !span_to_u64(word, &stat.start_ticks))) {
            return refuse(error, "bad stat of a process", whole);
        }
    }
    stat.cpu_ticks = mf_add_sat(user_ticks, system_ticks);
    *ret_stat = stat;
    return TRUE;
}

char *
mf_parse_choice(const char *text, gsize length_bytes, GError **error)
{
    Span rest = {text, length_bytes};
    Span word;
    Span chosen = {NULL, 0};
    guint chosen_count = 0;

    while (next_word(&rest, &word)) {
        if (word.length_bytes > 2 && word.text[0] == '[' &&
            word.text[word.length_bytes - 1] == ']') {
            chosen = (Span){word.text + 1, word.length_bytes - 2};
            chosen_count++;
        }
    }
    if (chosen_count != 1 || memchr(chosen.text, '\0', chosen.length_bytes) != NULL) {
        refuse(error, "no single choice in brackets", (Span){text, length_bytes});
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
        after_option = span_is((Span){argument, argument_bytes}, "-uuid");
        offset += argument_bytes + 1;
    }
    return FALSE;
}
