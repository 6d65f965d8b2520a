/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files by a directory descriptor.
 *
 * The kernel does the confinement: openat2(2) resolves every link within the root and follows none
 * of /proc's magic ones.  Only regular files are read and written, and no open waits (O_NONBLOCK),
 * so a FIFO or a device in a tree that is shown to us can't hold us.
 */
#include "mf-root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../core/mf-error.h"
#include "../core/mf-parse.h"

#define READ_STEP_BYTES 4096
#define OPEN_TRIES      8
#define OPEN_FLAGS      (O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
#define OWN_FILE_MODE   0600

struct _MfRoot {
    char *path;
    int fd;
};

typedef int AutoFd;

static void
auto_close(AutoFd *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AutoFd, auto_close)

/* A path as a person knows it.  Free with g_free(). */
static char *
full_path(const MfRoot *root, const char *path)
{
    return g_strconcat(root->path, g_str_has_suffix(root->path, "/") ? "" : "/", path, NULL);
}

static void
set_errno_error(GError **error, const MfRoot *root, const char *path, const char *what,
                int saved_errno)
{
    g_autofree char *full = full_path(root, path);

    g_set_error(error, MF_ERROR, mf_error_from_errno(saved_errno), "%s: %s: %s", full, what,
                g_strerror(saved_errno));
}

static gboolean
path_is_inside(const MfRoot *root, const char *path, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);

    for (guint i = 0; parts[i] != NULL; i++) {
        if (parts[i][0] == '\0' || g_str_equal(parts[i], "..") || g_str_equal(parts[i], ".")) {
            g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "\"%s\" is no path below %s", path,
                        root->path);
            return FALSE;
        }
    }
    if (parts[0] == NULL) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "an empty path below %s", root->path);
        return FALSE;
    }
    return TRUE;
}

/* -1 with error when path can't be opened. */
static int
open_inside(const MfRoot *root, const char *path, int flags, mode_t mode, GError **error)
{
    struct open_how how = {.flags = (guint64)(unsigned)(flags | OPEN_FLAGS),
                           .mode = (flags & O_CREAT) != 0 ? mode : 0,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    long fd = -1;

    if (!path_is_inside(root, path, error)) {
        return -1;
    }
    if ((flags & O_PATH) != 0) {
        how.flags = (guint64)(unsigned)(flags | O_CLOEXEC);
    }
    /* EAGAIN: something was renamed while a ".." of a link was resolved. */
    for (int try = 0; try < OPEN_TRIES; try++) {
        fd = syscall(SYS_openat2, root->fd, path, &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) {
            break;
        }
    }
    if (fd < 0) {
        set_errno_error(error, root, path, "can't be opened", errno);
    }
    return (int)fd;
}

/* As open_inside(), and refuses what is no regular file. */
static int
open_regular(const MfRoot *root, const char *path, int flags, GError **error)
{
    g_auto(AutoFd) fd = open_inside(root, path, flags, 0, error);
    struct stat status;

    if (fd < 0) {
        return -1;
    }
    if (fstat(fd, &status) != 0) {
        set_errno_error(error, root, path, "can't be looked at", errno);
        return -1;
    }
    if (!S_ISREG(status.st_mode)) {
        set_errno_error(error, root, path, "no regular file", EINVAL);
        return -1;
    }
    int found = fd;
    fd = -1;
    return found;
}

/* The directory of path, for changes to its entries, and the entry's name. */
static int
open_parent(const MfRoot *root, const char *path, char **ret_name, GError **error)
{
    const char *slash = strrchr(path, '/');
    int fd;

    if (!path_is_inside(root, path, error)) {
        return -1;
    }
    if (slash == NULL) {
        fd = fcntl(root->fd, F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
            set_errno_error(error, root, path, "can't be opened", errno);
        }
    } else {
        g_autofree char *parent = g_strndup(path, (gsize)(slash - path));
        fd = open_inside(root, parent, O_RDONLY | O_DIRECTORY, 0, error);
    }
    if (fd >= 0) {
        *ret_name = g_strdup(slash == NULL ? path : slash + 1);
    }
    return fd;
}

static void
root_clear(MfRoot *root)
{
    close(root->fd);
    g_free(root->path);
}

MfRoot *
mf_root_new(const char *path, GError **error)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        int saved_errno = errno;
        g_set_error(error, MF_ERROR, mf_error_from_errno(saved_errno),
                    "%s can't be opened as a root: %s", path, g_strerror(saved_errno));
        return NULL;
    }
    MfRoot *root = g_atomic_rc_box_new0(MfRoot);
    root->path = g_strdup(path);
    root->fd = fd;
    return root;
}

MfRoot *
mf_root_ref(MfRoot *root)
{
    return g_atomic_rc_box_acquire(root);
}

void
mf_root_unref(MfRoot *root)
{
    g_atomic_rc_box_release_full(root, (GDestroyNotify)root_clear);
}

const char *
mf_root_get_path(const MfRoot *root)
{
    return root->path;
}

char *
mf_root_read(MfRoot *root, const char *path, gsize max_bytes, gsize *ret_length_bytes,
             GError **error)
{
    g_auto(AutoFd) fd = open_regular(root, path, O_RDONLY, error);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    gsize step_bytes = READ_STEP_BYTES;
    guint used_bytes = 0;
    ssize_t got_bytes;

    if (fd < 0) {
        return NULL;
    }
    do {
        g_byte_array_set_size(bytes, used_bytes + (guint)step_bytes);
        got_bytes = TEMP_FAILURE_RETRY(read(fd, bytes->data + used_bytes, step_bytes));
        if (got_bytes < 0) {
            set_errno_error(error, root, path, "can't be read", errno);
            return NULL;
        }
        used_bytes += (guint)got_bytes;
        if (used_bytes > max_bytes) {
            g_autofree char *full = full_path(root, path);
            g_set_error(error, MF_ERROR, MF_ERROR_INVALID,
                        "%s: longer than %" G_GSIZE_FORMAT " bytes", full, max_bytes);
            return NULL;
        }
        step_bytes = MAX(step_bytes, (gsize)used_bytes / 2);
    } while (got_bytes > 0);

    g_byte_array_set_size(bytes, used_bytes + 1);
    bytes->data[used_bytes] = '\0';
    if (ret_length_bytes != NULL) {
        *ret_length_bytes = used_bytes;
    }
    return (char *)g_byte_array_free(g_steal_pointer(&bytes), FALSE);
}

gboolean
mf_root_read_u64(MfRoot *root, const char *path, guint64 *ret_value, GError **error)
{
    gsize length_bytes;
    g_autofree char *text = mf_root_read(root, path, 64, &length_bytes, error);

    if (text == NULL) {
        return FALSE;
    }
    if (!mf_parse_u64(text, length_bytes, ret_value, error)) {
        g_autofree char *full = full_path(root, path);
        g_prefix_error(error, "%s: ", full);
        return FALSE;
    }
    return TRUE;
}

/* Writes all of text with one write(2). */
static gboolean
write_once(const MfRoot *root, const char *path, int fd, const char *text, GError **error)
{
    gsize length_bytes = strlen(text);
    ssize_t written_bytes = TEMP_FAILURE_RETRY(write(fd, text, length_bytes));

    if (written_bytes < 0 || (gsize)written_bytes != length_bytes) {
        set_errno_error(error, root, path, "can't be written", written_bytes < 0 ? errno : EIO);
        return FALSE;
    }
    return TRUE;
}

gboolean
mf_root_write(MfRoot *root, const char *path, const char *text, GError **error)
{
    /* O_TRUNC means nothing to sysfs, and makes a plain file hold the text and no more. */
    g_auto(AutoFd) fd = open_regular(root, path, O_WRONLY | O_TRUNC, error);

    return fd >= 0 && write_once(root, path, fd, text, error);
}

gboolean
mf_root_write_checked(MfRoot *root, const char *path, const char *text, MfRootCheck check,
                      gpointer user_data, GError **error)
{
    g_auto(AutoFd) fd = open_regular(root, path, O_WRONLY, error);

    if (fd < 0 || !check(user_data, error)) {
        return FALSE;
    }
    /* Means nothing to procfs, which refuses it. */
    if (ftruncate(fd, 0) != 0 && errno != EINVAL && errno != EPERM && errno != EACCES) {
        set_errno_error(error, root, path, "can't be written", errno);
        return FALSE;
    }
    return write_once(root, path, fd, text, error);
}

/* Fills the new file and puts it in the old one's place. */
static gboolean
replace_in(const MfRoot *root, const char *path, int parent, const char *name, const char *text,
           GError **error)
{
    g_autofree char *temporary = g_strdup_printf(".%s.new", name);

    /* One of a run that was killed may be there. */
    unlinkat(parent, temporary, 0);
    g_auto(AutoFd) fd =
        openat(parent, temporary, O_WRONLY | O_CREAT | O_EXCL | OPEN_FLAGS, OWN_FILE_MODE);
    if (fd < 0) {
        set_errno_error(error, root, path, "can't be made", errno);
        return FALSE;
    }
    gboolean written = write_once(root, path, fd, text, error);
    if (written &&
        (fsync(fd) != 0 || renameat(parent, temporary, parent, name) != 0 || fsync(parent) != 0)) {
        set_errno_error(error, root, path, "can't be replaced", errno);
        written = FALSE;
    }
    if (!written) {
        unlinkat(parent, temporary, 0);
    }
    return written;
}

gboolean
mf_root_replace(MfRoot *root, const char *path, const char *text, GError **error)
{
    g_autofree char *name = NULL;
    g_auto(AutoFd) parent = open_parent(root, path, &name, error);

    return parent >= 0 && replace_in(root, path, parent, name, text, error);
}

gboolean
mf_root_make_dir(MfRoot *root, const char *path, GError **error)
{
    g_autofree char *name = NULL;
    g_auto(AutoFd) parent = open_parent(root, path, &name, error);

    if (parent < 0) {
        return FALSE;
    }
    struct stat status;
    if (mkdirat(parent, name, 0755) == 0) {
        return TRUE;
    }
    int saved_errno = errno;
    if (saved_errno == EEXIST && fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISDIR(status.st_mode)) {
        return TRUE;
    }
    set_errno_error(error, root, path, "can't be made a directory", saved_errno);
    return FALSE;
}

int
mf_root_lock(MfRoot *root, const char *path, GError **error)
{
    g_auto(AutoFd) fd =
        open_inside(root, path, O_RDWR | O_CREAT | O_NOFOLLOW, OWN_FILE_MODE, error);

    if (fd < 0) {
        return -1;
    }
    if (TEMP_FAILURE_RETRY(flock(fd, LOCK_EX | LOCK_NB)) != 0) {
        set_errno_error(error, root, path, "can't be locked", errno);
        return -1;
    }
    int locked = fd;
    fd = -1;
    return locked;
}

gboolean
mf_root_rename(MfRoot *root, const char *path, const char *new_name, GError **error)
{
    g_autofree char *name = NULL;
    g_auto(AutoFd) parent = open_parent(root, path, &name, error);

    if (parent < 0) {
        return FALSE;
    }
    if (renameat(parent, name, parent, new_name) != 0) {
        set_errno_error(error, root, path, "can't be renamed", errno);
        return FALSE;
    }
    return TRUE;
}

gboolean
mf_root_remove(MfRoot *root, const char *path, GError **error)
{
    g_autofree char *name = NULL;
    g_autoptr(GError) cause = NULL;
    g_auto(AutoFd) parent = open_parent(root, path, &name, &cause);

    if (parent < 0) {
        if (mf_error_is_gone(cause)) {
            return TRUE;
        }
        g_propagate_error(error, g_steal_pointer(&cause));
        return FALSE;
    }
    if (unlinkat(parent, name, 0) != 0 && errno != ENOENT) {
        set_errno_error(error, root, path, "can't be removed", errno);
        return FALSE;
    }
    return TRUE;
}

int
mf_root_open(MfRoot *root, const char *path, GError **error)
{
    return open_regular(root, path, O_RDONLY, error);
}

gboolean
mf_root_exists(MfRoot *root, const char *path)
{
    g_auto(AutoFd) fd = open_inside(root, path, O_PATH, 0, NULL);

    return fd >= 0;
}

static int
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char **
mf_root_list(MfRoot *root, const char *path, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    int fd = open_inside(root, path, O_RDONLY | O_DIRECTORY, 0, error);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;

    if (dir == NULL) {
        if (fd >= 0) {
            set_errno_error(error, root, path, "can't be listed", errno);
            close(fd);
        }
        return NULL;
    }
    errno = 0;
    while ((entry = readdir(dir)) != NULL) {
        if (!g_str_equal(entry->d_name, ".") && !g_str_equal(entry->d_name, "..")) {
            g_ptr_array_add(names, g_strdup(entry->d_name));
        }
    }
    int saved_errno = errno;
    closedir(dir);
    if (saved_errno != 0) {
        set_errno_error(error, root, path, "can't be listed", saved_errno);
        return NULL;
    }
    g_ptr_array_sort(names, compare_names);
    g_ptr_array_add(names, NULL);
    g_ptr_array_set_free_func(names, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&names), FALSE);
}
