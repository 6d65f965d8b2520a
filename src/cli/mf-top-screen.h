/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `memfold top` shows, as values: rows in, lines of text out, keys to actions.
 *
 * Nothing here knows of a terminal, a clock or the daemon.  All texts are printable already.
 */
#pragma once

#include "mf-top-rows.h"

/* What the user chose. */
typedef struct {
    MfTopSort sort;
    char *selected_uuid; /* NULL: the first row */
    gboolean in_details;
    guint scrolled_lines; /* in the details */
    char *notice;         /* stands above the header; NULL for none */
} MfTopView;

/* Keys that are no characters. */
enum { MF_KEY_UP = 0x100, MF_KEY_DOWN, MF_KEY_ESCAPE };

typedef enum {
    MF_TOP_NOTHING,
    MF_TOP_DRAW,
    MF_TOP_QUIT,
    MF_TOP_SUSPEND,
} MfTopAction;

void mf_top_view_clear(MfTopView *view);

/* What a key does to the view; rows are sorted again where it says so. */
MfTopAction mf_top_press(MfTopView *view, MfTopData *data, gunichar key);

/* The screen: exactly lines_count lines (of char *, g_ptr_array_unref()), none wider than columns.
 * ret_selected is the line to be marked, or -1.  Details that are scrolled past their end are
 * brought back to it. */
GPtrArray *mf_top_layout(const MfTopData *data, MfTopView *view, guint columns, guint lines_count,
                         int *ret_selected);

/* The same as plain text for a printer or a pipe: all rows and all of the header.  g_free(). */
char *mf_top_block(const MfTopData *data, const MfTopView *view, guint columns);
