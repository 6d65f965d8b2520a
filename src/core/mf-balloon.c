/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-balloon.h"

#include "mf-units.h"

/* Balloons are counted in pages, and libvirt rounds. */
#define SLACK_BYTES   (1024 * 1024)
#define FOREIGN_LOOKS 30 /* once a second */

void
mf_balloon_ask(MfBalloon *balloon, guint64 now_bytes, guint64 asked_bytes)
{
    if (balloon->before_bytes > 0) {
        mf_balloon_look(balloon, now_bytes);
    }
    if (balloon->before_bytes == 0 || mf_balloon_is_foreign(balloon)) {
        balloon->before_bytes = now_bytes;
    }
    balloon->asked_bytes = asked_bytes;
    balloon->lowest_bytes = now_bytes;
    balloon->now_bytes = now_bytes;
    balloon->strange_bytes = 0;
    balloon->strange_looks_count = 0;
}

void
mf_balloon_return(MfBalloon *balloon)
{
    balloon->asked_bytes = balloon->before_bytes;
    balloon->strange_bytes = 0;
    balloon->strange_looks_count = 0;
}

gboolean
mf_balloon_is_returning(const MfBalloon *balloon)
{
    return balloon->before_bytes > 0 && balloon->asked_bytes == balloon->before_bytes;
}

static gboolean
is_about(guint64 a_bytes, guint64 b_bytes)
{
    return MAX(a_bytes, b_bytes) - MIN(a_bytes, b_bytes) <= SLACK_BYTES;
}

/* A size that does not come of what memfold asked for. */
static gboolean
is_strange(const MfBalloon *balloon)
{
    if (balloon->asked_bytes == 0 || mf_balloon_is_returning(balloon) ||
        is_about(balloon->now_bytes, balloon->before_bytes)) {
        return FALSE;
    }
    return balloon->now_bytes > balloon->lowest_bytes + SLACK_BYTES ||
           balloon->now_bytes + SLACK_BYTES < balloon->asked_bytes;
}

static void
note_strange(MfBalloon *balloon)
{
    if (!is_strange(balloon)) {
        balloon->strange_bytes = 0;
        balloon->strange_looks_count = 0;
    } else if (balloon->strange_bytes > 0 && is_about(balloon->now_bytes, balloon->strange_bytes)) {
        balloon->strange_looks_count++;
    } else {
        balloon->strange_bytes = balloon->now_bytes;
        balloon->strange_looks_count = 1;
    }
}

gboolean
mf_balloon_look(MfBalloon *balloon, guint64 now_bytes)
{
    gboolean lower = balloon->lowest_bytes == 0 || now_bytes < balloon->lowest_bytes;

    if (mf_balloon_is_returning(balloon) && now_bytes + SLACK_BYTES >= balloon->before_bytes) {
        *balloon = (MfBalloon){0};
        return TRUE;
    }
    balloon->now_bytes = now_bytes;
    if (lower) {
        balloon->lowest_bytes = now_bytes;
    }
    note_strange(balloon);
    return lower;
}

guint64
mf_balloon_given_bytes(const MfBalloon *balloon)
{
    return balloon->now_bytes == 0 ? mf_balloon_wanted_bytes(balloon)
                                   : mf_sub_clamp(balloon->before_bytes, balloon->now_bytes);
}

guint64
mf_balloon_wanted_bytes(const MfBalloon *balloon)
{
    return mf_sub_clamp(balloon->before_bytes, balloon->asked_bytes);
}

gboolean
mf_balloon_is_foreign(const MfBalloon *balloon)
{
    return balloon->strange_looks_count >= FOREIGN_LOOKS;
}

gboolean
mf_balloon_is_in_doubt(const MfBalloon *balloon)
{
    return balloon->strange_looks_count > 0 && !mf_balloon_is_foreign(balloon);
}
