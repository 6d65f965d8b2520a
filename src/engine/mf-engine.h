/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tick: collect, decide, apply, publish.
 *
 * The engine lives on the main context and never blocks it: collecting, applying, libvirt and QEMU
 * are in workers.  Ticks do not overlap; what happens meanwhile (a policy, a start, a switch) asks
 * for another one at once.  Accounts, which walk page tables, are rounds of their own, so that they
 * do not hold up the knobs, and take no more than a twentieth of one CPU.
 */
#pragma once

#include <gio/gio.h>

#include "../core/mf-decide.h"
#include "../core/mf-history.h"
#include "../io/mf-root.h"
#include "mf-audit-run.h"
#include "mf-estimate-run.h"
#include "mf-journal.h"

typedef struct _MfEngine MfEngine;

/* A domain came, went or changed; what was got from the engine before may be out of date. */
typedef void (*MfEngineChanged)(MfEngine *engine, gpointer user_data);

/* journal stays the caller's and must outlive the engine.  config is copied. */
MfEngine *mf_engine_new(MfRoot *host, MfJournal *journal, const MfConfig *config);
MfEngine *mf_engine_ref(MfEngine *engine);
void mf_engine_unref(MfEngine *engine);

/* One listener; NULL for none. */
void mf_engine_listen(MfEngine *engine, MfEngineChanged changed, gpointer user_data);

/* Connects to libvirt and begins to tick.  Returns at once. */
void mf_engine_start(MfEngine *engine);

/* Ends everything and puts every knob back.  Blocks for some seconds at most, running the main
 * context while a worker still writes.  FALSE when a knob could not be put back. */
gboolean mf_engine_stop(MfEngine *engine);

/* Swaps the configuration; the libvirt URI of the first one stays. */
void mf_engine_set_config(MfEngine *engine, const MfConfig *config);
const MfConfig *mf_engine_get_config(const MfEngine *engine);

/* What there is to tell.  Each is NULL before its first round; the engine keeps ownership, and
 * replaces them when it runs the main context. */
const MfSnapshot *mf_engine_get_snapshot(const MfEngine *engine);
const MfSnapshot *mf_engine_get_accounts(const MfEngine *engine);
const MfPlan *mf_engine_get_plan(const MfEngine *engine);
/* Which knobs could not be written, of MfReason; g_ptr_array_unref(). */
GPtrArray *mf_engine_dup_failures(const MfEngine *engine);
/* Whether one is under way, so that another would be BUSY. */
gboolean mf_engine_is_estimating(const MfEngine *engine);
gboolean mf_engine_is_auditing(const MfEngine *engine);
/* Starts that ksmd waits for longer than usual, and why, of MfReason; g_ptr_array_unref(). */
GPtrArray *mf_engine_dup_long_starts(const MfEngine *engine);
/* Who they are, when QEMUs that do not answer keep all others from being asked; else NULL.
 * g_free(). */
char *mf_engine_dup_silence(const MfEngine *engine);
/* What the rounds of accounts have told so far; never NULL. */
const MfHistory *mf_engine_get_history(const MfEngine *engine);
gboolean mf_engine_is_connected(const MfEngine *engine);
/* What ksmd may take of one CPU at its present pace. */
guint mf_engine_get_ksmd_budget_permyriad(const MfEngine *engine);
MfU64 mf_engine_get_ksmd_cpu_permyriad(const MfEngine *engine);

/* All domains as they are known now, copies, sorted by name. */
GPtrArray *mf_engine_dup_domains(const MfEngine *engine);
/* The same without copies, in no order; valid until the engine next runs the main context. */
GPtrArray *mf_engine_list_domains(const MfEngine *engine);
const MfDomain *mf_engine_get(const MfEngine *engine, const char *uuid);
const MfDomain *mf_engine_find(const MfEngine *engine, const char *name_or_uuid);
MfU64 mf_engine_get_accounts_age_msec(const MfEngine *engine, const char *uuid);

/* Calls back when the accounts are fresh enough to be shown (two seconds, or longer on a host where
 * they take long), or could not be made so in time.  Always ends without error. */
void mf_engine_refresh(MfEngine *engine, GAsyncReadyCallback callback, gpointer user_data);

/* What a tick would do now, as a dry run: decides on a snapshot of its own, with a copy of what the
 * engine remembers, and applies nothing.  finish gives the plan and what it was decided on;
 * both are the caller's, and there is no error. */
void mf_engine_dry_run(MfEngine *engine, GAsyncReadyCallback callback, gpointer user_data);
MfPlan *mf_engine_dry_run_finish(GAsyncResult *result, MfSnapshot **ret_snapshot);

/* Sets one attribute of the policy that libvirt has of a domain, and takes the result up.  Settings
 * follow one another, so that none undoes what another one wrote.  finish gives libvirt's error or
 * mf_policy_edit()'s. */
void mf_engine_set_policy(MfEngine *engine, const char *uuid, const char *attribute,
                          const char *value, GAsyncReadyCallback callback, gpointer user_data);
gboolean mf_engine_set_policy_finish(GAsyncResult *result, GError **error);

/* Estimates what merging would save in the domains of these names or UUIDs, or in all when there is
 * none; see mf-estimate-run.h.  done_permyriad is a g_atomic_rc_box of which a reference is kept;
 * it is set atomically as the run goes on.  One run at a time.  finish, which the callback must
 * call, gives BUSY when there is another, GONE when a domain does not run, G_IO_ERROR_CANCELLED (by
 * cancellable, which must not be NULL, or when the engine stops), or FAILED. */
void mf_engine_estimate(MfEngine *engine, const char *const *names, guint64 rate_bytes,
                        gint *done_permyriad, GCancellable *cancellable,
                        GAsyncReadyCallback callback, gpointer user_data);
MfEstimateReport *mf_engine_estimate_finish(GAsyncResult *result, GError **error);

/* Audits the domains of these names or UUIDs, or all when there is none, by the page tables of all
 * of them; see mf-audit-run.h.  As an estimate for all else; finish gives UNSUPPORTED and DENIED,
 * too. */
void mf_engine_audit(MfEngine *engine, const char *const *names, gint *done_permyriad,
                     GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
MfAuditReport *mf_engine_audit_finish(GAsyncResult *result, GError **error);

/* What the hook tells.  facts: uuid, name, nosharepages, memory_kind, policy, policy_error,
 * and for a start memory_bytes. */

/* The domain is about to start here because it migrates: a refusal says so, too. */
void mf_engine_domain_migrates(MfEngine *engine, const char *uuid);

/* Whether the domain, about to start, may do so (mf-admission.h).  Reads the host's figures for it;
 * no error.  finish judges and, when it is TRUE, promises the domain its memory until it stops;
 * when it is FALSE, ret_refusal is a sentence with figures and remedy, to g_free().  What there is
 * to say is logged and kept for mf_engine_dup_admissions().  Without finish nothing is judged. */
void mf_engine_admit(MfEngine *engine, const MfDomain *facts, GAsyncReadyCallback callback,
                     gpointer user_data);
gboolean mf_engine_admit_finish(GAsyncResult *result, char **ret_refusal);

/* The domain starts, or may, without having been judged: it is promised its memory all the same, so
 * that the next one does not count on it. */
void mf_engine_admit_unjudged(MfEngine *engine, const MfDomain *facts);

/* What was said of the last few starts, of an hour at most, latest first; of each domain the last
 * one.  Array of MfReason, g_ptr_array_unref(). */
GPtrArray *mf_engine_dup_admissions(const MfEngine *engine);

/* The domain is about to start.  One that must not merge, and whose QEMU will mark its memory all
 * the same, is protected: callback comes when ksmd stands still, and it stays so until the domain
 * was switched off, may merge after all, or went, or nothing has come of it in thirty seconds. */
void mf_engine_prepare(MfEngine *engine, const MfDomain *facts, GAsyncReadyCallback callback,
                       gpointer user_data);
gboolean mf_engine_prepare_finish(GAsyncResult *result, GError **error);
void mf_engine_domain_started(MfEngine *engine, const MfDomain *facts);
void mf_engine_domain_stopped(MfEngine *engine, const char *uuid);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfEngine, mf_engine_unref)
