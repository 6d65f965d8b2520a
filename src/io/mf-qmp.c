/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What memfold asks of QEMU: our commands where it knows them, else its memory backends' property.
 *
 * All JSON is built by the library, so no text can break out of its string.
 */
#include "mf-qmp.h"

#include "../core/mf-error.h"
#include "mf-qmp-answer.h"
#include "mf-qmp-backend.h"
#include "mf-qmp-info.h"

#define COMMANDS_MAX  4096
#define COMMAND_BYTES 255

static void
fill_domain(MfDomain *domain, MfQmpInfo *info)
{
    g_clear_pointer(&domain->blocks, g_ptr_array_unref);
    domain->blocks = g_steal_pointer(&info->blocks);
    domain->mode = info->mode;
    if (!domain->zero_bytes.known) {
        domain->zero_bytes = info->zero_bytes;
    }
    if (!domain->rmap_items_pages.known) {
        domain->rmap_items_pages = info->rmap_items_pages;
    }
    if (!domain->profit_bytes.known) {
        domain->profit_bytes = info->profit_bytes;
    }
}

gboolean
mf_qmp_parse_memory_merge(const char *answer, gsize length_bytes, MfDomain *domain, GError **error)
{
    g_autoptr(JsonNode) node = mf_qmp_answer_parse(answer, length_bytes, error);
    g_auto(MfQmpInfo) info = {0};

    if (node == NULL || !mf_qmp_info_parse(node, &info, error)) {
        return FALSE;
    }
    fill_domain(domain, &info);
    return TRUE;
}

static gboolean
parse_commands(JsonNode *node, guint *ret_caps, GError **error)
{
    JsonArray *array = mf_qmp_answer_array(node, "return", COMMANDS_MAX, error);
    gboolean query = FALSE;
    gboolean set = FALSE;

    for (guint i = 0; array != NULL && i < json_array_get_length(array); i++) {
        JsonObject *object =
            mf_qmp_answer_object(json_array_get_element(array, i), "command", error);
        const char *name =
            object != NULL ? mf_qmp_answer_text(object, "name", COMMAND_BYTES, error) : NULL;
        if (name == NULL) {
            return FALSE;
        }
        query = query || g_str_equal(name, "query-memory-merge");
        set = set || g_str_equal(name, "set-memory-merge");
    }
    if (array == NULL) {
        return FALSE;
    }
    *ret_caps = MF_CAP_PROBED | (query && set ? MF_CAP_SET_MERGE : 0);
    return TRUE;
}

gboolean
mf_qmp_parse_commands(const char *answer, gsize length_bytes, guint *ret_caps, GError **error)
{
    g_autoptr(JsonNode) node = mf_qmp_answer_parse(answer, length_bytes, error);

    return node != NULL && parse_commands(node, ret_caps, error);
}

/* What only the answer itself tells: whether this host can freeze, and whether QEMU is in a group.
 */
static gboolean
probe_info(const MfQmp *qmp, guint *caps, GError **error)
{
    g_autoptr(JsonNode) node = mf_qmp_run(qmp, "query-memory-merge", NULL, error);
    g_auto(MfQmpInfo) info = {0};

    if (node == NULL || !mf_qmp_info_parse(node, &info, error)) {
        return FALSE;
    }
    *caps |= (info.can_freeze ? MF_CAP_FREEZE : 0) | (info.in_group ? MF_CAP_GROUP : 0);
    return TRUE;
}

gboolean
mf_qmp_probe(const MfQmp *qmp, guint *ret_caps, GError **error)
{
    g_autoptr(JsonNode) node = mf_qmp_run(qmp, "query-commands", NULL, error);
    guint caps = 0;

    if (node == NULL || !parse_commands(node, &caps, error)) {
        return FALSE;
    }
    if ((caps & MF_CAP_SET_MERGE) != 0) {
        if (!probe_info(qmp, &caps, error)) {
            return FALSE;
        }
    } else {
        gboolean usable = FALSE;
        if (!mf_qmp_backend_probe(qmp, &usable, error)) {
            return FALSE;
        }
        caps |= usable ? MF_CAP_BACKEND_MERGE : 0;
    }
    *ret_caps = caps;
    return TRUE;
}

gboolean
mf_qmp_query(const MfQmp *qmp, guint caps, MfDomain *domain, GError **error)
{
    if ((caps & MF_CAP_SET_MERGE) != 0) {
        g_autoptr(JsonNode) node = mf_qmp_run(qmp, "query-memory-merge", NULL, error);
        g_auto(MfQmpInfo) info = {0};
        if (node == NULL || !mf_qmp_info_parse(node, &info, error)) {
            return FALSE;
        }
        fill_domain(domain, &info);
        return TRUE;
    }
    if ((caps & MF_CAP_BACKEND_MERGE) != 0) {
        return mf_qmp_backend_query(qmp, &domain->mode, error);
    }
    g_set_error_literal(error, MF_ERROR, MF_ERROR_UNSUPPORTED,
                        "this QEMU does not tell whether its memory is merged");
    return FALSE;
}

gboolean
mf_qmp_set_mode(const MfQmp *qmp, guint caps, MfMode mode, GError **error)
{
    if (mode != MF_MODE_OFF && mode != MF_MODE_ON && mode != MF_MODE_FROZEN) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "merging can't be set to \"%s\"",
                    mf_mode_to_string(mode));
        return FALSE;
    }
    if ((caps & MF_CAP_SET_MERGE) != 0) {
        JsonObject *arguments = json_object_new();
        json_object_set_string_member(arguments, "mode", mf_mode_to_string(mode));
        g_autoptr(JsonNode) node = mf_qmp_run(qmp, "set-memory-merge", arguments, error);
        return node != NULL;
    }
    if ((caps & MF_CAP_BACKEND_MERGE) != 0 && mode != MF_MODE_FROZEN) {
        return mf_qmp_backend_set(qmp, mode == MF_MODE_ON, error);
    }
    g_set_error(error, MF_ERROR, MF_ERROR_UNSUPPORTED,
                "this QEMU can't set merging to \"%s\" while it runs", mf_mode_to_string(mode));
    return FALSE;
}
