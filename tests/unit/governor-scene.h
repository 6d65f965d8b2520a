/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One domain that can merge on a host whose numbers a test sets: for the tests of the governor. */
#pragma once

#include <string.h>

#include "../../src/core/mf-decide.h"

typedef struct {
    MfConfig *config;
    MfSnapshot *snapshot;
    MfHost *host; /* of snapshot */
    MfMemory *memory;
    MfPlan *plan;
    MfDomain *domain; /* one that can merge */
} Scene;

static void
scene_open(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->config = mf_config_new();
    scene->config->default_group = MF_DEFAULT_GROUP_SHARED;
    scene->config->boost_cpu_budget_permyriad = scene->config->cpu_budget_permyriad;
    scene->snapshot = mf_snapshot_new();
    scene->snapshot->taken_usec = 100 * G_USEC_PER_SEC;
    scene->host = &scene->snapshot->host;
    scene->host->page_size_bytes = 4096;
    scene->host->run = MF_U64(1);
    scene->host->pages_to_scan_pages = MF_U64(2000);
    scene->host->sleep_msec = MF_U64(20);
    scene->host->use_zero_pages = MF_U64(0);
    scene->host->smart_scan = MF_U64(0);
    scene->host->advisor_mode = g_strdup("none");
    scene->host->ksmd_cpu_usec = MF_U64(0);
    scene->memory = mf_memory_new();
    scene->plan = NULL;
    scene->domain = mf_domain_new("00000000-0000-0000-0000-000000000001", "vm");
    scene->domain->memory_kind = MF_MEMORY_ANONYMOUS;
    scene->domain->caps = MF_CAP_PROBED | MF_CAP_SET_MERGE;
    scene->domain->mode = MF_MODE_ON;
    g_ptr_array_add(scene->snapshot->domains, scene->domain);
}

static void
scene_close(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    mf_plan_free(scene->plan);
    mf_memory_free(scene->memory);
    mf_snapshot_free(scene->snapshot);
    mf_config_free(scene->config);
}

static void
decide(Scene *scene)
{
    mf_plan_free(scene->plan);
    scene->plan = mf_decide(scene->config, scene->snapshot, scene->memory);
}

/* Lets interval_msec go by in which ksmd used cpu_msec, and decides. */
static void
tick(Scene *scene, guint interval_msec, guint cpu_msec)
{
    scene->snapshot->taken_usec += (gint64)interval_msec * 1000;
    scene->host->ksmd_cpu_usec.value += (guint64)cpu_msec * 1000;
    decide(scene);
}

/* What the plan writes to a knob, or NULL.  Never what is there already. */
static const char *
written(const Scene *scene, MfKnob knob)
{
    const char *value = NULL;

    for (guint i = 0; i < scene->plan->actions->len; i++) {
        const MfAction *action = g_ptr_array_index(scene->plan->actions, i);
        if (action->kind == MF_ACTION_KNOB && action->knob == knob) {
            g_assert_null(value);
            g_assert_cmpstr(action->from, !=, action->to);
            g_assert_cmpuint(strlen(action->reason->text), >, 0);
            value = action->to;
        }
    }
    return value;
}
