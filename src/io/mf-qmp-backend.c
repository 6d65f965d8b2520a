/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory backends by QOM.
 *
 * Names that QEMU tells become part of the next command's path, so they must be well-formed ids as
 * QEMU's manual has them (a letter, then letters, digits, '-', '.', '_').
 */
#include "mf-qmp-backend.h"

#include <string.h>

#include "../core/mf-error.h"
#include "../core/mf-text.h"
#include "mf-qmp-answer.h"

#define OBJECTS_MAX    4096
#define NAME_BYTES     255
#define TYPE_BYTES     255
#define BACKEND_PREFIX "child<memory-backend-"

static gboolean
id_is_well_formed(const char *id)
{
    if (!g_ascii_isalpha(id[0])) {
        return FALSE;
    }
    for (const char *p = id; *p != '\0'; p++) {
        if (!g_ascii_isalnum(*p) && strchr("-._", *p) == NULL) {
            return FALSE;
        }
    }
    return TRUE;
}

/* Runs qom-list, qom-get or qom-set on the backend of that id (NULL: on /objects itself). */
static JsonNode *
run_qom(const MfQmp *qmp, const char *command, const char *id, const gboolean *value,
        GError **error)
{
    g_autofree char *path = id != NULL ? g_strconcat("/objects/", id, NULL) : g_strdup("/objects");
    JsonObject *arguments = json_object_new();

    json_object_set_string_member(arguments, "path", path);
    if (!g_str_equal(command, "qom-list")) {
        json_object_set_string_member(arguments, "property", "merge");
    }
    if (value != NULL) {
        json_object_set_boolean_member(arguments, "value", *value);
    }
    return mf_qmp_run(qmp, command, arguments, error);
}

/* Reads one element of qom-list's answer; both texts are borrowed. */
static gboolean
read_property(JsonNode *node, const char **ret_name, const char **ret_type, GError **error)
{
    JsonObject *object = mf_qmp_answer_object(node, "property", error);

    if (object == NULL) {
        return FALSE;
    }
    *ret_name = mf_qmp_answer_text(object, "name", NAME_BYTES, error);
    *ret_type = *ret_name != NULL ? mf_qmp_answer_text(object, "type", TYPE_BYTES, error) : NULL;
    return *ret_type != NULL;
}

/* Ids of all memory backends, NULL-terminated; UNSUPPORTED when there are none. */
static char **
list_backends(const MfQmp *qmp, GError **error)
{
    g_autoptr(JsonNode) node = run_qom(qmp, "qom-list", NULL, NULL, error);
    JsonArray *array =
        node != NULL ? mf_qmp_answer_array(node, "return", OBJECTS_MAX, error) : NULL;
    g_autoptr(GStrvBuilder) ids = g_strv_builder_new();
    guint id_count = 0;

    if (array == NULL) {
        return NULL;
    }
    for (guint i = 0; i < json_array_get_length(array); i++) {
        const char *name;
        const char *type;
        if (!read_property(json_array_get_element(array, i), &name, &type, error)) {
            return NULL;
        }
        if (!g_str_has_prefix(type, BACKEND_PREFIX)) {
            continue;
        }
        if (!id_is_well_formed(name) || ++id_count > MF_QMP_MAX_BLOCKS) {
            g_autofree char *quoted = mf_text_quote(name);
            g_set_error(error, MF_ERROR, MF_ERROR_INVALID,
                        "QEMU's answer: %s is no memory backend's id, or one too many", quoted);
            return NULL;
        }
        g_strv_builder_add(ids, name);
    }
    if (id_count == 0) {
        g_set_error_literal(error, MF_ERROR, MF_ERROR_UNSUPPORTED,
                            "this QEMU has no memory backend whose merging could be switched");
        return NULL;
    }
    return g_strv_builder_end(ids);
}

static gboolean
backend_has_merge(const MfQmp *qmp, const char *id, gboolean *ret_has, GError **error)
{
    g_autoptr(JsonNode) node = run_qom(qmp, "qom-list", id, NULL, error);
    JsonArray *array =
        node != NULL ? mf_qmp_answer_array(node, "return", OBJECTS_MAX, error) : NULL;

    if (array == NULL) {
        return FALSE;
    }
    *ret_has = FALSE;
    for (guint i = 0; i < json_array_get_length(array); i++) {
        const char *name;
        const char *type;
        if (!read_property(json_array_get_element(array, i), &name, &type, error)) {
            return FALSE;
        }
        *ret_has = *ret_has || g_str_equal(name, "merge");
    }
    return TRUE;
}

gboolean
mf_qmp_backend_probe(const MfQmp *qmp, gboolean *ret_usable, GError **error)
{
    g_autoptr(GError) cause = NULL;
    g_auto(GStrv) ids = list_backends(qmp, &cause);
    gboolean usable = ids != NULL;

    if (ids == NULL && !mf_error_is_unsupported(cause)) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return FALSE;
    }
    for (guint i = 0; usable && ids[i] != NULL; i++) {
        if (!backend_has_merge(qmp, ids[i], &usable, error)) {
            return FALSE;
        }
    }
    *ret_usable = usable;
    return TRUE;
}

gboolean
mf_qmp_backend_query(const MfQmp *qmp, MfMode *ret_mode, GError **error)
{
    g_auto(GStrv) ids = list_backends(qmp, error);
    guint on_count = 0;

    if (ids == NULL) {
        return FALSE;
    }
    for (guint i = 0; ids[i] != NULL; i++) {
        g_autoptr(JsonNode) node = run_qom(qmp, "qom-get", ids[i], NULL, error);
        if (node == NULL) {
            return FALSE;
        }
        if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_BOOLEAN) {
            g_set_error(error, MF_ERROR, MF_ERROR_INVALID,
                        "QEMU's answer: merge of memory backend %s is no boolean", ids[i]);
            return FALSE;
        }
        on_count += json_node_get_boolean(node) ? 1 : 0;
    }
    if (on_count == 0) {
        *ret_mode = MF_MODE_OFF;
    } else {
        *ret_mode = on_count == g_strv_length(ids) ? MF_MODE_ON : MF_MODE_MIXED;
    }
    return TRUE;
}

gboolean
mf_qmp_backend_set(const MfQmp *qmp, gboolean merge, GError **error)
{
    g_auto(GStrv) ids = list_backends(qmp, error);
    gboolean success = ids != NULL;

    for (guint i = 0; ids != NULL && ids[i] != NULL; i++) {
        g_autoptr(JsonNode) node = run_qom(qmp, "qom-set", ids[i], &merge, success ? error : NULL);
        success = success && node != NULL;
    }
    return success;
}
