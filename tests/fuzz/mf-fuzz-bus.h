/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A system bus with one program on it, in this process.
 *
 * It answers what memfoldd asks of a bus and of polkit, brings calls as if a peer had sent them,
 * and takes the answers.  All functions are for the thread of the main context.
 */
#pragma once

#include <gio/gio.h>

typedef struct _MfFuzzBus MfFuzzBus;

/* What the bus and polkit say of the caller. */
typedef struct {
    gboolean known; /* the bus knows who it is */
    guint32 uid;
    GVariant *polkit; /* what polkit answers; NULL: there is no polkit */
} MfFuzzCaller;

/* Makes the bus, and lets this process find it as the system's; folder is where its socket goes. */
MfFuzzBus *mf_fuzz_bus_new(const char *folder);

/* Runs the main context until the program owns its name. */
void mf_fuzz_bus_wait_for_name(MfFuzzBus *bus);

/* Sends a call, and runs the main context until it is answered: there must be an answer within half
 * a minute.  NULL: this message can't be sent at all. */
GDBusMessage *mf_fuzz_bus_call(MfFuzzBus *bus, GDBusMessage *call, const MfFuzzCaller *caller);
