/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Policy to and from its one XML element.
 *
 * GMarkup does the reading.  It knows neither namespaces nor the end of a document after the first
 * element, so both are watched here.
 */
#include "mf-policy.h"

#include <string.h>

#include "mf-error.h"
#include "mf-text.h"

#define POLICY_XML_MAX_BYTES 4096
#define PRIORITY_DEFAULT     100
#define PRIORITY_MAX         1000

static const char *const merge_names[] = {
    [MF_MERGE_AUTO] = "auto",     [MF_MERGE_ON] = "on",     [MF_MERGE_OFF] = "off",
    [MF_MERGE_FREEZE] = "freeze", [MF_MERGE_ZERO] = "zero",
};

MfPolicy *
mf_policy_new(void)
{
    MfPolicy *policy = g_new0(MfPolicy, 1);

    policy->merge = MF_MERGE_AUTO;
    policy->priority = PRIORITY_DEFAULT;
    return policy;
}

MfPolicy *
mf_policy_copy(const MfPolicy *policy)
{
    MfPolicy *copy = g_new0(MfPolicy, 1);

    *copy = *policy;
    copy->group = g_strdup(policy->group);
    return copy;
}

void
mf_policy_free(MfPolicy *policy)
{
    if (policy == NULL) {
        return;
    }
    g_free(policy->group);
    g_free(policy);
}

gboolean
mf_policy_equal(const MfPolicy *a, const MfPolicy *b)
{
    return a->merge == b->merge && g_strcmp0(a->group, b->group) == 0 &&
           a->priority == b->priority && a->boost == b->boost;
}

const char *
mf_merge_to_string(MfMerge merge)
{
    return mf_text_of(merge_names, G_N_ELEMENTS(merge_names), merge);
}

gboolean
mf_merge_from_string(const char *text, MfMerge *ret_merge)
{
    guint value;

    if (!mf_text_find(merge_names, G_N_ELEMENTS(merge_names), text, &value)) {
        return FALSE;
    }
    *ret_merge = (MfMerge)value;
    return TRUE;
}

gboolean
mf_group_name_valid(const char *text)
{
    gsize length_bytes = strnlen(text, MF_GROUP_MAX_LEN + 1);

    if (length_bytes == 0 || length_bytes > MF_GROUP_MAX_LEN) {
        return FALSE;
    }
    for (gsize i = 0; i < length_bytes; i++) {
        if (!g_ascii_isalnum(text[i]) && strchr("._-", text[i]) == NULL) {
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean
refuse(GError **error, const char *name, const char *value, const char *allowed)
{
    g_autofree char *quoted = mf_text_quote(value);

    g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "attribute %s has the value %s; allowed: %s",
                name, quoted, allowed);
    return FALSE;
}

static gboolean
set_attribute(MfPolicy *policy, const char *name, const char *value, GError **error)
{
    if (g_str_equal(name, "merge")) {
        return mf_merge_from_string(value, &policy->merge) ||
               refuse(error, name, value, "auto, on, off, freeze, zero");
    }
    if (g_str_equal(name, "group")) {
        if (!mf_group_name_valid(value)) {
            return refuse(error, name, value, "1 to 64 letters, digits, '.', '_', '-'");
        }
        g_free(policy->group);
        policy->group = g_strdup(value);
        return TRUE;
    }
    if (g_str_equal(name, "priority")) {
        guint64 priority;
        if (!g_ascii_string_to_unsigned(value, 10, 0, PRIORITY_MAX, &priority, NULL)) {
            return refuse(error, name, value, "0 to 1000");
        }
        policy->priority = (guint)priority;
        return TRUE;
    }
    if (g_str_equal(name, "boost")) {
        policy->boost = g_str_equal(value, "on");
        return policy->boost || g_str_equal(value, "off") || refuse(error, name, value, "on, off");
    }

    g_autofree char *quoted = mf_text_quote(name);
    g_set_error(error, MF_ERROR, MF_ERROR_INVALID,
                "unknown attribute %s; allowed: merge, group, priority, boost", quoted);
    return FALSE;
}

MfPolicy *
mf_policy_from_attributes(const char *const *names, const char *const *values, GError **error)
{
    g_autoptr(MfPolicy) policy = mf_policy_new();

    for (guint i = 0; names[i] != NULL; i++) {
        for (guint j = 0; j < i; j++) {
            if (g_str_equal(names[i], names[j])) {
                g_autofree char *quoted = mf_text_quote(names[i]);
                g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "attribute %s is given twice",
                            quoted);
                return NULL;
            }
        }
        if (!set_attribute(policy, names[i], values[i], error)) {
            return NULL;
        }
    }
    return g_steal_pointer(&policy);
}

/* Whether name (an element's, with or without prefix) is MF_POLICY_ELEMENT of our namespace, as
 * declared on the element itself. */
static gboolean
element_is_policy(const char *name, const char **names, const char **values)
{
    const char *colon = strchr(name, ':');
    g_autofree char *declaration = NULL;

    if (colon == NULL) {
        declaration = g_strdup("xmlns");
    } else {
        declaration = g_strdup_printf("xmlns:%.*s", (int)(colon - name), name);
    }
    if (!g_str_equal(colon == NULL ? name : colon + 1, MF_POLICY_ELEMENT)) {
        return FALSE;
    }
    for (guint i = 0; names[i] != NULL; i++) {
        if (g_str_equal(names[i], declaration)) {
            return g_str_equal(values[i], MF_POLICY_NS);
        }
    }
    return FALSE;
}

static void
on_start(GMarkupParseContext *context G_GNUC_UNUSED, const char *element, const char **names,
         const char **values, gpointer user_data, GError **error)
{
    MfPolicy **policy = user_data;
    g_autoptr(GPtrArray) own_names = g_ptr_array_new();
    g_autoptr(GPtrArray) own_values = g_ptr_array_new();
    g_autofree char *quoted = mf_text_quote(element);

    if (*policy != NULL) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "a second element, %s, is not allowed",
                    quoted);
        return;
    }
    if (!element_is_policy(element, names, values)) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID,
                    "element %s is not <" MF_POLICY_ELEMENT "> of the namespace " MF_POLICY_NS,
                    quoted);
        return;
    }
    for (guint i = 0; names[i] != NULL; i++) {
        if (!g_str_equal(names[i], "xmlns") && !g_str_has_prefix(names[i], "xmlns:")) {
            g_ptr_array_add(own_names, (gpointer)names[i]);
            g_ptr_array_add(own_values, (gpointer)values[i]);
        }
    }
    g_ptr_array_add(own_names, NULL);
    g_ptr_array_add(own_values, NULL);
    *policy = mf_policy_from_attributes((const char *const *)own_names->pdata,
                                        (const char *const *)own_values->pdata, error);
}

static void
on_text(GMarkupParseContext *context G_GNUC_UNUSED, const char *text, gsize length_bytes,
        gpointer user_data G_GNUC_UNUSED, GError **error)
{
    for (gsize i = 0; i < length_bytes; i++) {
        if (!g_ascii_isspace(text[i])) {
            g_set_error_literal(error, MF_ERROR, MF_ERROR_INVALID, "text is not allowed");
            return;
        }
    }
}

/* Comments and the XML declaration mean nothing; DOCTYPE, CDATA and other instructions are refused.
 */
static void
on_passthrough(GMarkupParseContext *context G_GNUC_UNUSED, const char *text, gsize length_bytes,
               gpointer user_data G_GNUC_UNUSED, GError **error)
{
    if (!(length_bytes >= 4 && memcmp(text, "<!--", 4) == 0) &&
        !(length_bytes >= 6 && memcmp(text, "<?xml ", 6) == 0)) {
        g_set_error_literal(error, MF_ERROR, MF_ERROR_INVALID,
                            "only one element with attributes is allowed");
    }
}

MfPolicy *
mf_policy_from_xml(const char *xml, GError **error)
{
    static const GMarkupParser parser = {
        .start_element = on_start, .text = on_text, .passthrough = on_passthrough};
    g_autoptr(MfPolicy) policy = NULL;
    g_autoptr(GError) cause = NULL;
    gsize length_bytes = strnlen(xml, POLICY_XML_MAX_BYTES + 1);

    if (length_bytes > POLICY_XML_MAX_BYTES) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "policy is longer than %d bytes",
                    POLICY_XML_MAX_BYTES);
        return NULL;
    }

    g_autoptr(GMarkupParseContext) context =
        g_markup_parse_context_new(&parser, G_MARKUP_PREFIX_ERROR_POSITION, &policy, NULL);
    if (!g_markup_parse_context_parse(context, xml, (gssize)length_bytes, &cause) ||
        !g_markup_parse_context_end_parse(context, &cause) || policy == NULL) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "policy: %s",
                    cause != NULL ? cause->message : "no element");
        return NULL;
    }
    return g_steal_pointer(&policy);
}

char *
mf_policy_to_xml(const MfPolicy *policy)
{
    g_autoptr(GString) xml = g_string_new("<" MF_POLICY_ELEMENT);

    g_string_append_printf(xml, " merge='%s'", mf_merge_to_string(policy->merge));
    if (policy->group != NULL) {
        g_autofree char *group = g_markup_escape_text(policy->group, -1);
        g_string_append_printf(xml, " group='%s'", group);
    }
    if (policy->priority != PRIORITY_DEFAULT) {
        g_string_append_printf(xml, " priority='%u'", policy->priority);
    }
    if (policy->boost) {
        g_string_append(xml, " boost='on'");
    }
    g_string_append(xml, "/>");
    return g_string_free(g_steal_pointer(&xml), FALSE);
}
