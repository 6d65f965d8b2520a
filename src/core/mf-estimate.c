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
#define SLOTS_MIN_COUNT 1024
/* 1.96 standard deviations, and the rule of three. */
#define DEVIATIONS_PERCENT 196
#define UNSEEN_FACTOR      3

typedef struct {
    guint64 hash;
    guint64 count;            /* of all that is known; 0: a free slot */
    guint32 held_count;       /* since it is held; 0: it is not */
    guint32 held_unseen_most; /* may have come before that */
} Content;

/* The table is an array of slots, probed one after the other from where the hash points: with a
 * GHashTable and an allocation for each content, this would cost several times what reading does.
 */
struct _MfEstimate {
    guint sample_max_count;
    guint window_pages;
    Content *slots;
    guint64 slots_count; /* a power of two */
    guint64 contents_count;
    guint sampled_count;
    guint shift;
    guint64 pages; /* not of zeroes */
    guint64 zero_pages;
    guint32 windows; /* begun */
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
    estimate->slots_count = SLOTS_MIN_COUNT;
    estimate->slots = g_new0(Content, estimate->slots_count);
    return estimate;
}

void
mf_estimate_free(MfEstimate *estimate)
{
    if (estimate != NULL) {
        g_free(estimate->slots);
        g_free(estimate);
    }
}

static gboolean
is_sampled(const MfEstimate *estimate, const Content *content)
{
    return content->hash <= G_MAXUINT64 >> estimate->shift;
}

/* The slot of that hash, or the free one where it belongs.  Low bits tell where, since high ones
 * are alike in the sample. */
static Content *
find_slot(const MfEstimate *estimate, guint64 hash)
{
    guint64 mask = estimate->slots_count - 1;
    guint64 at = hash & mask;

    while (estimate->slots[at].count != 0 && estimate->slots[at].hash != hash) {
        at = (at + 1) & mask;
    }
    return &estimate->slots[at];
}

/* Moves what is there to a table that is half full at most. */
static void
rebuild(MfEstimate *estimate)
{
    g_autofree Content *old = g_steal_pointer(&estimate->slots);
    guint64 old_count = estimate->slots_count;

    estimate->slots_count = SLOTS_MIN_COUNT;
    while (estimate->slots_count < 2 * estimate->contents_count) {
        estimate->slots_count *= 2;
    }
    estimate->slots = g_new0(Content, estimate->slots_count);
    for (guint64 i = 0; i < old_count; i++) {
        if (old[i].count != 0) {
            *find_slot(estimate, old[i].hash) = old[i];
        }
    }
}

/* Forgets what is neither in the sample nor held. */
static void
forget_others(MfEstimate *estimate)
{
    estimate->sampled_count = 0;
    estimate->contents_count = 0;
    for (guint64 i = 0; i < estimate->slots_count; i++) {
        Content *content = &estimate->slots[i];
        gboolean sampled = is_sampled(estimate, content);

        if (content->count == 0) {
            continue;
        }
        if (!sampled && content->held_count == 0) {
            content->count = 0;
            continue;
        }
        estimate->contents_count++;
        estimate->sampled_count += sampled ? 1 : 0;
    }
    rebuild(estimate);
}

static void
shrink_sample(MfEstimate *estimate)
{
    while (estimate->sampled_count > estimate->sample_max_count &&
           estimate->shift < HASH_BITS - 1) {
        estimate->shift++;
        forget_others(estimate);
    }
}

static void
end_window(MfEstimate *estimate)
{
    for (guint64 i = 0; i < estimate->slots_count; i++) {
        Content *content = &estimate->slots[i];

        if ((guint64)content->held_count + content->held_unseen_most <= estimate->windows) {
            content->held_count = 0;
        }
    }
    forget_others(estimate);
    estimate->windows++;
}

void
mf_estimate_add_page(MfEstimate *estimate, guint64 hash)
{
    Content *content = find_slot(estimate, hash);

    if (content->count == 0) {
        *content = (Content){.hash = hash};
        estimate->contents_count++;
        estimate->sampled_count += is_sampled(estimate, content) ? 1 : 0;
    }
    if (content->held_count == 0) {
        content->held_unseen_most = estimate->windows - 1;
    }
    content->held_count += content->held_count < G_MAXUINT32 ? 1 : 0;
    content->count++;
    estimate->pages++;
    if (estimate->contents_count > estimate->slots_count / 4 * 3) {
        rebuild(estimate);
    }
    shrink_sample(estimate);
    if (estimate->pages % estimate->window_pages == 0) {
        end_window(estimate);
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
    if (content->held_count >= (guint64)FREQUENT_FACTOR * estimate->windows) {
        sums->apart_low_pages += saved_pages;
        sums->apart_high_pages += saved_pages + (sampled ? 0 : content->held_unseen_most);
        return;
    }
    if (content->held_count > 0) {
        sums->others_most_count =
            MAX(sums->others_most_count, (guint64)content->held_count + content->held_unseen_most);
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

    for (guint64 i = 0; i < estimate->slots_count; i++) {
        if (estimate->slots[i].count != 0) {
            add_content(estimate, &estimate->slots[i], &sums);
        }
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
    guint64 most_pages = estimate->pages - estimate->contents_count;

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
