/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A piece of somebody's text.
 *
 * Lines and words are cut from its head, so that nothing is copied and nothing needs a NUL.
 */
#pragma once

#include <glib.h>

typedef struct {
    const char *text;
    gsize length_bytes;
} MfSpan;

/* Cuts the first line, without its '\n', off rest; FALSE at the end. */
gboolean mf_span_next_line(MfSpan *rest, MfSpan *ret_line);

/* Cuts the first word (up to white space) off rest; FALSE when there is none. */
gboolean mf_span_next_word(MfSpan *rest, MfSpan *ret_word);

gboolean mf_span_is(MfSpan span, const char *text);

/* A decimal number that is the whole span; FALSE, and nothing is touched, if it is none or does not
 * fit. */
gboolean mf_span_to_u64(MfSpan span, guint64 *ret_value);
gboolean mf_span_to_i64(MfSpan span, gint64 *ret_value);

/* "123 kB", with nothing behind it, in bytes. */
gboolean mf_span_to_kib_bytes(MfSpan rest, guint64 *ret_bytes);

/* MF_ERROR_INVALID: what, and the head of the span.  Always FALSE. */
gboolean mf_span_refuse(GError **error, const char *what, MfSpan span);
