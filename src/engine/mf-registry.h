/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known of each running domain, and what is to be asked next.
 *
 * Facts come from four sides at their own times: libvirt (name, policy, memory), the hook (the
 * same, sooner), QEMU (what it can do, how its memory is marked), /proc (PID and figures).  The
 * registry puts them together, and tells one incarnation of a domain from the next.  No clock and
 * no I/O: time is handed in.
 */
#pragma once

#include "../core/mf-types.h"
#include "mf-monitor.h"

/* How long a QEMU may be silent before it is told as a fault. */
#define MF_ANSWER_OVERDUE_USEC (5 * G_USEC_PER_SEC)

/* How long the hook's word alone is taken for a domain. */
#define MF_DOUBTFUL_USEC (10 * G_USEC_PER_SEC)

typedef struct _MfRegistry MfRegistry;

typedef enum {
    MF_SOURCE_HOOK, /* the domain is just starting, its monitor is not to be used yet */
    MF_SOURCE_LIBVIRT,
} MfSource;

MfRegistry *mf_registry_new(void);
void mf_registry_free(MfRegistry *registry);

/* Takes name, policy, policy_error, nosharepages and memory_kind of facts, from libvirt also
 * launch_security and passthrough_count, and adds the domain when it is new.  TRUE when anything
 * changed. */
gboolean mf_registry_update(MfRegistry *registry, const MfDomain *facts, MfSource source,
                            gint64 now_usec);

/* TRUE when it was there. */
gboolean mf_registry_remove(MfRegistry *registry, const char *uuid);

/* The registry keeps ownership; NULL when there is none.  name_or_uuid: names first. */
const MfDomain *mf_registry_find(const MfRegistry *registry, const char *uuid);
const MfDomain *mf_registry_find_any(const MfRegistry *registry, const char *name_or_uuid);

/* Copies of all domains, sorted by name, as a snapshot wants them. */
GPtrArray *mf_registry_copy_domains(const MfRegistry *registry, gint64 now_usec);
/* All domains (of const MfDomain, in no order), which stay the registry's and are valid until it is
 * next changed: for who only looks.  g_ptr_array_unref(). */
GPtrArray *mf_registry_list_domains(const MfRegistry *registry);
guint mf_registry_get_n_domains(const MfRegistry *registry);

/* Whether an answer of the domain's QEMU is waited for. */
gboolean mf_registry_is_asked(const MfRegistry *registry, const char *uuid);

/* Age of what smaps told of the domain; absent when it has told nothing yet. */
MfU64 mf_registry_get_accounts_age_msec(const MfRegistry *registry, const char *uuid,
                                        gint64 now_usec);

/* Takes PIDs and figures from a snapshot whose collecting began at begun_usec; with_accounts says
 * that it was a round of accounts.  Another PID than before is another QEMU. */
void mf_registry_take_figures(MfRegistry *registry, const MfSnapshot *snapshot,
                              gboolean with_accounts, gint64 begun_usec);

/* The next domain that the hook told of and libvirt did not, for so long that libvirt is to be
 * asked, and again each time it has passed; NULL when there is none.  The registry keeps ownership.
 */
const char *mf_registry_next_doubtful(MfRegistry *registry, gint64 now_usec);

/* Whether libvirt has told of the domain. */
gboolean mf_registry_is_reachable(const MfRegistry *registry, const char *uuid);

/* Takes back every mode that was wanted set and has not been asked for: a plan is complete. */
void mf_registry_want_nothing(MfRegistry *registry);

/* Wants a mode set (the plan says so), or the mode asked for again (QEMU says that it changed). The
 * first is TRUE unless the last plan wanted the same, and it still waits to be asked for. */
gboolean mf_registry_want_mode(MfRegistry *registry, const char *uuid, MfMode mode);
void mf_registry_want_query(MfRegistry *registry, const char *uuid);

/* The domain has started, or goes on: whatever kept its QEMU from being asked may have ended, so
 * that it is asked now, and not when the wait after a failure is over. */
void mf_registry_ask_anew(MfRegistry *registry, const char *uuid);

/* libvirt is there again: ends every wait after a failure, and has each QEMU asked how it is, which
 * it may have told while nobody listened. */
void mf_registry_forgive(MfRegistry *registry);

/* The domain is being moved to another group of the kernel's, until mf_registry_end_move() is told
 * the same serial. FALSE when it is being moved already, or is not there. */
gboolean mf_registry_begin_move(MfRegistry *registry, const char *uuid, guint *ret_serial);

/* error NULL: it has moved.  After an error it is not moved for some seconds; GONE is no failure of
 * the domain's. */
void mf_registry_end_move(MfRegistry *registry, const char *uuid, guint serial, const GError *error,
                          gint64 now_usec);

/* Whether the domain's QEMU owes an answer for so long that it is told as a fault. */
gboolean mf_registry_is_silent(const MfRegistry *registry, const char *uuid, gint64 now_usec);

/* Whether its QEMU, or libvirt for it, answered the last question with an error that says more than
 * that it could not be asked in time. */
gboolean mf_registry_is_refused(const MfRegistry *registry, const char *uuid);

/* Says who they are, when nobody can be asked because QEMUs that do not answer hold every call;
 * else NULL.  g_free(). */
char *mf_registry_dup_silence(const MfRegistry *registry, gint64 now_usec);

/* The next question that may be asked now, while there are calls left: what waits, waits here, and
 * is not taken as asked.  At most four are under way of which an answer may still be expected, so
 * that a crowd does not fill libvirtd; who is silent for MF_ANSWER_OVERDUE_USEC counts among
 * MF_MONITOR_CALLS_MAX alone.  ret_question's uuid stays the registry's and is valid until the next
 * call; the domain is taken as asked until mf_registry_take_answer(), which every question needs,
 * also that of a domain that has gone. */
gboolean mf_registry_next_question(MfRegistry *registry, gint64 now_usec, MfQuestion *ret_question,
                                   guint *ret_serial);

/* Takes an answer to the question that was given with serial.  TRUE when the domain's mode or
 * capabilities changed, or a switch ended. */
gboolean mf_registry_take_answer(MfRegistry *registry, guint serial, const MfAnswer *answer,
                                 gint64 now_usec);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfRegistry, mf_registry_free)
