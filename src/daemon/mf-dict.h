/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Entries of an a{sv} that is being built, and reasons beside it.  What is absent, or NULL, is left
 * out. */
#pragma once

#include "../core/mf-plan.h"
#include "../core/mf-types.h"

void mf_dict_add_u64(GVariantBuilder *builder, const char *key, MfU64 value);
void mf_dict_add_i64(GVariantBuilder *builder, const char *key, MfI64 value);

/* What is no UTF-8, and would be no message, becomes U+FFFD. */
void mf_dict_add_string(GVariantBuilder *builder, const char *key, const char *value);

void mf_dict_add_boolean(GVariantBuilder *builder, const char *key, gboolean value);

/* The a(sss) of what a domain was not looked at for; NULL: an empty one.  Floating. */
GVariant *mf_dict_trouble(const MfReason *trouble);
