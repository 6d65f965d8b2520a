/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One attribute of a domain's policy set to a new value, before anything is written.  Pure. */
#pragma once

#include "../core/mf-types.h"

/* The domain's policy with attribute set to value; an empty group is no group.  A policy that was
 * refused counts as the default one.  MF_ERROR_INVALID for what no policy can hold, UNSUPPORTED for
 * what this domain's QEMU and kernel can't do, BUSY while that is not known; the message names
 * domain and remedy. */
MfPolicy *mf_policy_edit(const MfDomain *domain, const char *attribute, const char *value,
                         GError **error);
