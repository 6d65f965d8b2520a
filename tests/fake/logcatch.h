/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the code under test logs, caught instead of printed. */
#pragma once

#include <glib.h>

/* Catches everything from now on; once a program. */
void log_catch_begin(void);

/* How many lines of level or a graver one match pattern (g_pattern_match_simple()). */
guint log_catch_count(GLogLevelFlags level, const char *pattern);
void log_catch_clear(void);
