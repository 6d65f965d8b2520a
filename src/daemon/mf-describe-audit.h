/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An audit as the dictionaries of org.memfold1.xml. */
#pragma once

#include "../engine/mf-audit-run.h"

/* Floating (a{sv}a(sss)a(a{sv}a(sss))aa{sv}): the whole, its reasons, domains, violations. */
GVariant *mf_describe_audit(const MfAuditReport *report);
