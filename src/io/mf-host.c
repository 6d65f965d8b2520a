/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's memory, and other managers of KSM. */
#include "mf-host.h"

#include <unistd.h>

#include "../core/mf-error.h"
#include "../core/mf-parse.h"

#define MEMINFO_MAX_BYTES  (64 * 1024)
#define PRESSURE_MAX_BYTES 4096
#define VMSTAT_MAX_BYTES   (64 * 1024)

static gboolean
read_other_manager(MfRoot *root, MfManagers *managers, MfHost *host, GError **error)
{
    char *found = NULL;

    if (!mf_managers_find(managers, root, &found, error)) {
        return FALSE;
    }
    g_free(host->other_manager);
    host->other_manager = found;
    return TRUE;
}

gboolean
mf_host_read_memory(MfRoot *root, MfHost *host, GError **error)
{
    gsize length_bytes;
    g_autofree char *text =
        mf_root_read(root, "proc/meminfo", MEMINFO_MAX_BYTES, &length_bytes, error);

    host->page_size_bytes = (guint64)sysconf(_SC_PAGESIZE);
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

static gboolean
read_vmstat(MfRoot *root, MfHost *host, GError **error)
{
    g_autoptr(GError) cause = NULL;
    gsize length_bytes;
    g_autofree char *text =
        mf_root_read(root, "proc/vmstat", VMSTAT_MAX_BYTES, &length_bytes, &cause);

    if (text == NULL && mf_error_is_gone(cause)) {
        return TRUE;
    }
    if (text == NULL) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return FALSE;
    }
    return mf_parse_vmstat(text, length_bytes, host, error);
}

gboolean
mf_host_read_in_turns(MfRoot *root, MfManagers *managers, MfHost *host, GError **error)
{
    gboolean memory_read = mf_host_read_memory(root, host, error);
    gboolean pressure_read = read_pressure(root, host, memory_read ? error : NULL);
    gboolean vmstat_read = read_vmstat(root, host, memory_read && pressure_read ? error : NULL);
    gboolean read = memory_read && pressure_read && vmstat_read;
    return read_other_manager(root, managers, host, read ? error : NULL) && read;
}

gboolean
mf_host_read(MfRoot *root, MfHost *host, GError **error)
{
    return mf_host_read_in_turns(root, NULL, host, error);
}
