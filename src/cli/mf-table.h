/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table for people: aligned columns, cut to a width, two spaces apart.  Numbers are never cut:
 * half of one is another one. */
#pragma once

#include <glib.h>

typedef struct {
    const char *title;
    guint max_columns; /* widest that words may get; 0: no limit */
    gboolean right;    /* numbers stand to the right */
} MfColumn;

typedef struct _MfTable MfTable;

/* columns is borrowed for the table's life. */
MfTable *mf_table_new(const MfColumn *columns, guint n_columns);
void mf_table_free(MfTable *table);

/* Appends a row of as many cells as there are columns; texts are copied and made printable. */
void mf_table_add(MfTable *table, const char *const *cells);

/* The whole table with its title line; cut cells end in "...".  No line is wider than
 * width_columns, if words of 8 columns leave room for the numbers.  Words in the last column take
 * what is left; where that is too little to say something, and less than 100 columns are there,
 * each is on a line of its own, below its row.  g_free(). */
char *mf_table_render(const MfTable *table, guint width_columns);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfTable, mf_table_free)
