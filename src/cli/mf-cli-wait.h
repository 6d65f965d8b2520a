/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far a long call is, for a person who waits: on stderr, where that is a terminal, once it has
 * taken two seconds. */
#pragma once

#include <glib.h>

#include "../lib/memfold.h"

typedef struct {
    const char *what; /* is being done: "reading memory" */
    gint64 begun_usec;
    gboolean is_shown;
} MfCliWait;

/* Begins now.  Gives the progress function for libmemfold, whose user_data wait is; NULL when
 * nobody looks. */
MemfoldProgress mf_cli_wait_begin(MfCliWait *wait, const char *what);

/* Takes away what was shown. */
void mf_cli_wait_end(const MfCliWait *wait);
