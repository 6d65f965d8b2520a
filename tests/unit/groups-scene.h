/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A host whose kernel has merge groups: for the tests of who is moved where. */
#pragma once

#include <string.h>

#include "decide-scene.h"

#define UNREAD G_MAXUINT64 /* the kernel told no number */

static void
set_up(Scene *scene, gconstpointer unused)
{
    scene_open(scene, unused);
    scene->config->default_group = MF_DEFAULT_GROUP_ISOLATED;
    scene->snapshot->host.mem_total_bytes = MF_U64(1000 * MIB);
    scene->snapshot->host.mem_available_bytes = MF_U64(500 * MIB);
    scene->snapshot->host.has_groups = TRUE;
    scene->snapshot->host.group_default = g_strdup("isolated");
}

static MfDomain *
add_domain(Scene *scene, const char *name, const char *group, guint64 number)
{
    MfDomain *domain = scene_add(scene, name, MF_CAP_PROBED | MF_CAP_SET_MERGE | MF_CAP_FREEZE);

    domain->pid = 1000 + scene->snapshot->domains->len;
    domain->policy->merge = MF_MERGE_ON;
    domain->policy->group = g_strdup(group);
    domain->saved_bytes = MF_U64(0);
    domain->merged_bytes = MF_U64(0);
    domain->ksm_group_number = number == UNREAD ? MF_U64_ABSENT : MF_U64(number);
    return domain;
}

static void
decide(Scene *scene)
{
    g_clear_pointer(&scene->plan, mf_plan_free);
    scene->plan = mf_decide(scene->config, scene->snapshot, scene->memory);
}

static const MfAction *
action_on(const Scene *scene, const MfDomain *domain, MfActionKind kind)
{
    for (guint i = 0; i < scene->plan->actions->len; i++) {
        const MfAction *action = g_ptr_array_index(scene->plan->actions, i);
        if (action->kind == kind && g_strcmp0(action->uuid, domain->uuid) == 0) {
            return action;
        }
    }
    return NULL;
}

/* Where the domain is moved to; NULL: it stays. */
static const char *
moved_to(const Scene *scene, const MfDomain *domain)
{
    const MfAction *action = action_on(scene, domain, MF_ACTION_GROUP);

    return action != NULL ? action->to : NULL;
}

static MfMode
wanted(const Scene *scene, const MfDomain *domain)
{
    return mf_plan_find(scene->plan, domain->uuid)->want;
}

static MfReasonCode
first_reason(const Scene *scene, const MfDomain *domain)
{
    const MfVerdict *verdict = mf_plan_find(scene->plan, domain->uuid);

    return ((const MfReason *)g_ptr_array_index(verdict->reasons, 0))->code;
}
