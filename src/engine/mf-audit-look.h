/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One look at the page tables, for mf-audit-run.c: it waits for whoever makes it wait, and tells
 * for whom. */
#pragma once

#include "mf-audit-run.h"

/* What it reads, all its own, and what it tells to other threads meanwhile. */
typedef struct {
    MfRoot *root;
    const MfConfig *config;
    GPtrArray *domains;      /* of MfDomain; sorted by the look */
    GHashTable *judged;      /* set of UUIDs; NULL: all */
    GHashTable *passed_pids; /* set of gint64: processes that are not to be read */
    gboolean skips_others;   /* processes that are no domains are not read at all */
    gboolean knows_all;
    GCancellable *cancellable;

    /* Atomic. */
    gint at_pid;      /* whose files are being read; 0: nobody's, or not known */
    gint steps_count; /* changes as long as it goes on */
    gint done_permyriad;
} MfAuditLook;

/* took_usec is the caller's to tell.  Errors as of mf_audit_run(), but for TIMEOUT and BUSY. */
MfAuditReport *mf_audit_look_run(MfAuditLook *look, GError **error);
