/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why these figures: a page is merged in the second sweep that finds it unchanged, and the sweep
 * under way when the trial begins has passed some of the domain's memory by.  So the third one's
 * end tells, and then accounts that were taken since.  What ksmd remembers is read at each tick, so
 * it is compared with new accounts only: a domain that has grown since has items of pages whose
 * saving nobody has counted yet. */
#include "mf-worth.h"

#include "mf-account.h"
#include "mf-units.h"

#define TRIAL_SWEEPS     3
#define TRIAL_MIN_USEC   (60 * G_USEC_PER_SEC) /* a guest boots, and its memory fills */
#define LOSING_SWEEPS    2
#define PAUSE_FIRST_MSEC (2 * 60 * G_GINT64_CONSTANT(1000))
#define PAUSE_MAX_MSEC   (8 * 60 * 60 * G_GINT64_CONSTANT(1000))

typedef struct {
    gint64 pid;
    gboolean merging;       /* QEMU said that its memory is merged, at the last tick */
    gint64 since_usec;      /* the present trial's begin */
    MfU64 sweep_number;     /* full_scans when the last sweep's end was seen, or at the begin */
    guint sweeps_count;     /* that have ended since the begin */
    gint64 swept_usec;      /* when the last of TRIAL_SWEEPS ended; 0: not yet */
    gint64 judged_usec;     /* the accounts that it was judged by last; 0: none */
    MfU64 cow_breaks_count; /* at the last sweep's end */
    guint losing_sweeps_count;
    gint64 stopped_until_usec; /* 0: not stopped */
    gint64 pause_msec;         /* of the last stop; 0: none */
    char *cause;
} Trial;

static void
trial_free(gpointer data)
{
    Trial *trial = data;

    g_free(trial->cause);
    g_free(trial);
}

void
mf_trials_init(MfTrials *trials)
{
    trials->trials = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, trial_free);
}

void
mf_trials_clear(MfTrials *trials)
{
    g_clear_pointer(&trials->trials, g_hash_table_unref);
}

void
mf_trials_copy(const MfTrials *trials, MfTrials *ret_copy)
{
    GHashTableIter iter;
    gpointer uuid;
    gpointer value;

    mf_trials_init(ret_copy);
    g_hash_table_iter_init(&iter, trials->trials);
    while (g_hash_table_iter_next(&iter, &uuid, &value)) {
        Trial *copy = g_memdup2(value, sizeof(Trial));
        copy->cause = g_strdup(copy->cause);
        g_hash_table_insert(ret_copy->trials, g_strdup(uuid), copy);
    }
}

/* The pause is kept: who fails again stays away for longer. */
static void
trial_begin(Trial *trial, const MfDomain *domain, const MfSnapshot *snapshot)
{
    trial->since_usec = snapshot->taken_usec;
    trial->sweep_number = snapshot->host.full_scans_count;
    trial->sweeps_count = 0;
    trial->swept_usec = 0;
    trial->judged_usec = 0;
    trial->cow_breaks_count = domain->cow_breaks_count;
    trial->losing_sweeps_count = 0;
    trial->stopped_until_usec = 0;
}

/* Takes cause. */
static void
trial_stop(Trial *trial, const MfSnapshot *snapshot, char *cause)
{
    trial->pause_msec =
        trial->pause_msec == 0 ? PAUSE_FIRST_MSEC : MIN(trial->pause_msec * 2, PAUSE_MAX_MSEC);
    trial->stopped_until_usec = snapshot->taken_usec + trial->pause_msec * 1000;
    g_free(trial->cause);
    trial->cause = cause;
}

/* Counts the merged pages that were written in the sweep that has ended: a domain loses when they
 * are as many as it saves pages. */
static void
note_writes(Trial *trial, const MfDomain *domain, guint64 page_size_bytes)
{
    MfU64 before = trial->cow_breaks_count;
    MfU64 now = domain->cow_breaks_count;

    trial->cow_breaks_count = now;
    if (!before.known || !now.known || now.value < before.value || !domain->saved_bytes.known) {
        trial->losing_sweeps_count = 0;
        return;
    }
    guint64 lost_bytes = mf_mul_sat(now.value - before.value, page_size_bytes);
    if (lost_bytes > 0 && lost_bytes >= domain->saved_bytes.value) {
        trial->losing_sweeps_count++;
    } else {
        trial->losing_sweeps_count = 0;
    }
}

static void
note_sweeps(Trial *trial, const MfDomain *domain, const MfSnapshot *snapshot)
{
    MfU64 now = snapshot->host.full_scans_count;

    if (!now.known || !trial->sweep_number.known || now.value < trial->sweep_number.value) {
        trial_begin(trial, domain, snapshot);
        return;
    }
    guint64 ended_count = now.value - trial->sweep_number.value;
    if (ended_count == 0) {
        return;
    }
    trial->sweep_number = now;
    trial->sweeps_count += (guint)MIN(ended_count, TRIAL_SWEEPS);
    if (trial->swept_usec == 0 && trial->sweeps_count >= TRIAL_SWEEPS) {
        trial->swept_usec = snapshot->taken_usec;
    }
    note_writes(trial, domain, snapshot->host.page_size_bytes);
}

/* The trial's end, when it has one. */
static void
trial_judge(Trial *trial, const MfDomain *domain, const MfSnapshot *snapshot)
{
    if (trial->swept_usec == 0 || domain->accounts_usec <= trial->swept_usec ||
        domain->accounts_usec == trial->judged_usec ||
        snapshot->taken_usec - trial->since_usec < TRIAL_MIN_USEC || !domain->saved_bytes.known ||
        !domain->rmap_items_pages.known) {
        return;
    }
    trial->judged_usec = domain->accounts_usec;
    guint64 items_bytes = mf_mul_sat(domain->rmap_items_pages.value, MF_RMAP_ITEM_BYTES);
    g_autofree char *saved_text = mf_format_bytes(domain->saved_bytes.value);
    g_autofree char *items_text = mf_format_bytes(items_bytes);
    if (items_bytes > 0 && domain->saved_bytes.value <= items_bytes) {
        trial_stop(trial, snapshot,
                   g_strdup_printf("it saved %s, and what ksmd remembers of its pages took %s",
                                   saved_text, items_text));
    } else if (trial->losing_sweeps_count >= LOSING_SWEEPS) {
        trial_stop(trial, snapshot,
                   g_strdup_printf("it saved %s, and wrote as much of it again between one sweep "
                                   "and the next",
                                   saved_text));
    } else {
        trial->pause_msec = 0;
    }
}

static gboolean
is_auto(const MfDomain *domain)
{
    return domain->policy->merge == MF_MERGE_AUTO && !domain->nosharepages;
}

/* Whether two domains may have pages in common. */
static gboolean
may_share(const MfConfig *config, const MfDomain *a, const MfDomain *b)
{
    const char *group = mf_config_group_of(config, a->policy);

    return a != b && !g_str_equal(group, MF_GROUP_ISOLATED) &&
           g_str_equal(group, mf_config_group_of(config, b->policy));
}

/* The domain's trial; *ret_new when it has none yet, or another process than it had. */
static Trial *
trial_of(MfTrials *trials, const MfDomain *domain, gboolean *ret_new)
{
    Trial *trial = g_hash_table_lookup(trials->trials, domain->uuid);

    *ret_new = trial == NULL || (domain->pid != 0 && trial->pid != 0 && trial->pid != domain->pid);
    if (*ret_new) {
        trial = g_new0(Trial, 1);
        g_hash_table_replace(trials->trials, g_strdup(domain->uuid), trial);
    }
    if (domain->pid != 0) {
        trial->pid = domain->pid;
    }
    return trial;
}

static void
retry_for_newcomer(const MfConfig *config, const MfSnapshot *snapshot, const MfDomain *newcomer,
                   MfTrials *trials)
{
    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);
        Trial *trial = g_hash_table_lookup(trials->trials, domain->uuid);
        if (trial != NULL && trial->stopped_until_usec != 0 &&
            may_share(config, domain, newcomer)) {
            trial_begin(trial, domain, snapshot);
        }
    }
}

void
mf_trials_note(const MfConfig *config, const MfSnapshot *snapshot, MfTrials *trials)
{
    mf_snapshot_drop_gone(snapshot, trials->trials);
    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);
        gboolean merging = domain->mode == MF_MODE_ON;
        gboolean is_new;
        Trial *trial = trial_of(trials, domain, &is_new);

        if (is_new) {
            retry_for_newcomer(config, snapshot, domain, trials);
        }
        if (is_new || !is_auto(domain) || (merging && !trial->merging)) {
            trial_begin(trial, domain, snapshot);
        } else if (trial->stopped_until_usec != 0) {
            if (snapshot->taken_usec >= trial->stopped_until_usec) {
                trial_begin(trial, domain, snapshot);
            }
        } else if (merging) {
            note_sweeps(trial, domain, snapshot);
            trial_judge(trial, domain, snapshot);
        }
        trial->merging = merging;
    }
}

gboolean
mf_trials_stopped(const MfTrials *trials, const MfDomain *domain, gint64 now_usec,
                  MfReason **ret_reason)
{
    const Trial *trial = g_hash_table_lookup(trials->trials, domain->uuid);

    if (!is_auto(domain) || trial == NULL || trial->stopped_until_usec == 0) {
        return FALSE;
    }
    guint64 left_sec = (guint64)MAX(trial->stopped_until_usec - now_usec, 0) / G_USEC_PER_SEC;
    *ret_reason = mf_reason_new(
        MF_REASON_NOT_WORTH, "set merge=\"on\" in its policy to merge it all the same",
        "merging it does not pay: %s; it is tried again in %" G_GUINT64_FORMAT
        " min %" G_GUINT64_FORMAT " s",
        trial->cause, left_sec / 60, left_sec % 60);
    return TRUE;
}
