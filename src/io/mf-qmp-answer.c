/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checked access to an answer; see the header. */
#include "mf-qmp-answer.h"

#include <string.h>

#include "../core/mf-error.h"
#include "../core/mf-json-text.h"
#include "../core/mf-text.h"

#define DEPTH_MAX        32
#define ERROR_DESC_BYTES 256

static gboolean
refuse(GError **error, const char *what, const char *problem)
{
    g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "QEMU's answer: %s %s", what, problem);
    return FALSE;
}

static gboolean
is_string(JsonNode *node)
{
    return node != NULL && JSON_NODE_HOLDS_VALUE(node) &&
           json_node_get_value_type(node) == G_TYPE_STRING;
}

/* QEMU's own error, as ours. */
static void
report_error(JsonNode *node, GError **error)
{
    JsonObject *object = mf_qmp_answer_object(node, "error", error);
    JsonNode *class_node = object != NULL ? json_object_get_member(object, "class") : NULL;
    JsonNode *desc_node = object != NULL ? json_object_get_member(object, "desc") : NULL;

    if (object == NULL) {
        return;
    }
    if (!is_string(class_node) || !is_string(desc_node)) {
        refuse(error, "error", "has no class and description");
        return;
    }
    const char *class = json_node_get_string(class_node);
    const char *desc = json_node_get_string(desc_node);
    gboolean unsupported =
        g_str_equal(class, "CommandNotFound") || strstr(desc, "not supported by this host") != NULL;
    g_autofree char *shown = mf_text_printable(desc, ERROR_DESC_BYTES);
    g_set_error(error, MF_ERROR, unsupported ? MF_ERROR_UNSUPPORTED : MF_ERROR_FAILED,
                "QEMU says: %s", shown);
}

JsonNode *
mf_qmp_answer_parse(const char *text, gsize length_bytes, GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    g_autoptr(GError) cause = NULL;

    if (length_bytes > MF_QMP_MAX_BYTES) {
        refuse(error, "text", "is longer than 1 MiB");
        return NULL;
    }
    if (!mf_json_text_is_one_object(text, length_bytes, DEPTH_MAX)) {
        refuse(error, "text", "is no single object of UTF-8, nested too deeply or holds NUL");
        return NULL;
    }
    if (!json_parser_load_from_data(parser, text, (gssize)length_bytes, &cause)) {
        g_autofree char *shown = mf_text_printable(cause->message, ERROR_DESC_BYTES);
        refuse(error, "text is no JSON:", shown);
        return NULL;
    }

    JsonObject *object = mf_qmp_answer_object(json_parser_get_root(parser), "text", error);
    if (object == NULL) {
        return NULL;
    }
    if (json_object_has_member(object, "error")) {
        report_error(json_object_get_member(object, "error"), error);
        return NULL;
    }
    if (!json_object_has_member(object, "return")) {
        refuse(error, "text", "has neither return nor error");
        return NULL;
    }
    return json_node_ref(json_object_get_member(object, "return"));
}

JsonObject *
mf_qmp_answer_object(JsonNode *node, const char *what, GError **error)
{
    if (node == NULL || !JSON_NODE_HOLDS_OBJECT(node)) {
        refuse(error, what, "is no object");
        return NULL;
    }
    return json_node_get_object(node);
}

JsonArray *
mf_qmp_answer_array(JsonNode *node, const char *what, guint max_count, GError **error)
{
    if (node == NULL || !JSON_NODE_HOLDS_ARRAY(node)) {
        refuse(error, what, "is no array");
        return NULL;
    }
    JsonArray *array = json_node_get_array(node);
    if (json_array_get_length(array) > max_count) {
        refuse(error, what, "has too many elements");
        return NULL;
    }
    return array;
}

const char *
mf_qmp_answer_text(JsonObject *object, const char *name, gsize max_bytes, GError **error)
{
    JsonNode *node = json_object_get_member(object, name);

    if (!is_string(node) || !mf_text_is_printable(json_node_get_string(node), max_bytes)) {
        refuse(error, name, "is no printable text of that length");
        return NULL;
    }
    return json_node_get_string(node);
}

gboolean
mf_qmp_answer_size(JsonObject *object, const char *name, guint64 *ret_value, GError **error)
{
    JsonNode *node = json_object_get_member(object, name);

    /* Beyond 2^63 the parser wraps to negative, or (json-glib 1.10) stops at the largest number. */
    if (node == NULL || !JSON_NODE_HOLDS_VALUE(node) ||
        json_node_get_value_type(node) != G_TYPE_INT64 || json_node_get_int(node) < 0 ||
        json_node_get_int(node) == G_MAXINT64) {
        return refuse(error, name, "is no size");
    }
    *ret_value = (guint64)json_node_get_int(node);
    return TRUE;
}

gboolean
mf_qmp_answer_boolean(JsonObject *object, const char *name, gboolean *ret_value, GError **error)
{
    JsonNode *node = json_object_get_member(object, name);

    if (node == NULL || !JSON_NODE_HOLDS_VALUE(node) ||
        json_node_get_value_type(node) != G_TYPE_BOOLEAN) {
        return refuse(error, name, "is no boolean");
    }
    *ret_value = json_node_get_boolean(node);
    return TRUE;
}

JsonNode *
mf_qmp_run(const MfQmp *qmp, const char *command, JsonObject *arguments, GError **error)
{
    g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT);
    JsonObject *object = json_object_new();

    json_object_set_string_member(object, "execute", command);
    if (arguments != NULL) {
        json_object_set_object_member(object, "arguments", arguments);
    }
    json_node_take_object(root, object);

    g_autofree char *text = json_to_string(root, FALSE);
    g_autofree char *answer = qmp->call(qmp->data, text, error);
    if (answer == NULL) {
        return NULL;
    }
    JsonNode *node = mf_qmp_answer_parse(answer, strnlen(answer, MF_QMP_MAX_BYTES + 1), error);
    if (node == NULL) {
        g_prefix_error(error, "%s: ", command);
    }
    return node;
}
