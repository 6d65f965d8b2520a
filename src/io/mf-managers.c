/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Managers by their names.
 *
 * A process is looked at by its comm first: a command line is read only of shells, since that read
 * waits for the process's memory lock, which a QEMU that un-merges holds for long.
 */
#include "mf-managers.h"

#include <string.h>

#define COMM_MAX_BYTES    256
#define STATUS_MAX_BYTES  (64 * 1024)
#define CMDLINE_MAX_BYTES (2 * 1024 * 1024)
#define LOOKS_AT_NEW      2
#define TURNS             4

struct _MfManagers {
    GHashTable *looks; /* PID -> how often it was looked at, LOOKS_AT_NEW at most */
    guint turn;
    char *found_pid; /* of the manager that was seen last, or NULL */
};

/* ksmtuned is a shell script of the QEMU packages; virt-handler is KubeVirt's. */
static const char *const manager_names[] = {"ksmtuned", "virt-handler"};
static const char *const shells[] = {"bash", "sh", "dash"};

/* The manager that a shell runs as a script: its first argument that is no option, unless that is
 * the text of -c.  NULL when it is none. */
static const char *
manager_in_cmdline(MfRoot *root, const char *pid)
{
    g_autofree char *path = g_strdup_printf("proc/%s/cmdline", pid);
    gsize length_bytes = 0;
    g_autofree char *text = mf_root_read(root, path, CMDLINE_MAX_BYTES, &length_bytes, NULL);
    gsize offset = text != NULL ? strlen(text) + 1 : 0;

    while (offset < length_bytes && text[offset] == '-') {
        if (text[offset + 1] != '-' && strchr(text + offset, 'c') != NULL) {
            return NULL;
        }
        offset += strlen(text + offset) + 1;
    }
    if (offset >= length_bytes) {
        return NULL;
    }
    g_autofree char *script = g_path_get_basename(text + offset);
    for (guint i = 0; i < G_N_ELEMENTS(manager_names); i++) {
        if (g_str_equal(script, manager_names[i])) {
            return manager_names[i];
        }
    }
    return NULL;
}

/* Whether pid may write the knobs, by the second number of "Uid:" (proc_pid_status(5)).  Any user
 * can name a process as he likes.  What can't be read counts as root's. */
static gboolean
is_of_root(MfRoot *root, const char *pid)
{
    g_autofree char *path = g_strdup_printf("proc/%s/status", pid);
    g_autofree char *text = mf_root_read(root, path, STATUS_MAX_BYTES, NULL, NULL);
    const char *line = text != NULL ? strstr(text, "\nUid:\t") : NULL;
    const char *effective = line != NULL ? strchr(line + strlen("\nUid:\t"), '\t') : NULL;

    return effective == NULL || g_str_has_prefix(effective, "\t0\t");
}

/* The manager that the process's comm or command line names; NULL when it is none. */
static const char *
manager_by_name(MfRoot *root, const char *pid)
{
    g_autofree char *path = g_strdup_printf("proc/%s/comm", pid);
    g_autofree char *comm = mf_root_read(root, path, COMM_MAX_BYTES, NULL, NULL);

    if (comm == NULL) {
        return NULL;
    }
    g_strchomp(comm);
    for (guint i = 0; i < G_N_ELEMENTS(manager_names); i++) {
        if (g_str_equal(comm, manager_names[i])) {
            return manager_names[i];
        }
    }
    for (guint i = 0; i < G_N_ELEMENTS(shells); i++) {
        if (g_str_equal(comm, shells[i])) {
            return manager_in_cmdline(root, pid);
        }
    }
    return NULL;
}

static const char *
manager_of_pid(MfRoot *root, const char *pid)
{
    const char *manager = manager_by_name(root, pid);

    return manager != NULL && is_of_root(root, pid) ? manager : NULL;
}

MfManagers *
mf_managers_new(void)
{
    MfManagers *managers = g_new0(MfManagers, 1);

    managers->looks = g_hash_table_new(NULL, NULL);
    return managers;
}

void
mf_managers_free(MfManagers *managers)
{
    if (managers != NULL) {
        g_hash_table_unref(managers->looks);
        g_free(managers->found_pid);
        g_free(managers);
    }
}

/* Whether it is this process's turn; notes in looks that it is there. */
static gboolean
is_due(const MfManagers *managers, const char *name, GHashTable *looks)
{
    guint pid = (guint)g_ascii_strtoull(name, NULL, 10);
    guint looks_count =
        GPOINTER_TO_UINT(g_hash_table_lookup(managers->looks, GUINT_TO_POINTER(pid)));
    gboolean is_new = looks_count < LOOKS_AT_NEW;

    g_hash_table_insert(looks, GUINT_TO_POINTER(pid),
                        GUINT_TO_POINTER(is_new ? looks_count + 1 : looks_count));
    return is_new || pid % TURNS == managers->turn;
}

/* Looks at those whose turn it is; the PIDs that are gone are forgotten. */
static const char *
look_around(MfManagers *managers, MfRoot *root, char **names)
{
    g_autoptr(GHashTable) looks = g_hash_table_new(NULL, NULL);
    const char *found = NULL;

    managers->turn = (managers->turn + 1) % TURNS;
    for (guint i = 0; names[i] != NULL; i++) {
        if (g_ascii_isdigit(names[i][0]) && is_due(managers, names[i], looks) && found == NULL) {
            found = manager_of_pid(root, names[i]);
            if (found != NULL) {
                managers->found_pid = g_strdup(names[i]);
            }
        }
    }
    g_hash_table_unref(managers->looks);
    managers->looks = g_steal_pointer(&looks);
    return found;
}

static const char *
look_at_all(MfRoot *root, char **names)
{
    const char *found = NULL;

    for (guint i = 0; names[i] != NULL && found == NULL; i++) {
        if (g_ascii_isdigit(names[i][0])) {
            found = manager_of_pid(root, names[i]);
        }
    }
    return found;
}

gboolean
mf_managers_find(MfManagers *managers, MfRoot *root, char **ret_name, GError **error)
{
    g_auto(GStrv) names = mf_root_list(root, "proc", error);
    const char *found = NULL;

    if (names == NULL) {
        return FALSE;
    }
    /* Who was a manager the last time is asked first, so that it does not come and go with turns.
     */
    if (managers != NULL && managers->found_pid != NULL) {
        found = manager_of_pid(root, managers->found_pid);
    }
    if (managers != NULL && found == NULL) {
        g_clear_pointer(&managers->found_pid, g_free);
        found = look_around(managers, root, names);
    } else if (managers == NULL) {
        found = look_at_all(root, names);
    }
    *ret_name = g_strdup(found);
    return TRUE;
}
