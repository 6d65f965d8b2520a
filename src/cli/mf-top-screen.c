/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines and keys of `memfold top`; see mf-top-screen.h. */
#include "mf-top-screen.h"

#include "mf-columns.h"
#include "mf-units.h"

#define HEADER_PART    3 /* of the screen is the header at most a third */
#define KEY_CTRL_C     0x03
#define KEY_CTRL_L     0x0c
#define KEY_CTRL_Z     0x1a
#define NAME_COLUMNS   12
#define GROUP_COLUMNS  9
#define MODE_COLUMNS   7
#define FIGURE_COLUMNS 8
#define FIGURES_COUNT  5
#define FIXED_COLUMNS  (2 + MODE_COLUMNS + 1 + GROUP_COLUMNS + FIGURES_COUNT * FIGURE_COLUMNS)
#define TABLE_FOOTER                                                                               \
    "sort: n name, s saved, m merged, d change | j k select | Enter details | q quit"
#define DETAILS_FOOTER "j k scroll | q or Esc back"

void
mf_top_view_clear(MfTopView *view)
{
    g_clear_pointer(&view->selected_uuid, g_free);
    g_clear_pointer(&view->notice, g_free);
}

/* The row that was chosen; FALSE when none was, or it went. */
static gboolean
find_selected(const MfTopData *data, const MfTopView *view, guint *ret_index)
{
    for (guint i = 0; view->selected_uuid != NULL && i < data->rows->len; i++) {
        const MfTopRow *row = g_ptr_array_index(data->rows, i);

        if (g_str_equal(row->uuid, view->selected_uuid)) {
            *ret_index = i;
            return TRUE;
        }
    }
    return FALSE;
}

/* The index of the selected row; 0 when there is none. */
static guint
selected_index(const MfTopData *data, const MfTopView *view)
{
    guint index = 0;

    find_selected(data, view, &index);
    return index;
}

static MfTopAction
select_index(MfTopView *view, const MfTopData *data, guint index)
{
    if (index < data->rows->len) {
        const MfTopRow *row = g_ptr_array_index(data->rows, index);
        char *uuid = g_strdup(row->uuid);

        g_free(view->selected_uuid);
        view->selected_uuid = uuid;
    }
    return MF_TOP_DRAW;
}

static MfTopAction
press_in_details(MfTopView *view, gunichar key)
{
    if (key == 'q' || key == MF_KEY_ESCAPE) {
        view->in_details = FALSE;
    } else if (key == 'j' || key == MF_KEY_DOWN) {
        view->scrolled_lines++;
    } else if (key == 'k' || key == MF_KEY_UP) {
        view->scrolled_lines -= view->scrolled_lines > 0 ? 1 : 0;
    } else {
        return MF_TOP_NOTHING;
    }
    return MF_TOP_DRAW;
}

static MfTopAction
sort_by(MfTopView *view, MfTopData *data, MfTopSort sort)
{
    view->sort = sort;
    mf_top_sort(data->rows, sort);
    return MF_TOP_DRAW;
}

static MfTopAction
press_in_table(MfTopView *view, MfTopData *data, gunichar key)
{
    guint index = selected_index(data, view);

    switch (key) {
    case 'q':
        return MF_TOP_QUIT;
    case 'n':
        return sort_by(view, data, MF_TOP_BY_NAME);
    case 's':
        return sort_by(view, data, MF_TOP_BY_SAVED);
    case 'm':
        return sort_by(view, data, MF_TOP_BY_MERGED);
    case 'd':
        return sort_by(view, data, MF_TOP_BY_CHANGE);
    case 'j':
    case MF_KEY_DOWN:
        return select_index(view, data, index + 1);
    case 'k':
    case MF_KEY_UP:
        return select_index(view, data, index > 0 ? index - 1 : 0);
    case '\r':
    case '\n':
        view->in_details = data->rows->len > 0;
        view->scrolled_lines = 0;
        return select_index(view, data, index);
    default:
        return MF_TOP_NOTHING;
    }
}

MfTopAction
mf_top_press(MfTopView *view, MfTopData *data, gunichar key)
{
    switch (key) {
    case KEY_CTRL_C:
        return MF_TOP_QUIT;
    case KEY_CTRL_Z:
        return MF_TOP_SUSPEND;
    case KEY_CTRL_L:
        return MF_TOP_DRAW;
    default:
        return view->in_details ? press_in_details(view, key) : press_in_table(view, data, key);
    }
}

/* "37.2M" of "37.2 MiB". */
static char *
short_size(guint64 bytes)
{
    g_autofree char *text = mf_format_bytes(bytes);
    g_auto(GStrv) parts = g_strsplit(text, " ", 2);

    return bytes == 0 ? g_strdup("0") : g_strdup_printf("%s%c", parts[0], parts[1][0]);
}

static char *
size_cell(MfU64 bytes)
{
    return bytes.known ? short_size(bytes.value) : g_strdup("-");
}

static char *
change_cell(MfI64 change)
{
    g_autofree char *size = NULL;

    if (!change.known) {
        return g_strdup("-");
    }
    size = short_size((guint64)ABS(change.value));
    return g_strconcat(change.value > 0 ? "+" : change.value < 0 ? "-" : "", size, NULL);
}

/* One line of the table; figures are those behind GROUP. */
static char *
table_line(const char *name, const char *mode, const char *group, char *const *figures,
           guint columns)
{
    g_autoptr(GString) line = g_string_new(NULL);

    mf_columns_append(line, name, MAX(NAME_COLUMNS, (int)columns - FIXED_COLUMNS), FALSE, TRUE);
    g_string_append_c(line, ' ');
    mf_columns_append(line, mode, MODE_COLUMNS, FALSE, TRUE);
    g_string_append_c(line, ' ');
    mf_columns_append(line, group, GROUP_COLUMNS, FALSE, TRUE);
    for (guint i = 0; i < FIGURES_COUNT; i++) {
        g_string_append_c(line, ' ');
        mf_columns_append(line, figures[i], FIGURE_COLUMNS - 1, TRUE, FALSE);
    }
    return mf_columns_cut(line->str, columns);
}

static char *
title_line(guint columns)
{
    static char *const titles[FIGURES_COUNT] = {"RES", "MERGED", "SAVED", "CHG/S", "ZERO"};

    return table_line("NAME", "MODE", "GROUP", titles, columns);
}

static char *
row_line(const MfTopRow *row, guint columns)
{
    g_auto(GStrv) figures = g_new0(char *, FIGURES_COUNT + 1);

    figures[0] = size_cell(row->resident_bytes);
    figures[1] = size_cell(row->merged_bytes);
    figures[2] = size_cell(row->saved_bytes);
    figures[3] = change_cell(row->change_bytes_per_sec);
    figures[4] = size_cell(row->zero_bytes);
    return table_line(row->name, row->mode, row->group, figures, columns);
}

/* The host's reasons with their remedies, whole, in at most max_count lines.  Where they don't all
 * fit the last line says where the others are. */
static void
add_host_reasons(GPtrArray *lines, const GPtrArray *reasons, guint columns, guint max_count)
{
    guint room = max_count;

    for (guint i = 0; i < reasons->len; i++) {
        g_autoptr(GPtrArray) wrapped = g_ptr_array_new_with_free_func(g_free);
        guint left_count = reasons->len - i;

        mf_columns_wrap(wrapped, g_ptr_array_index(reasons, i), columns);
        if (wrapped->len > room || (wrapped->len == room && left_count > 1)) {
            g_autofree char *more = g_strdup_printf("       ... %u more: memfold plan", left_count);

            if (room > 0) {
                g_ptr_array_add(lines, mf_columns_cut(more, columns));
            }
            return;
        }
        room -= wrapped->len;
        g_ptr_array_extend_and_steal(lines, g_steal_pointer(&wrapped));
    }
}

/* The notice and the lines about the host, at most max_count of them, and an empty line. */
static void
add_header(GPtrArray *lines, const MfTopData *data, const MfTopView *view, guint columns,
           guint max_count)
{
    if (view->notice != NULL) {
        g_ptr_array_add(lines, mf_columns_cut(view->notice, columns));
    }
    for (guint i = 0; i < data->header->len && lines->len < max_count; i++) {
        g_ptr_array_add(lines, mf_columns_cut(g_ptr_array_index(data->header, i), columns));
    }
    add_host_reasons(lines, data->host_reasons, columns, max_count - MIN(max_count, lines->len));
    g_ptr_array_add(lines, g_strdup(""));
}

static void
add_table(GPtrArray *lines, const MfTopData *data, guint columns, guint first, guint count)
{
    if (data->rows->len == 0) {
        g_ptr_array_add(lines, mf_columns_cut("no domain runs", columns));
        return;
    }
    g_ptr_array_add(lines, title_line(columns));
    for (guint i = first; i < data->rows->len && i - first < count; i++) {
        g_ptr_array_add(lines, row_line(g_ptr_array_index(data->rows, i), columns));
    }
}

/* All lines of a domain's details. */
static GPtrArray *
details_of(const MfTopRow *row, guint columns)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *resident = size_cell(row->resident_bytes);
    g_autofree char *merged = size_cell(row->merged_bytes);
    g_autofree char *saved = size_cell(row->saved_bytes);
    g_autofree char *change = change_cell(row->change_bytes_per_sec);
    g_autofree char *zero = size_cell(row->zero_bytes);
    g_autofree char *figures =
        g_strdup_printf("figures  %s resident, %s merged, %s saved (%s a second), %s zero",
                        resident, merged, saved, change, zero);

    for (guint i = 0; i < row->facts->len; i++) {
        mf_columns_wrap(lines, g_ptr_array_index(row->facts, i), columns);
    }
    mf_columns_wrap(lines, figures, columns);
    mf_columns_wrap(lines, "because", columns);
    for (guint i = 0; i < row->reasons->len; i++) {
        mf_columns_wrap(lines, g_ptr_array_index(row->reasons, i), columns);
    }
    return g_steal_pointer(&lines);
}

/* Scrolled no further than to its end; what was pressed too often there need not be taken back key
 * by key. */
static void
add_details(GPtrArray *lines, const MfTopData *data, MfTopView *view, guint columns, guint room)
{
    g_autoptr(GPtrArray) details = NULL;
    guint index = 0;

    if (!find_selected(data, view, &index)) {
        g_ptr_array_add(lines, mf_columns_cut("this domain does not run any more", columns));
        return;
    }
    details = details_of(g_ptr_array_index(data->rows, index), columns);
    view->scrolled_lines = MIN(view->scrolled_lines, details->len - MIN(details->len, room));
    for (guint i = view->scrolled_lines; i < details->len && i - view->scrolled_lines < room; i++) {
        g_ptr_array_add(lines, g_strdup(g_ptr_array_index(details, i)));
    }
}

GPtrArray *
mf_top_layout(const MfTopData *data, MfTopView *view, guint columns, guint lines_count,
              int *ret_selected)
{
    GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
    guint index = selected_index(data, view);
    guint room = 0;

    *ret_selected = -1;
    add_header(lines, data, view, columns, lines_count / HEADER_PART);
    /* The footer, and the title of the table. */
    room = lines_count > lines->len + 2 ? lines_count - lines->len - 2 : 0;
    if (view->in_details) {
        add_details(lines, data, view, columns, room + 1);
    } else {
        guint first = room > 0 && index >= room ? index - room + 1 : 0;

        if (index < data->rows->len && room > 0) {
            *ret_selected = (int)(lines->len + 1 + index - first);
        }
        add_table(lines, data, columns, first, room);
    }
    g_ptr_array_set_size(lines, (int)MIN(lines->len, lines_count));
    while (lines->len + 1 < lines_count) {
        g_ptr_array_add(lines, g_strdup(""));
    }
    if (lines->len < lines_count) {
        g_ptr_array_add(lines,
                        mf_columns_cut(view->in_details ? DETAILS_FOOTER : TABLE_FOOTER, columns));
    }
    return lines;
}

char *
mf_top_block(const MfTopData *data, const MfTopView *view, guint columns)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);

    add_header(lines, data, view, columns, G_MAXUINT);
    add_table(lines, data, columns, 0, G_MAXUINT);
    /* An empty line behind it, for the next one. */
    g_ptr_array_add(lines, g_strdup("\n"));
    g_ptr_array_add(lines, NULL);
    return g_strjoinv("\n", (char **)lines->pdata);
}
