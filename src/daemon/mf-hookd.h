/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The socket where libvirt's hook tells what happens to domains.
 *
 * libvirt waits for the hook and the hook for us: every message is answered from the daemon's own
 * state within the hook's budget, several at a time, and never by asking libvirt.  Only root (or
 * the daemon's own user) is listened to.
 */
#pragma once

#include "../engine/mf-engine.h"

typedef struct _MfHookd MfHookd;

/* Listens at path, which takes the place of a socket that a dead memfoldd left.  The caller holds
 * the runtime directory's lock. */
MfHookd *mf_hookd_new(const char *path, MfEngine *engine, GError **error);

/* Ends listening and removes the socket. */
void mf_hookd_free(MfHookd *hookd);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfHookd, mf_hookd_free)
