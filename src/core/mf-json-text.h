/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a text may be handed to a JSON parser at all.
 *
 * The parser descends with the text's nesting, takes a NUL in a string for its end, and goes on
 * behind the first value, losing what it has read of it.  What others write is looked at for that
 * first.
 */
#pragma once

#include <glib.h>

/* TRUE when text is UTF-8 and looks like one object, nested no deeper than depth_max, with nothing
 * but white space around it and no NUL in its strings.  Whether it is JSON the parser says. */
gboolean mf_json_text_is_one_object(const char *text, gsize length_bytes, guint depth_max);
