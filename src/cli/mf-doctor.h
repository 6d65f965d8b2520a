/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checks of `memfold doctor`: what this host can do, and what stands in the way.
 *
 * A check is a finding with a state and a remedy; only some findings mean that memfold does not
 * work here at all, and those are marked broken.
 */
#pragma once

#include "../io/mf-root.h"
#include "../lib/memfold.h"

typedef enum {
    MF_CHECK_OK,
    MF_CHECK_WARN,    /* works, yet somebody should look */
    MF_CHECK_MISSING, /* this host has no such thing */
} MfCheckState;

typedef struct {
    const char *name; /* stable, such as "kernel.groups" */
    MfCheckState state;
    gboolean broken;
    char *finding;
    char *remedy; /* or NULL */
} MfCheck;

/* Appends a check to checks (of MfCheck).  finding is taken, remedy is copied and may be NULL. */
void mf_doctor_add(GPtrArray *checks, const char *name, MfCheckState state, gboolean broken,
                   char *finding, const char *remedy);

/* A list that frees its checks. */
GPtrArray *mf_doctor_checks_new(void);

/* Reads the host under root: kernel, other managers, libvirt, hook, AppArmor.  Asks no daemon.
 * Blocks. */
void mf_doctor_check_host(GPtrArray *checks, MfRoot *root);

/* What the daemon says: itself, what goes wrong on the host, its domains and their QEMU.
 * description is NULL when it did not answer, and then error (of libmemfold's) says why. */
void mf_doctor_check_daemon(GPtrArray *checks, const MemfoldDescription *description,
                            const GError *error);

const char *mf_check_state_to_string(MfCheckState state);
