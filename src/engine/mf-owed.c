/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-owed.h"

#include <string.h>

#include "../core/mf-error.h"

#define OWED_MAX_BYTES (1024 * 1024)
#define BOOT_ID_PATH   "proc/sys/kernel/random/boot_id"
#define BOOT_ID_BYTES  64
#define GROUP_HEAD     "owed"
#define OWED_VERSION   1

struct _MfOwed {
    MfRoot *runtime;
    char *boot_id;
    GMutex lock;       /* one writer of the file at a time; guards debts */
    GHashTable *debts; /* uuid -> MfDebt */
};

MfOwed *
mf_owed_new(MfRoot *runtime, MfRoot *host)
{
    MfOwed *owed = g_new0(MfOwed, 1);
    g_autofree char *boot_id = mf_root_read(host, BOOT_ID_PATH, BOOT_ID_BYTES, NULL, NULL);

    owed->runtime = mf_root_ref(runtime);
    owed->boot_id = g_strdup(boot_id ? g_strstrip(boot_id) : "unknown");
    owed->debts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_mutex_init(&owed->lock);
    return owed;
}

void
mf_owed_free(MfOwed *owed)
{
    if (!owed) {
        return;
    }
    g_mutex_clear(&owed->lock);
    g_hash_table_unref(owed->debts);
    mf_root_unref(owed->runtime);
    g_free(owed->boot_id);
    g_free(owed);
}

/* One group of the file: the domain's UUID, and what it is owed. */
static gboolean
load_debt(MfOwed *owed, GKeyFile *file, const char *uuid, GError **error)
{
    MfDebt debt = {0};
    g_autoptr(GError) problem = NULL;

    debt.pid = g_key_file_get_int64(file, uuid, "pid", &problem);
    if (!problem) {
        debt.suspended = g_key_file_get_boolean(file, uuid, "suspended", &problem);
    }
    if (!problem) {
        debt.balloon.before_bytes = g_key_file_get_uint64(file, uuid, "balloon-bytes", &problem);
    }
    /* A file of an earlier version has not these. */
    debt.balloon.asked_bytes = g_key_file_get_uint64(file, uuid, "balloon-asked-bytes", NULL);
    debt.balloon.lowest_bytes = g_key_file_get_uint64(file, uuid, "balloon-lowest-bytes", NULL);
    if (problem || !g_uuid_string_is_valid(uuid) || debt.pid <= 0) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, MF_OWED_NAME ": [%s] %s", uuid,
                    problem ? problem->message : "is no debt");
        return FALSE;
    }
    g_hash_table_replace(owed->debts, g_strdup(uuid), g_memdup2(&debt, sizeof(debt)));
    return TRUE;
}

static gboolean
load_file(MfOwed *owed, GKeyFile *file, GError **error)
{
    g_autofree char *boot_id = NULL;
    g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);

    if (g_key_file_get_integer(file, GROUP_HEAD, "version", NULL) != OWED_VERSION) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, MF_OWED_NAME ": of another version");
        return FALSE;
    }
    boot_id = g_key_file_get_string(file, GROUP_HEAD, "boot-id", NULL);
    if (g_strcmp0(boot_id, owed->boot_id) != 0) {
        return TRUE;
    }
    for (guint i = 0; groups[i]; i++) {
        if (strcmp(groups[i], GROUP_HEAD) != 0 && !load_debt(owed, file, groups[i], error)) {
            g_hash_table_remove_all(owed->debts);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean
mf_owed_load(MfOwed *owed, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) problem = NULL;
    gsize length_bytes = 0;
    g_autofree char *text =
        mf_root_read(owed->runtime, MF_OWED_NAME, OWED_MAX_BYTES, &length_bytes, &problem);

    if (!text) {
        if (mf_error_is_gone(problem)) {
            return TRUE;
        }
        g_propagate_error(error, g_steal_pointer(&problem));
        return FALSE;
    }
    if (!g_key_file_load_from_data(file, text, length_bytes, G_KEY_FILE_NONE, &problem)) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, MF_OWED_NAME ": %s", problem->message);
        return FALSE;
    }
    return load_file(owed, file, error);
}

/* Lock held. */
static gboolean
save(MfOwed *owed, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autofree char *text = NULL;
    GHashTableIter iter;
    gpointer uuid = NULL;
    gpointer value = NULL;

    if (g_hash_table_size(owed->debts) == 0) {
        return mf_root_remove(owed->runtime, MF_OWED_NAME, error);
    }
    g_key_file_set_integer(file, GROUP_HEAD, "version", OWED_VERSION);
    g_key_file_set_string(file, GROUP_HEAD, "boot-id", owed->boot_id);
    g_hash_table_iter_init(&iter, owed->debts);
    while (g_hash_table_iter_next(&iter, &uuid, &value)) {
        const MfDebt *debt = value;

        g_key_file_set_int64(file, uuid, "pid", debt->pid);
        g_key_file_set_boolean(file, uuid, "suspended", debt->suspended);
        g_key_file_set_uint64(file, uuid, "balloon-bytes", debt->balloon.before_bytes);
        g_key_file_set_uint64(file, uuid, "balloon-asked-bytes", debt->balloon.asked_bytes);
        g_key_file_set_uint64(file, uuid, "balloon-lowest-bytes", debt->balloon.lowest_bytes);
    }
    text = g_key_file_to_data(file, NULL, NULL);
    return mf_root_replace(owed->runtime, MF_OWED_NAME, text, error);
}

/* Lock held. */
static void
put(MfOwed *owed, const char *uuid, const MfDebt *debt)
{
    if (debt->suspended || debt->balloon.before_bytes > 0) {
        g_hash_table_replace(owed->debts, g_strdup(uuid), g_memdup2(debt, sizeof(*debt)));
    } else {
        g_hash_table_remove(owed->debts, uuid);
    }
}

gboolean
mf_owed_set(MfOwed *owed, const char *uuid, const MfDebt *debt, GError **error)
{
    const MfDebt *found = NULL;
    MfDebt before = {0};
    gboolean saved = FALSE;

    if ((debt->suspended || debt->balloon.before_bytes > 0) && debt->pid <= 0) {
        g_set_error(error, MF_ERROR, MF_ERROR_BUSY, "its QEMU is not known yet");
        return FALSE;
    }
    g_mutex_lock(&owed->lock);
    found = g_hash_table_lookup(owed->debts, uuid);
    if (found) {
        before = *found;
    }
    put(owed, uuid, debt);
    saved = save(owed, error);
    if (!saved) {
        put(owed, uuid, &before);
    }
    g_mutex_unlock(&owed->lock);
    return saved;
}

gboolean
mf_owed_resumed(MfOwed *owed, const char *uuid, GError **error)
{
    MfDebt debt = {0};

    mf_owed_get(owed, uuid, &debt);
    debt.suspended = FALSE;
    return mf_owed_set(owed, uuid, &debt, error);
}

gboolean
mf_owed_get(MfOwed *owed, const char *uuid, MfDebt *ret_debt)
{
    const MfDebt *debt = NULL;

    g_mutex_lock(&owed->lock);
    debt = g_hash_table_lookup(owed->debts, uuid);
    *ret_debt = debt ? *debt : (MfDebt){0};
    g_mutex_unlock(&owed->lock);
    return ret_debt->suspended || ret_debt->balloon.before_bytes > 0;
}

gboolean
mf_owed_look(MfOwed *owed, const char *uuid, guint64 now_bytes, MfBalloon *ret_balloon)
{
    const MfDebt *found = NULL;
    MfDebt debt = {0};
    gboolean keep = FALSE;

    g_mutex_lock(&owed->lock);
    found = g_hash_table_lookup(owed->debts, uuid);
    if (found && found->balloon.before_bytes > 0) {
        debt = *found;
        keep = mf_balloon_look(&debt.balloon, now_bytes);
        put(owed, uuid, &debt);
        if (keep) {
            save(owed, NULL); /* else it is known for as long as we live */
        }
    }
    *ret_balloon = debt.balloon;
    g_mutex_unlock(&owed->lock);
    return ret_balloon->before_bytes > 0;
}

void
mf_owed_forget(MfOwed *owed, const char *uuid)
{
    g_mutex_lock(&owed->lock);
    g_hash_table_remove(owed->debts, uuid);
    g_mutex_unlock(&owed->lock);
}

char **
mf_owed_list(MfOwed *owed)
{
    g_autoptr(GPtrArray) uuids = g_ptr_array_new();
    GHashTableIter iter;
    gpointer uuid = NULL;

    g_mutex_lock(&owed->lock);
    g_hash_table_iter_init(&iter, owed->debts);
    while (g_hash_table_iter_next(&iter, &uuid, NULL)) {
        g_ptr_array_add(uuids, g_strdup(uuid));
    }
    g_mutex_unlock(&owed->lock);
    g_ptr_array_add(uuids, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&uuids), FALSE);
}
