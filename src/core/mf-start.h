/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Domains that must not merge and start with their memory marked: how long ksmd waits for one.
 *
 * Isolation fails closed: while its QEMU runs and could not be asked or switched yet, since libvirt
 * lets nobody in (a restore, a migration to this host) or it does not answer, ksmd waits.  It waits
 * no longer for one that can never be switched, or whose QEMU answers with errors: that is told of
 * the domain, and would last for ever.
 */
#pragma once

#include "mf-plan.h"
#include "mf-types.h"

/* Whether ksmd has to wait for the domain, whose QEMU runs.  domain is NULL while only the hook has
 * told of it; refused says that the last question ended by an error that waiting does not help;
 * verdict is the last one on it, NULL before there is one. */
gboolean mf_start_is_open(const MfDomain *domain, gboolean refused, const MfVerdict *verdict);

/* Whether its start is over, so that what becomes of it later is no start: its QEMU has said that
 * it is as the last verdict wants it, off or not.  One that may merge now, and whose QEMU nobody
 * could ask, is not: that may be taken back while it still starts. */
gboolean mf_start_is_over(const MfDomain *domain, const MfVerdict *verdict);
