/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's policy: what its operator asks for.
 *
 * It stands in the domain's libvirt metadata as one element of the namespace MF_POLICY_NS and
 * nothing but attributes:
 *
 *     <memfold:policy xmlns:memfold="urn:memfold:policy:1"
 *         merge="auto" group="tenant-a" priority="100" boost="on"/>
 *
 * Reading is all or nothing: an unknown attribute or a bad value refuses the whole element, and the
 * domain gets the default policy and a warning.
 */
#pragma once

#include <glib.h>

#define MF_POLICY_NS      "urn:memfold:policy:1"
#define MF_POLICY_KEY     "memfold" /* key (namespace prefix) for virDomainSetMetadata */
#define MF_POLICY_ELEMENT "policy"

#define MF_GROUP_ISOLATED "isolated" /* reserved: a group of its own */
#define MF_GROUP_SHARED   "shared"   /* reserved: the one group of the whole host */
#define MF_GROUP_MAX_LEN  64         /* bytes; letters, digits, '.', '_', '-' */

typedef enum {
    MF_MERGE_AUTO, /* memfold measures and decides */
    MF_MERGE_ON,
    MF_MERGE_OFF,
    MF_MERGE_FREEZE, /* keep what is merged, scan no more */
    MF_MERGE_ZERO,   /* only pages of zeroes */
} MfMerge;

typedef struct {
    MfMerge merge;
    char *group;    /* NULL: the configuration's default */
    guint priority; /* 0..1000, default 100; the lower one gives way first under pressure */
    gboolean boost; /* scan this domain first after its start */
} MfPolicy;

MfPolicy *mf_policy_new(void); /* the default: auto, no group, 100, no boost */
MfPolicy *mf_policy_copy(const MfPolicy *policy);
void mf_policy_free(MfPolicy *policy);
gboolean mf_policy_equal(const MfPolicy *a, const MfPolicy *b);

/* Makes a policy from the attributes of a policy element: names and values are NULL-terminated
 * arrays of equal length.  Returns NULL with MF_ERROR_INVALID, whose message names attribute, value
 * and what is allowed. */
MfPolicy *mf_policy_from_attributes(const char *const *names, const char *const *values,
                                    GError **error);

/* Reads one <policy/> element as virDomainGetMetadata() returns it.  Strict: MF_ERROR_INVALID for
 * malformed XML, another element or namespace, children or text, an unknown attribute, and text
 * over 4096 bytes.  Entities beyond XML's five are refused. */
MfPolicy *mf_policy_from_xml(const char *xml, GError **error);

/* The element without a namespace declaration, as virDomainSetMetadata() takes it; attributes of
 * default value are left out, except merge.  Free with g_free(). */
char *mf_policy_to_xml(const MfPolicy *policy);

const char *mf_merge_to_string(MfMerge merge);
gboolean mf_merge_from_string(const char *text, MfMerge *ret_merge);

/* Whether text may name a group: 1..MF_GROUP_MAX_LEN bytes of the allowed set. */
gboolean mf_group_name_valid(const char *text);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfPolicy, mf_policy_free)
