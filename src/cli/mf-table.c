/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table for people; see mf-table.h. */
#include "mf-table.h"

#include <string.h>

#include "mf-columns.h"
#include "mf-text.h"

#define GAP_COLUMNS    2
#define CELL_MAX_BYTES 1024

struct _MfTable {
    const MfColumn *columns;
    guint n_columns;
    GPtrArray *rows; /* of char **, the titles first */
};

MfTable *
mf_table_new(const MfColumn *columns, guint n_columns)
{
    MfTable *table = g_new0(MfTable, 1);
    const char **titles = g_newa(const char *, n_columns);

    table->columns = columns;
    table->n_columns = n_columns;
    table->rows = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
    for (guint i = 0; i < n_columns; i++) {
        titles[i] = columns[i].title;
    }
    mf_table_add(table, titles);
    return table;
}

void
mf_table_free(MfTable *table)
{
    if (table != NULL) {
        g_ptr_array_unref(table->rows);
        g_free(table);
    }
}

void
mf_table_add(MfTable *table, const char *const *cells)
{
    char **row = g_new0(char *, table->n_columns + 1);

    for (guint i = 0; i < table->n_columns; i++) {
        row[i] = mf_text_printable(cells[i], CELL_MAX_BYTES);
    }
    g_ptr_array_add(table->rows, row);
}

/* How wide each column becomes. */
static void
measure(const MfTable *table, guint width_columns, guint *ret_widths)
{
    guint before_last = 0;

    for (guint i = 0; i < table->n_columns; i++) {
        const MfColumn *column = &table->columns[i];
        guint least = (guint)strlen(column->title);

        ret_widths[i] = 0;
        for (guint r = 0; r < table->rows->len; r++) {
            char **row = g_ptr_array_index(table->rows, r);

            ret_widths[i] = MAX(ret_widths[i], mf_columns_of(row[i]));
        }
        if (column->max_columns > 0) {
            ret_widths[i] = MIN(ret_widths[i], column->max_columns);
        }
        if (i + 1 < table->n_columns) {
            before_last += ret_widths[i] + GAP_COLUMNS;
        } else if (before_last + ret_widths[i] > width_columns) {
            ret_widths[i] = MAX(least, width_columns - MIN(width_columns, before_last));
        }
    }
}

char *
mf_table_render(const MfTable *table, guint width_columns)
{
    g_autoptr(GString) out = g_string_new(NULL);
    guint *widths = g_newa(guint, table->n_columns);

    measure(table, width_columns, widths);
    for (guint r = 0; r < table->rows->len; r++) {
        char **row = g_ptr_array_index(table->rows, r);

        for (guint i = 0; i < table->n_columns; i++) {
            gboolean last = i + 1 == table->n_columns;

            mf_columns_append(out, row[i], widths[i], table->columns[i].right, !last);
            g_string_append_printf(out, "%*s", last ? 0 : GAP_COLUMNS, "");
        }
        g_string_append_c(out, '\n');
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}
