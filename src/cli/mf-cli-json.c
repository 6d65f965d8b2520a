/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Figures to JSON; see mf-cli-json.h. */
#include "mf-cli-json.h"

#include <stdio.h>

/* Members that stand first, and those of "policy", in this order; the others follow as they come.
 */
static const char *const first_keys[] = {"name", "uuid", NULL};
static const char *const policy_keys[] = {"merge", "group", "priority", "boost", NULL};

static void
add_named(JsonObject *object, GVariant *values, const char *const *keys)
{
    for (guint i = 0; keys[i] != NULL; i++) {
        g_autoptr(GVariant) value = g_variant_lookup_value(values, keys[i], NULL);

        if (value != NULL) {
            json_object_set_member(object, keys[i], json_gvariant_serialize(value));
        }
    }
}

/* All values but those that have a place of their own in a domain's object. */
static void
add_others(JsonObject *object, GVariant *values, gboolean of_domain)
{
    GVariantIter iter;
    const char *key;
    GVariant *value;

    g_variant_iter_init(&iter, values);
    while (g_variant_iter_loop(&iter, "{&sv}", &key, &value)) {
        if (!of_domain ||
            (!g_strv_contains(first_keys, key) && !g_strv_contains(policy_keys, key))) {
            json_object_set_member(object, key, json_gvariant_serialize(value));
        }
    }
}

static JsonObject *
reason_object(const MemfoldReason *reason)
{
    JsonObject *object = json_object_new();

    json_object_set_string_member(object, "code", reason->code);
    json_object_set_string_member(object, "text", reason->text);
    if (reason->remedy != NULL) {
        json_object_set_string_member(object, "remedy", reason->remedy);
    }
    return object;
}

void
mf_cli_json_add_reasons(JsonObject *object, const char *member, const MemfoldFigures *figures)
{
    JsonArray *reasons = json_array_new();

    for (gsize i = 0; i < memfold_figures_get_n_reasons(figures); i++) {
        json_array_add_object_element(reasons,
                                      reason_object(memfold_figures_get_reason(figures, i)));
    }
    json_object_set_array_member(object, member, reasons);
}

JsonObject *
mf_cli_json_figures(const MemfoldFigures *figures)
{
    JsonObject *object = json_object_new();

    add_others(object, memfold_figures_get_values(figures), FALSE);
    mf_cli_json_add_reasons(object, "reasons", figures);
    return object;
}

JsonObject *
mf_cli_json_domain(const MemfoldFigures *domain)
{
    GVariant *values = memfold_figures_get_values(domain);
    JsonObject *object = json_object_new();
    JsonObject *policy = json_object_new();

    add_named(object, values, first_keys);
    add_named(policy, values, policy_keys);
    json_object_set_object_member(object, "policy", policy);
    add_others(object, values, TRUE);
    mf_cli_json_add_reasons(object, "reasons", domain);
    return object;
}

JsonObject *
mf_cli_json_action(const MemfoldFigures *action)
{
    JsonObject *object = json_object_new();

    add_others(object, memfold_figures_get_values(action), FALSE);
    for (gsize i = 0; i < memfold_figures_get_n_reasons(action); i++) {
        json_object_set_object_member(object, "reason",
                                      reason_object(memfold_figures_get_reason(action, i)));
    }
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
