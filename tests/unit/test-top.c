/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `memfold top` shows and what its keys do, without a terminal. */
#include <string.h>

#include "../../src/cli/mf-columns.h"
#include "../../src/cli/mf-top-screen.h"

#define MIB     (G_GUINT64_CONSTANT(1) << 20)
#define ENTER   '\r'
#define COLUMNS 80
#define LINES   24

typedef struct {
    MfTopData *data;
    MfTopView view;
    GPtrArray *lines;
    int selected;
} Scene;

static MfTopRow *
add_row(Scene *scene, const char *name, guint64 saved_mib, guint64 merged_mib, gint64 change)
{
    MfTopRow *row = mf_top_row_new(name, name);

    row->mode = g_strdup("on");
    row->group = g_strdup("-");
    row->saved_bytes = MF_U64(saved_mib * MIB);
    row->merged_bytes = MF_U64(merged_mib * MIB);
    row->change_bytes_per_sec = MF_I64(change);
    g_ptr_array_add(row->facts, g_strdup_printf("domain   %s", name));
    g_ptr_array_add(row->reasons, g_strdup("  - policy auto: merged"));
    g_ptr_array_add(scene->data->rows, row);
    return row;
}

static void
scene_open(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    memset(scene, 0, sizeof(*scene));
    scene->data = mf_top_data_new_empty();
    g_ptr_array_add(scene->data->header, g_strdup("saved  60.0 MiB"));
    add_row(scene, "b", 10, 30, -5);
    add_row(scene, "c", 30, 20, 7);
    add_row(scene, "a", 20, 10, 0);
}

static void
scene_close(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_clear_pointer(&scene->lines, g_ptr_array_unref);
    mf_top_view_clear(&scene->view);
    mf_top_data_free(scene->data);
}

/* Lays out, and checks what holds of every screen. */
static void
lay_out(Scene *scene, guint columns, guint lines_count)
{
    g_clear_pointer(&scene->lines, g_ptr_array_unref);
    scene->lines = mf_top_layout(scene->data, &scene->view, columns, lines_count, &scene->selected);
    g_assert_cmpuint(scene->lines->len, ==, lines_count);
    for (guint i = 0; i < scene->lines->len; i++) {
        g_assert_cmpuint(mf_columns_of(scene->lines->pdata[i]), <=, columns);
    }
    g_assert_cmpint(scene->selected, <, (int)lines_count);
}

static gboolean
shows(const Scene *scene, const char *text)
{
    for (guint i = 0; i < scene->lines->len; i++) {
        if (strstr(scene->lines->pdata[i], text) != NULL) {
            return TRUE;
        }
    }
    return FALSE;
}

static void
check_order(const Scene *scene, const char *wanted)
{
    g_autoptr(GString) found = g_string_new(NULL);

    for (guint i = 0; i < scene->data->rows->len; i++) {
        g_string_append(found, ((MfTopRow *)scene->data->rows->pdata[i])->name);
    }
    g_assert_cmpstr(found->str, ==, wanted);
}

static void
test_sort_keys(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        gunichar key;
        const char *order;
    } cases[] = {{'n', "?abc"}, {'s', "cab?"}, {'m', "bca?"}, {'d', "cab?"}};
    MfTopRow *unknown = add_row(scene, "?", 0, 0, 0);

    unknown->saved_bytes = MF_U64_ABSENT;
    unknown->merged_bytes = MF_U64_ABSENT;
    unknown->change_bytes_per_sec = MF_I64_ABSENT;
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmpint(mf_top_press(&scene->view, scene->data, cases[i].key), ==, MF_TOP_DRAW);
        check_order(scene, cases[i].order);
    }
}

static void
test_sort_names(void)
{
    MfTopSort sort = MF_TOP_BY_NAME;

    g_assert_true(mf_top_sort_from_string("change", &sort));
    g_assert_cmpint(sort, ==, MF_TOP_BY_CHANGE);
    g_assert_false(mf_top_sort_from_string("size", &sort));
    g_assert_cmpint(sort, ==, MF_TOP_BY_CHANGE);
}

static void
test_table(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    lay_out(scene, COLUMNS, LINES);
    g_assert_cmpstr(scene->lines->pdata[0], ==, "saved  60.0 MiB");
    g_assert_true(g_str_has_prefix(scene->lines->pdata[2], "NAME "));
    g_assert_true(g_str_has_prefix(scene->lines->pdata[3], "b "));
    g_assert_nonnull(strstr(scene->lines->pdata[3], " 30.0M   10.0M     -5B       -"));
    g_assert_true(g_str_has_prefix(scene->lines->pdata[LINES - 1], "sort: "));
    g_assert_nonnull(strstr(scene->lines->pdata[LINES - 1], "q quit"));
    g_assert_cmpint(scene->selected, ==, 3);
}

/* The selected domain stays selected when the order changes, and within sight. */
static void
test_selection(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    mf_top_press(&scene->view, scene->data, 'k');
    g_assert_cmpstr(scene->view.selected_uuid, ==, "b");
    mf_top_press(&scene->view, scene->data, MF_KEY_DOWN);
    mf_top_press(&scene->view, scene->data, 'j');
    mf_top_press(&scene->view, scene->data, 'j');
    g_assert_cmpstr(scene->view.selected_uuid, ==, "a");
    mf_top_press(&scene->view, scene->data, 'n');
    lay_out(scene, COLUMNS, LINES);
    g_assert_cmpint(scene->selected, ==, 3);
    for (int i = 0; i < 40; i++) {
        g_autofree char *name = g_strdup_printf("vm%02d", i);

        add_row(scene, name, 1, 1, 0);
        mf_top_press(&scene->view, scene->data, 'j');
    }
    mf_top_press(&scene->view, scene->data, 'j');
    mf_top_press(&scene->view, scene->data, 'j');
    lay_out(scene, COLUMNS, LINES);
    g_assert_cmpstr(scene->view.selected_uuid, ==, "vm39");
    g_assert_true(g_str_has_prefix(scene->lines->pdata[scene->selected], "vm39 "));
}

static void
test_details(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfTopRow *row = scene->data->rows->pdata[1];

    g_ptr_array_add(row->reasons,
                    g_strdup("  - its RAM is shared memory, which KSM does not merge, "
                             "however often and however kindly one asks it to"));
    mf_top_press(&scene->view, scene->data, 'j');
    g_assert_cmpint(mf_top_press(&scene->view, scene->data, ENTER), ==, MF_TOP_DRAW);
    lay_out(scene, COLUMNS, LINES);
    g_assert_true(shows(scene, "domain   c"));
    g_assert_true(shows(scene, "20.0M merged, 30.0M saved (+7B a second)"));
    g_assert_true(shows(scene, "kindly one asks it to"));
    g_assert_false(shows(scene, "NAME"));
    g_assert_cmpint(mf_top_press(&scene->view, scene->data, 'n'), ==, MF_TOP_NOTHING);

    /* On a small screen the end is reached by scrolling, and not passed. */
    for (int i = 0; i < 30; i++) {
        mf_top_press(&scene->view, scene->data, 'j');
    }
    lay_out(scene, COLUMNS, 7);
    g_assert_true(shows(scene, "kindly one asks it to"));
    mf_top_press(&scene->view, scene->data, 'k');
    lay_out(scene, COLUMNS, 7);
    g_assert_false(shows(scene, "kindly one asks it to"));

    g_ptr_array_remove_index(scene->data->rows, 1);
    lay_out(scene, COLUMNS, LINES);
    g_assert_true(shows(scene, "does not run any more"));
    g_assert_cmpint(mf_top_press(&scene->view, scene->data, 'q'), ==, MF_TOP_DRAW);
    g_assert_cmpint(mf_top_press(&scene->view, scene->data, 'q'), ==, MF_TOP_QUIT);
}

static void
test_ends(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    mf_top_press(&scene->view, scene->data, ENTER);
    g_assert_cmpint(mf_top_press(&scene->view, scene->data, MF_KEY_ESCAPE), ==, MF_TOP_DRAW);
    g_assert_cmpint(mf_top_press(&scene->view, scene->data, MF_KEY_ESCAPE), ==, MF_TOP_NOTHING);
    g_assert_cmpint(mf_top_press(&scene->view, scene->data, 0x03), ==, MF_TOP_QUIT);
    g_assert_cmpint(mf_top_press(&scene->view, scene->data, 0x1a), ==, MF_TOP_SUSPEND);
}

/* lay_out() checks each screen's size. */
static void
test_any_size(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    add_row(scene, "\u865a\u62df\u673a\u865a\u62df\u673a\u865a\u62df\u673a\u865a\u62df\u673a", 1, 1,
            0);
    scene->view.notice = g_strdup("NO ANSWER, trying again; the figures are old: memfoldd is away");
    for (guint columns = 1; columns <= 130; columns++) {
        for (guint lines = 1; lines <= 12; lines++) {
            scene->view.in_details = FALSE;
            lay_out(scene, columns, lines);
            mf_top_press(&scene->view, scene->data, ENTER);
            lay_out(scene, columns, lines);
        }
    }
    scene->view.in_details = FALSE;
    lay_out(scene, COLUMNS, LINES);
    g_assert_true(g_str_has_prefix(scene->lines->pdata[0], "NO ANSWER"));
    g_ptr_array_set_size(scene->data->rows, 0);
    lay_out(scene, COLUMNS, LINES);
    g_assert_true(shows(scene, "no domain runs"));
    g_assert_cmpint(scene->selected, ==, -1);
    mf_top_press(&scene->view, scene->data, ENTER);
    g_assert_false(scene->view.in_details);
}

static void
test_block(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autofree char *block = NULL;
    g_auto(GStrv) lines = NULL;

    mf_top_sort(scene->data->rows, MF_TOP_BY_NAME);
    block = mf_top_block(scene->data, &scene->view, COLUMNS);
    lines = g_strsplit(block, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 8);
    g_assert_cmpstr(lines[0], ==, "saved  60.0 MiB");
    g_assert_cmpstr(lines[1], ==, "");
    g_assert_true(g_str_has_prefix(lines[2], "NAME"));
    g_assert_true(g_str_has_prefix(lines[3], "a "));
    g_assert_true(g_str_has_prefix(lines[5], "c "));
    g_assert_cmpstr(lines[6], ==, "");
    g_assert_cmpstr(lines[7], ==, "");
}

static void
test_change(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfTopRow *before = scene->data->rows->pdata[0];
    MfTopRow *row = add_row(scene, "b", 14, 30, 0);

    before->taken_msec = 1000;
    row->taken_msec = 3000;
    mf_top_row_compare(row, before);
    g_assert_cmpint(row->change_bytes_per_sec.value, ==, 2 * MIB);

    /* The same reading, seen again a moment later. */
    before->taken_msec = 2990;
    mf_top_row_compare(row, before);
    g_assert_cmpint(row->change_bytes_per_sec.value, ==, -5);
    g_assert_cmpint(row->taken_msec, ==, 2990);

    before->taken_msec = 1000;
    row->taken_msec = 3000;
    before->saved_bytes = MF_U64(G_MAXUINT64);
    row->saved_bytes = MF_U64(0);
    mf_top_row_compare(row, before);
    g_assert_cmpint(row->change_bytes_per_sec.value, <, 0);
    row->change_bytes_per_sec = MF_I64_ABSENT;
    row->saved_bytes = MF_U64_ABSENT;
    row->taken_msec = 5000;
    mf_top_row_compare(row, before);
    g_assert_false(row->change_bytes_per_sec.known);
}

#define REASON_COUNT 6

/* As many reasons of the host as fit, each with its remedy, and where the others are; in a pipe
 * all of them. */
static void
test_host_reasons(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autofree char *block = NULL;

    g_ptr_array_add(scene->data->header, g_strdup("ksmd   running"));
    for (int i = 0; i < REASON_COUNT; i++) {
        g_ptr_array_add(scene->data->host_reasons,
                        g_strdup_printf("       reason %d is told in so many words that there is "
                                        "no room for more in a line; remedy %d",
                                        i, i));
    }
    lay_out(scene, COLUMNS, LINES);
    g_assert_true(shows(scene, "remedy 0"));
    g_assert_true(shows(scene, "remedy 1"));
    g_assert_cmpstr(scene->lines->pdata[6], ==, "       ... 4 more: memfold plan");
    g_assert_cmpstr(scene->lines->pdata[7], ==, "");
    lay_out(scene, COLUMNS, 3 * (2 + 2 * REASON_COUNT));
    g_assert_true(shows(scene, "remedy 5"));
    g_assert_false(shows(scene, "more: memfold plan"));

    block = mf_top_block(scene->data, &scene->view, COLUMNS);
    g_assert_nonnull(strstr(block, "remedy 5"));
    g_assert_null(strstr(block, "more: memfold plan"));
}

#define ADD(path, function) g_test_add("/top/" path, Scene, NULL, scene_open, function, scene_close)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("sort-keys", test_sort_keys);
    g_test_add_func("/top/sort-names", test_sort_names);
    ADD("table", test_table);
    ADD("selection", test_selection);
    ADD("details", test_details);
    ADD("ends", test_ends);
    ADD("any-size", test_any_size);
    ADD("block", test_block);
    ADD("host-reasons", test_host_reasons);
    ADD("change", test_change);
    return g_test_run();
}
