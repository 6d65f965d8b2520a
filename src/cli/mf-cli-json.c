/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Figures to JSON; see mf-cli-json.h. */
#include "mf-cli-json.h"

#include <stdio.h>

static const char *const policy_keys[] = {"merge", "group", "priority", "boost", NULL};

/* Members of the values named in keys, or of all others when others is set. */
static void
add_values(JsonObject *object, GVariant *values, const char *const *keys, gboolean others)
{
    GVariantIter iter;
    const char *key;
    GVariant *value;

    g_variant_iter_init(&iter, values);
    while (g_variant_iter_loop(&iter, "{&sv}", &key, &value)) {
        if (g_strv_contains(keys, key) != others) {
            json_object_set_member(object, key, json_gvariant_serialize(value));
        }
    }
}

static void
add_reasons(JsonObject *object, const MemfoldFigures *figures)
{
    JsonArray *reasons = json_array_new();

    for (gsize i = 0; i < memfold_figures_get_n_reasons(figures); i++) {
        const MemfoldReason *reason = memfold_figures_get_reason(figures, i);
        JsonObject *entry = json_object_new();

        json_object_set_string_member(entry, "code", reason->code);
        json_object_set_string_member(entry, "text", reason->text);
        if (reason->remedy != NULL) {
            json_object_set_string_member(entry, "remedy", reason->remedy);
        }
        json_array_add_object_element(reasons, entry);
    }
    json_object_set_array_member(object, "reasons", reasons);
}

JsonObject *
mf_cli_json_host(const MemfoldFigures *host)
{
    static const char *const none[] = {NULL};
    JsonObject *object = json_object_new();

    add_values(object, memfold_figures_get_values(host), none, TRUE);
    add_reasons(object, host);
    return object;
}

JsonObject *
mf_cli_json_domain(const MemfoldFigures *domain)
{
    static const char *const first_keys[] = {"name", "uuid", NULL};
    static const char *const placed_keys[] = {"name",  "uuid",     "merge", "group",
                                              "boost", "priority", NULL};
    GVariant *values = memfold_figures_get_values(domain);
    JsonObject *object = json_object_new();
    JsonObject *policy = json_object_new();

    add_values(object, values, first_keys, FALSE);
    add_values(policy, values, policy_keys, FALSE);
    json_object_set_object_member(object, "policy", policy);
    add_values(object, values, placed_keys, TRUE);
    add_reasons(object, domain);
    return object;
}

void
mf_cli_json_print(JsonObject *object)
{
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
    g_autofree char *text = NULL;

    json_node_take_object(node, object);
    text = json_to_string(node, TRUE);
    printf("%s\n", text);
}
