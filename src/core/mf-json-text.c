/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Quotes and backslashes are followed just far enough to know what is a string. */
#include "mf-json-text.h"

#include <string.h>

/* The place behind a string that begins behind the quote before at; 0 when it holds a NUL, or does
 * not end. */
static gsize
skip_string(const char *text, gsize length_bytes, gsize at)
{
    static const char nul[] = "\\u0000";

    while (at < length_bytes && text[at] != '"') {
        if (length_bytes - at >= strlen(nul) && memcmp(text + at, nul, strlen(nul)) == 0) {
            return 0;
        }
        at += text[at] == '\\' ? 2 : 1;
    }
    return at < length_bytes ? at + 1 : 0;
}

/* The place behind an object that begins at at; 0 when there is none. */
static gsize
skip_object(const char *text, gsize length_bytes, gsize at, guint depth_max)
{
    guint depth = 0;

    if (at >= length_bytes || text[at] != '{') {
        return 0;
    }
    while (at < length_bytes) {
        char c = text[at++];

        if (c == '"') {
            at = skip_string(text, length_bytes, at);
            if (at == 0) {
                return 0;
            }
        } else if (c == '{' || c == '[') {
            if (++depth > depth_max) {
                return 0;
            }
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return at;
        }
    }
    return 0;
}

static gsize
skip_space(const char *text, gsize length_bytes, gsize at)
{
    while (at < length_bytes && g_ascii_isspace(text[at])) {
        at++;
    }
    return at;
}

gboolean
mf_json_text_is_one_object(const char *text, gsize length_bytes, guint depth_max)
{
    gsize end = 0;

    if (!g_utf8_validate_len(text, length_bytes, NULL)) {
        return FALSE;
    }
    end = skip_object(text, length_bytes, skip_space(text, length_bytes, 0), depth_max);
    return end > 0 && skip_space(text, length_bytes, end) == length_bytes;
}
