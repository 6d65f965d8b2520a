/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libvirt hands to a QEMU hook, and what the hook says to the daemon about it.
 *
 * Pure: arguments and facts in, one line of JSON out, and the daemon's answer back.  The JSON is
 * small and fixed, and is written here and not by json-glib on purpose: the hook links nothing that
 * libvirtd does not link itself, because a hook that the dynamic loader refuses to start is a
 * failing hook, and libvirt kills running guests for one.
 */
#pragma once

#include <glib.h>

#include "../src/io/mf-domxml.h"

/* The words of one call; all borrowed from argv, except that missing ones are "-". */
typedef struct {
    const char *name; /* of the domain, as libvirt gives it; bytes, perhaps not UTF-8 */
    const char *operation;
    const char *suboperation;
    const char *extra;
    const char *socket_path;
    const char *config_path;
} MfHookArgs;

/*
 * Reads "NAME OP SUBOP EXTRA" (libvirt: docs/hooks, "/etc/libvirt/hooks/qemu"), or for tests
 * "--socket PATH NAME OP SUBOP EXTRA", with "--config FILE" after PATH if need be.  libvirt always
 * gives four words, so that a domain called "--socket" is still a domain.  argv stays the caller's
 * and must outlive ret_args.
 *
 * Errors: MF_ERROR_INVALID when there are fewer words than NAME and OP.
 */
gboolean mf_hook_args_parse(int argc, char *const *argv, const char *default_socket_path,
                            const char *default_config_path, MfHookArgs *ret_args, GError **error);

/* Whether the hook may fail at an operation, which stops the domain's start, restore or migration
 * here.  At others libvirt pays no heed, or kills a guest that runs. */
gboolean mf_hook_operation_may_refuse(const char *operation);

/* Whether the daemon wants to hear of an operation.  Of the others the hook says nothing. */
gboolean mf_hook_operation_is_forwarded(const char *operation);

/*
 * The message of mf-names.h, with its '\n'.  Free with g_free().
 *
 * A policy element longer than the daemon reads is sent cut, so that it is refused there with a
 * warning that names the domain, and not taken for absent.
 *
 * Errors: MF_ERROR_INVALID when the message would still exceed MF_HOOK_MAX_BYTES.
 */
char *mf_hook_message_new(const MfHookArgs *args, const MfDomxml *domxml, GError **error);

/* Understands the daemon's line.  TRUE also when the daemon says that the domain must not start;
 * its sentence is then in ret_refusal, to g_free(), and else NULL.  Errors: MF_ERROR_FAILED with
 * the daemon's own words when it says no to the message, MF_ERROR_INVALID when it is no answer. */
gboolean mf_hook_answer_check(const char *line, gsize length_bytes, char **ret_refusal,
                              GError **error);
