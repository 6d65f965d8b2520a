/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a call does, for a person who waits: on stderr, where that is a terminal, once it has taken
 * two seconds. */
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

/* The same for a call that does not tell how far it is: that memfoldd is waited for. */
typedef struct _MfCliNotice MfCliNotice;

/* Begins now; NULL when nobody looks. */
MfCliNotice *mf_cli_notice_new(void);

/* Takes away what was shown: before anything else is written.  NULL is ignored. */
void mf_cli_notice_free(MfCliNotice *notice);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfCliNotice, mf_cli_notice_free)
