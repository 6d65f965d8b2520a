/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reclaiming in pieces: one write takes as long as the kernel needs for it, and can't be called
 * off.
 */
#include "mf-cgroup.h"

#include "../core/mf-error.h"
#include "mf-proc.h"

#define PIECE_BYTES  (16 * 1024 * 1024)
#define CGROUP_MOUNT "sys/fs/cgroup"

/* The file to write to.  A group that is there without it is of a kernel that has none. */
static char *
reclaim_path(MfRoot *root, const MfDomain *domain, GError **error)
{
    g_autofree char *group = mf_proc_read_cgroup(root, domain, error);

    if (group == NULL) {
        return NULL;
    }
    g_autofree char *path = g_strconcat(CGROUP_MOUNT "/", group, "/memory.reclaim", NULL);
    if (!mf_root_exists(root, path)) {
        g_set_error(error, MF_ERROR, MF_ERROR_UNSUPPORTED,
                    "this host has no memory.reclaim for it (memory is not under cgroup v2, or the "
                    "kernel is older than 5.19)");
        return NULL;
    }
    return g_steal_pointer(&path);
}

gboolean
mf_cgroup_reclaim(MfRoot *root, const MfDomain *domain, guint64 bytes, guint limit_msec,
                  guint64 *ret_taken_bytes, GError **error)
{
    g_autofree char *path = reclaim_path(root, domain, error);
    gint64 end_usec = g_get_monotonic_time() + (gint64)limit_msec * 1000;

    *ret_taken_bytes = 0;
    if (path == NULL) {
        return FALSE;
    }
    while (*ret_taken_bytes < bytes) {
        guint64 piece_bytes = MIN(bytes - *ret_taken_bytes, PIECE_BYTES);
        g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, piece_bytes);

        if (!mf_root_write(root, path, text, error)) {
            return FALSE;
        }
        *ret_taken_bytes += piece_bytes;
        if (*ret_taken_bytes < bytes && g_get_monotonic_time() > end_usec) {
            g_set_error(error, MF_ERROR, MF_ERROR_TIMEOUT, "reclaiming takes too long");
            return FALSE;
        }
    }
    return TRUE;
}
