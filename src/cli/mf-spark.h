/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A series in one line of text: a mark a column, the higher the more. */
#pragma once

#include <glib.h>

/* The last period_msec in columns: each is the mean of its points, from 0 to the greatest of them.
 * A column without a point is a space.  agos_msec: before now.  ascii: marks of ASCII only, else
 * block elements.  "" when there is no point at all.  g_free(). */
char *mf_spark(const guint64 *agos_msec, const guint64 *values, gsize points_count,
               guint64 period_msec, guint columns, gboolean ascii);
