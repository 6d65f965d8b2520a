/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libmemfold: ask memfoldd, the daemon that keeps one copy of what virtual machines have in common.
 *
 * A client is a connection to the system bus.  Calls block until the daemon answers or 25 seconds
 * have passed (to set a policy: 60; estimates and audits: as long as it takes); descriptions are
 * values that belong to the caller.  A figure that the daemon could not read is absent:
 * memfold_figures_get_*() answers FALSE and leaves its out-parameter alone. Needs GLib.
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

#define MEMFOLD_ERROR (memfold_error_quark())

typedef enum {
    MEMFOLD_ERROR_FAILED,
    MEMFOLD_ERROR_NO_DAEMON, /* nobody owns the bus name */
    MEMFOLD_ERROR_NO_DOMAIN, /* no running domain of that name or UUID */
    MEMFOLD_ERROR_DENIED,
    MEMFOLD_ERROR_INVALID,     /* attribute or value refused */
    MEMFOLD_ERROR_UNSUPPORTED, /* this host or QEMU can't do that */
    MEMFOLD_ERROR_BUSY,        /* another such call is being answered */
    MEMFOLD_ERROR_TIMED_OUT, /* no answer: what was asked for may have been done, or be done yet */
} MemfoldError;

GQuark memfold_error_quark(void);

typedef struct _MemfoldClient MemfoldClient;
typedef struct _MemfoldFigures MemfoldFigures;
typedef struct _MemfoldDescription MemfoldDescription;
typedef struct _MemfoldPlan MemfoldPlan;
typedef struct _MemfoldEstimate MemfoldEstimate;
typedef struct _MemfoldAudit MemfoldAudit;
typedef struct _MemfoldReport MemfoldReport;

/* done_permyriad of 10000 is done. */
typedef void (*MemfoldProgress)(guint done_permyriad, gpointer user_data);

typedef struct {
    const char *code;   /* stable, such as "memory-shared" */
    const char *text;   /* one sentence */
    const char *remedy; /* or NULL */
} MemfoldReason;

/* Connects to the system bus (DBUS_SYSTEM_BUS_ADDRESS is honoured by GDBus); never starts the
 * daemon. Errors: NO_DAEMON when there is no bus to ask. */
MemfoldClient *memfold_client_new(GError **error);
void memfold_client_free(MemfoldClient *client);

/* Host and all running domains at one moment. */
MemfoldDescription *memfold_client_describe(MemfoldClient *client, GError **error);

/* What the daemon would do now, and why; it decides afresh, and does nothing.  An older daemon has
 * no such method: FAILED. */
MemfoldPlan *memfold_client_plan(MemfoldClient *client, GError **error);

/* Sets one attribute of the policy ("merge", "group", "priority", "boost") of a running domain,
 * given by name or UUID.  polkit may ask the user for a password meanwhile.  Errors: TIMED_OUT, and
 * then it is not known whether it was set. */
gboolean memfold_client_set_policy(MemfoldClient *client, const char *domain, const char *attribute,
                                   const char *value, GError **error);

/* Has the daemon read its configuration again.  Errors: INVALID, and then the old one stays. */
gboolean memfold_client_reload(MemfoldClient *client, GError **error);

/* Estimates what merging would save in running domains, given by names or UUIDs; NULL or none: in
 * all of them.  The daemon reads their memory once, at most rate_bytes in a second (0: as it is
 * used to), which may take minutes; progress, which may be NULL, is called twice a second
 * meanwhile.  polkit may ask the user for a password first.  Errors: BUSY when another estimate is
 * under way. */
MemfoldEstimate *memfold_client_estimate(MemfoldClient *client, const char *const *domains,
                                         guint64 rate_bytes, MemfoldProgress progress,
                                         gpointer user_data, GError **error);
void memfold_estimate_free(MemfoldEstimate *estimate);

/* For the domains together, inside each group, and for each domain alone (a domain that was not
 * read has reasons instead of figures).  They belong to estimate. */
const MemfoldFigures *memfold_estimate_get_all(const MemfoldEstimate *estimate);
gsize memfold_estimate_get_n_groups(const MemfoldEstimate *estimate);
const MemfoldFigures *memfold_estimate_get_group(const MemfoldEstimate *estimate, gsize index);
gsize memfold_estimate_get_n_domains(const MemfoldEstimate *estimate);
const MemfoldFigures *memfold_estimate_get_domain(const MemfoldEstimate *estimate, gsize index);

/* Audits running domains, given by names or UUIDs; NULL or none: all of them.  The daemon looks at
 * the page tables of every domain, which may take minutes on a large host; progress and errors as
 * of an estimate, and UNSUPPORTED where the kernel has no such tables to read. */
MemfoldAudit *memfold_client_audit(MemfoldClient *client, const char *const *domains,
                                   MemfoldProgress progress, gpointer user_data, GError **error);
void memfold_audit_free(MemfoldAudit *audit);

/* host: "verdict" is "clean", "violated" or "not-proven", and what it rests on.  violations: who
 * shares with whom across groups.  They belong to audit. */
const MemfoldFigures *memfold_audit_get_host(const MemfoldAudit *audit);
gsize memfold_audit_get_n_domains(const MemfoldAudit *audit);
const MemfoldFigures *memfold_audit_get_domain(const MemfoldAudit *audit, gsize index);
gsize memfold_audit_get_n_violations(const MemfoldAudit *audit);
const MemfoldFigures *memfold_audit_get_violation(const MemfoldAudit *audit, gsize index);

/* What the last period_sec (60 to 604800, or 0: a day) came to, of the host and of domains, given
 * by names or UUIDs; NULL or none: of all that something was recorded of, also those that are gone.
 * The daemon answers from memory.  Errors: NO_DOMAIN when nothing was ever recorded of one. */
MemfoldReport *memfold_client_report(MemfoldClient *client, const char *const *domains,
                                     guint64 period_sec, GError **error);
void memfold_report_free(MemfoldReport *report);

/* Figures and series by the names that org.memfold1.xml gives them under Report.  A series is
 * ret_agos_msec, when (milliseconds before the answer, falling), and ret_values, how much; the unit
 * is in its name.  What is returned is the number of its points: 0, with both NULL, when there are
 * none.  All belong to report. */
const MemfoldFigures *memfold_report_get_host(const MemfoldReport *report);
gsize memfold_report_get_host_series(const MemfoldReport *report, const char *name,
                                     const guint64 **ret_agos_msec, const guint64 **ret_values);
gsize memfold_report_get_n_domains(const MemfoldReport *report);
const MemfoldFigures *memfold_report_get_domain(const MemfoldReport *report, gsize index);
gsize memfold_report_get_domain_series(const MemfoldReport *report, gsize index, const char *name,
                                       const guint64 **ret_agos_msec, const guint64 **ret_values);

void memfold_description_free(MemfoldDescription *description);
const MemfoldFigures *memfold_description_get_host(const MemfoldDescription *description);
gsize memfold_description_get_n_domains(const MemfoldDescription *description);
const MemfoldFigures *memfold_description_get_domain(const MemfoldDescription *description,
                                                     gsize index);

/* host: what was decided on, and the host's standing reasons.  actions: those that would be carried
 * out, in their order, each with its reason; none when nothing is to be done. */
void memfold_plan_free(MemfoldPlan *plan);
const MemfoldFigures *memfold_plan_get_host(const MemfoldPlan *plan);
gsize memfold_plan_get_n_actions(const MemfoldPlan *plan);
const MemfoldFigures *memfold_plan_get_action(const MemfoldPlan *plan, gsize index);

/* Values by key; keys are those of org.memfold1.xml.  FALSE or NULL when the figure is absent or of
 * another type; narrower integers are widened.  Strings belong to the description. */
gboolean memfold_figures_get_uint64(const MemfoldFigures *figures, const char *key,
                                    guint64 *ret_value);
gboolean memfold_figures_get_int64(const MemfoldFigures *figures, const char *key,
                                   gint64 *ret_value);
gboolean memfold_figures_get_boolean(const MemfoldFigures *figures, const char *key,
                                     gboolean *ret_value);
const char *memfold_figures_get_string(const MemfoldFigures *figures, const char *key);

/* All values as an a{sv} dictionary, for those who pass on what they do not know by name.  It
 * belongs to the description. */
GVariant *memfold_figures_get_values(const MemfoldFigures *figures);

gsize memfold_figures_get_n_reasons(const MemfoldFigures *figures);
const MemfoldReason *memfold_figures_get_reason(const MemfoldFigures *figures, gsize index);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MemfoldClient, memfold_client_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MemfoldDescription, memfold_description_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MemfoldPlan, memfold_plan_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MemfoldEstimate, memfold_estimate_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MemfoldAudit, memfold_audit_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MemfoldReport, memfold_report_free)

G_END_DECLS
