/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table for people: aligned columns, cut to a width, two spaces apart. */
#pragma once

#include <glib.h>

typedef struct {
    const char *title;
    guint
        max_columns; /* widest a cell may get; 0: no limit.  The last column takes what is left. */
    gboolean right;  /* numbers stand to the right */
} MfColumn;

typedef struct _MfTable MfTable;

/* columns is borrowed for the table's life. */
MfTable *mf_table_new(const MfColumn *columns, guint n_columns);
void mf_table_free(MfTable *table);

/* Appends a row of as many cells as there are columns; texts are copied and made printable. */
void mf_table_add(MfTable *table, const char *const *cells);

/* The whole table with its title line, no line wider than width_columns as far as the columns
 * before the last allow; cut cells end in "...".  g_free(). */
char *mf_table_render(const MfTable *table, guint width_columns);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfTable, mf_table_free)
