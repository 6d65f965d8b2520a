/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the daemon's description to what `memfold top` shows. */
#pragma once

#include "../lib/memfold.h"
#include "mf-top-rows.h"

/* Copies what is shown, made printable.  now_msec: when the description came, of any clock that
 * goes on.  before: the data of the refresh before, for what changed since, or NULL. */
MfTopData *mf_top_data_new(const MemfoldDescription *description, gint64 now_msec,
                           const MfTopData *before);
