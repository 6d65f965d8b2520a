/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What merging would save, from keyed hashes of pages.
 *
 * Saved is pages - distinct contents: a content that is there n times saves n - 1 pages.  One
 * MfEstimate is one set of pages that may merge with each other: a domain, a group, the host.
 *
 * Every page is looked at and few are remembered.  The sample is one of contents and not of pages:
 * a content is in it when its hash lies under a limit, with all of its copies or with none, so that
 * no duplicate is missed because its twin was not drawn.  (From a sample of pages the number of
 * distinct contents can't be told: a pair shows with the square of the fraction, and no estimator
 * is good for all populations.)  The limit begins at everything, and is halved whenever there are
 * more contents under it than sample_max_count; with 1 in 2^shift of all contents, what the sample
 * saves is multiplied by 2^shift.  While shift is 0 the result is exact.
 *
 * Frequent contents would spoil that: one of 10000 copies counts for nothing or for a multiple of
 * itself.  They are counted apart, by lossy counting (Manku and Motwani, 2002): a content is held
 * while it has come at least once in window_pages pages, and whatever is not held has come less
 * often than there were windows.  Which contents are held does not depend on their hashes.
 *
 * The interval is for 95 %: 1.96 standard deviations, where each content is one draw, and three
 * times what the most frequent content could add that is not counted apart (if it were there, it
 * could have been missed: of n such contents none is drawn in 5 % of runs when n is 3 * 2^shift).
 * A content that was held late has an unknown past of at most as many pages as there were windows;
 * that is in the interval, too.  The interval never excludes what was seen.
 */
#pragma once

#include <glib.h>

/* The numbers for use: some 35 MiB at most.  The windows make "frequent" what has more than one in
 * 131072 pages. */
#define MF_ESTIMATE_SAMPLE_MAX_COUNT 262144
#define MF_ESTIMATE_WINDOW_PAGES     131072

typedef struct _MfEstimate MfEstimate;

typedef struct {
    guint64 pages;      /* that were added, those of zeroes included */
    guint64 zero_pages; /* in none of the figures below: these can go as a whole */
    guint64 saved_pages;
    guint64 saved_low_pages; /* low <= saved <= high; all equal when the result is exact */
    guint64 saved_high_pages;
    guint sample_shift; /* 1 in 2^sample_shift contents was kept */
} MfEstimateResult;

/* Both at least 1. */
MfEstimate *mf_estimate_new(guint sample_max_count, guint window_pages);
void mf_estimate_free(MfEstimate *estimate);

/* One page that is not of zeroes, by a hash that is spread evenly over 64 bits and whose key the
 * pages' owner does not know. */
void mf_estimate_add_page(MfEstimate *estimate, guint64 hash);
void mf_estimate_add_zero_page(MfEstimate *estimate);

/* The result for what was added so far. */
MfEstimateResult mf_estimate_get_result(const MfEstimate *estimate);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfEstimate, mf_estimate_free)
