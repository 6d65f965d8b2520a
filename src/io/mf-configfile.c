/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-configfile.h"

#include <string.h>

#include "mf-error.h"

/* Takes the place of *config; a missing file leaves it as it is where it may be missing. */
static gboolean
apply_file(MfConfig **config, const char *path, gboolean may_be_missing, GError **error)
{
    g_autofree char *text = NULL;
    gsize length_bytes = 0;
    g_autoptr(GError) problem = NULL;
    MfConfig *next = NULL;

    if (!g_file_get_contents(path, &text, &length_bytes, &problem)) {
        if (may_be_missing && g_error_matches(problem, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
            return TRUE;
        }
        g_set_error(error, MF_ERROR,
                    g_error_matches(problem, G_FILE_ERROR, G_FILE_ERROR_ACCES) ? MF_ERROR_DENIED
                                                                               : MF_ERROR_FAILED,
                    "%s", problem->message);
        return FALSE;
    }
    next = mf_config_apply(*config, text, length_bytes, path, error);
    if (!next) {
        return FALSE;
    }
    mf_config_free(*config);
    *config = next;
    return TRUE;
}

static int
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Full paths of the drop-ins, sorted; NULL with error when the directory is there but unreadable.
 */
static GPtrArray *
list_dropins(const char *path, GError **error)
{
    g_autofree char *directory = g_strconcat(path, ".d", NULL);
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) problem = NULL;
    g_autoptr(GDir) dir = g_dir_open(directory, 0, &problem);
    const char *name = NULL;

    if (!dir) {
        if (!g_error_matches(problem, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
            g_set_error(error, MF_ERROR, MF_ERROR_FAILED, "%s", problem->message);
            return NULL;
        }
        return g_steal_pointer(&paths);
    }
    while ((name = g_dir_read_name(dir))) {
        if (name[0] != '.' && g_str_has_suffix(name, ".conf")) {
            g_ptr_array_add(paths, g_build_filename(directory, name, NULL));
        }
    }
    g_ptr_array_sort(paths, compare_names);
    return g_steal_pointer(&paths);
}

MfConfig *
mf_configfile_load(const char *path, GError **error)
{
    g_autoptr(MfConfig) config = mf_config_new();
    g_autoptr(GPtrArray) dropins = list_dropins(path, error);

    if (!dropins || !apply_file(&config, path, TRUE, error)) {
        return NULL;
    }
    for (guint i = 0; i < dropins->len; i++) {
        /* A link that leads nowhere says nothing, and was surely meant to. */
        if (!apply_file(&config, dropins->pdata[i], FALSE, error)) {
            return NULL;
        }
    }
    if (!mf_config_validate(config, error)) {
        g_prefix_error(error, "%s: ", path);
        return NULL;
    }
    return g_steal_pointer(&config);
}
