/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What C tests share: asserting on errors, and the captured texts in tests/data. */
#pragma once

#include <glib.h>

#include "../../src/core/mf-error.h"

/* Fails unless error is MF_ERROR with that code and its message holds part; clears it. */
#define mf_assert_error(error, error_code, part)                                                   \
    do {                                                                                           \
        g_assert_error((error), MF_ERROR, (error_code));                                           \
        if (strstr((error)->message, (part)) == NULL) {                                            \
            g_error("\"%s\" does not hold \"%s\"", (error)->message, (part));                      \
        }                                                                                          \
        g_clear_error(&(error));                                                                   \
    } while (0)

/* Says which case of a table is tried: any text, on one line of TAP. */
static inline void
mf_test_case(const char *text)
{
    g_autofree char *escaped = g_strescape(text, NULL);

    g_test_message("%s", escaped);
}

/* Reads tests/data/NAME; free with g_free(). */
static inline char *
mf_test_data(const char *name, gsize *ret_length_bytes)
{
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, name, NULL);
    g_autoptr(GError) error = NULL;
    char *text = NULL;

    g_file_get_contents(path, &text, ret_length_bytes, &error);
    g_assert_no_error(error);
    return text;
}
