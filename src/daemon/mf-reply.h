/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Errors as org.memfold1 names them. */
#pragma once

#include <gio/gio.h>

#define MF_BUS_ERROR_PREFIX "org.memfold1.Error."

/* Answers the call with the name that fits the code of error: NoDomain (GONE), Denied, Invalid,
 * Unsupported, Busy, or Failed. */
void mf_reply_error(GDBusMethodInvocation *invocation, const GError *error);
