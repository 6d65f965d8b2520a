/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libvirt quotes QEMU's own output in its errors, and that can have lines that look like ours. */
#include "mf-log.h"

#include <glib.h>

#include "../core/mf-text.h"

#define MESSAGE_MAX_BYTES 8192

static GLogWriterOutput
write_line(GLogLevelFlags level, const GLogField *fields, gsize fields_count,
           G_GNUC_UNUSED gpointer user_data)
{
    g_autofree GLogField *copy = g_memdup2(fields, fields_count * sizeof(*fields));
    g_autofree char *line = NULL;

    for (gsize i = 0; i < fields_count; i++) {
        if (line == NULL && g_str_equal(copy[i].key, "MESSAGE") && copy[i].length < 0) {
            line = mf_text_printable(copy[i].value, MESSAGE_MAX_BYTES);
            copy[i].value = line;
        }
    }
    return g_log_writer_default(level, copy, fields_count, NULL);
}

void
mf_log_begin(void)
{
    g_log_set_writer_func(write_line, NULL, NULL);
    g_log_writer_default_set_use_stderr(TRUE);
}
