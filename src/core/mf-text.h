/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Words for values, and somebody else's words in our messages.
 *
 * Each enum of the house has one table of names, indexed by value; these two functions read it in
 * both directions.  Text that comes from outside goes into messages only through mf_text_quote().
 */
#pragma once

#include <glib.h>

/* The name of value, or "invalid" beyond the table. */
const char *mf_text_of(const char *const *table, guint table_count, guint value);

/* Finds text in the table; FALSE, with ret_value untouched, when it is not there or NULL. */
gboolean mf_text_find(const char *const *table, guint table_count, const char *text,
                      guint *ret_value);

/* text in double quotes for a message: unprintable bytes and quotes escaped, cut after 64 bytes.
 * Free with g_free(). */
char *mf_text_quote(const char *text);

/* Whether text is 1..max_bytes printable ASCII characters (space included). */
gboolean mf_text_is_printable(const char *text, gsize max_bytes);

/* At most max_bytes of text (borrowed, any bytes) as valid UTF-8 on one line, for a terminal or a
 * log that shows it unquoted: what does not print, such as an escape sequence in a domain's name,
 * becomes '?'.  Free with g_free(). */
char *mf_text_printable(const char *text, gsize max_bytes);
