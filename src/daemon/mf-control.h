/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * org.memfold1 on the system bus, from and to the engine.
 *
 * The bus may be absent, come later, or go: memfoldd works without it and tries again.  Reading is
 * for whom the bus policy lets in; changing is authorised here.
 */
#pragma once

#include "../engine/mf-engine.h"

typedef struct _MfControl MfControl;

typedef struct {
    /* The name is owned, or there is no bus to own it on; the first time only. */
    void (*ready)(gpointer user_data);
    /* Another process owns the name. */
    void (*taken)(gpointer user_data);
    /* Reads the configuration again. */
    gboolean (*reload)(gpointer user_data, GError **error);
} MfControlHandlers;

/* Begins to connect; returns at once. */
MfControl *mf_control_new(MfEngine *engine, const MfControlHandlers *handlers, gpointer user_data);
void mf_control_free(MfControl *control);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfControl, mf_control_free)
