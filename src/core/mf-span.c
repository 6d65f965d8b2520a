/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-span.h"

#include <string.h>

#include "mf-error.h"
#include "mf-text.h"

gboolean
mf_span_refuse(GError **error, const char *what, MfSpan span)
{
    g_autofree char *head = g_strndup(span.text, MIN(span.length_bytes, 80));
    g_autofree char *quoted = mf_text_quote(head);

    g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "%s: %s", what, quoted);
    return FALSE;
}

gboolean
mf_span_next_line(MfSpan *rest, MfSpan *ret_line)
{
    if (rest->length_bytes == 0) {
        return FALSE;
    }
    const char *end = memchr(rest->text, '\n', rest->length_bytes);
    gsize length_bytes = end != NULL ? (gsize)(end - rest->text) : rest->length_bytes;
    gsize used_bytes = end != NULL ? length_bytes + 1 : length_bytes;

    *ret_line = (MfSpan){rest->text, length_bytes};
    rest->text += used_bytes;
    rest->length_bytes -= used_bytes;
    return TRUE;
}

gboolean
mf_span_next_word(MfSpan *rest, MfSpan *ret_word)
{
    gsize start = 0;
    gsize end;

    while (start < rest->length_bytes && g_ascii_isspace(rest->text[start])) {
        start++;
    }
    for (end = start; end < rest->length_bytes && !g_ascii_isspace(rest->text[end]); end++) {
        continue;
    }
    *ret_word = (MfSpan){rest->text + start, end - start};
    rest->text += end;
    rest->length_bytes -= end;
    return end > start;
}

gboolean
mf_span_is(MfSpan span, const char *text)
{
    return span.length_bytes == strlen(text) && memcmp(span.text, text, span.length_bytes) == 0;
}

gboolean
mf_span_to_u64(MfSpan span, guint64 *ret_value)
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

gboolean
mf_span_to_i64(MfSpan span, gint64 *ret_value)
{
    gboolean negative = span.length_bytes > 0 && span.text[0] == '-';
    MfSpan digits = negative ? (MfSpan){span.text + 1, span.length_bytes - 1} : span;
    guint64 magnitude;

    /* The kernel writes no "-0". */
    if (!mf_span_to_u64(digits, &magnitude) || (negative && magnitude == 0) ||
        magnitude > (guint64)G_MAXINT64 + (negative ? 1 : 0)) {
        return FALSE;
    }
    *ret_value = negative ? (gint64)(0 - magnitude) : (gint64)magnitude;
    return TRUE;
}

gboolean
mf_span_to_kib_bytes(MfSpan rest, guint64 *ret_bytes)
{
    MfSpan number;
    MfSpan unit;
    MfSpan more;
    guint64 kib;

    return mf_span_next_word(&rest, &number) && mf_span_next_word(&rest, &unit) &&
           !mf_span_next_word(&rest, &more) && mf_span_to_u64(number, &kib) &&
           mf_span_is(unit, "kB") && !__builtin_mul_overflow(kib, (guint64)1024, ret_bytes);
}
