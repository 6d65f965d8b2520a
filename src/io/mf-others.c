/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-others.h"

#include "../core/mf-account.h"
#include "../core/mf-error.h"
#include "../core/mf-parse.h"
#include "../core/mf-units.h"
#include "mf-effort.h"
#include "mf-proc.h"
#include "mf-workers.h"

#define IDLE_SEC  2
#define WAIT_SEC  20
#define POLL_USEC (G_USEC_PER_SEC / 10)
/* A sum is good for so many times what it has cost. */
#define COST_FACTOR    20
#define KSM_STAT_BYTES 4096
#define SMAPS_BYTES    (16 * 1024 * 1024)

/* One reading, of the worker and of who waits for it. */
typedef struct {
    gatomicrefcount refs;
    MfRoot *root;
    GArray *pids; /* gint64 */
    guint64 page_size_bytes;

    GMutex mutex; /* for what follows */
    GCond ended;
    gboolean has_ended;
    MfEffort effort; /* the worker's, while it runs */
    gint64 cpu_usec; /* when it has ended: what it took */
    gint64 at_pid;   /* who is being read */

    /* The worker's until it has ended. */
    guint64 sum_bytes;
    GError *bound;
    GError *error;
} Look;

struct _MfOthers {
    Look *late; /* nobody waits for it any more; or NULL */
    Look *last; /* the last one that has ended, good until then; or NULL */
    gint64 good_until_usec;
    gint64 waited_usec;
};

static void
look_unref(Look *look)
{
    if (!g_atomic_ref_count_dec(&look->refs)) {
        return;
    }
    g_clear_error(&look->error);
    g_clear_error(&look->bound);
    g_cond_clear(&look->ended);
    g_mutex_clear(&look->mutex);
    g_array_unref(look->pids);
    mf_root_unref(look->root);
    g_free(look);
}

MfOthers *
mf_others_new(void)
{
    return g_new0(MfOthers, 1);
}

void
mf_others_free(MfOthers *others)
{
    if (others != NULL) {
        g_clear_pointer(&others->late, look_unref);
        g_clear_pointer(&others->last, look_unref);
        g_free(others);
    }
}

/* What a process saves that has merged something, from its smaps.  FALSE when it can't be read. */
static gboolean
add_area(Look *look, gint64 pid, const MfKsmStat *stat, GError **error)
{
    gsize length_bytes;
    MfArea area;
    g_autoptr(GError) cause = NULL;
    g_autofree char *text =
        mf_proc_read_file(look->root, pid, "smaps", SMAPS_BYTES, &length_bytes, &cause);

    if (text == NULL && stat->merging_pages.known &&
        g_error_matches(cause, MF_ERROR, MF_ERROR_INVALID)) {
        guint64 pages = mf_add_sat(stat->merging_pages.value,
                                   stat->zero_pages.known ? stat->zero_pages.value : 0);

        look->sum_bytes = mf_add_sat(look->sum_bytes, mf_mul_sat(pages, look->page_size_bytes));
        if (look->bound == NULL) {
            g_autofree char *comm = mf_proc_read_comm(look->root, pid);

            look->bound =
                g_error_new(MF_ERROR, MF_ERROR_INVALID,
                            "process %" G_GINT64_FORMAT " (%s) counts with all that it has merged,"
                            " which is more than it saves: %s",
                            pid, comm, cause->message);
        }
        return TRUE;
    }
    if (text == NULL) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return FALSE;
    }
    if (!mf_parse_smaps(text, length_bytes, &area, error)) {
        return FALSE;
    }
    MfU64 saved = mf_account_saved_bytes(TRUE, &area, stat->zero_pages, look->page_size_bytes);
    look->sum_bytes = mf_add_sat(look->sum_bytes, saved.value);
    return TRUE;
}

/* Adds what one process saves.  FALSE when it merges, or may, and can't be read. */
static gboolean
add_process(Look *look, gint64 pid, GError **error)
{
    MfKsmStat stat;
    gsize length_bytes;
    g_autofree char *text =
        mf_proc_read_file(look->root, pid, "ksm_stat", KSM_STAT_BYTES, &length_bytes, error);

    if (text == NULL || !mf_parse_ksm_stat(text, length_bytes, &stat, error)) {
        return FALSE;
    }
    if (!(stat.merging_pages.known && stat.merging_pages.value > 0) &&
        !(stat.zero_pages.known && stat.zero_pages.value > 0)) {
        return TRUE;
    }
    return add_area(look, pid, &stat, error);
}

static void
look_run(gpointer data)
{
    Look *look = data;

    g_mutex_lock(&look->mutex);
    mf_effort_begin(&look->effort);
    g_mutex_unlock(&look->mutex);
    for (guint i = 0; i < look->pids->len && look->error == NULL; i++) {
        gint64 pid = g_array_index(look->pids, gint64, i);
        g_autoptr(GError) cause = NULL;

        g_mutex_lock(&look->mutex);
        look->at_pid = pid;
        g_mutex_unlock(&look->mutex);
        if (!add_process(look, pid, &cause) && !mf_error_is_gone(cause)) {
            look->error = g_steal_pointer(&cause);
        }
    }
    g_mutex_lock(&look->mutex);
    look->cpu_usec = mf_effort_get_usec(&look->effort);
    look->has_ended = TRUE;
    g_cond_signal(&look->ended);
    g_mutex_unlock(&look->mutex);
    look_unref(look);
}

/* All processes but those of skip_pids. */
static GArray *
list_pids(MfRoot *root, GHashTable *skip_pids, GError **error)
{
    g_auto(GStrv) names = mf_root_list(root, "proc", error);
    g_autoptr(GArray) pids = g_array_new(FALSE, FALSE, sizeof(gint64));

    if (names == NULL) {
        return NULL;
    }
    for (guint i = 0; names[i] != NULL; i++) {
        gint64 pid;

        if (g_ascii_string_to_signed(names[i], 10, 1, G_MAXINT32, &pid, NULL) &&
            !g_hash_table_contains(skip_pids, &pid)) {
            g_array_append_val(pids, pid);
        }
    }
    return g_steal_pointer(&pids);
}

static Look *
look_begin(MfRoot *root, GHashTable *skip_pids, guint64 page_size_bytes, GError **error)
{
    GArray *pids = list_pids(root, skip_pids, error);
    Look *look = NULL;

    if (pids == NULL) {
        return NULL;
    }
    look = g_new0(Look, 1);
    g_atomic_ref_count_init(&look->refs);
    look->root = mf_root_ref(root);
    look->pids = pids;
    look->page_size_bytes = page_size_bytes;
    g_mutex_init(&look->mutex);
    g_cond_init(&look->ended);
    g_atomic_ref_count_inc(&look->refs);
    mf_workers_call_now(look_run, look);
    return look;
}

/* Waits for the look's end, for as long as it works or has been idle for less than idle_usec;
 * FALSE: it has not come, and ret_at_pid is who is in the way. */
static gboolean
look_wait(Look *look, gint64 idle_usec, gint64 *ret_at_pid)
{
    gint64 begun_usec = g_get_monotonic_time();
    gint64 now_usec = begun_usec;
    MfEffortWatch watch;
    gboolean has_ended = FALSE;

    mf_effort_watch(&watch, begun_usec);
    g_mutex_lock(&look->mutex);
    while (!look->has_ended && now_usec - begun_usec < WAIT_SEC * G_USEC_PER_SEC &&
           !mf_effort_is_idle(&watch, &look->effort, idle_usec, now_usec)) {
        g_cond_wait_until(&look->ended, &look->mutex, now_usec + POLL_USEC);
        now_usec = g_get_monotonic_time();
    }
    has_ended = look->has_ended;
    *ret_at_pid = look->at_pid;
    g_mutex_unlock(&look->mutex);
    return has_ended;
}

/* What a look that has ended has found. */
static gboolean
look_tell(const Look *look, MfHost *host, GError **ret_bound, GError **error)
{
    if (look->error != NULL) {
        g_propagate_error(error, g_error_copy(look->error));
        return FALSE;
    }
    host->other_saved_bytes = MF_U64(look->sum_bytes);
    if (look->bound != NULL && ret_bound != NULL) {
        *ret_bound = g_error_copy(look->bound);
    }
    return TRUE;
}

/* Whether the last sum is good, and of nobody who is a domain now. */
static gboolean
is_good(const MfOthers *others, GHashTable *skip_pids)
{
    const Look *look = others->last;

    if (look == NULL || g_get_monotonic_time() >= others->good_until_usec) {
        return FALSE;
    }
    for (guint i = 0; i < look->pids->len; i++) {
        if (g_hash_table_contains(skip_pids, &g_array_index(look->pids, gint64, i))) {
            return FALSE;
        }
    }
    return TRUE;
}

/* A look that is good, or has ended now; NULL with error. */
static const Look *
find_look(MfOthers *others, MfRoot *root, GHashTable *skip_pids, guint64 page_size_bytes,
          GError **error)
{
    Look *look = g_steal_pointer(&others->late);
    gboolean is_late = look != NULL;
    gint64 at_pid = 0;

    if (look == NULL && is_good(others, skip_pids)) {
        return others->last;
    }
    if (look == NULL) {
        look = look_begin(root, skip_pids, page_size_bytes, error);
    }
    if (look == NULL) {
        return NULL;
    }
    if (!look_wait(look, is_late ? 0 : IDLE_SEC * G_USEC_PER_SEC, &at_pid)) {
        g_autofree char *comm = mf_proc_read_comm(root, at_pid);
        g_set_error(error, MF_ERROR, MF_ERROR_TIMEOUT,
                    "process %" G_GINT64_FORMAT
                    " (%s) keeps waiting who reads what it saves, or there are too many; what they "
                    "save is not known",
                    at_pid, comm);
        others->late = look;
        return NULL;
    }
    g_clear_pointer(&others->last, look_unref);
    others->last = look;
    others->good_until_usec = g_get_monotonic_time() + look->cpu_usec * COST_FACTOR;
    return look;
}

gboolean
mf_others_read(MfOthers *others, MfRoot *root, GHashTable *skip_pids, MfHost *host,
               GError **ret_bound, GError **error)
{
    gint64 begun_usec = g_get_monotonic_time();
    const Look *look = find_look(others, root, skip_pids, host->page_size_bytes, error);

    others->waited_usec = g_get_monotonic_time() - begun_usec;
    host->other_saved_bytes = MF_U64_ABSENT;
    return look != NULL && look_tell(look, host, ret_bound, error);
}

gint64
mf_others_get_waited_usec(const MfOthers *others)
{
    return others->waited_usec;
}
