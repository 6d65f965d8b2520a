/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What memfold asked of a guest's balloon, and what the guest has made of it.
 *
 * libvirt takes the wish at once; the guest's driver follows in its own time, or never, when there
 * is no driver or nothing to give.  Nobody tells which wish was the last one, so that what the
 * administrator sets meanwhile shows only in what the guest has: more than the least it had come
 * down to, or less than memfold ever asked for.  A guest that starts anew, or takes memory back
 * when it has none, has more as well, and comes down again: only a size that lasts is somebody
 * else's. A wish of his between the two can't be told from a guest that gives no more, nor can one
 * for just what it had.
 *
 * Giving back takes its time, too.  What the guest is owed is known until it has it again, so that
 * whoever asks anew meanwhile does not take a half-empty balloon for what it had before.  Pure.
 */
#pragma once

#include <glib.h>

/* Sizes are what the guest is left with. */
typedef struct {
    guint64 before_bytes;      /* before memfold asked; 0: it did not, or all was given back */
    guint64 asked_bytes;       /* what it asked for; 0: not known; before_bytes: it is given back */
    guint64 lowest_bytes;      /* the least that the guest was seen to have since; 0: not known */
    guint64 now_bytes;         /* what it had when it was last looked at; 0: not looked at yet */
    guint64 strange_bytes;     /* a size that memfold did not ask for; 0: it has none such */
    guint strange_looks_count; /* at so many looks in a row it had that */
} MfBalloon;

/* Asks anew: of a guest that has now_bytes.  What it is owed stays what it was, unless somebody
 * else has changed it since. */
void mf_balloon_ask(MfBalloon *balloon, guint64 now_bytes, guint64 asked_bytes);

/* All of it is being given back. */
void mf_balloon_return(MfBalloon *balloon);
gboolean mf_balloon_is_returning(const MfBalloon *balloon);

/* Takes in what the guest has now, about once a second.  TRUE when that is to be kept: it has come
 * down further, or has all again, and nothing is owed any more. */
gboolean mf_balloon_look(MfBalloon *balloon, guint64 now_bytes);

/* What it has given so far, and what it was asked to give. */
guint64 mf_balloon_given_bytes(const MfBalloon *balloon);
guint64 mf_balloon_wanted_bytes(const MfBalloon *balloon);

/* Somebody else has set it since; memfold leaves it then as it is. */
gboolean mf_balloon_is_foreign(const MfBalloon *balloon);

/* Whether that is so shows within half a minute. */
gboolean mf_balloon_is_in_doubt(const MfBalloon *balloon);
