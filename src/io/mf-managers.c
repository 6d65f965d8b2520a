/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Managers by their names.
 *
 * A process is looked at by its comm first, then by whose it is, and a command line is read only of
 * root's shells: that read waits for the process's memory lock, which a QEMU that un-merges holds
 * for long, and any user's process for as long as it likes.  comm, status and auxv wait for no such
 * lock.
 */
#include "mf-managers.h"

#include <elf.h>
#include <string.h>

#define COMM_MAX_BYTES    256
#define STATUS_MAX_BYTES  (64 * 1024)
#define AUXV_MAX_BYTES    4096
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
static const char *const shells[] = {"bash", "sh", "dash", NULL};

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

/* Whether real and effective user are root, by the first two numbers of "Uid:"
 * (proc_pid_status(5)). What can't be read counts as root's. */
static gboolean
runs_as_root(MfRoot *root, const char *pid)
{
    g_autofree char *path = g_strdup_printf("proc/%s/status", pid);
    g_autofree char *text = mf_root_read(root, path, STATUS_MAX_BYTES, NULL, NULL);
    const char *line = text != NULL ? strstr(text, "\nUid:\t") : NULL;

    return line == NULL || g_str_has_prefix(line, "\nUid:\t0\t0\t");
}

/* The number of that type in an auxiliary vector: pairs of a type and a number, each a word of the
 * program's, which may be a narrower one than the kernel's.  Types are small. */
static gboolean
find_in_auxv(const char *auxv, gsize length_bytes, guint64 type, guint64 *ret_value)
{
    guint64 wide[2];
    guint32 narrow[2];

    if (length_bytes < sizeof(wide)) {
        return FALSE;
    }
    memcpy(wide, auxv, sizeof(wide));
    gsize pair_bytes = wide[0] <= G_MAXUINT16 ? sizeof(wide) : sizeof(narrow);
    for (gsize at = 0; at + pair_bytes <= length_bytes; at += pair_bytes) {
        memcpy(pair_bytes == sizeof(wide) ? (void *)wide : narrow, auxv + at, pair_bytes);
        if (pair_bytes == sizeof(narrow)) {
            wide[0] = narrow[0];
            wide[1] = narrow[1];
        }
        if (wide[0] == type) {
            *ret_value = wide[1];
            return TRUE;
        }
    }
    return FALSE;
}

/* Whether it was root who ran the program.  A set-user-ID program that waits for a password can be
 * root by both its UIDs and have any name, but what the kernel told it at its start (AT_UID,
 * getauxval(3)) is who ran it.  Not AT_SECURE: that is also set for a service of root's that is
 * confined by SELinux or AppArmor.  The vector is hidden from a memfoldd without CAP_SYS_PTRACE;
 * what can't be read counts as root's, as above. */
static gboolean
was_run_by_root(MfRoot *root, const char *pid)
{
    g_autofree char *path = g_strdup_printf("proc/%s/auxv", pid);
    gsize length_bytes = 0;
    g_autofree char *auxv = mf_root_read(root, path, AUXV_MAX_BYTES, &length_bytes, NULL);
    guint64 uid = 0;

    return auxv == NULL || !find_in_auxv(auxv, length_bytes, AT_UID, &uid) || uid == 0;
}

static const char *
manager_of_comm(const char *comm)
{
    for (guint i = 0; i < G_N_ELEMENTS(manager_names); i++) {
        if (g_str_equal(comm, manager_names[i])) {
            return manager_names[i];
        }
    }
    return NULL;
}

static const char *
manager_of_pid(MfRoot *root, const char *pid)
{
    g_autofree char *path = g_strdup_printf("proc/%s/comm", pid);
    g_autofree char *comm = mf_root_read(root, path, COMM_MAX_BYTES, NULL, NULL);
    const char *manager = NULL;
    gboolean is_shell = FALSE;

    if (comm == NULL) {
        return NULL;
    }
    manager = manager_of_comm(g_strchomp(comm));
    is_shell = g_strv_contains(shells, comm);
    /* Any user can name a process as he likes. */
    if ((manager == NULL && !is_shell) || !runs_as_root(root, pid) || !was_run_by_root(root, pid)) {
        return NULL;
    }
    return is_shell ? manager_in_cmdline(root, pid) : manager;
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
