/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables of names, and the quoting of foreign text. */
#include "mf-text.h"

#include <string.h>

#define QUOTE_MAX_BYTES 64

const char *
mf_text_of(const char *const *table, guint table_count, guint value)
{
    return value < table_count ? table[value] : "invalid";
}

gboolean
mf_text_find(const char *const *table, guint table_count, const char *text, guint *ret_value)
{
    if (text == NULL) {
        return FALSE;
    }
    for (guint i = 0; i < table_count; i++) {
        if (g_str_equal(table[i], text)) {
            *ret_value = i;
            return TRUE;
        }
    }
    return FALSE;
}

char *
mf_text_quote(const char *text)
{
    if (text == NULL) {
        return g_strdup("(none)");
    }
    gsize length_bytes = strnlen(text, QUOTE_MAX_BYTES + 1);
    gboolean cut = length_bytes > QUOTE_MAX_BYTES;
    g_autofree char *head = g_strndup(text, cut ? QUOTE_MAX_BYTES : length_bytes);
    g_autofree char *escaped = g_strescape(head, NULL);

    return g_strdup_printf("\"%s%s\"", escaped, cut ? "..." : "");
}

gboolean
mf_text_is_printable(const char *text, gsize max_bytes)
{
    gsize length_bytes = strnlen(text, max_bytes + 1);

    if (length_bytes == 0 || length_bytes > max_bytes) {
        return FALSE;
    }
    for (gsize i = 0; i < length_bytes; i++) {
        if (!g_ascii_isprint(text[i])) {
            return FALSE;
        }
    }
    return TRUE;
}

char *
mf_text_printable(const char *text, gsize max_bytes)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autofree char *valid = g_utf8_make_valid(text, (gssize)MIN(strlen(text), max_bytes));

    for (const char *p = valid; *p != '\0'; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        g_string_append_unichar(out, g_unichar_isprint(c) ? c : '?');
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}
