/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Groups come and go while they are read: what is gone is left out, and is no error. */
#include "mf-ksm-groups.h"

#include "../core/mf-error.h"

#define GROUPS_DIR "sys/kernel/mm/ksm/groups"
#define GROUPS_MAX 4096
/* It has no file `members`. */
#define DEFAULT_NUMBER 0

static gboolean
read_counter(MfRoot *root, const char *group, const char *file, guint64 *ret_value, GError **error)
{
    g_autofree char *path = g_strdup_printf(GROUPS_DIR "/%s/%s", group, file);

    return mf_root_read_u64(root, path, ret_value, error);
}

static gboolean
read_members(MfRoot *root, const char *name, MfKsmGroup *group, GError **error)
{
    group->members_count.known =
        read_counter(root, name, "members", &group->members_count.value, error);
    return group->members_count.known;
}

static gboolean
read_group(MfRoot *root, const char *name, MfKsmGroup *group, GError **error)
{
    return read_counter(root, name, "pages_shared", &group->pages_shared_pages, error) &&
           read_counter(root, name, "pages_sharing", &group->pages_sharing_pages, error) &&
           (group->number == DEFAULT_NUMBER || read_members(root, name, group, error));
}

static int
compare_numbers(gconstpointer a, gconstpointer b)
{
    const MfKsmGroup *first = *(const MfKsmGroup *const *)a;
    const MfKsmGroup *second = *(const MfKsmGroup *const *)b;

    return first->number < second->number ? -1 : first->number > second->number;
}

GPtrArray *
mf_ksm_read_groups(MfRoot *root, GError **error)
{
    g_autoptr(GPtrArray) groups = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) list_error = NULL;
    g_auto(GStrv) names = mf_root_list(root, GROUPS_DIR, &list_error);

    if (names == NULL) {
        if (!mf_error_is_gone(list_error)) {
            g_propagate_error(error, g_steal_pointer(&list_error));
        }
        return NULL;
    }
    if (g_strv_length(names) > GROUPS_MAX) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "%s: more than %d groups", GROUPS_DIR,
                    GROUPS_MAX);
        return NULL;
    }
    for (guint i = 0; names[i] != NULL; i++) {
        g_autofree MfKsmGroup *group = g_new0(MfKsmGroup, 1);
        g_autoptr(GError) cause = NULL;

        if (!g_ascii_string_to_unsigned(names[i], 10, 0, G_MAXUINT64, &group->number, NULL)) {
            continue;
        }
        if (read_group(root, names[i], group, &cause)) {
            g_ptr_array_add(groups, g_steal_pointer(&group));
        } else if (!mf_error_is_gone(cause)) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return NULL;
        }
    }
    g_ptr_array_sort(groups, compare_numbers);
    return g_steal_pointer(&groups);
}
