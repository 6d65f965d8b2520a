/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the engine share: mf-engine.c ticks, mf-engine-domains.c follows the domains,
 * mf-engine-holds.c protects those that start, mf-engine-monitor.c asks their QEMUs,
 * mf-engine-accounts.c keeps the accounts, mf-engine-plan.c says what would be done,
 * mf-engine-estimate.c reads guests when asked to.  All of it is of the main context only.
 */
#pragma once

#include "../io/mf-virt.h"
#include "../io/mf-workers.h"
#include "mf-apply.h"
#include "mf-collect.h"
#include "mf-engine.h"
#include "mf-monitor.h"
#include "mf-registry.h"

struct _MfEngine {
    gatomicrefcount refs;
    gboolean stopped;
    MfRoot *host;
    MfConfig *config;
    MfMemory *memory;
    MfApply *apply;
    MfRegistry *registry;
    MfEngineChanged changed;
    gpointer changed_data;

    /* mf-engine.c */
    MfSnapshot *snapshot;
    MfPlan *plan;
    MfProblems *tick_problems; /* of the tick's worker, one at a time */
    guint tick_id;
    guint kick_id;
    gboolean ticking;
    gboolean tick_again;
    gboolean let_go; /* the next tick puts every knob back */

    /* mf-engine-accounts.c */
    MfSnapshot *accounts;
    MfProblems *accounts_problems;
    GPtrArray *accounts_waiters; /* of GTask: who waits for the round under way */
    guint accounts_id;
    gboolean accounting;
    gint64 accounts_cost_usec; /* of the last round */

    /* mf-engine-estimate.c */
    gboolean estimating;
    GCancellable *estimate_cancellable;

    /* mf-engine-domains.c */
    MfVirt *virt;
    MfMonitor *monitor;
    MfWorkers *lookups;
    MfWorkers *settings; /* one at a time */
    MfProblems *domain_problems;
    GHashTable *looking_up;            /* uuid -> Lookup */
    GHashTable *stopped_while_listing; /* set of uuid; NULL while no list is under way */
    gboolean list_again;
    guint list_id;
};

/* Asks for a tick at once (soon, and only one for many kicks). */
void mf_engine_kick(MfEngine *engine);

/* Tells the listener; the second also asks for a tick. */
void mf_engine_tell_changed(MfEngine *engine);
void mf_engine_note_changed(MfEngine *engine);

/* Lets ksmd go when no hold stands any more, at now_usec. */
void mf_engine_check_holds(MfEngine *engine, gint64 now_usec);

void mf_engine_accounts_start(MfEngine *engine);
void mf_engine_accounts_stop(MfEngine *engine);

/* Has a round soon, because something changed that the last one does not show. */
void mf_engine_accounts_soon(MfEngine *engine);

void mf_engine_estimate_stop(MfEngine *engine);

void mf_engine_domains_start(MfEngine *engine);
void mf_engine_domains_stop(MfEngine *engine);

/* Has the plan's domain actions carried out, and asks what is to be asked. */
void mf_engine_domains_apply(MfEngine *engine, const MfPlan *plan);
void mf_engine_domains_ask(MfEngine *engine);
