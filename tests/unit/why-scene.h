/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A host on which nothing is wrong and one domain, for the tests of mf-why.h. */
#pragma once

#include <string.h>

#include "../../src/core/mf-why.h"
#include "mf-test.h"

#define MIB     (G_GUINT64_CONSTANT(1) << 20)
#define SEC     ((gint64)G_USEC_PER_SEC)
#define PAGE    G_GUINT64_CONSTANT(4096)
#define PAGES   G_GUINT64_CONSTANT(25600) /* of a domain: 100 MiB */
#define NOTHING MF_REASON_N_CODES

/* The domain is the first one, and through with ksmd. */
typedef struct {
    MfSnapshot *snapshot;
    MfHost *host;
    MfDomain *domain;
    MfWatch watch;
    MfMode want;
    MfPlan *plan;
} Scene;

static inline MfDomain *
add_domain(Scene *scene)
{
    g_autofree char *uuid =
        g_strdup_printf("00000000-0000-0000-0000-%012u", scene->snapshot->domains->len);
    MfDomain *domain = mf_domain_new(uuid, "vm");

    domain->pid = 4711;
    domain->memory_kind = MF_MEMORY_ANONYMOUS;
    domain->mode = MF_MODE_ON;
    domain->mergeable_bytes = MF_U64(2 * PAGES * PAGE);
    domain->resident_bytes = MF_U64(PAGES * PAGE);
    domain->merged_bytes = MF_U64(PAGES * PAGE / 2);
    domain->rmap_items_pages = MF_U64(PAGES);
    domain->huge_bytes = MF_U64(0);
    domain->swapped_bytes = MF_U64(0);
    g_ptr_array_add(scene->snapshot->domains, domain);
    return domain;
}

static inline void
scene_open(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->snapshot = mf_snapshot_new();
    scene->snapshot->taken_usec = 100 * SEC;
    scene->host = &scene->snapshot->host;
    scene->host->page_size_bytes = PAGE;
    scene->host->run = MF_U64(1);
    scene->host->full_scans_count = MF_U64(7);
    scene->host->pages_scanned_pages = MF_U64(1000000);
    scene->host->pages_shared_pages = MF_U64(100);
    scene->host->pages_sharing_pages = MF_U64(PAGES / 2);
    scene->host->pages_unshared_pages = MF_U64(PAGES / 2);
    scene->host->pages_volatile_pages = MF_U64(50);
    scene->host->smart_scan = MF_U64(0);
    scene->host->merge_across_nodes = MF_U64(1);
    scene->host->stable_node_chains_count = MF_U64(0);
    scene->host->stable_node_dups_pages = MF_U64(0);
    scene->host->max_page_sharing_pages = MF_U64(256);
    scene->domain = add_domain(scene);
    mf_watch_init(&scene->watch);
    scene->want = MF_MODE_ON;
    scene->plan = NULL;
}

static inline void
scene_close(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    mf_plan_free(scene->plan);
    mf_watch_clear(&scene->watch);
    mf_snapshot_free(scene->snapshot);
}

static inline void
tick(Scene *scene, gint64 sec, guint64 scanned_pages, guint64 sweeps_count)
{
    scene->snapshot->taken_usec += sec * SEC;
    scene->host->pages_scanned_pages.value += scanned_pages;
    scene->host->full_scans_count.value += sweeps_count;
    mf_watch_note(scene->snapshot, &scene->watch);
}

/* What is told now of the first domain, beside its policy; host_code: what the host says, NOTHING
 * for that it governs. */
static inline const MfVerdict *
tell(Scene *scene, MfReasonCode host_code)
{
    mf_plan_free(scene->plan);
    scene->plan = mf_plan_new();
    if (host_code != NOTHING) {
        g_ptr_array_add(scene->plan->host_reasons, mf_reason_new(host_code, NULL, "host"));
    }
    for (guint i = 0; i < scene->snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(scene->snapshot->domains, i);
        MfVerdict *verdict = mf_verdict_new(domain->uuid);
        verdict->want = scene->want;
        g_ptr_array_add(verdict->reasons, mf_reason_new(MF_REASON_WAITING, NULL, "first"));
        g_ptr_array_add(verdict->reasons, mf_reason_new(MF_REASON_POLICY, NULL, "last"));
        g_ptr_array_add(scene->plan->verdicts, verdict);
    }
    mf_why_tell(scene->snapshot, &scene->watch, scene->plan);
    return g_ptr_array_index(scene->plan->verdicts, 0);
}

static inline void
tell_nothing(Scene *scene)
{
    const MfVerdict *verdict = tell(scene, NOTHING);
    const MfReason *found = g_ptr_array_index(verdict->reasons, 1);

    g_assert_cmpstr(mf_reason_code_to_string(found->code), ==, "policy");
    g_assert_cmpuint(verdict->reasons->len, ==, 2);
}

/* The one reason that is told, with these words in its text; returns it. */
static inline const MfReason *
tell_one(Scene *scene, MfReasonCode code, const char *words)
{
    const MfVerdict *verdict = tell(scene, NOTHING);
    g_auto(GStrv) parts = g_strsplit(words, "|", -1);

    g_assert_cmpuint(verdict->reasons->len, ==, 3);
    const MfReason *found = g_ptr_array_index(verdict->reasons, 1);
    g_assert_cmpstr(mf_reason_code_to_string(found->code), ==, mf_reason_code_to_string(code));
    for (guint i = 0; parts[i] != NULL; i++) {
        if (strstr(found->text, parts[i]) == NULL) {
            g_error("\"%s\" does not hold \"%s\"", found->text, parts[i]);
        }
    }
    return found;
}

/* A test of that name with a scene of its own. */
static inline void
add_test(const char *path, void (*run)(Scene *scene, gconstpointer unused))
{
    g_test_add(path, Scene, NULL, scene_open, run, scene_close);
}
