/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table for people; see mf-table.h. */
#include "mf-table.h"

#include <string.h>

#include "mf-columns.h"
#include "mf-text.h"

#define GAP_COLUMNS    2
#define CELL_MAX_BYTES 1024
#define WORDS_LEAST    8  /* columns that words keep beside long numbers */
#define LAST_LEAST     20 /* columns of the last column's words that still say something */
#define NARROW_COLUMNS 100

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

/* How wide the cells of a column are, as far as words may be. */
static guint
natural_columns(const MfTable *table, guint index)
{
    const MfColumn *column = &table->columns[index];
    guint widest = 0;

    for (guint r = 0; r < table->rows->len; r++) {
        char **row = g_ptr_array_index(table->rows, r);

        widest = MAX(widest, mf_columns_of(row[index]));
    }
    return column->max_columns > 0 && !column->right ? MIN(widest, column->max_columns) : widest;
}

/* Takes over_columns from the first n_columns, from the widest words first, down to least. */
static void
shrink(const MfTable *table, guint *widths, guint n_columns, guint over_columns, guint least)
{
    for (guint left = over_columns; left > 0; left--) {
        guint widest = n_columns;

        for (guint i = 0; i < n_columns; i++) {
            if (!table->columns[i].right && widths[i] > least &&
                (widest == n_columns || widths[i] > widths[widest])) {
                widest = i;
            }
        }
        if (widest == n_columns) {
            return;
        }
        widths[widest]--;
    }
}

static guint
sum_columns(const guint *widths, guint n_columns)
{
    guint sum = 0;

    for (guint i = 0; i < n_columns; i++) {
        sum += widths[i] + (i > 0 ? GAP_COLUMNS : 0);
    }
    return sum;
}

/* How wide each column becomes.  TRUE when those of the last one go below their rows. */
static gboolean
measure(const MfTable *table, guint width_columns, guint *ret_widths)
{
    guint last = table->n_columns - 1;
    gboolean words_last = !table->columns[last].right;
    guint n_columns = words_last ? last : table->n_columns;
    guint before = 0;
    guint natural = 0;
    gboolean below = FALSE;

    for (guint i = 0; i < table->n_columns; i++) {
        ret_widths[i] = natural_columns(table, i);
    }
    before = sum_columns(ret_widths, n_columns);
    natural = ret_widths[last];
    if (!words_last) {
        shrink(table, ret_widths, n_columns, before - MIN(before, width_columns), WORDS_LEAST);
        return FALSE;
    }
    ret_widths[last] = width_columns - MIN(width_columns, before + GAP_COLUMNS);
    below = width_columns < NARROW_COLUMNS && ret_widths[last] < MIN(natural, LAST_LEAST);
    if (below) {
        ret_widths[last] = width_columns - MIN(width_columns, GAP_COLUMNS);
    } else {
        ret_widths[last] = MAX(ret_widths[last], (guint)strlen(table->columns[last].title));
        before += GAP_COLUMNS + ret_widths[last];
    }
    shrink(table, ret_widths, n_columns, before - MIN(before, width_columns), WORDS_LEAST);
    return below;
}

char *
mf_table_render(const MfTable *table, guint width_columns)
{
    g_autoptr(GString) out = g_string_new(NULL);
    guint *widths = g_newa(guint, table->n_columns);
    gboolean below = measure(table, width_columns, widths);

    for (guint r = 0; r < table->rows->len; r++) {
        char **row = g_ptr_array_index(table->rows, r);

        for (guint i = 0; i < table->n_columns; i++) {
            gboolean last = i + 1 == table->n_columns;

            if (last && below) {
                g_string_append_c(out, '\n');
            }
            g_string_append_printf(out, "%*s", i == 0 ? 0 : GAP_COLUMNS, "");
            mf_columns_append(out, row[i], widths[i], table->columns[i].right, !last);
        }
        g_string_append_c(out, '\n');
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}
