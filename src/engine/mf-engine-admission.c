/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Admission: what a domain's start is judged by, and what was said lately.
 *
 * The figures are read for each start anew, since a tick's may be a minute old and a start takes
 * memory within seconds.  What was promised is known here alone, so that two domains that start at
 * once do not both count on the same memory; it is lost when memfoldd ends.
 */
#include "mf-engine-private.h"

#include "../io/mf-host.h"
#include "../io/mf-ksm.h"
#include "../io/mf-proc.h"

#define COMES_MAX 64 /* more at once are no migrations */
#define SAID_MAX  4
#define SAID_USEC G_TIME_SPAN_HOUR

typedef struct {
    char *uuid;
    MfReason *reason;
    gint64 at_usec;
} Said;

struct _MfAdmissions {
    MfPromises *promises;
    GPtrArray *said;       /* of Said, latest first */
    GHashTable *migrating; /* set of uuid in lower case: to be judged, and gone then */
};

/* A start that is being judged. */
typedef struct {
    MfEngine *engine;
    MfDomain *facts;
    GPtrArray *promised; /* of MfDomain: to be looked at in the worker */
    GArray *residents;   /* of MfU64, of each of these */
    MfSnapshot *snapshot;
} Start;

static void
said_free(gpointer data)
{
    Said *said = data;

    g_free(said->uuid);
    mf_reason_free(said->reason);
    g_free(said);
}

MfAdmissions *
mf_admissions_new(void)
{
    MfAdmissions *admissions = g_new0(MfAdmissions, 1);

    admissions->promises = mf_promises_new();
    admissions->said = g_ptr_array_new_with_free_func(said_free);
    admissions->migrating = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return admissions;
}

void
mf_admissions_free(MfAdmissions *admissions)
{
    if (admissions) {
        mf_promises_free(admissions->promises);
        g_ptr_array_unref(admissions->said);
        g_hash_table_unref(admissions->migrating);
        g_free(admissions);
    }
}

/* TRUE once after mf_engine_domain_migrates(). */
static gboolean
takes_migrating(MfAdmissions *admissions, const char *uuid)
{
    g_autofree char *key = g_ascii_strdown(uuid, -1);

    return g_hash_table_remove(admissions->migrating, key);
}

void
mf_admissions_end(MfAdmissions *admissions, const char *uuid)
{
    mf_promises_end(admissions->promises, uuid);
    takes_migrating(admissions, uuid);
}

void
mf_engine_domain_migrates(MfEngine *engine, const char *uuid)
{
    GHashTable *migrating = engine->admissions->migrating;

    if (g_hash_table_size(migrating) < COMES_MAX) {
        g_hash_table_add(migrating, g_ascii_strdown(uuid, -1));
    }
}

/* Takes the place of what was said of the domain before.  reason is taken, and may be NULL. */
static void
say(MfAdmissions *admissions, const char *uuid, MfReason *reason)
{
    Said *said = NULL;

    for (guint i = admissions->said->len; i > 0; i--) {
        const Said *earlier = admissions->said->pdata[i - 1];

        if (g_ascii_strcasecmp(earlier->uuid, uuid) == 0) {
            g_ptr_array_remove_index(admissions->said, i - 1);
        }
    }
    if (!reason) {
        return;
    }
    g_warning("%s%s%s", reason->text, reason->remedy ? "; " : "",
              reason->remedy ? reason->remedy : "");
    said = g_new0(Said, 1);
    said->uuid = g_strdup(uuid);
    said->reason = reason;
    said->at_usec = g_get_monotonic_time();
    g_ptr_array_insert(admissions->said, 0, said);
    if (admissions->said->len > SAID_MAX) {
        g_ptr_array_set_size(admissions->said, SAID_MAX);
    }
}

GPtrArray *
mf_engine_dup_admissions(const MfEngine *engine)
{
    const GPtrArray *all = engine->admissions->said;
    GPtrArray *reasons = g_ptr_array_new_with_free_func((GDestroyNotify)mf_reason_free);
    gint64 now_usec = g_get_monotonic_time();

    for (guint i = 0; i < all->len; i++) {
        const Said *said = all->pdata[i];
        gint64 age_usec = now_usec - said->at_usec;

        if (age_usec < SAID_USEC) {
            g_ptr_array_add(reasons,
                            mf_reason_new(said->reason->code, said->reason->remedy,
                                          "%" G_GINT64_FORMAT " min ago: %s",
                                          age_usec / (60 * G_USEC_PER_SEC), said->reason->text));
        }
    }
    return reasons;
}

static void
start_free(gpointer data)
{
    Start *start = data;

    mf_snapshot_free(start->snapshot);
    g_array_unref(start->residents);
    g_ptr_array_unref(start->promised);
    mf_domain_free(start->facts);
    mf_engine_unref(start->engine);
    g_free(start);
}

/* The running domains that something is promised to.  One whose QEMU is being asked is left out: it
 * may hold its memory lock, and with it whoever asks for its command line. */
static GPtrArray *
dup_promised(MfEngine *engine)
{
    GPtrArray *domains = mf_engine_dup_domains(engine);

    for (guint i = domains->len; i > 0; i--) {
        const MfDomain *domain = domains->pdata[i - 1];

        if (mf_registry_is_asked(engine->registry, domain->uuid) ||
            !mf_promises_has(engine->admissions->promises, domain->uuid)) {
            g_ptr_array_remove_index(domains, i - 1);
        }
    }
    return domains;
}

static MfU64
read_resident(MfRoot *root, guint64 page_size_bytes, MfDomain *domain)
{
    guint64 resident_bytes = 0;

    /* A QEMU that can't be looked at has shown nothing, and all of its promise stands. */
    if (mf_proc_find_pid(root, domain->name, domain->uuid, &domain->pid, NULL) &&
        mf_proc_read_resident(root, page_size_bytes, domain, &resident_bytes, NULL)) {
        return MF_U64(resident_bytes);
    }
    return MF_U64_ABSENT;
}

/* What can't be read is the tick's to log. */
static void
read_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
            G_GNUC_UNUSED GCancellable *cancellable)
{
    Start *start = data;
    MfHost *host = &start->snapshot->host;
    MfRoot *root = start->engine->host;

    mf_host_read_memory(root, host, NULL);
    mf_ksm_read(root, host, NULL);
    for (guint i = 0; i < start->promised->len; i++) {
        MfU64 resident = read_resident(root, host->page_size_bytes, start->promised->pdata[i]);

        g_array_append_val(start->residents, resident);
    }
    g_task_return_boolean(task, TRUE);
}

void
mf_engine_admit(MfEngine *engine, const MfDomain *facts, GAsyncReadyCallback callback,
                gpointer user_data)
{
    g_autoptr(GTask) task = g_task_new(NULL, NULL, callback, user_data);
    Start *start = g_new0(Start, 1);

    start->engine = mf_engine_ref(engine);
    start->facts = mf_domain_copy(facts);
    start->promised = dup_promised(engine);
    start->residents = g_array_new(FALSE, FALSE, sizeof(MfU64));
    start->snapshot = mf_snapshot_new();
    g_task_set_task_data(task, start, start_free);
    if (engine->stopped || engine->config->admission == MF_ADMISSION_OFF) {
        g_task_return_boolean(task, TRUE);
    } else {
        mf_workers_run_now(task, read_thread);
    }
}

static void
promise(MfEngine *engine, const MfDomain *facts)
{
    MfU64 need = mf_admission_need_bytes(facts);

    if (need.known && engine->config->admission != MF_ADMISSION_OFF) {
        mf_promises_make(engine->admissions->promises, facts->uuid, need.value,
                         g_get_monotonic_time());
    }
}

/* Judges here, on the main context, one start after the other. */
gboolean
mf_engine_admit_finish(GAsyncResult *result, char **ret_refusal)
{
    Start *start = g_task_get_task_data(G_TASK(result));
    MfEngine *engine = start->engine;
    MfPromises *promises = engine->admissions->promises;
    const char *uuid = start->facts->uuid;
    MfReason *reason = NULL;
    gboolean migrates = takes_migrating(engine->admissions, uuid);
    gboolean admitted = FALSE;
    MfCover cover;

    *ret_refusal = NULL;
    for (guint i = 0; i < start->residents->len; i++) {
        const MfDomain *domain = start->promised->pdata[i];
        MfU64 resident = g_array_index(start->residents, MfU64, i);

        if (resident.known) {
            mf_promises_note_resident(promises, domain->uuid, resident.value);
        }
    }
    mf_promises_end(promises, uuid);
    cover = mf_storm_cover(&engine->memory->storm, &start->snapshot->host);
    admitted = mf_admission_judge(engine->config, &start->snapshot->host, &cover,
                                  mf_promises_sum_bytes(promises, g_get_monotonic_time()),
                                  start->facts, &reason);
    if (!admitted) {
        *ret_refusal = g_strdup_printf(
            "%s; %s%s", reason->text, reason->remedy,
            migrates ? "; it was to migrate to this host, and goes on where it is" : "");
    } else {
        promise(engine, start->facts);
    }
    say(engine->admissions, uuid, reason);
    if (reason) {
        mf_engine_tell_changed(engine);
    }
    return admitted;
}

void
mf_engine_admit_unjudged(MfEngine *engine, const MfDomain *facts)
{
    takes_migrating(engine->admissions, facts->uuid);
    promise(engine, facts);
}
