/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Somebody else's text on its way to a terminal or a log. */
#pragma once

#include <glib.h>

/* At most max_bytes of text (borrowed, any bytes) as valid UTF-8 on one line: what does not print, such as
 * an escape sequence in a domain's name, becomes '?'.  Free with g_free(). */
char *mf_text_printable(const char *text, gsize max_bytes);
