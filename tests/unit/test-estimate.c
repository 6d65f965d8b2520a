/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What merging would save: by example, and against the truth of seeded populations. */
#include "../../src/core/mf-estimate.h"

#define SEED 20240607

/* A hash as a keyed one would be: spread evenly over 64 bits (the finalizer of SplitMix64). */
static guint64
hash_of(guint64 key, guint64 content)
{
    guint64 x = (key ^ content) + G_GUINT64_CONSTANT(0x9e3779b97f4a7c15) * (content + 1);

    x = (x ^ (x >> 30)) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static void
add_copies(MfEstimate *estimate, guint64 content, guint count)
{
    for (guint i = 0; i < count; i++) {
        mf_estimate_add_page(estimate, hash_of(1, content));
    }
}

static void
assert_exact(const MfEstimate *estimate, guint64 saved_pages)
{
    MfEstimateResult result = mf_estimate_get_result(estimate);

    g_assert_cmpuint(result.saved_pages, ==, saved_pages);
    g_assert_cmpuint(result.saved_low_pages, ==, saved_pages);
    g_assert_cmpuint(result.saved_high_pages, ==, saved_pages);
    g_assert_cmpuint(result.sample_shift, ==, 0);
}

static void
test_exact(void)
{
    g_autoptr(MfEstimate) estimate = mf_estimate_new(100, 10);

    assert_exact(estimate, 0);
    add_copies(estimate, 1, 1);
    assert_exact(estimate, 0);
    add_copies(estimate, 2, 3);
    assert_exact(estimate, 2);
    for (guint64 content = 10; content < 60; content++) {
        add_copies(estimate, content, 1);
    }
    assert_exact(estimate, 2);
    add_copies(estimate, 2, 50);
    add_copies(estimate, 10, 1);
    assert_exact(estimate, 53);
    g_assert_cmpuint(mf_estimate_get_result(estimate).pages, ==, 105);
}

static void
test_zero_pages_stand_apart(void)
{
    g_autoptr(MfEstimate) estimate = mf_estimate_new(100, 10);

    for (guint i = 0; i < 7; i++) {
        mf_estimate_add_zero_page(estimate);
    }
    add_copies(estimate, 5, 2);
    assert_exact(estimate, 1);
    g_assert_cmpuint(mf_estimate_get_result(estimate).pages, ==, 9);
    g_assert_cmpuint(mf_estimate_get_result(estimate).zero_pages, ==, 7);
}

/* A thousand times as many contents as may be kept. */
static void
test_the_sample_is_bounded(void)
{
    g_autoptr(MfEstimate) estimate = mf_estimate_new(64, 128);

    for (guint64 content = 0; content < 64000; content++) {
        add_copies(estimate, content, 1);
    }
    MfEstimateResult result = mf_estimate_get_result(estimate);
    g_assert_cmpuint(result.sample_shift, >=, 10);
    g_assert_cmpuint(result.sample_shift, <=, 13);
    g_assert_cmpuint(result.saved_pages, ==, 0);
    g_assert_cmpuint(result.saved_low_pages, ==, 0);
}

/* One content alone has most of the pages, and is not in the sample by its hash. */
static void
test_a_frequent_content_is_not_missed(void)
{
    for (guint64 frequent = 0; frequent < 50; frequent++) {
        g_autoptr(MfEstimate) estimate = mf_estimate_new(256, 1024);

        for (guint i = 0; i < 40000; i++) {
            add_copies(estimate, frequent, i % 4 == 0 ? 1 : 0);
            add_copies(estimate, 1000 + i, 1);
        }
        MfEstimateResult result = mf_estimate_get_result(estimate);
        g_assert_cmpuint(result.sample_shift, >, 4);
        g_assert_cmpuint(result.saved_low_pages, <=, 9999);
        g_assert_cmpuint(result.saved_high_pages, >=, 9999);
        g_assert_cmpuint(result.saved_low_pages, >=, 9000);
    }
}

/* The order of pages must not matter much: here all copies come first, or last. */
static void
test_order(void)
{
    for (guint last = 0; last < 2; last++) {
        g_autoptr(MfEstimate) estimate = mf_estimate_new(256, 1024);

        for (guint64 content = 0; content < 20000; content++) {
            gboolean is_double = last ? content >= 15000 : content < 5000;
            add_copies(estimate, content, is_double ? 2 : 1);
        }
        MfEstimateResult result = mf_estimate_get_result(estimate);
        g_assert_cmpuint(result.saved_low_pages, <=, 5000);
        g_assert_cmpuint(result.saved_high_pages, >=, 5000);
    }
}

typedef struct {
    const char *name;
    guint unique_count;
    guint pair_count;
    guint few_count; /* contents of 3 to 12 copies */
    guint many_count;
    guint many_copies;
    gboolean shuffled;
} Population;

static const Population populations[] = {
    {"pairs", 8000, 4000, 0, 0, 0, TRUE},
    {"pairs, next to each other", 8000, 4000, 0, 0, 0, FALSE},
    {"few doubles", 15000, 60, 0, 0, 0, TRUE},
    {"nothing", 16000, 0, 0, 0, 0, TRUE},
    {"guests of one image", 6000, 500, 1000, 0, 0, TRUE},
    {"one after the other", 6000, 500, 1000, 0, 0, FALSE},
    {"some hundred copies", 6000, 500, 200, 20, 300, TRUE},
    {"some hundred copies in rows", 6000, 500, 200, 20, 300, FALSE},
    {"below frequent", 12000, 0, 0, 60, 15, TRUE},
    {"one of thousands", 9000, 100, 0, 1, 5000, TRUE},
};

static void
append_copies(GArray *pages, guint64 *content, guint count)
{
    (*content)++;
    for (guint i = 0; i < count; i++) {
        g_array_append_val(pages, *content);
    }
}

/* All pages of a population, by content; returns how many can be saved. */
static guint64
populate(const Population *population, GRand *random, GArray *pages)
{
    guint64 content = 0;

    g_array_set_size(pages, 0);
    for (guint i = 0; i < population->unique_count; i++) {
        append_copies(pages, &content, 1);
    }
    for (guint i = 0; i < population->pair_count; i++) {
        append_copies(pages, &content, 2);
    }
    for (guint i = 0; i < population->few_count; i++) {
        append_copies(pages, &content, (guint)g_rand_int_range(random, 3, 13));
    }
    for (guint i = 0; i < population->many_count; i++) {
        append_copies(pages, &content, population->many_copies);
    }
    for (guint i = pages->len - 1; population->shuffled && i > 0; i--) {
        guint other = (guint)g_rand_int_range(random, 0, (gint32)i + 1);
        guint64 kept = g_array_index(pages, guint64, i);
        g_array_index(pages, guint64, i) = g_array_index(pages, guint64, other);
        g_array_index(pages, guint64, other) = kept;
    }
    return pages->len - content;
}

/* Over many keys and populations the truth is in the interval, and the interval is of use. */
static void
test_the_truth_is_in_the_interval(void)
{
    enum { RUNS = 100 };
    g_autoptr(GRand) random = g_rand_new_with_seed(SEED);
    g_autoptr(GArray) pages = g_array_new(FALSE, FALSE, sizeof(guint64));

    for (guint p = 0; p < G_N_ELEMENTS(populations); p++) {
        guint within_count = 0;
        guint64 width_permyriad = 0;
        gint64 error_permyriad = 0;

        for (guint run = 0; run < RUNS; run++) {
            g_autoptr(MfEstimate) estimate = mf_estimate_new(1024, 2048);
            guint64 truth_pages = populate(&populations[p], random, pages);
            guint64 key = ((guint64)g_rand_int(random) << 32) | g_rand_int(random);

            for (guint i = 0; i < pages->len; i++) {
                mf_estimate_add_page(estimate, hash_of(key, g_array_index(pages, guint64, i)));
            }
            MfEstimateResult result = mf_estimate_get_result(estimate);
            g_assert_cmpuint(result.sample_shift, >, 1);
            g_assert_cmpuint(result.saved_low_pages, <=, result.saved_pages);
            g_assert_cmpuint(result.saved_pages, <=, result.saved_high_pages);
            within_count +=
                result.saved_low_pages <= truth_pages && truth_pages <= result.saved_high_pages ? 1
                                                                                                : 0;
            width_permyriad +=
                (result.saved_high_pages - result.saved_low_pages) * 10000 / pages->len;
            error_permyriad +=
                ((gint64)result.saved_pages - (gint64)truth_pages) * 10000 / (gint64)pages->len;
        }
        g_test_message("%s: in the interval %u of %d; width %" G_GUINT64_FORMAT
                       ", mean error %" G_GINT64_FORMAT " permyriad of the pages",
                       populations[p].name, within_count, RUNS, width_permyriad / RUNS,
                       error_permyriad / RUNS);
        g_assert_cmpuint(within_count, >=, RUNS * 95 / 100);
        g_assert_cmpuint(width_permyriad / RUNS, <=, 2500);
        g_assert_cmpint(ABS(error_permyriad / RUNS), <=, 50);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/estimate/exact", test_exact);
    g_test_add_func("/estimate/zero-pages-stand-apart", test_zero_pages_stand_apart);
    g_test_add_func("/estimate/the-sample-is-bounded", test_the_sample_is_bounded);
    g_test_add_func("/estimate/a-frequent-content-is-not-missed",
                    test_a_frequent_content_is_not_missed);
    g_test_add_func("/estimate/order", test_order);
    g_test_add_func("/estimate/the-truth-is-in-the-interval", test_the_truth_is_in_the_interval);
    return g_test_run();
}
