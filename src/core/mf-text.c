/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Somebody else's text on its way to a terminal or a log. */
#include "mf-text.h"

#include <string.h>

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
