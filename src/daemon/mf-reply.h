/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Errors as org.memfold1 names them. */
#pragma once

#include <gio/gio.h>

#include "../core/mf-history.h"

#define MF_BUS_ERROR_PREFIX "org.memfold1.Error."

/* Answers the call with the name that fits the code of error: NoDomain (GONE), Denied, Invalid,
 * Unsupported, Busy, or Failed. */
void mf_reply_error(GDBusMethodInvocation *invocation, const GError *error);

void mf_reply_no_domain(GDBusMethodInvocation *invocation, const char *name_or_uuid);

/* TRUE when the caller expects no reply, which is then dropped: nothing need be done. */
gboolean mf_reply_is_unwanted(GDBusMethodInvocation *invocation);

/* Domains that one call may name, and how long a name, or a word of a policy, may be: they are kept
 * while the caller is asked about. */
#define MF_NAMES_MAX      MF_HISTORY_RECORDS_MAX
#define MF_NAME_MAX_BYTES 255 /* also of the file that libvirt keeps of a domain */
#define MF_WORD_MAX_BYTES 4096

/* Answers the call with Invalid when it names more, or longer ones; FALSE: it does not, and is not
 * answered. */
gboolean mf_reply_names_refused(GDBusMethodInvocation *invocation, const char *const *names);

/* The same for a word. */
gboolean mf_reply_word_refused(GDBusMethodInvocation *invocation, const char *word);
