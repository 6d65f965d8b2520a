/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the engine share: mf-engine.c ticks, mf-engine-domains.c follows the domains,
 * mf-engine-policy.c sets their policies,
 * mf-engine-holds.c protects those that start, mf-engine-groups.c moves them to the kernel's
 * groups, mf-engine-boost.c has them scanned first, mf-engine-monitor.c asks their QEMUs,
 * mf-engine-accounts.c keeps the accounts, mf-engine-plan.c says what would be done,
 * mf-engine-estimate.c reads guests when asked to and mf-engine-audit.c their page tables
 * (mf-engine-survey.c is for both), mf-engine-storm.c has domains give way, mf-engine-balloon.c and
 * mf-engine-paused.c see what comes of it.  All of it is of the main context only.
 */
#pragma once

#include "../core/mf-admission.h"
#include "../io/mf-virt.h"
#include "../io/mf-workers.h"
#include "mf-apply.h"
#include "mf-collect.h"
#include "mf-engine-survey.h"
#include "mf-engine.h"
#include "mf-monitor.h"
#include "mf-owed.h"
#include "mf-registry.h"

/* mf-engine-admission.c: promises to those that start, and what was said of them. */
typedef struct _MfAdmissions MfAdmissions;

struct _MfEngine {
    gatomicrefcount refs;
    gboolean stopped;
    MfRoot *host;
    MfConfig *config;
    MfMemory *memory;
    MfApply *apply;
    MfRegistry *registry;
    MfAdmissions *admissions;
    MfEngineChanged changed;
    gpointer changed_data;

    /* mf-engine.c */
    MfSnapshot *snapshot;
    MfPlan *plan;
    MfProblems *tick_problems; /* of the tick's worker, one at a time */
    guint tick_id;
    guint tick_msec; /* of tick_id */
    guint kick_id;
    gboolean ticking;
    gboolean tick_again;
    gint64 tick_begun_usec; /* of the one that is under way */
    gint64 plan_begun_usec; /* of the one that plan is of */
    gboolean tick_late_told;
    GHashTable *starts; /* mf-engine-holds.c: uuid -> Start */
    gboolean let_go;    /* the next tick puts every knob back */

    /* mf-engine-accounts.c */
    MfSnapshot *accounts;
    MfHistory *history;
    MfProblems *accounts_problems;
    GPtrArray *accounts_waiters; /* of GTask: who waits for the round under way */
    guint accounts_id;
    gboolean accounting;
    gboolean accounts_at_rest; /* accounts_id waits as long as it may while ksmd rests */
    gboolean accounts_wanted;  /* after the round under way */
    gint64 accounts_cost_usec; /* of the last round */

    /* mf-engine-storm.c */
    MfOwed *owed;
    char **debts_left; /* of an earlier memfoldd, of domains that have not shown up: emptied */
    MfWorkers *reclaims;
    MfWorkers *relief_calls; /* of libvirt */
    MfWorkers *balloon_looks;
    gboolean storm_told;
    gboolean writers_told;
    guint64 poison_told_bytes; /* failed memory that the log knows of */

    MfSurveyTurn estimate_turn;
    MfSurveyTurn audit_turn;

    /* mf-engine-domains.c */
    MfVirt *virt;
    MfMonitor *monitor;
    MfWorkers *lookups;
    MfWorkers *settings; /* one at a time */
    MfWorkers *moves;    /* to groups of the kernel's */
    MfProblems *domain_problems;
    GHashTable *looking_up;      /* uuid -> Pending */
    GHashTable *newer_than_list; /* set of uuid; NULL while no list is under way */
    gboolean list_again;
    gboolean listed_all; /* the last list told of every domain, and no other is wanted */
    guint list_id;
};

/* Asks for a tick at once (soon, and only one for many kicks). */
void mf_engine_kick(MfEngine *engine);

/* Tells the listener; the second also asks for a tick. */
void mf_engine_tell_changed(MfEngine *engine);
void mf_engine_note_changed(MfEngine *engine);

MfAdmissions *mf_admissions_new(void);
void mf_admissions_free(MfAdmissions *admissions);

/* Nothing is promised to the domain any more.  For the hook, which libvirt runs in the order of a
 * domain's life; its events may come after the next start. */
void mf_admissions_end(MfAdmissions *admissions, const char *uuid);

/* Lets ksmd go when no hold stands any more, at now_usec. */
void mf_engine_check_holds(MfEngine *engine, gint64 now_usec);

/* ksmd need not wait for the domain any more: it is off, in its group, or has gone. */
void mf_engine_end_hold(MfEngine *engine, const char *uuid);

/* The same, by the last plan and something that was begun at begun_usec.  A start that was prepared
 * after either goes on: they are of the QEMU before. */
void mf_engine_end_hold_judged(MfEngine *engine, const char *uuid, gint64 begun_usec);

GHashTable *mf_engine_starts_new(void);

/* Those that ksmd waits for and that only the hook has told of (of MfDomain: uuid, name), and, in a
 * worker, what QEMUs they have by now (pid). */
GPtrArray *mf_engine_dup_starts(const MfEngine *engine);
void mf_engine_find_starts(MfRoot *host, GPtrArray *starts);

/* Before each decision, with these: has ksmd wait on for those whose QEMU is there and that are not
 * off yet. */
void mf_engine_follow_starts(MfEngine *engine, const GPtrArray *starts, gint64 now_usec);

void mf_engine_accounts_start(MfEngine *engine);
void mf_engine_accounts_stop(MfEngine *engine);

/* Has a round soon, because something changed that the last one does not show. */
void mf_engine_accounts_soon(MfEngine *engine);

/* After a decision: when ksmd rests no longer, a round that could wait no longer can. */
void mf_engine_accounts_follow(MfEngine *engine);

/* Takes up what an earlier memfoldd owes, as the domains show up; before each decision. */
void mf_engine_storm_adopt(MfEngine *engine);

/* Has the plan's reliefs carried out, and tells a storm's begin and end. */
void mf_engine_storm_apply(MfEngine *engine, const MfPlan *plan);

/* The domain has gone. */
void mf_engine_storm_forget(MfEngine *engine, const char *uuid);

/* libvirt is away: what it still holds is not to hold up the next calls. */
void mf_engine_storm_renew(MfEngine *engine);
void mf_engine_storm_start(MfEngine *engine);
void mf_engine_storm_stop(MfEngine *engine);

/* mf-engine-balloon.c: looks at what balloons that were asked have given, each once a second. */
void mf_engine_balloons_look(MfEngine *engine);
void mf_engine_balloons_renew(MfEngine *engine);

/* mf-engine-paused.c: memfold has the domain paused, and somebody else may have had it go on; the
 * second is for when a call has ended, which one may have come too early for; the third for all of
 * them, after libvirt was away. */
void mf_engine_paused_check(MfEngine *engine, const char *uuid);
void mf_engine_paused_check_missed(MfEngine *engine, const char *uuid);
void mf_engine_paused_check_all(MfEngine *engine);

void mf_engine_domains_start(MfEngine *engine);
void mf_engine_domains_stop(MfEngine *engine);

/* Has libvirt asked about the domain, once it is there. */
void mf_engine_domains_look_up(MfEngine *engine, const char *uuid);

/* Whether the registry has every domain that runs. */
gboolean mf_engine_domains_are_known(const MfEngine *engine);

/* Asks libvirt about domains that the hook alone has told of for long. */
void mf_engine_domains_doubt(MfEngine *engine);

/* Takes what libvirt says of a domain now. Whoever looks it up at this moment, or lists it, may
 * have read it before, and does not take that back. */
void mf_engine_take_newest(MfEngine *engine, const MfDomain *facts);

/* Has the plan's domain actions carried out, and asks what is to be asked. */
void mf_engine_domains_apply(MfEngine *engine, const MfPlan *plan);
void mf_engine_domains_ask(MfEngine *engine);

/* Has domains moved to the groups of the kernel's that the plan wants them in. */
void mf_engine_groups_apply(MfEngine *engine, const MfPlan *plan);

/* Has domains scanned before all others that the plan wants so. */
void mf_engine_boosts_apply(MfEngine *engine, const MfPlan *plan);
