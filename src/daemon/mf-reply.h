/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Errors as org.memfold1 names them. */
#pragma once

#include <gio/gio.h>

#include "../core/mf-history.h"

#define MF_BUS_ERROR_PREFIX "org.memfold1.Error."

/* Answers the call with the name that fits the code of error: NoDomain (GONE), Denied, Invalid,
 * Unsupported, Busy, or Failed. */
void mf_reply_error(GDBusMethodInvocation *invocation, const GError *error);

/* Domains that one call may name. */
#define MF_NAMES_MAX MF_HISTORY_RECORDS_MAX

/* Answers the call with Invalid when it names more; FALSE: it does not, and is not answered. */
gboolean mf_reply_names_refused(GDBusMethodInvocation *invocation, const char *const *names);
