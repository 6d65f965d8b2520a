/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/smaps: areas with a head, some figures, and flags at the end; maps: the heads alone. */
#include <string.h>

#include "mf-error.h"
#include "mf-parse.h"
#include "mf-span.h"
#include "mf-units.h"

/* What is read of one area of smaps until its VmFlags say whether it counts. */
typedef struct {
    gboolean open; /* an area has begun and its VmFlags are not read yet */
    MfU64 size_bytes;
    MfU64 resident_bytes;
    MfU64 proportional_bytes;
    MfU64 merged_bytes;
    MfU64 huge_bytes;
    MfU64 swapped_bytes;
} SmapsArea;

static MfU64 *
smaps_field(SmapsArea *area, MfSpan key)
{
    static const struct {
        const char *key;
        gsize offset;
    } fields[] = {
        {"Size:", G_STRUCT_OFFSET(SmapsArea, size_bytes)},
        {"Rss:", G_STRUCT_OFFSET(SmapsArea, resident_bytes)},
        {"Pss:", G_STRUCT_OFFSET(SmapsArea, proportional_bytes)},
        {"KSM:", G_STRUCT_OFFSET(SmapsArea, merged_bytes)},
        {"AnonHugePages:", G_STRUCT_OFFSET(SmapsArea, huge_bytes)},
        {"Swap:", G_STRUCT_OFFSET(SmapsArea, swapped_bytes)},
    };

    for (guint i = 0; i < G_N_ELEMENTS(fields); i++) {
        if (mf_span_is(key, fields[i].key)) {
            return (MfU64 *)((char *)area + fields[i].offset);
        }
    }
    return NULL;
}

static gboolean
flags_hold(MfSpan flags, const char *flag)
{
    MfSpan word;

    while (mf_span_next_word(&flags, &word)) {
        if (mf_span_is(word, flag)) {
            return TRUE;
        }
    }
    return FALSE;
}

/* The sum is known only while every area of it is. */
static void
add_known(MfU64 *total, MfU64 part)
{
    total->known = total->known && part.known;
    total->value = total->known ? mf_add_sat(total->value, part.value) : 0;
}

/* Closes an area at its VmFlags and adds it to total when it is mergeable. */
static gboolean
close_area(SmapsArea *area, MfSpan flags, MfArea *total)
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
    add_known(&total->merged_bytes, area->merged_bytes);
    add_known(&total->huge_bytes, area->huge_bytes);
    add_known(&total->swapped_bytes, area->swapped_bytes);
    return TRUE;
}

/* An area begins with its address range; all keys begin with a capital letter. */
static gboolean
is_area_head(MfSpan line)
{
    return line.length_bytes > 0 && g_ascii_isxdigit(line.text[0]) &&
           !g_ascii_isupper(line.text[0]) && memchr(line.text, '-', line.length_bytes) != NULL;
}

gboolean
mf_parse_smaps(const char *text, gsize length_bytes, MfArea *ret_area, GError **error)
{
    MfArea total = {.merged_bytes = MF_U64(0), .huge_bytes = MF_U64(0), .swapped_bytes = MF_U64(0)};
    SmapsArea area = {0};
    MfSpan rest = {text, length_bytes};
    MfSpan line;

    while (mf_span_next_line(&rest, &line)) {
        MfSpan figures = line;
        MfSpan key;
        if (is_area_head(line)) {
            if (area.open) {
                return mf_span_refuse(error, "area of smaps without VmFlags before", line);
            }
            area = (SmapsArea){.open = TRUE};
            continue;
        }
        if (!area.open || !mf_span_next_word(&figures, &key)) {
            return mf_span_refuse(error, "line of smaps outside an area", line);
        }
        MfU64 *field = smaps_field(&area, key);
        if (field != NULL) {
            field->known = mf_span_to_kib_bytes(figures, &field->value);
        }
        if ((field != NULL && !field->known) ||
            (mf_span_is(key, "VmFlags:") && !close_area(&area, figures, &total))) {
            return mf_span_refuse(error, "bad line of smaps", line);
        }
    }
    if (area.open) {
        return mf_span_refuse(error, "smaps ends within an area", (MfSpan){text, length_bytes});
    }
    *ret_area = total;
    return TRUE;
}

static gboolean
span_to_hex(MfSpan span, guint64 *ret_value)
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

/* "7f00-7f10 rw-p 00000000 00:00 0": where, whether it is private, and whether it is of no file. */
static gboolean
read_area_head(MfSpan line, MfStretch *ret_stretch, gboolean *ret_private, gboolean *ret_anonymous)
{
    enum { RANGE, MODE, OFFSET, DEVICE, INODE, WORDS };
    MfSpan words[WORDS];

    for (guint i = 0; i < WORDS; i++) {
        if (!mf_span_next_word(&line, &words[i])) {
            return FALSE;
        }
    }
    MfSpan range = words[RANGE];
    const char *dash = memchr(range.text, '-', range.length_bytes);
    if (dash == NULL) {
        return FALSE;
    }
    MfSpan start = {range.text, (gsize)(dash - range.text)};
    MfSpan end = {dash + 1, range.length_bytes - start.length_bytes - 1};
    *ret_private = words[MODE].length_bytes == 4 && words[MODE].text[3] == 'p';
    *ret_anonymous = mf_span_is(words[INODE], "0");
    return span_to_hex(start, &ret_stretch->start_bytes) &&
           span_to_hex(end, &ret_stretch->end_bytes) &&
           ret_stretch->start_bytes < ret_stretch->end_bytes;
}

/* Whether an area with these flags is one of those that are looked for. */
typedef gboolean (*WantsArea)(MfSpan flags, gboolean is_private, gboolean is_anonymous);

static gboolean
is_guest_area(MfSpan flags, gboolean is_private, gboolean is_anonymous)
{
    return is_private && is_anonymous && (flags_hold(flags, "mg") || flags_hold(flags, "dc")) &&
           !flags_hold(flags, "ht");
}

static gboolean
is_mergeable_area(MfSpan flags, G_GNUC_UNUSED gboolean is_private,
                  G_GNUC_UNUSED gboolean is_anonymous)
{
    return flags_hold(flags, "mg");
}

static GArray *
parse_areas(const char *text, gsize length_bytes, WantsArea wants, GError **error)
{
    g_autoptr(GArray) stretches = g_array_new(FALSE, FALSE, sizeof(MfStretch));
    MfStretch stretch = {0};
    gboolean is_private = FALSE;
    gboolean is_anonymous = FALSE;
    MfSpan rest = {text, length_bytes};
    MfSpan line;

    while (mf_span_next_line(&rest, &line)) {
        MfSpan flags = line;
        MfSpan key;
        if (is_area_head(line)) {
            if (!read_area_head(line, &stretch, &is_private, &is_anonymous)) {
                mf_span_refuse(error, "bad head of an area of smaps", line);
                return NULL;
            }
        } else if (mf_span_next_word(&flags, &key) && mf_span_is(key, "VmFlags:") &&
                   wants(flags, is_private, is_anonymous)) {
            g_array_append_val(stretches, stretch);
        }
    }
    return g_steal_pointer(&stretches);
}

GArray *
mf_parse_smaps_guest(const char *text, gsize length_bytes, GError **error)
{
    return parse_areas(text, length_bytes, is_guest_area, error);
}

GArray *
mf_parse_smaps_mergeable(const char *text, gsize length_bytes, GError **error)
{
    return parse_areas(text, length_bytes, is_mergeable_area, error);
}

GArray *
mf_parse_maps_private(const char *text, gsize length_bytes, GError **error)
{
    g_autoptr(GArray) stretches = g_array_new(FALSE, FALSE, sizeof(MfStretch));
    MfSpan rest = {text, length_bytes};
    MfSpan line;

    while (mf_span_next_line(&rest, &line)) {
        MfStretch stretch = {0};
        gboolean is_private = FALSE;
        gboolean is_anonymous = FALSE;
        if (!read_area_head(line, &stretch, &is_private, &is_anonymous)) {
            mf_span_refuse(error, "bad line of maps", line);
            return NULL;
        }
        /* The system's own page above all others, which pagemap does not have. */
        if (is_private && stretch.start_bytes <= G_MAXINT64) {
            g_array_append_val(stretches, stretch);
        }
    }
    return g_steal_pointer(&stretches);
}
