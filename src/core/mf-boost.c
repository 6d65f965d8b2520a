/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-boost.h"

#include "mf-units.h"

#define NEW_USEC (60 * G_USEC_PER_SEC) /* a guest boots, and its memory fills */
#define AGAIN_USEC                                                                                 \
    (5 * G_USEC_PER_SEC) /* one that is asked for while it is scanned is next again */
#define SCANS 2

typedef struct {
    gint64 pid;
    gint64 since_usec; /* it was to merge, and to be boosted */
    gint64 asked_usec; /* last; 0: not yet */
    gboolean done;     /* it is not new any more */
} Boost;

void
mf_boosts_init(MfBoosts *boosts)
{
    boosts->boosts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

void
mf_boosts_clear(MfBoosts *boosts)
{
    g_clear_pointer(&boosts->boosts, g_hash_table_unref);
}

void
mf_boosts_copy(const MfBoosts *boosts, MfBoosts *ret_copy)
{
    GHashTableIter iter;
    gpointer uuid;
    gpointer value;

    mf_boosts_init(ret_copy);
    g_hash_table_iter_init(&iter, boosts->boosts);
    while (g_hash_table_iter_next(&iter, &uuid, &value)) {
        g_hash_table_insert(ret_copy->boosts, g_strdup(uuid), g_memdup2(value, sizeof(Boost)));
    }
}

/* Whether ksmd has looked at so many pages of the domain as two scans have; what is not known is
 * not so. */
static gboolean
is_scanned(const MfDomain *domain, guint64 page_size_bytes)
{
    guint64 resident_pages = domain->resident_bytes.known && page_size_bytes > 0
                                 ? domain->resident_bytes.value / page_size_bytes
                                 : 0;
    guint64 pages = MAX(resident_pages, domain->rmap_items_pages.value);

    return domain->scanned_pages.known && pages > 0 && domain->scanned_pages.value / SCANS >= pages;
}

/* The kernel refuses a process of which nothing is marked. */
static gboolean
can_be_asked_for(const MfDomain *domain)
{
    gboolean marked = domain->mode == MF_MODE_ON ||
                      (domain->mode == MF_MODE_UNKNOWN && domain->mergeable_bytes.known &&
                       domain->mergeable_bytes.value > 0);

    return domain->policy->boost && domain->pid > 0 && marked;
}

static Boost *
boost_of(const MfSnapshot *snapshot, const MfDomain *domain, MfBoosts *boosts)
{
    Boost *boost = g_hash_table_lookup(boosts->boosts, domain->uuid);

    if (boost == NULL || boost->pid != domain->pid) {
        boost = g_new0(Boost, 1);
        boost->pid = domain->pid;
        boost->since_usec = snapshot->taken_usec;
        boost->done = is_scanned(domain, snapshot->host.page_size_bytes);
        g_hash_table_replace(boosts->boosts, g_strdup(domain->uuid), boost);
    }
    return boost;
}

/* Without a count of what was scanned, time alone tells. */
static void
end_when_old(const MfSnapshot *snapshot, const MfDomain *domain, Boost *boost)
{
    boost->done =
        boost->done ||
        (snapshot->taken_usec - boost->since_usec >= NEW_USEC &&
         (!domain->scanned_pages.known || is_scanned(domain, snapshot->host.page_size_bytes)));
}

void
mf_boosts_decide(const MfSnapshot *snapshot, const GPtrArray *merging, guint budget_permyriad,
                 MfBoosts *boosts, MfPlan *plan)
{
    const MfHost *host = &snapshot->host;

    mf_snapshot_drop_gone(snapshot, boosts->boosts);
    if (!host->has_boost || !host->cpu_max_permyriad.known ||
        host->cpu_max_permyriad.value > budget_permyriad) {
        return;
    }
    for (guint i = 0; i < merging->len; i++) {
        const MfDomain *domain = g_ptr_array_index(merging, i);

        if (!can_be_asked_for(domain)) {
            continue;
        }
        Boost *boost = boost_of(snapshot, domain, boosts);
        end_when_old(snapshot, domain, boost);
        if (boost->done ||
            (boost->asked_usec != 0 && snapshot->taken_usec - boost->asked_usec < AGAIN_USEC)) {
            continue;
        }
        boost->asked_usec = snapshot->taken_usec;
        mf_plan_add_boost(
            plan, domain,
            mf_reason_new(MF_REASON_BOOST, NULL, "it is new, and has boost=\"on\" in its policy"));
    }
}
