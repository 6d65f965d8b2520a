/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The few facts of a libvirt domain XML that memfold needs.
 *
 * Read with libxml2, without network, without entities, without DTD, and with a limit on size; the
 * XML comes from libvirt, yet its metadata is somebody's text.  Used by daemon and hook.
 */
#pragma once

#include "../core/mf-types.h"

#define MF_DOMXML_MAX_BYTES (4 * 1024 * 1024)

typedef struct {
    char *name;
    char *uuid;
    gboolean nosharepages;
    MfMemoryKind memory_kind;
    char *launch_security;   /* type of <launchSecurity>, printable; or NULL */
    guint passthrough_count; /* devices that pin all of its RAM */
    MfU64 memory_bytes;      /* <memory>, plugged-in modules included; absent when it is no size */
    char *policy_xml;        /* the policy element alone, or NULL when the domain has none */
} MfDomxml;

/* MF_ERROR_INVALID for anything that is not one well-formed domain with name and UUID. */
MfDomxml *mf_domxml_parse(const char *text, gsize length_bytes, GError **error);
void mf_domxml_free(MfDomxml *domxml);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfDomxml, mf_domxml_free)
