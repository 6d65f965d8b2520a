/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of storms share: a host of some domains, and what a plan wants of them. */
#pragma once

#include <string.h>

#include "../../src/core/mf-decide.h"

#define MIB             (G_GUINT64_CONSTANT(1) << 20)
#define MIB_PAGES       256
#define SCENE_TICK_USEC (250 * 1000)

typedef struct {
    MfConfig *config;
    MfSnapshot *snapshot;
    MfHost *host; /* of snapshot */
    MfMemory *memory;
    MfPlan *plan;
} Scene;

/* 4 GiB of RAM, 1 GiB at hand of it and no swap, 2 GiB saved; nothing is kept in reserve. */
static inline void
scene_open(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    *scene = (Scene){
        .config = mf_config_new(), .snapshot = mf_snapshot_new(), .memory = mf_memory_new()};
    scene->config->default_group = MF_DEFAULT_GROUP_SHARED;
    scene->config->coverage_permyriad = 0;
    scene->config->reserve_permyriad = 0;
    scene->snapshot->taken_usec = 100 * G_USEC_PER_SEC;
    scene->host = &scene->snapshot->host;
    scene->host->page_size_bytes = 4096;
    scene->host->mem_total_bytes = MF_U64(4096 * MIB);
    scene->host->mem_available_bytes = MF_U64(1024 * MIB);
    scene->host->swap_free_bytes = MF_U64(0);
    scene->host->saved_bytes = MF_U64(2048 * MIB);
    scene->host->cow_breaks_count = MF_U64(1000);
    scene->host->full_scans_count = MF_U64(10);
    scene->host->run = MF_U64(1);
}

static inline void
scene_close(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    mf_plan_free(scene->plan);
    mf_memory_free(scene->memory);
    mf_snapshot_free(scene->snapshot);
    mf_config_free(scene->config);
}

/* A domain whose kernel counts its writes, with 600 MiB of its own and 512 MiB merged. */
static inline MfDomain *
scene_add(Scene *scene, const char *name, guint priority)
{
    g_autofree char *uuid =
        g_strdup_printf("00000000-0000-0000-0000-%012u", scene->snapshot->domains->len + 1);
    MfDomain *domain = mf_domain_new(uuid, name);

    domain->memory_kind = MF_MEMORY_ANONYMOUS;
    domain->caps = MF_CAP_PROBED | MF_CAP_SET_MERGE;
    domain->mode = MF_MODE_ON;
    domain->policy->priority = priority;
    domain->cow_breaks_count = MF_U64(100);
    domain->resident_bytes = MF_U64(1000 * MIB);
    domain->saved_bytes = MF_U64(400 * MIB);
    domain->merged_bytes = MF_U64(512 * MIB);
    domain->zero_bytes = MF_U64(0);
    g_ptr_array_add(scene->snapshot->domains, domain);
    return domain;
}

/* The domain writes so much of its merged memory. */
static inline void
scene_write(Scene *scene, MfDomain *domain, guint64 mib)
{
    domain->cow_breaks_count.value += mib * MIB_PAGES;
    scene->host->cow_breaks_count.value += mib * MIB_PAGES;
    scene->host->mem_available_bytes.value -=
        MIN(mib * MIB, scene->host->mem_available_bytes.value);
}

static inline void
scene_tick(Scene *scene, gint64 interval_usec)
{
    scene->snapshot->taken_usec += interval_usec;
    mf_plan_free(scene->plan);
    scene->plan = mf_decide(scene->config, scene->snapshot, scene->memory);
}

static inline const MfStorm *
scene_storm(const Scene *scene)
{
    return &scene->memory->storm;
}

/* The action of that kind for the domain; NULL when there is none.  There are never two. */
static inline const MfAction *
scene_action(const Scene *scene, MfActionKind kind, const MfDomain *domain)
{
    const MfAction *found = NULL;

    for (guint i = 0; i < scene->plan->actions->len; i++) {
        const MfAction *action = g_ptr_array_index(scene->plan->actions, i);
        if (action->kind == kind && g_strcmp0(action->uuid, domain->uuid) == 0) {
            g_assert_null(found);
            g_assert_cmpuint(strlen(action->reason->text), >, 0);
            found = action;
        }
    }
    return found;
}

static inline guint
scene_count(const Scene *scene, MfActionKind kind)
{
    guint count = 0;

    for (guint i = 0; i < scene->plan->actions->len; i++) {
        count += ((MfAction *)g_ptr_array_index(scene->plan->actions, i))->kind == kind;
    }
    return count;
}

/* The action came to its end just now, and gave all or nothing. */
static inline void
scene_done(Scene *scene, MfActionKind kind, const MfDomain *domain, gboolean succeeded)
{
    mf_storm_done(&scene->memory->storm, kind, domain->uuid, succeeded, succeeded ? G_MAXUINT64 : 0,
                  scene->snapshot->taken_usec);
}

static inline const MfReason *
scene_host_reason(const Scene *scene)
{
    return g_ptr_array_index(scene->plan->host_reasons, 0);
}

/* The first reason of the domain's verdict. */
static inline const MfReason *
scene_reason(const Scene *scene, const MfDomain *domain)
{
    return g_ptr_array_index(mf_plan_find(scene->plan, domain->uuid)->reasons, 0);
}
