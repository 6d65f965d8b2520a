/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's memory, and other managers of KSM.
 *
 * A process is looked at by its comm first: a command line is read only of shells, since that read
 * waits for the process's memory lock, which a QEMU that un-merges holds for long.
 */
#include "mf-host.h"

#include <string.h>
#include <unistd.h>

#include "../core/mf-error.h"
#include "../core/mf-parse.h"

#define MEMINFO_MAX_BYTES  (64 * 1024)
#define PRESSURE_MAX_BYTES 4096
#define COMM_MAX_BYTES     256
#define STATUS_MAX_BYTES   (64 * 1024)
#define CMDLINE_MAX_BYTES  (2 * 1024 * 1024)

/* ksmtuned is a shell script of the QEMU packages; virt-handler is KubeVirt's. */
static const char *const managers[] = {"ksmtuned", "virt-handler"};
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
    for (guint i = 0; i < G_N_ELEMENTS(managers); i++) {
        if (g_str_equal(script, managers[i])) {
            return managers[i];
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
    for (guint i = 0; i < G_N_ELEMENTS(managers); i++) {
        if (g_str_equal(comm, managers[i])) {
            return managers[i];
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

static gboolean
read_other_manager(MfRoot *root, MfHost *host, GError **error)
{
    g_auto(GStrv) names = mf_root_list(root, "proc", error);
    const char *found = NULL;

    if (names == NULL) {
        return FALSE;
    }
    for (guint i = 0; names[i] != NULL && found == NULL; i++) {
        if (g_ascii_isdigit(names[i][0])) {
            found = manager_of_pid(root, names[i]);
        }
    }
    g_free(host->other_manager);
    host->other_manager = g_strdup(found);
    return TRUE;
}

static gboolean
read_meminfo(MfRoot *root, MfHost *host, GError **error)
{
    gsize length_bytes;
    g_autofree char *text =
        mf_root_read(root, "proc/meminfo", MEMINFO_MAX_BYTES, &length_bytes, error);

    return text != NULL && mf_parse_meminfo(text, length_bytes, host, error);
}

/* Kernels without PSI, or with psi=0, have no such file, or refuse to read it. */
static gboolean
read_pressure(MfRoot *root, MfHost *host, GError **error)
{
    g_autoptr(GError) cause = NULL;
    gsize length_bytes;
    g_autofree char *text =
        mf_root_read(root, "proc/pressure/memory", PRESSURE_MAX_BYTES, &length_bytes, &cause);

    return text == NULL || mf_parse_pressure(text, length_bytes, host, error);
}

gboolean
mf_host_read(MfRoot *root, MfHost *host, GError **error)
{
    gboolean memory_read = read_meminfo(root, host, error);

    host->page_size_bytes = (guint64)sysconf(_SC_PAGESIZE);
    gboolean pressure_read = read_pressure(root, host, memory_read ? error : NULL);
    gboolean read = memory_read && pressure_read;
    return read_other_manager(root, host, read ? error : NULL) && read;
}
