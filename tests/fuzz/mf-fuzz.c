/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files, lines and values for the targets; see mf-fuzz.h. */
#include "mf-fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD_BEGIN     "==> "
#define HEAD_END       " <==\n"
#define VALUE_MAX      (256 * 1024)
#define CLOSE_SPARE_FD 16

struct _MfFuzzFolder {
    char *path;
    int fd;
    GPtrArray *filled; /* paths of the last input */
};

/* The one folder of the process, for what atexit() calls. */
static char *folder_to_remove;

/* GLib's reader of values is not what is tested. */
static gboolean is_reading_value;

static GLogWriterOutput
on_log(GLogLevelFlags level, const GLogField *fields, gsize fields_count,
       G_GNUC_UNUSED gpointer user_data)
{
    if ((level & (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR)) != 0 && !is_reading_value) {
        g_log_writer_standard_streams(level, fields, fields_count, NULL);
        abort();
    }
    return G_LOG_WRITER_HANDLED;
}

void
mf_fuzz_quiet(void)
{
    g_log_set_writer_func(on_log, NULL, NULL);
}

static int
remove_entry(const char *path, G_GNUC_UNUSED const struct stat *status, G_GNUC_UNUSED int kind,
             G_GNUC_UNUSED struct FTW *where)
{
    return remove(path);
}

static void
remove_folder(void)
{
    nftw(folder_to_remove, remove_entry, CLOSE_SPARE_FD, FTW_DEPTH | FTW_PHYS);
}

MfFuzzFolder *
mf_fuzz_folder_new(void)
{
    MfFuzzFolder *folder = g_new0(MfFuzzFolder, 1);
    g_autoptr(GError) error = NULL;

    folder->path = g_dir_make_tmp("memfold-fuzz-XXXXXX", &error);
    g_assert_no_error(error);
    folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_cmpint(folder->fd, >=, 0);
    folder->filled = g_ptr_array_new_with_free_func(g_free);
    folder_to_remove = folder->path;
    atexit(remove_folder);
    return folder;
}

const char *
mf_fuzz_folder_get_path(const MfFuzzFolder *folder)
{
    return folder->path;
}

static void
make_parents(const MfFuzzFolder *folder, const char *path)
{
    g_autofree char *full = g_build_filename(folder->path, path, NULL);
    g_autofree char *parent = g_path_get_dirname(full);

    g_assert_cmpint(g_mkdir_with_parents(parent, 0755), ==, 0);
}

void
mf_fuzz_folder_write(MfFuzzFolder *folder, const char *path, const void *data, gsize size)
{
    int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
    int fd = openat(folder->fd, path, flags, 0644);

    if (fd < 0 && errno == ENOENT) {
        make_parents(folder, path);
        fd = openat(folder->fd, path, flags, 0644);
    }
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, data, size), ==, (ssize_t)size);
    close(fd);
}

char *
mf_fuzz_folder_read(const MfFuzzFolder *folder, const char *path)
{
    g_autofree char *full = g_build_filename(folder->path, path, NULL);
    char *text = NULL;

    return g_file_get_contents(full, &text, NULL, NULL) ? text : NULL;
}

/* The next head of a file, at or after text; NULL when there is none.  Not every file ends with a
 * newline, so that it may stand anywhere.  ret_content is where the file begins. */
static const char *
find_head(const char *text, const char *end, const char **ret_content)
{
    const char *at = memmem(text, (gsize)(end - text), HEAD_BEGIN, strlen(HEAD_BEGIN));

    while (at != NULL) {
        const char *newline = memchr(at, '\n', (gsize)(end - at));
        gsize length_bytes = newline != NULL ? (gsize)(newline - at) + 1 : 0;

        if (length_bytes > strlen(HEAD_BEGIN HEAD_END) &&
            memcmp(at + length_bytes - strlen(HEAD_END), HEAD_END, strlen(HEAD_END)) == 0) {
            *ret_content = at + length_bytes;
            return at;
        }
        at++;
        at = memmem(at, (gsize)(end - at), HEAD_BEGIN, strlen(HEAD_BEGIN));
    }
    return NULL;
}

void
mf_fuzz_folder_fill(MfFuzzFolder *folder, const char *const *known, const uint8_t *data,
                    size_t size)
{
    const char *end = (const char *)data + size;
    const char *content = NULL;
    const char *head = size > 0 ? find_head((const char *)data, end, &content) : NULL;

    for (guint i = 0; i < folder->filled->len; i++) {
        unlinkat(folder->fd, folder->filled->pdata[i], 0);
    }
    g_ptr_array_set_size(folder->filled, 0);
    while (head != NULL) {
        const char *name = head + strlen(HEAD_BEGIN);
        g_autofree char *path = g_strndup(name, (gsize)(content - name) - strlen(HEAD_END));
        const char *begin = content;

        head = find_head(begin, end, &content);
        if (g_strv_contains(known, path)) {
            mf_fuzz_folder_write(folder, path, begin, (gsize)((head != NULL ? head : end) - begin));
            g_ptr_array_add(folder->filled, g_steal_pointer(&path));
        }
    }
}

char *
mf_fuzz_take_line(const uint8_t **data, size_t *size)
{
    const uint8_t *begin = *data;
    const uint8_t *newline = *size > 0 ? memchr(begin, '\n', *size) : NULL;
    gsize length_bytes = newline != NULL ? (gsize)(newline - begin) : *size;
    gsize taken_bytes = length_bytes + (newline != NULL ? 1 : 0);

    *data += taken_bytes;
    *size -= taken_bytes;
    return g_strndup((const char *)begin, length_bytes);
}

GVariant *
mf_fuzz_wire_value(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    g_autoptr(GVariant) value = NULL;
    g_autoptr(GDBusMessage) message = NULL;
    g_autoptr(GDBusMessage) received = NULL;
    g_autofree guchar *blob = NULL;
    gsize blob_bytes = 0;

    if (size == 0 || size > VALUE_MAX || memchr(data, '\0', size) != NULL) {
        return NULL;
    }
    is_reading_value = TRUE;
    value = g_variant_parse(NULL, text, text + size, NULL, NULL);
    is_reading_value = FALSE;
    if (value == NULL || !g_variant_is_of_type(value, G_VARIANT_TYPE_TUPLE)) {
        return NULL;
    }
    message = g_dbus_message_new_method_call("org.memfold1", "/", "org.memfold1", "Value");
    g_dbus_message_set_serial(message, 1);
    g_dbus_message_set_body(message, value);
    blob = g_dbus_message_to_blob(message, &blob_bytes, G_DBUS_CAPABILITY_FLAGS_NONE, NULL);
    if (blob == NULL) {
        return NULL;
    }
    received = g_dbus_message_new_from_blob(blob, blob_bytes, G_DBUS_CAPABILITY_FLAGS_NONE, NULL);
    if (received == NULL || g_dbus_message_get_body(received) == NULL) {
        return NULL;
    }
    return g_variant_ref(g_dbus_message_get_body(received));
}
