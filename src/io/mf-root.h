/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The only opener of /proc, /sys and /run.
 *
 * A root is a directory descriptor; every path is relative to it ("proc/meminfo", no leading slash,
 * no
 * "..") and is opened with openat2(2) RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, so that the daemon
 * can be shown another tree (--root) and can't be led out of it.  All calls block for as long as
 * the file does and may be used from any thread.
 */
#pragma once

#include <gio/gio.h>

typedef struct _MfRoot MfRoot;

/* Opens directory path ("/" for the real host).  NULL with MF_ERROR on failure. */
MfRoot *mf_root_new(const char *path, GError **error);
MfRoot *mf_root_ref(MfRoot *root);
void mf_root_unref(MfRoot *root);

/* The path that was given, for messages. */
const char *mf_root_get_path(const MfRoot *root);

/* Reads a whole file of at most max_bytes (beyond: MF_ERROR_INVALID).  Returns NUL-terminated bytes
 * to g_free(); ret_length_bytes may be NULL.  Reads on until end of file (procfs gives pieces).
 * Errors: GONE, DENIED, INVALID, FAILED. */
char *mf_root_read(MfRoot *root, const char *path, gsize max_bytes, gsize *ret_length_bytes,
                   GError **error);

/* Reads a file that holds one unsigned number. */
gboolean mf_root_read_u64(MfRoot *root, const char *path, guint64 *ret_value, GError **error);

/* Writes text with one write(2), as sysfs wants it; never creates.  The kernel's refusal comes back
 * as its code (EBUSY: BUSY, EINVAL: INVALID, EACCES/EROFS: DENIED). */
gboolean mf_root_write(MfRoot *root, const char *path, const char *text, GError **error);

/* The same, if check says so, which is asked when the file is open already: what is written to is
 * what had the name before check looked, whatever gets it meanwhile.  For /proc/PID, which may be
 * another process's at any time. */
typedef gboolean (*MfRootCheck)(gpointer user_data, GError **error);
gboolean mf_root_write_checked(MfRoot *root, const char *path, const char *text, MfRootCheck check,
                               gpointer user_data, GError **error);

/* Replaces a file of our own atomically and durably (temporary file, fsync, rename); mode 0600. */
gboolean mf_root_replace(MfRoot *root, const char *path, const char *text, GError **error);

/* Makes a directory of our own (mode 0755); one that is there is success. */
gboolean mf_root_make_dir(MfRoot *root, const char *path, GError **error);

/* Creates path (mode 0600) where it is missing and takes an exclusive flock(2) on it, without
 * waiting. Returns the descriptor, whose close() gives the lock back; -1 with MF_ERROR_BUSY when
 * another process holds it. */
int mf_root_lock(MfRoot *root, const char *path, GError **error);

/* Removes a file of our own; a missing one is success. */
gboolean mf_root_remove(MfRoot *root, const char *path, GError **error);

/* Gives a file of our own another name in the same directory, in place of what has that name. */
gboolean mf_root_rename(MfRoot *root, const char *path, const char *new_name, GError **error);

/* Opens a regular file to be read at offsets, such as proc/PID/mem.  Returns the descriptor, which
 * is the caller's to close(); -1 with GONE, DENIED, INVALID or FAILED. */
int mf_root_open(MfRoot *root, const char *path, GError **error);

gboolean mf_root_exists(MfRoot *root, const char *path);

/* Names of a directory, without "." and "..", NULL-terminated, sorted. */
char **mf_root_list(MfRoot *root, const char *path, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfRoot, mf_root_unref)
