/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What processes save by merging that are no domains.
 *
 * They are anybody's, and a process that holds its own memory lock (a munmap of a file whose FUSE
 * server hangs) has whoever reads its figures wait for as long as it likes.  So a worker reads, and
 * is waited for only so long.
 */
#pragma once

#include "../core/mf-types.h"
#include "mf-root.h"

/* What is remembered from one reading to the next.  For one thread at a time. */
typedef struct _MfOthers MfOthers;

MfOthers *mf_others_new(void);

/* A worker that still reads is left to itself. */
void mf_others_free(MfOthers *others);

/* Sum of what processes other than those of skip_pids (gint64 keys via g_int64_hash) save by
 * merging, into host->other_saved_bytes; absent, and FALSE with error, when any that merges can't
 * be read.  The sum is as old as 20 times the CPU time that it has cost, at most, or as the round
 * before, when it came late.  TIMEOUT when one keeps the reading waiting for two seconds, or all
 * take 20, and at once, without another worker, for as long as an earlier one reads.
 *
 * One whose smaps is longer than 16 MiB (the kernel allows that to anybody) counts with all that it
 * has merged, which is at most twice what it saves; then ret_bound, where not NULL, is an error
 * that tells of it.  Blocks, for two seconds in which nothing is done, or 20. */
gboolean mf_others_read(MfOthers *others, MfRoot *root, GHashTable *skip_pids, MfHost *host,
                        GError **ret_bound, GError **error);

/* How long the last reading took: time that is no part of what the domains' accounts cost, for how
 * many others merge, and how slowly they are read, is anybody's doing. */
gint64 mf_others_get_waited_usec(const MfOthers *others);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfOthers, mf_others_free)
