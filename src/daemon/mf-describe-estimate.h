/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An estimate as the dictionaries of org.memfold1.xml. */
#pragma once

#include "../engine/mf-engine.h"

/* Floating (a{sv}aa{sv}a(a{sv}a(sss))): all, groups, domains. */
GVariant *mf_describe_estimate(const MfEngine *engine, const MfEstimateReport *report);
