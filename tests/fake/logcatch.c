/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "logcatch.h"

typedef struct {
    GLogLevelFlags level;
    char *text;
} Line;

static GMutex lock;
static GPtrArray *lines;

static void
line_free(gpointer data)
{
    Line *line = data;

    g_free(line->text);
    g_free(line);
}

static GLogWriterOutput
on_log(GLogLevelFlags level, const GLogField *fields, gsize n_fields,
       G_GNUC_UNUSED gpointer user_data)
{
    for (gsize i = 0; i < n_fields; i++) {
        if (g_str_equal(fields[i].key, "MESSAGE")) {
            Line *line = g_new0(Line, 1);

            line->level = level;
            line->text = fields[i].length < 0 ? g_strdup(fields[i].value)
                                              : g_strndup(fields[i].value, (gsize)fields[i].length);
            g_mutex_lock(&lock);
            g_ptr_array_add(lines, line);
            g_mutex_unlock(&lock);
        }
    }
    return G_LOG_WRITER_HANDLED;
}

void
log_catch_begin(void)
{
    lines = g_ptr_array_new_with_free_func(line_free);
    g_log_set_writer_func(on_log, NULL, NULL);
}

guint
log_catch_count(GLogLevelFlags level, const char *pattern)
{
    guint count = 0;

    g_mutex_lock(&lock);
    for (guint i = 0; i < lines->len; i++) {
        const Line *line = lines->pdata[i];

        if ((line->level & G_LOG_LEVEL_MASK) <= level &&
            g_pattern_match_simple(pattern, line->text)) {
            count++;
        }
    }
    g_mutex_unlock(&lock);
    return count;
}

void
log_catch_clear(void)
{
    g_mutex_lock(&lock);
    g_ptr_array_set_size(lines, 0);
    g_mutex_unlock(&lock);
}
