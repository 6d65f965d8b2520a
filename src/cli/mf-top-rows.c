/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rows of `memfold top`; see mf-top-rows.h. */
#include "mf-top-rows.h"

#include "mf-text.h"
#include "mf-units.h"

#define MSEC_PER_SEC 1000
/* The daemon tells the age of its figures in milliseconds, at a moment that the answer's way to us
 * blurs: readings closer than this are one. */
#define SAME_READING_MSEC 200

static const char *const sort_names[] = {
    [MF_TOP_BY_NAME] = "name",
    [MF_TOP_BY_SAVED] = "saved",
    [MF_TOP_BY_MERGED] = "merged",
    [MF_TOP_BY_CHANGE] = "change",
};

MfTopData *
mf_top_data_new_empty(void)
{
    MfTopData *data = g_new0(MfTopData, 1);

    data->header = g_ptr_array_new_with_free_func(g_free);
    data->host_reasons = g_ptr_array_new_with_free_func(g_free);
    data->rows = g_ptr_array_new_with_free_func((GDestroyNotify)mf_top_row_free);
    return data;
}

void
mf_top_data_free(MfTopData *data)
{
    if (data != NULL) {
        g_ptr_array_unref(data->header);
        g_ptr_array_unref(data->host_reasons);
        g_ptr_array_unref(data->rows);
        g_free(data);
    }
}

MfTopRow *
mf_top_row_new(const char *uuid, const char *name)
{
    MfTopRow *row = g_new0(MfTopRow, 1);

    row->uuid = g_strdup(uuid);
    row->name = g_strdup(name);
    row->facts = g_ptr_array_new_with_free_func(g_free);
    row->reasons = g_ptr_array_new_with_free_func(g_free);
    return row;
}

void
mf_top_row_free(MfTopRow *row)
{
    if (row != NULL) {
        g_free(row->uuid);
        g_free(row->name);
        g_free(row->mode);
        g_free(row->group);
        g_ptr_array_unref(row->facts);
        g_ptr_array_unref(row->reasons);
        g_free(row);
    }
}

void
mf_top_row_compare(MfTopRow *row, const MfTopRow *before)
{
    gint64 interval_msec = row->taken_msec - before->taken_msec;

    if (interval_msec < SAME_READING_MSEC) {
        row->change_bytes_per_sec = before->change_bytes_per_sec;
        row->taken_msec = before->taken_msec;
    } else if (row->saved_bytes.known && before->saved_bytes.known) {
        gboolean fell = row->saved_bytes.value < before->saved_bytes.value;
        guint64 change_bytes = fell ? before->saved_bytes.value - row->saved_bytes.value
                                    : row->saved_bytes.value - before->saved_bytes.value;
        gint64 a_second = (gint64)MIN(
            mf_mul_div(change_bytes, MSEC_PER_SEC, (guint64)interval_msec), (guint64)G_MAXINT64);

        row->change_bytes_per_sec = MF_I64(fell ? -a_second : a_second);
    }
}

gboolean
mf_top_sort_from_string(const char *text, MfTopSort *ret_sort)
{
    guint value;

    if (!mf_text_find(sort_names, G_N_ELEMENTS(sort_names), text, &value)) {
        return FALSE;
    }
    *ret_sort = (MfTopSort)value;
    return TRUE;
}

/* The figure to sort by; absent for names. */
static MfI64
key_of(const MfTopRow *row, MfTopSort sort)
{
    MfU64 figure = sort == MF_TOP_BY_SAVED    ? row->saved_bytes
                   : sort == MF_TOP_BY_MERGED ? row->merged_bytes
                                              : MF_U64_ABSENT;

    if (sort == MF_TOP_BY_CHANGE) {
        return row->change_bytes_per_sec;
    }
    return (MfI64){figure.known, (gint64)MIN(figure.value, (guint64)G_MAXINT64)};
}

static gint
compare_rows(gconstpointer a, gconstpointer b, gpointer data)
{
    const MfTopRow *first = *(MfTopRow *const *)a;
    const MfTopRow *second = *(MfTopRow *const *)b;
    MfI64 first_key = key_of(first, *(MfTopSort *)data);
    MfI64 second_key = key_of(second, *(MfTopSort *)data);
    int by_name = 0;

    if (first_key.known != second_key.known) {
        return first_key.known ? -1 : 1;
    }
    if (first_key.value != second_key.value) {
        return first_key.value > second_key.value ? -1 : 1;
    }
    by_name = g_utf8_collate(first->name, second->name);
    return by_name != 0 ? by_name : g_strcmp0(first->uuid, second->uuid);
}

void
mf_top_sort(GPtrArray *rows, MfTopSort sort)
{
    g_ptr_array_sort_with_data(rows, compare_rows, &sort);
}
