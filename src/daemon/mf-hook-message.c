/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-hook-message.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "../core/mf-error.h"
#include "../core/mf-json-text.h"

#define MESSAGE_VERSION 1
#define NAME_MAX_BYTES  255
#define DEPTH_MAX       8 /* the message has one level; later versions may have more */

static JsonNode *
get_member(JsonObject *object, const char *name, GType type, GError **error)
{
    JsonNode *node = json_object_get_member(object, name);

    if (!node || !JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != type) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "\"%s\" is missing or not a %s", name,
                    g_type_name(type));
        return NULL;
    }
    return node;
}

static const char *
get_string(JsonObject *object, const char *name, GError **error)
{
    JsonNode *node = get_member(object, name, G_TYPE_STRING, error);

    return node ? json_node_get_string(node) : NULL;
}

/* As libvirt has it, which allows no '/' and no newline; the name leads to QEMU's PID file.  Other
 * control characters are made printable where the name is shown. */
static gboolean
name_is_valid(const char *name)
{
    gsize length_bytes = strlen(name);

    return length_bytes > 0 && length_bytes <= NAME_MAX_BYTES && strpbrk(name, "/\n") == NULL;
}

static MfHookOperation
operation_from_string(const char *text)
{
    static const struct {
        const char *text;
        MfHookOperation operation;
    } operations[] = {
        {"prepare", MF_HOOK_PREPARE}, {"started", MF_HOOK_STARTED}, {"reconnect", MF_HOOK_STARTED},
        {"stopped", MF_HOOK_STOPPED}, {"release", MF_HOOK_STOPPED}, {"migrate", MF_HOOK_MIGRATE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(operations); i++) {
        if (g_str_equal(text, operations[i].text)) {
            return operations[i].operation;
        }
    }
    return MF_HOOK_OTHER;
}

static gboolean
read_memory_bytes(JsonObject *object, MfDomain *domain, GError **error)
{
    JsonNode *node = NULL;

    if (!json_object_has_member(object, "memory_bytes")) {
        return TRUE;
    }
    node = get_member(object, "memory_bytes", G_TYPE_INT64, error);
    if (!node) {
        return FALSE;
    }
    if (json_node_get_int(node) < 0) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "\"memory_bytes\" is negative");
        return FALSE;
    }
    domain->memory_bytes = MF_U64((guint64)json_node_get_int(node));
    return TRUE;
}

static gboolean
read_policy(JsonObject *object, MfDomain *domain, GError **error)
{
    const char *text = NULL;
    MfPolicy *policy = NULL;
    g_autoptr(GError) refused = NULL;

    if (!json_object_has_member(object, "policy")) {
        return TRUE;
    }
    text = get_string(object, "policy", error);
    if (!text) {
        return FALSE;
    }
    policy = mf_policy_from_xml(text, &refused);
    if (policy) {
        mf_policy_free(domain->policy);
        domain->policy = policy;
    } else {
        domain->policy_error = g_strdup(refused->message);
    }
    return TRUE;
}

static MfDomain *
read_domain(JsonObject *object, GError **error)
{
    const char *name = get_string(object, "name", error);
    const char *uuid = name ? get_string(object, "uuid", error) : NULL;
    const char *memory = uuid ? get_string(object, "memory", error) : NULL;
    JsonNode *nosharepages =
        memory ? get_member(object, "nosharepages", G_TYPE_BOOLEAN, error) : NULL;
    g_autoptr(MfDomain) domain = NULL;

    if (!nosharepages) {
        return NULL;
    }
    if (!name_is_valid(name) || !g_uuid_string_is_valid(uuid)) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "\"name\" or \"uuid\" is no domain's");
        return NULL;
    }
    domain = mf_domain_new(uuid, name);
    domain->nosharepages = json_node_get_boolean(nosharepages);
    if (!mf_memory_kind_from_string(memory, &domain->memory_kind)) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "\"memory\" is no kind of memory");
        return NULL;
    }
    return read_memory_bytes(object, domain, error) && read_policy(object, domain, error)
               ? g_steal_pointer(&domain)
               : NULL;
}

MfDomain *
mf_hook_message_parse(const char *text, gsize length_bytes, MfHookOperation *ret_operation,
                      GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    g_autoptr(GError) problem = NULL;
    JsonNode *root = NULL;
    JsonNode *version = NULL;
    const char *operation = NULL;
    MfDomain *domain = NULL;

    if (!mf_json_text_is_one_object(text, length_bytes, DEPTH_MAX) ||
        !json_parser_load_from_data(parser, text, (gssize)length_bytes, &problem)) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "not a JSON object");
        return NULL;
    }
    root = json_parser_get_root(parser);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root)) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "not a JSON object");
        return NULL;
    }
    version = get_member(json_node_get_object(root), "version", G_TYPE_INT64, error);
    if (!version) {
        return NULL;
    }
    if (json_node_get_int(version) != MESSAGE_VERSION) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "\"version\" is not %d", MESSAGE_VERSION);
        return NULL;
    }
    operation = get_string(json_node_get_object(root), "operation", error);
    domain = operation ? read_domain(json_node_get_object(root), error) : NULL;
    if (domain) {
        *ret_operation = operation_from_string(operation);
    }
    return domain;
}
