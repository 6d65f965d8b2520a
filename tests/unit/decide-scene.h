/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A host that merges and has no domain yet: for the tests of what is decided of several. */
#pragma once

#include "../../src/core/mf-decide.h"

#define MIB (G_GUINT64_CONSTANT(1) << 20)

typedef struct {
    MfConfig *config;
    MfSnapshot *snapshot;
    MfMemory *memory;
    MfPlan *plan;
} Scene;

static void
scene_open(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->config = mf_config_new();
    scene->config->default_group = MF_DEFAULT_GROUP_SHARED;
    scene->snapshot = mf_snapshot_new();
    scene->snapshot->taken_usec = G_USEC_PER_SEC;
    scene->snapshot->host.page_size_bytes = 4096;
    scene->snapshot->host.mem_total_bytes = MF_U64(10000 * MIB);
    scene->snapshot->host.mem_available_bytes = MF_U64(1500 * MIB);
    scene->snapshot->host.run = MF_U64(1);
    scene->snapshot->host.full_scans_count = MF_U64(0);
    scene->memory = mf_memory_new();
    scene->plan = NULL;
}

static void
scene_close(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    mf_plan_free(scene->plan);
    mf_memory_free(scene->memory);
    mf_snapshot_free(scene->snapshot);
    mf_config_free(scene->config);
}

/* A domain that QEMU says is merged, of the name and the next UUID; the caller says the rest. */
static MfDomain *
scene_add(Scene *scene, const char *name, guint caps)
{
    g_autofree char *uuid =
        g_strdup_printf("00000000-0000-0000-0000-%012u", scene->snapshot->domains->len);
    MfDomain *domain = mf_domain_new(uuid, name);

    domain->memory_kind = MF_MEMORY_ANONYMOUS;
    domain->caps = caps;
    domain->mode = MF_MODE_ON;
    g_ptr_array_add(scene->snapshot->domains, domain);
    return domain;
}
