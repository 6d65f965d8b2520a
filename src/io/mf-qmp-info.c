/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading query-memory-merge; a member that is not what the schema says refuses the whole answer.
 */
#include "mf-qmp-info.h"

#include <string.h>

#include "../core/mf-error.h"
#include "mf-qmp-answer.h"

#define ID_BYTES       255
#define BLOCKERS_MAX   16
#define WORD_BYTES     64
#define MODES_MAX      16
#define PAGE_BYTES_MIN 4096
#define PAGE_BYTES_MAX (16 * G_GUINT64_CONSTANT(1073741824))

void
mf_qmp_info_clear(MfQmpInfo *info)
{
    g_clear_pointer(&info->blocks, g_ptr_array_unref);
}

static gboolean
text_to_set_mode(const char *text, MfMode *ret_mode)
{
    MfMode mode;

    if (!mf_mode_from_string(text, &mode) ||
        (mode != MF_MODE_OFF && mode != MF_MODE_ON && mode != MF_MODE_FROZEN)) {
        return FALSE;
    }
    *ret_mode = mode;
    return TRUE;
}

static gboolean
member_mode(JsonObject *object, MfMode *ret_mode, GError **error)
{
    const char *text = mf_qmp_answer_text(object, "mode", 16, error);

    if (text == NULL) {
        return FALSE;
    }
    if (!text_to_set_mode(text, ret_mode)) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "QEMU's answer: unknown mode \"%s\"", text);
        return FALSE;
    }
    return TRUE;
}

/* The members of an array of words, NULL-terminated; NULL with error. */
static char **
member_words(JsonObject *object, const char *name, guint max_count, GError **error)
{
    JsonArray *array =
        mf_qmp_answer_array(json_object_get_member(object, name), name, max_count, error);
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; array != NULL && i < json_array_get_length(array); i++) {
        JsonNode *node = json_array_get_element(array, i);
        const char *word =
            JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING
                ? json_node_get_string(node)
                : "";
        if (word[0] == '\0' || strlen(word) > WORD_BYTES ||
            strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(word)) {
            g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "QEMU's answer: %s holds no words",
                        name);
            return NULL;
        }
        g_ptr_array_add(words, g_strdup(word));
    }
    if (array == NULL) {
        return NULL;
    }
    g_ptr_array_add(words, NULL);
    g_ptr_array_set_free_func(words, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&words), FALSE);
}

static MfBlock *
parse_block(JsonNode *node, GError **error)
{
    JsonObject *object = mf_qmp_answer_object(node, "block", error);
    g_autoptr(MfBlock) block = mf_block_new();
    const char *id = object != NULL ? mf_qmp_answer_text(object, "id", ID_BYTES, error) : NULL;

    if (id == NULL || !mf_qmp_answer_size(object, "size", &block->size_bytes, error) ||
        !mf_qmp_answer_size(object, "page-size", &block->page_size_bytes, error) ||
        !member_mode(object, &block->mode, error)) {
        return NULL;
    }
    block->id = g_strdup(id);
    if (block->page_size_bytes < PAGE_BYTES_MIN || block->page_size_bytes > PAGE_BYTES_MAX ||
        (block->page_size_bytes & (block->page_size_bytes - 1)) != 0) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID,
                    "QEMU's answer: block \"%s\" has pages of %" G_GUINT64_FORMAT " bytes", id,
                    block->page_size_bytes);
        return NULL;
    }
    if (json_object_has_member(object, "mergeable")) {
        block->mergeable_known = TRUE;
        if (!mf_qmp_answer_boolean(object, "mergeable", &block->mergeable, error)) {
            return NULL;
        }
    }
    block->blockers = member_words(object, "blockers", BLOCKERS_MAX, error);
    return block->blockers != NULL ? g_steal_pointer(&block) : NULL;
}

static gboolean
parse_blocks(JsonObject *object, MfQmpInfo *info, GError **error)
{
    JsonArray *array = mf_qmp_answer_array(json_object_get_member(object, "blocks"), "blocks",
                                           MF_QMP_MAX_BLOCKS, error);

    if (array == NULL) {
        return FALSE;
    }
    info->blocks = g_ptr_array_new_with_free_func((GDestroyNotify)mf_block_free);
    for (guint i = 0; i < json_array_get_length(array); i++) {
        MfBlock *block = parse_block(json_array_get_element(array, i), error);
        if (block == NULL) {
            return FALSE;
        }
        g_ptr_array_add(info->blocks, block);
    }
    return TRUE;
}

static gboolean
optional_size(JsonObject *object, const char *name, MfU64 *ret_value, GError **error)
{
    if (!json_object_has_member(object, name)) {
        return TRUE;
    }
    ret_value->known = mf_qmp_answer_size(object, name, &ret_value->value, error);
    return ret_value->known;
}

/* The counters of the process, which QEMU reads of itself. */
static gboolean
parse_process(JsonObject *object, MfQmpInfo *info, GError **error)
{
    if (!json_object_has_member(object, "process")) {
        return TRUE;
    }
    JsonObject *process =
        mf_qmp_answer_object(json_object_get_member(object, "process"), "process", error);
    if (process == NULL || !optional_size(process, "zero", &info->zero_bytes, error) ||
        !optional_size(process, "tracked", &info->rmap_items_pages, error)) {
        return FALSE;
    }
    if (json_object_has_member(process, "profit")) {
        JsonNode *profit = json_object_get_member(process, "profit");
        if (!JSON_NODE_HOLDS_VALUE(profit) || json_node_get_value_type(profit) != G_TYPE_INT64) {
            g_set_error_literal(error, MF_ERROR, MF_ERROR_INVALID,
                                "QEMU's answer: profit is no number");
            return FALSE;
        }
        info->profit_bytes = MF_I64(json_node_get_int(profit));
    }
    return TRUE;
}

gboolean
mf_qmp_info_parse(JsonNode *node, MfQmpInfo *info, GError **error)
{
    JsonObject *object = mf_qmp_answer_object(node, "return", error);

    if (object == NULL || !member_mode(object, &info->mode, error) ||
        !parse_blocks(object, info, error) || !parse_process(object, info, error)) {
        return FALSE;
    }
    info->in_group = json_object_has_member(object, "group");
    if (json_object_has_member(object, "modes")) {
        g_auto(GStrv) modes = member_words(object, "modes", MODES_MAX, error);
        if (modes == NULL) {
            return FALSE;
        }
        info->can_freeze = g_strv_contains((const char *const *)modes, "frozen");
    }

    /* A block that is what it is for a reason of its own does not make the domain a mixed one. */
    for (guint i = 0; i < info->blocks->len; i++) {
        const MfBlock *block = g_ptr_array_index(info->blocks, i);
        if (block->blockers[0] == NULL && block->mode != info->mode) {
            info->mode = MF_MODE_MIXED;
            break;
        }
    }
    return TRUE;
}
