/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine's state as the dictionaries of org.memfold1.xml.  What is not known is left out. */
#pragma once

#include "../engine/mf-engine.h"

/* Each returns a floating variant: a{sv}, and a(sss) of (code, text, remedy).  plan may be NULL. */
GVariant *mf_describe_host_figures(const MfEngine *engine);
GVariant *mf_describe_host_reasons(const MfEngine *engine, const MfPlan *plan);
GVariant *mf_describe_domain_figures(const MfEngine *engine, const MfDomain *domain);
GVariant *mf_describe_domain_reasons(const MfEngine *engine, const MfDomain *domain);

/* a(a{sv}a(sss)) of all domains. */
GVariant *mf_describe_domains(const MfEngine *engine);

/* What a plan was decided on, a{sv}: the host's counters at that moment, and who governs. */
GVariant *mf_describe_decided_on(const MfEngine *engine, const MfSnapshot *snapshot);

/* a(a{sv}a(sss)) of the plan's actions, each with its one reason. */
GVariant *mf_describe_actions(const MfPlan *plan);
