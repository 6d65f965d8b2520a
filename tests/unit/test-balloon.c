/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose balloon it is, and what it has given. */
#include "../../src/core/mf-balloon.h"

#define MIB (G_GUINT64_CONSTANT(1) << 20)

/* MiB; the guest had 256 and was asked to live with 160, unless it says otherwise. */
static const struct {
    const char *what;
    guint before, asked, lowest, now;
    gboolean foreign;
    guint given;
} cases[] = {
    {"nothing was asked", 0, 0, 0, 0, FALSE, 0},
    {"not looked at yet", 256, 160, 256, 0, FALSE, 96},
    {"no driver", 256, 160, 256, 256, FALSE, 0},
    {"on its way", 256, 160, 200, 200, FALSE, 56},
    {"there", 256, 160, 160, 160, FALSE, 96},
    {"rounded", 256, 160, 160, 161, FALSE, 95},
    {"set to more", 256, 160, 160, 162, TRUE, 94},
    {"gives no more, then set to more", 256, 160, 200, 240, TRUE, 16},
    {"started anew", 256, 160, 160, 256, FALSE, 0},
    {"set to more than it had", 256, 160, 160, 300, TRUE, 0},
    {"set to less", 256, 160, 158, 158, TRUE, 98},
    {"of an earlier version's file", 256, 0, 0, 200, FALSE, 56},
    {"given back, on its way", 256, 256, 160, 200, FALSE, 56},
};

static void
look_often(MfBalloon *balloon, guint now_mib, guint looks_count)
{
    for (guint i = 0; i < looks_count; i++) {
        mf_balloon_look(balloon, now_mib * MIB);
    }
}

/* A size that memfold did not ask for is somebody else's when it was seen for half a minute. */
static void
test_whose_it_is(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        MfBalloon balloon = {
            .before_bytes = cases[i].before * MIB,
            .asked_bytes = cases[i].asked * MIB,
            .lowest_bytes = cases[i].lowest * MIB,
        };

        g_test_message("%s", cases[i].what);
        look_often(&balloon, cases[i].now, cases[i].now > 0 ? 29 : 0);
        g_assert_cmpint(mf_balloon_is_in_doubt(&balloon), ==, cases[i].foreign);
        g_assert_false(mf_balloon_is_foreign(&balloon));
        look_often(&balloon, cases[i].now, cases[i].now > 0 ? 1 : 0);
        g_assert_false(mf_balloon_is_in_doubt(&balloon));
        g_assert_cmpint(mf_balloon_is_foreign(&balloon), ==, cases[i].foreign);
        g_assert_cmpuint(mf_balloon_given_bytes(&balloon) / MIB, ==, cases[i].given);
    }
}

/* A way down, a look from time to time: only what is lower is worth being written. */
static void
test_the_least_is_kept(void)
{
    static const struct {
        guint now;
        gboolean kept;
    } looks[] = {{256, FALSE}, {230, TRUE}, {230, FALSE}, {160, TRUE}, {200, FALSE}};
    MfBalloon balloon = {0};

    mf_balloon_ask(&balloon, 256 * MIB, 160 * MIB);
    for (guint i = 0; i < G_N_ELEMENTS(looks); i++) {
        g_assert_cmpint(mf_balloon_look(&balloon, looks[i].now * MIB), ==, looks[i].kept);
    }
    g_assert_cmpuint(balloon.lowest_bytes, ==, 160 * MIB);
    g_assert_true(mf_balloon_is_in_doubt(&balloon));
}

/* A guest that starts anew, or has taken memory back, comes down again: that takes as long as it
 * takes, and is nobody's wish. */
static void
test_comes_down_again(void)
{
    MfBalloon balloon = {0};

    mf_balloon_ask(&balloon, 256 * MIB, 160 * MIB);
    mf_balloon_look(&balloon, 160 * MIB);
    look_often(&balloon, 256, 100);
    for (guint mib = 250; mib > 160; mib -= 10) {
        look_often(&balloon, mib, 20);
        g_assert_false(mf_balloon_is_foreign(&balloon));
        g_assert_true(mf_balloon_is_in_doubt(&balloon));
    }
    mf_balloon_look(&balloon, 160 * MIB);
    g_assert_false(mf_balloon_is_in_doubt(&balloon));
    g_assert_cmpuint(balloon.before_bytes, ==, 256 * MIB);
}

/* The guest has it again when it has it, and not when it was told. */
static void
test_given_back(void)
{
    MfBalloon balloon = {0};

    mf_balloon_ask(&balloon, 256 * MIB, 160 * MIB);
    mf_balloon_look(&balloon, 160 * MIB);
    g_assert_false(mf_balloon_is_returning(&balloon));
    mf_balloon_return(&balloon);
    g_assert_true(mf_balloon_is_returning(&balloon));
    g_assert_false(mf_balloon_look(&balloon, 200 * MIB));
    g_assert_cmpuint(balloon.before_bytes, ==, 256 * MIB);
    g_assert_true(mf_balloon_look(&balloon, 256 * MIB));
    g_assert_cmpuint(balloon.before_bytes, ==, 0);
    g_assert_false(mf_balloon_is_returning(&balloon));
}

/* Asked anew: half-way up it is owed what it had; what somebody else set is what it has now. */
static void
test_asked_again(void)
{
    MfBalloon balloon = {0};

    mf_balloon_ask(&balloon, 256 * MIB, 160 * MIB);
    mf_balloon_look(&balloon, 160 * MIB);
    mf_balloon_return(&balloon);
    mf_balloon_ask(&balloon, 200 * MIB, 128 * MIB);
    g_assert_cmpuint(balloon.before_bytes, ==, 256 * MIB);
    g_assert_cmpuint(mf_balloon_wanted_bytes(&balloon), ==, 128 * MIB);
    mf_balloon_look(&balloon, 128 * MIB);
    look_often(&balloon, 180, 30);
    mf_balloon_ask(&balloon, 180 * MIB, 150 * MIB);
    g_assert_cmpuint(balloon.before_bytes, ==, 180 * MIB);
    g_assert_false(mf_balloon_is_foreign(&balloon));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/balloon/whose", test_whose_it_is);
    g_test_add_func("/balloon/least", test_the_least_is_kept);
    g_test_add_func("/balloon/down-again", test_comes_down_again);
    g_test_add_func("/balloon/given-back", test_given_back);
    g_test_add_func("/balloon/again", test_asked_again);
    return g_test_run();
}
