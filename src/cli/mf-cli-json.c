/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Figures to JSON; see mf-cli-json.h. */
#include "mf-cli-json.h"

#include <stdio.h>
#include <string.h>

#define FIRST_OF_PAIRS 0x10000 /* from here on \\u takes a pair of surrogates */

/* Members that stand first, and those of "policy", in this order; the others follow as they come.
 */
static const char *const first_keys[] = {"name", "uuid", NULL};
static const char *const policy_keys[] = {"merge", "group", "priority", "boost", NULL};

/* JSON's integers are signed here, so that a larger one would be told as less than nothing. */
static gboolean
fits(GVariant *value)
{
    if (g_variant_is_of_type(value, G_VARIANT_TYPE_UINT64)) {
        return g_variant_get_uint64(value) <= G_MAXINT64;
    }
    for (gsize i = 0; g_variant_is_container(value) && i < g_variant_n_children(value); i++) {
        g_autoptr(GVariant) child = g_variant_get_child_value(value, i);

        if (!fits(child)) {
            return FALSE;
        }
    }
    return TRUE;
}

static void
add_named(JsonObject *object, GVariant *values, const char *const *keys)
{
    for (guint i = 0; keys[i] != NULL; i++) {
        g_autoptr(GVariant) value = g_variant_lookup_value(values, keys[i], NULL);

        if (value != NULL && fits(value)) {
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
        if (fits(value) && (!of_domain || (!g_strv_contains(first_keys, key) &&
                                           !g_strv_contains(policy_keys, key)))) {
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

static void
append_escaped(GString *out, gunichar c)
{
    if (c < FIRST_OF_PAIRS) {
        g_string_append_printf(out, "\\u%04x", c);
    } else {
        c -= FIRST_OF_PAIRS;
        g_string_append_printf(out, "\\u%04x\\u%04x", 0xd800 + (c >> 10), 0xdc00 + (c & 0x3ff));
    }
}

/* JSON ends on terminals, too, and json-glib lets most of what drives one through.  All but
 * printable characters and the ends of lines can only stand in strings. */
static char *
escape_unprintable(const char *json)
{
    g_autoptr(GString) out = g_string_sized_new(strlen(json));

    for (const char *p = json; *p != '\0'; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        if (c == '\n' || g_unichar_isprint(c)) {
            g_string_append_unichar(out, c);
        } else {
            append_escaped(out, c);
        }
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}

void
mf_cli_json_print(JsonObject *object)
{
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
    g_autofree char *text = NULL;
    g_autofree char *clean = NULL;

    json_node_take_object(node, object);
    text = json_to_string(node, TRUE);
    clean = escape_unprintable(text);
    printf("%s\n", clean);
}
