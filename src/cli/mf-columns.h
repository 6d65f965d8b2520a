/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much room text takes on a terminal, and how to make it fit.  Texts are printable UTF-8. */
#pragma once

#include <glib.h>

guint mf_columns_of(const char *text);

/* text, or the beginning of it that fits with "..." behind it.  g_free(). */
char *mf_columns_cut(const char *text, guint columns);

/* Appends text, cut to columns, and spaces before it (right) or behind it (pad_behind) up to that
 * width. */
void mf_columns_append(GString *out, const char *text, guint columns, gboolean right,
                       gboolean pad_behind);

/* Appends text to lines (of char *, which it owns) in as many lines as it takes, broken between
 * words where they allow it.  Lines after the first begin two columns further in than text does. */
void mf_columns_wrap(GPtrArray *lines, const char *text, guint columns);
