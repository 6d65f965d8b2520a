/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Making, copying and freeing the plain values, and the names of their enums. */
#include "mf-types.h"

#include <string.h>

#include "mf-text.h"

static const char *const mode_names[] = {
    [MF_MODE_UNKNOWN] = "unknown", [MF_MODE_OFF] = "off",     [MF_MODE_ON] = "on",
    [MF_MODE_FROZEN] = "frozen",   [MF_MODE_MIXED] = "mixed",
};

static const char *const memory_kind_names[] = {
    [MF_MEMORY_UNKNOWN] = "unknown", [MF_MEMORY_ANONYMOUS] = "anonymous",
    [MF_MEMORY_SHARED] = "shared",   [MF_MEMORY_HUGEPAGES] = "hugepages",
    [MF_MEMORY_FILE] = "file",       [MF_MEMORY_MEMFD] = "memfd",
};

MfBlock *
mf_block_new(void)
{
    return g_new0(MfBlock, 1);
}

void
mf_block_free(MfBlock *block)
{
    if (block == NULL) {
        return;
    }
    g_free(block->id);
    g_strfreev(block->blockers);
    g_free(block);
}

MfDomain *
mf_domain_new(const char *uuid, const char *name)
{
    MfDomain *domain = g_new0(MfDomain, 1);

    domain->uuid = g_ascii_strdown(uuid, -1);
    domain->name = g_strdup(name);
    domain->policy = mf_policy_new();
    return domain;
}

MfDomain *
mf_domain_copy(const MfDomain *domain)
{
    MfDomain *copy = g_new0(MfDomain, 1);

    *copy = *domain;
    copy->uuid = g_strdup(domain->uuid);
    copy->name = g_strdup(domain->name);
    copy->policy = mf_policy_copy(domain->policy);
    copy->policy_error = g_strdup(domain->policy_error);
    copy->launch_security = g_strdup(domain->launch_security);
    copy->switch_error = g_strdup(domain->switch_error);
    copy->group_error = g_strdup(domain->group_error);
    copy->blocks = domain->blocks != NULL ? g_ptr_array_ref(domain->blocks) : NULL;
    return copy;
}

void
mf_domain_free(MfDomain *domain)
{
    if (domain == NULL) {
        return;
    }
    g_free(domain->uuid);
    g_free(domain->name);
    mf_policy_free(domain->policy);
    g_free(domain->policy_error);
    g_free(domain->launch_security);
    g_free(domain->switch_error);
    g_free(domain->group_error);
    g_clear_pointer(&domain->blocks, g_ptr_array_unref);
    g_free(domain);
}

MfSnapshot *
mf_snapshot_new(void)
{
    MfSnapshot *snapshot = g_new0(MfSnapshot, 1);

    snapshot->domains = g_ptr_array_new_with_free_func((GDestroyNotify)mf_domain_free);
    return snapshot;
}

void
mf_snapshot_free(MfSnapshot *snapshot)
{
    if (snapshot == NULL) {
        return;
    }
    g_free(snapshot->host.advisor_mode);
    g_free(snapshot->host.index);
    g_free(snapshot->host.group_default);
    g_free(snapshot->host.other_manager);
    g_ptr_array_unref(snapshot->domains);
    g_clear_pointer(&snapshot->groups, g_ptr_array_unref);
    g_free(snapshot);
}

const MfDomain *
mf_snapshot_find(const MfSnapshot *snapshot, const char *uuid)
{
    g_autofree char *key = g_ascii_strdown(uuid, -1);

    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);
        if (strcmp(domain->uuid, key) == 0) {
            return domain;
        }
    }
    return NULL;
}

GHashTable *
mf_snapshot_uuids(const MfSnapshot *snapshot)
{
    GHashTable *uuids = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < snapshot->domains->len; i++) {
        MfDomain *domain = g_ptr_array_index(snapshot->domains, i);
        g_hash_table_add(uuids, domain->uuid);
    }
    return uuids;
}

static gboolean
is_missing(gpointer uuid, G_GNUC_UNUSED gpointer value, gpointer uuids)
{
    return !g_hash_table_contains(uuids, uuid);
}

void
mf_snapshot_drop_gone(const MfSnapshot *snapshot, GHashTable *by_uuid)
{
    g_autoptr(GHashTable) uuids = mf_snapshot_uuids(snapshot);

    g_hash_table_foreach_remove(by_uuid, is_missing, uuids);
}

const char *
mf_mode_to_string(MfMode mode)
{
    return mf_text_of(mode_names, G_N_ELEMENTS(mode_names), mode);
}

gboolean
mf_mode_from_string(const char *text, MfMode *ret_mode)
{
    guint value;

    if (!mf_text_find(mode_names, G_N_ELEMENTS(mode_names), text, &value)) {
        return FALSE;
    }
    *ret_mode = (MfMode)value;
    return TRUE;
}

const char *
mf_memory_kind_to_string(MfMemoryKind kind)
{
    return mf_text_of(memory_kind_names, G_N_ELEMENTS(memory_kind_names), kind);
}

gboolean
mf_memory_kind_from_string(const char *text, MfMemoryKind *ret_kind)
{
    guint value;

    if (!mf_text_find(memory_kind_names, G_N_ELEMENTS(memory_kind_names), text, &value)) {
        return FALSE;
    }
    *ret_kind = (MfMemoryKind)value;
    return TRUE;
}
