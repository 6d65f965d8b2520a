/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hook's message (mf-names.h), from text to facts.  Strict: nothing of it is trusted. */
#pragma once

#include "../core/mf-types.h"

typedef enum {
    MF_HOOK_OTHER,   /* an operation that tells nothing new */
    MF_HOOK_MIGRATE, /* it is about to come from another host: prepare follows */
    MF_HOOK_PREPARE,
    MF_HOOK_STARTED, /* also reconnect: the domain runs */
    MF_HOOK_STOPPED, /* also release */
} MfHookOperation;

/* Reads one line without its end.  The facts returned hold uuid, name, nosharepages, memory_kind,
 * memory_bytes, policy and, for a policy that is refused, policy_error.  MF_ERROR_INVALID names the
 * member. */
MfDomain *mf_hook_message_parse(const char *text, gsize length_bytes,
                                MfHookOperation *ret_operation, GError **error);
