/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One table has both the sample and the held contents; why, the header tells.
 *
 * A content in the sample is held and let go like any other, though all of it is known anyway:
 * whether a content counts as frequent must not depend on its hash, or the sample would be of the
 * others only.
 */
#include "mf-estimate.h"

#include "mf-units.h"

/* Held contents that came this many times as often as there were windows are counted apart: then
 * their unknown past is a third of them at most. */
#define FREQUENT_FACTOR 2
#define HASH_BITS       64
/* 1.96 standard deviations, and the rule of three. */
#define DEVIATIONS_PERCENT 196
#define UNSEEN_FACTOR      3

typedef struct {
    guint64 hash;
    guint64 count;            /* of all that is known */
    guint64 held_count;       /* since it is held; 0: it is not */
    guint64 held_unseen_most; /* may have come before that */
} Content;

struct _MfEstimate {
    guint sample_max_count;
    guint window_pages;
    GHashTable *contents; /* set of Content, by hash */
    guint sampled_count;
    guint shift;
    guint64 pages; /* not of zeroes */
    guint64 zero_pages;
    guint64 windows; /* begun */
};

/* What the contents add up to. */
typedef struct {
    guint64 seen_pages;       /* saved for certain */
    guint64 apart_low_pages;  /* of the frequent ones */
    guint64 apart_high_pages; /* and with all that may have come before */
    guint64 sample_pages;     /* of the others in the sample */
    guint64 sample_squares;
    guint64 others_most_count; /* no content of the others came more often */
} Sums;

MfEstimate *
mf_estimate_new(guint sample_max_count, guint window_pages)
{
    MfEstimate *estimate = g_new0(MfEstimate, 1);

    estimate->sample_max_count = sample_max_count;
    estimate->window_pages = window_pages;
    estimate->windows = 1;
    estimate->contents = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    return estimate;
}

void
mf_estimate_free(MfEstimate *estimate)
{
    if (estimate != NULL) {
        g_hash_table_unref(estimate->contents);
        g_free(estimate);
    }
}

static gboolean
is_sampled(const MfEstimate *estimate, const Content *content)
{
    return content->hash <= G_MAXUINT64 >> estimate->shift;
}

/* Whoever left the sample is only of use while held. */
static gboolean
leaves_sample(gpointer key, gpointer value G_GNUC_UNUSED, gpointer data)
{
    MfEstimate *estimate = data;
    const Content *content = key;

    if (is_sampled(estimate, content)) {
        estimate->sampled_count++;
        return FALSE;
    }
    return content->held_count == 0;
}

static void
shrink_sample(MfEstimate *estimate)
{
    while (estimate->sampled_count > estimate->sample_max_count &&
           estimate->shift < HASH_BITS - 1) {
        estimate->shift++;
        estimate->sampled_count = 0;
        g_hash_table_foreach_remove(estimate->contents, leaves_sample, estimate);
    }
}

static gboolean
is_let_go(gpointer key, gpointer value G_GNUC_UNUSED, gpointer data)
{
    const MfEstimate *estimate = data;
    Content *content = key;

    if (content->held_count + content->held_unseen_most > estimate->windows) {
        return FALSE;
    }
    content->held_count = 0;
    return !is_sampled(estimate, content);
}

void
mf_estimate_add_page(MfEstimate *estimate, guint64 hash)
{
    Content *content = g_hash_table_lookup(estimate->contents, &hash);

    if (content == NULL) {
        content = g_new0(Content, 1);
        content->hash = hash;
        g_hash_table_add(estimate->contents, content);
        estimate->sampled_count += is_sampled(estimate, content) ? 1 : 0;
    }
    if (content->held_count == 0) {
        content->held_unseen_most = estimate->windows - 1;
    }
    content->held_count++;
    content->count++;
    estimate->pages++;
    shrink_sample(estimate);
    if (estimate->pages % estimate->window_pages == 0) {
        g_hash_table_foreach_remove(estimate->contents, is_let_go, estimate);
        estimate->windows++;
    }
}

void
mf_estimate_add_zero_page(MfEstimate *estimate)
{
    estimate->zero_pages++;
}

static void
add_content(const MfEstimate *estimate, const Content *content, Sums *sums)
{
    gboolean sampled = is_sampled(estimate, content);
    guint64 saved_pages = content->count - 1;

    sums->seen_pages += saved_pages;
    if (content->held_count >= FREQUENT_FACTOR * estimate->windows) {
        sums->apart_low_pages += saved_pages;
        sums->apart_high_pages += saved_pages + (sampled ? 0 : content->held_unseen_most);
        return;
    }
    if (content->held_count > 0) {
        sums->others_most_count =
            MAX(sums->others_most_count, content->held_count + content->held_unseen_most);
    }
    if (sampled) {
        sums->sample_pages += saved_pages;
        sums->sample_squares =
            mf_add_sat(sums->sample_squares, mf_mul_sat(saved_pages, saved_pages));
    }
}

MfEstimateResult
mf_estimate_get_result(const MfEstimate *estimate)
{
    guint64 factor = G_GUINT64_CONSTANT(1) << estimate->shift;
    Sums sums = {.others_most_count = estimate->windows};
    GHashTableIter iter;
    gpointer content = NULL;

    g_hash_table_iter_init(&iter, estimate->contents);
    while (g_hash_table_iter_next(&iter, &content, NULL)) {
        add_content(estimate, content, &sums);
    }

    /* Of each content the variance is saved^2 * (1 - p) / p, and its estimate is that / p. */
    guint64 deviation_pages = mf_sqrt_mul(mf_mul_sat(sums.sample_squares, factor), factor - 1);
    guint64 unseen_pages =
        estimate->shift > 0 ? mf_mul_sat(UNSEEN_FACTOR * (sums.others_most_count - 1), factor) : 0;
    guint64 half_pages =
        mf_add_sat(mf_mul_div(deviation_pages, DEVIATIONS_PERCENT, 100), unseen_pages);
    guint64 others_pages = mf_mul_sat(sums.sample_pages, factor);
    guint64 low_pages = mf_add_sat(sums.apart_low_pages, mf_sub_clamp(others_pages, half_pages));
    guint64 high_pages = mf_add_sat(sums.apart_high_pages, mf_add_sat(others_pages, half_pages));
    guint64 apart_pages = sums.apart_low_pages + (sums.apart_high_pages - sums.apart_low_pages) / 2;
    /* What was seen of contents is there at least once. */
    guint64 most_pages = estimate->pages - g_hash_table_size(estimate->contents);

    low_pages = CLAMP(low_pages, sums.seen_pages, most_pages);
    high_pages = CLAMP(high_pages, sums.seen_pages, most_pages);
    return (MfEstimateResult){
        .pages = estimate->pages + estimate->zero_pages,
        .zero_pages = estimate->zero_pages,
        .saved_pages = CLAMP(mf_add_sat(apart_pages, others_pages), low_pages, high_pages),
        .saved_low_pages = low_pages,
        .saved_high_pages = high_pages,
        .sample_shift = estimate->shift,
    };
}
