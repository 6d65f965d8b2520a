/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-balloon.h"

#include "mf-units.h"

/* Balloons are counted in pages, and libvirt rounds. */
#define SLACK_BYTES (1024 * 1024)

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
}

void
mf_balloon_return(MfBalloon *balloon)
{
    balloon->asked_bytes = balloon->before_bytes;
}

gboolean
mf_balloon_is_returning(const MfBalloon *balloon)
{
    return balloon->before_bytes > 0 && balloon->asked_bytes == balloon->before_bytes;
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
    if (balloon->before_bytes == 0 || balloon->asked_bytes == 0 || balloon->now_bytes == 0 ||
        mf_balloon_is_returning(balloon)) {
        return FALSE;
    }
    return balloon->now_bytes > balloon->lowest_bytes + SLACK_BYTES ||
           balloon->now_bytes + SLACK_BYTES < balloon->asked_bytes;
}
