/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Widths of text; see mf-columns.h. */
#include "mf-columns.h"

#include <string.h>

#define HANGING_COLUMNS 2

/* Terminal columns of one character (wcwidth(3) in GLib's words). */
static guint
char_columns(gunichar c)
{
    if (g_unichar_iszerowidth(c)) {
        return 0;
    }
    return g_unichar_iswide(c) ? 2 : 1;
}

guint
mf_columns_of(const char *text)
{
    guint columns = 0;

    for (const char *p = text; *p != '\0'; p = g_utf8_next_char(p)) {
        columns += char_columns(g_utf8_get_char(p));
    }
    return columns;
}

/* Where the part of text ends that fits. */
static const char *
end_of_fitting(const char *text, guint columns)
{
    const char *p = text;
    guint left = columns;

    while (*p != '\0' && char_columns(g_utf8_get_char(p)) <= left) {
        left -= char_columns(g_utf8_get_char(p));
        p = g_utf8_next_char(p);
    }
    return p;
}

char *
mf_columns_cut(const char *text, guint columns)
{
    static const char dots[] = "...";
    guint dots_columns = MIN(columns, (guint)strlen(dots));
    const char *end;

    if (mf_columns_of(text) <= columns) {
        return g_strdup(text);
    }
    end = end_of_fitting(text, columns - dots_columns);
    return g_strdup_printf("%.*s%.*s", (int)(end - text), text, (int)dots_columns, dots);
}

void
mf_columns_append(GString *out, const char *text, guint columns, gboolean right,
                  gboolean pad_behind)
{
    g_autofree char *cell = mf_columns_cut(text, columns);
    guint have = mf_columns_of(cell);
    int pad_columns = have < columns ? (int)(columns - have) : 0;

    g_string_append_printf(out, "%*s%s%*s", right ? pad_columns : 0, "", cell,
                           !right && pad_behind ? pad_columns : 0, "");
}

void
mf_columns_wrap(GPtrArray *lines, const char *text, guint columns)
{
    guint indent = (guint)strspn(text, " ");
    guint hanging = MIN(indent + HANGING_COLUMNS, columns / 2);
    const char *rest = text + indent;

    indent = MIN(indent, columns / 2);
    do {
        const char *end = end_of_fitting(rest, columns - indent);

        if (*end != '\0') {
            const char *space = end;

            while (space > rest && *space != ' ') {
                space--;
            }
            /* A character wider than the line would never come to an end. */
            end = space > rest ? space : end > rest ? end : g_utf8_next_char(rest);
        }
        g_ptr_array_add(lines,
                        g_strdup_printf("%*s%.*s", (int)indent, "", (int)(end - rest), rest));
        rest = end + strspn(end, " ");
        indent = hanging;
    } while (*rest != '\0');
}
