/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is asked of a domain's balloon, with the debt that goes with it.
 *
 * Blocking calls, for workers.  A debt is written before the call, and paid after it: who dies
 * between the two owes memory that the guest has, which does no harm.  ret_balloon is filled on
 * success.
 */
#pragma once

#include "../io/mf-virt.h"
#include "mf-owed.h"

/* Asks the guest to give so much, and never more than half of its maximum in all.  BUSY when it has
 * given that already. */
gboolean mf_balloon_fill(MfVirt *virt, MfOwed *owed, const MfDomain *domain, guint64 bytes,
                         MfBalloon *ret_balloon, GError **error);

/* Gives all of it back; it is owed until the guest has it, or this is called again.  A balloon that
 * somebody else has set since is left as it is, with a warning, and nothing is owed any more; one
 * that he may have set is left as it is, and owed. */
gboolean mf_balloon_empty(MfVirt *virt, MfOwed *owed, const MfDomain *domain,
                          MfBalloon *ret_balloon, GError **error);
