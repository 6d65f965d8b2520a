/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every name with a meaning outside the process: bus, objects, paths, limits of the hook's call. */
#pragma once

#define MF_BUS_NAME         "org.memfold1"
#define MF_OBJECT_HOST      "/org/memfold1"
#define MF_OBJECT_DOMAINS   "/org/memfold1/domain" /* + "/" + uuid with '_' for '-' */
#define MF_INTERFACE_HOST   "org.memfold1.Host"
#define MF_INTERFACE_DOMAIN "org.memfold1.Domain"
#define MF_POLKIT_SET       "org.memfold1.set"      /* change a domain's policy */
#define MF_POLKIT_RELOAD    "org.memfold1.reload"   /* read the configuration again */
#define MF_POLKIT_ESTIMATE  "org.memfold1.estimate" /* read guests' memory for an estimate */
#define MF_POLKIT_AUDIT     "org.memfold1.audit"    /* walk all page tables for an audit */
#define MF_SIGNAL_PROGRESS  "EstimateProgress"
#define MF_SIGNAL_AUDIT     "AuditProgress"

/* In the runtime directory (/run/memfold) */
#define MF_HOOK_SOCKET_NAME "hook.sock"
#define MF_JOURNAL_NAME     "journal"

/*
 * The hook's message: one JSON object in one line, at most MF_HOOK_MAX_BYTES with its '\n',
 * answered by one line ({"ok":true} or {"ok":false,"error":"..."}, or to `prepare`
 * {"ok":false,"refused":"..."}: the domain must not start, and why):
 *   {"version":1,"operation":"started","suboperation":"begin","extra":"-","name":"vm1",
 *    "uuid":"...","nosharepages":false,"memory":"anonymous","memory_bytes":1073741824,
 *    "policy":"<policy .../>"}
 * `policy` is absent when the domain has none, `memory_bytes` when its XML tells no size.  The
 * daemon answers from its own state and never calls libvirt for the hook's sake: libvirt waits for
 * the hook.
 */
#define MF_HOOK_MAX_BYTES   16384
#define MF_HOOK_BUDGET_MSEC 500
