/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads guests' memory once, slowly, and tells a keyed hash of each page.
 *
 * No content is kept: a piece of 1 MiB is read, hashed and wiped before the next one, in memory
 * that no core dump has.  The key is random and lives as long as the sampler, so that hashes tell
 * nothing to whoever does not have it, and can't be compared with those of another run.
 *
 * Only what is in memory is read: /proc/PID/pagemap is asked first, so that nothing is swapped in
 * and no memory that the guest never touched comes about.  A page that goes between the question
 * and the reading is brought back (from swap) or read as zeroes (given back by a balloon), and the
 * kernel takes pages that were read as used lately.  The guest is not stopped; a page is what it
 * was when it was read.
 */
#pragma once

#include <gio/gio.h>

#include "../core/mf-types.h"
#include "mf-root.h"

typedef struct _MfSampler MfSampler;

typedef struct {
    /* One page; hash means nothing where is_zero is. */
    void (*page)(guint64 hash, gboolean is_zero, gpointer user_data);
    /* So much of the domain is done; after each piece. */
    void (*advance)(guint done_permyriad, gpointer user_data);
} MfSamplerSink;

/* rate_bytes: how much is read in a second at most; at least a page.  Errors: FAILED when there is
 * no random key to be had, or no memory. */
MfSampler *mf_sampler_new(MfRoot *root, guint64 rate_bytes, GError **error);

/* Wipes key and buffer. */
void mf_sampler_free(MfSampler *sampler);

/* Reads the guest memory of domain->pid that could merge (mf_proc_read_guest_memory()).  Blocks for
 * as long as that takes at the given rate.  Errors: GONE when the process ends meanwhile, DENIED,
 * UNSUPPORTED, and G_IO_ERROR_CANCELLED. */
gboolean mf_sampler_read(MfSampler *sampler, const MfDomain *domain, const MfSamplerSink *sink,
                         gpointer user_data, GCancellable *cancellable, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfSampler, mf_sampler_free)
