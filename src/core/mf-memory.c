/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What decide remembers from one tick to the next. */
#include "mf-decide.h"

MfMemory *
mf_memory_new(void)
{
    MfMemory *memory = g_new0(MfMemory, 1);

    mf_pacing_init(&memory->pacing);
    mf_boosts_init(&memory->boosts);
    mf_watch_init(&memory->watch);
    mf_trials_init(&memory->trials);
    mf_storm_init(&memory->storm);
    mf_groups_init(&memory->groups);
    memory->start_holds = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return memory;
}

void
mf_memory_free(MfMemory *memory)
{
    if (memory == NULL) {
        return;
    }
    g_hash_table_unref(memory->start_holds);
    mf_watch_clear(&memory->watch);
    mf_pacing_clear(&memory->pacing);
    mf_boosts_clear(&memory->boosts);
    mf_trials_clear(&memory->trials);
    mf_storm_clear(&memory->storm);
    mf_groups_clear(&memory->groups);
    g_free(memory);
}

MfMemory *
mf_memory_copy(const MfMemory *memory)
{
    MfMemory *copy = g_memdup2(memory, sizeof(*memory));
    GHashTableIter iter;
    gpointer uuid;
    gpointer deadline;

    mf_pacing_copy(&memory->pacing, &copy->pacing);
    mf_boosts_copy(&memory->boosts, &copy->boosts);
    mf_watch_copy(&memory->watch, &copy->watch);
    mf_trials_copy(&memory->trials, &copy->trials);
    mf_storm_copy(&memory->storm, &copy->storm);
    mf_groups_copy(&memory->groups, &copy->groups);
    copy->start_holds = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_hash_table_iter_init(&iter, memory->start_holds);
    while (g_hash_table_iter_next(&iter, &uuid, &deadline)) {
        mf_memory_hold(copy, uuid, *(gint64 *)deadline);
    }
    return copy;
}

void
mf_memory_hold(MfMemory *memory, const char *uuid, gint64 until_usec)
{
    gint64 *deadline = g_new(gint64, 1);

    *deadline = until_usec;
    g_hash_table_replace(memory->start_holds, g_ascii_strdown(uuid, -1), deadline);
}

void
mf_memory_release(MfMemory *memory, const char *uuid)
{
    g_autofree char *key = g_ascii_strdown(uuid, -1);

    g_hash_table_remove(memory->start_holds, key);
}
