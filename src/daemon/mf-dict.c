/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-dict.h"

void
mf_dict_add_u64(GVariantBuilder *builder, const char *key, MfU64 value)
{
    if (value.known) {
        g_variant_builder_add(builder, "{sv}", key, g_variant_new_uint64(value.value));
    }
}

void
mf_dict_add_i64(GVariantBuilder *builder, const char *key, MfI64 value)
{
    if (value.known) {
        g_variant_builder_add(builder, "{sv}", key, g_variant_new_int64(value.value));
    }
}

void
mf_dict_add_string(GVariantBuilder *builder, const char *key, const char *value)
{
    if (value) {
        g_autofree char *valid = g_utf8_make_valid(value, -1);

        g_variant_builder_add(builder, "{sv}", key, g_variant_new_string(valid));
    }
}

void
mf_dict_add_boolean(GVariantBuilder *builder, const char *key, gboolean value)
{
    g_variant_builder_add(builder, "{sv}", key, g_variant_new_boolean(value));
}

GVariant *
mf_dict_trouble(const MfReason *trouble)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a(sss)"));

    if (trouble) {
        g_variant_builder_add(&builder, "(sss)", mf_reason_code_to_string(trouble->code),
                              trouble->text, trouble->remedy ? trouble->remedy : "");
    }
    return g_variant_builder_end(&builder);
}
