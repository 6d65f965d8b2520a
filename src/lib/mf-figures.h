/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How libmemfold makes MemfoldFigures; what they are is told in memfold.h. */
#pragma once

#include "memfold.h"

/* values: a{sv}; texts: a(sss), the reasons.  Both are kept.  Free with mf_figures_free(). */
MemfoldFigures *mf_figures_new(GVariant *values, GVariant *texts);
void mf_figures_free(gpointer figures);

/* several: a(a{sv}a(sss)).  An array of MemfoldFigures that frees them; it is the caller's. */
GPtrArray *mf_figures_of_several(GVariant *several);

/* The same of aa{sv}: without reasons. */
GPtrArray *mf_figures_of_plain(GVariant *several);
