/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Our words to QEMU, over any transport that carries one command and its answer.
 *
 * Nothing of an answer is trusted: size (MF_QMP_MAX_BYTES), JSON, types, ranges, string lengths and
 * counts are checked, and an answer that fails leaves everything as it was with MF_ERROR_INVALID.
 * All calls block until the transport answers or gives up; use them from a worker.
 */
#pragma once

#include "../core/mf-types.h"

#define MF_QMP_MAX_BYTES  (1024 * 1024)
#define MF_QMP_MAX_BLOCKS 512

/* Sends one JSON object as text, returns the whole answer as text to g_free(). */
typedef char *(*MfQmpCall)(gpointer data, const char *command, GError **error);

typedef struct {
    MfQmpCall call;
    gpointer data;
} MfQmp;

/* Asks what this QEMU can do (query-commands, then query-memory-merge, or the memory backends'
 * properties); sets caps with MF_CAP_PROBED.  Nothing is tried that has an effect: FREEZE is set
 * when the answer's `modes` holds "frozen", GROUP when the answer tells a group. */
gboolean mf_qmp_probe(const MfQmp *qmp, guint *ret_caps, GError **error);

/* Fills mode and blocks of domain by query-memory-merge (no usage, no page table walk), and its
 * counters of ksm_stat where they are absent.  On a stock QEMU only the mode, by the `merge`
 * properties of all memory backends.  UNSUPPORTED when caps have neither. */
gboolean mf_qmp_query(const MfQmp *qmp, guint caps, MfDomain *domain, GError **error);

/* Sets the merge mode of all of the domain's memory.  UNSUPPORTED when caps can't do that.  On
 * stock QEMU `off` holds QEMU's main loop for about half a second for each merged GiB. */
gboolean mf_qmp_set_mode(const MfQmp *qmp, guint caps, MfMode mode, GError **error);

/* The two halves, for tests and fuzzing: fill from one answer's text.  parse_commands() tells
 * MF_CAP_PROBED and MF_CAP_SET_MERGE only. */
gboolean mf_qmp_parse_memory_merge(const char *answer, gsize length_bytes, MfDomain *domain,
                                   GError **error);
gboolean mf_qmp_parse_commands(const char *answer, gsize length_bytes, guint *ret_caps,
                               GError **error);
