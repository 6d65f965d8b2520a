/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the history and the groups add to the dictionaries of org.memfold1.xml. */
#pragma once

#include "../engine/mf-engine.h"

/* Each adds to a builder of a{sv} what is known. */
void mf_describe_add_host_history(GVariantBuilder *builder, const MfEngine *engine);
void mf_describe_add_domain_history(GVariantBuilder *builder, const MfEngine *engine,
                                    const MfDomain *domain);

/* Adds "groups" and "groups_source": by our kernel's counters, else summed up by policy. */
void mf_describe_add_groups(GVariantBuilder *builder, const MfEngine *engine);

/* The answer to Report, floating: of the domains asked for (set of their const MfRecord; NULL: all)
 * that the history has something of in the last period_sec. */
GVariant *mf_describe_report(const MfEngine *engine, GHashTable *asked, guint period_sec);
