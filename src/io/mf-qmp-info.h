/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What query-memory-merge tells, checked.  Internal to the mf-qmp files.
 */
#pragma once

#include <json-glib/json-glib.h>

#include "../core/mf-types.h"

typedef struct {
    MfMode mode;         /* MIXED when a block differs for no reason of its own */
    gboolean can_freeze; /* "frozen" is one of the modes that this host can set */
    gboolean in_group;   /* the kernel has this process in a merge group */
    MfU64 zero_bytes;
    MfU64 rmap_items_pages;
    MfI64 profit_bytes;
    GPtrArray *blocks; /* of MfBlock */
} MfQmpInfo;

/* Fills info, which is zeroed before, from the node under "return".  MF_ERROR_INVALID; info is to
 * be cleared in any case. */
gboolean mf_qmp_info_parse(JsonNode *node, MfQmpInfo *info, GError **error);
void mf_qmp_info_clear(MfQmpInfo *info);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MfQmpInfo, mf_qmp_info_clear)
