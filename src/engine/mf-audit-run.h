/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One run of `memfold audit`: looks at the page tables of all domains, and proves that none has a
 * page in common with another group.
 *
 * Groups are those of the policies, and the kernel's where it has such.  A process that is no
 * domain may share with domains of the group "shared" where that is the default for everybody, and
 * with nobody else.  Other processes are looked at only when some page is mapped by more than the
 * domains that were.
 *
 * Any process can have those wait who read of its memory, for as long as it likes (by holding its
 * memory lock: a munmap of a file whose FUSE server hangs).  Nobody waits for it for long here: it
 * is passed over, and told.
 */
#pragma once

#include <gio/gio.h>

#include "../core/mf-audit.h"
#include "../core/mf-config.h"
#include "../core/mf-plan.h"
#include "../io/mf-root.h"

/* done_permyriad of the first look; called in the thread of who runs the audit. */
typedef void (*MfAuditProgress)(guint done_permyriad, gpointer user_data);

typedef struct {
    char *uuid;
    char *name;
    char *group; /* or "isolated" */
    gboolean is_judged;
    MfU64 ksm_group_number;
    gint64 pid;
    MfReason *trouble; /* why not all of it is proven; or NULL */
    guint64 looked_pages;
    guint64 merged_pages;
    guint64 swapped_pages;
    guint64 violation_pages;
    MfU64 zero_pages; /* of ksmd's */
} MfAuditDomain;

typedef struct {
    gint64 pid;
    char *name; /* of the program */
} MfAuditOther;

typedef struct {
    MfAuditVerdict verdict;
    gboolean knows_all; /* there is no domain that is not in the list */
    guint64 page_size_bytes;
    guint failed_count; /* domains with trouble */
    guint looks_count;  /* at everybody */
    guint64 zero_violation_pages;
    MfAuditCounts counts;
    GPtrArray *domains; /* of MfAuditDomain: parties from 0 on; sorted by group and name */
    GPtrArray *others;  /* of MfAuditOther: the parties that follow */
    GArray *pairs;      /* of MfAuditPair */
    gint64 took_usec;
} MfAuditReport;

/* Audits domains (of MfDomain, with pid and policy); those whose UUID is in judged (NULL: all) are
 * the ones that are asked about, and the others are looked at for what they share with these.
 * knows_all: domains are all that run; else nothing is proven.  Blocks for as long as the page
 * tables take, and for a process that keeps it waiting no more than patience_msec.  A domain that
 * can't be looked at is in the report with the reason, and then nothing is proven.  Errors:
 * UNSUPPORTED or DENIED when the kernel's tables can't be read at all, TIMEOUT when it waits
 * for nobody knows whom, BUSY when too many still keep earlier ones, and G_IO_ERROR_CANCELLED. */
MfAuditReport *mf_audit_run(MfRoot *root, const MfConfig *config, GPtrArray *domains,
                            GHashTable *judged, gboolean knows_all, guint patience_msec,
                            MfAuditProgress progress, gpointer user_data, GCancellable *cancellable,
                            GError **error);
void mf_audit_report_free(MfAuditReport *report);

/* The domain that is party, or NULL for another process. */
const MfAuditDomain *mf_audit_report_get_domain(const MfAuditReport *report, guint party);
const MfAuditOther *mf_audit_report_get_other(const MfAuditReport *report, guint party);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfAuditReport, mf_audit_report_free)
