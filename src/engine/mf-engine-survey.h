/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an estimate and an audit have in common: a look at domains that may take minutes, in a
 * thread of its own, of which there is one at a time.  It ends early when the engine stops or
 * nobody waits for it any more.
 */
#pragma once

#include "../core/mf-config.h"
#include "../io/mf-root.h"
#include "mf-engine.h"

/* Whose turn it is, of one kind of survey; all zero is nobody's. */
typedef struct {
    GCancellable *cancellable; /* of who has it */
} MfSurveyTurn;

/* What a run reads, of its own: the engine goes on meanwhile. */
typedef struct {
    MfEngine *engine;
    MfSurveyTurn *turn;
    MfRoot *host;
    MfConfig *config;
    GPtrArray *named;     /* of MfDomain: those asked for, or all */
    gint *done_permyriad; /* a g_atomic_rc_box */
} MfSurvey;

/*
 * Takes the turn and fills the survey.  what is its name in messages ("audit").  FALSE with BUSY
 * when somebody has the turn or the engine has stopped, with GONE when a named domain does not
 * run; nothing is taken then.  Of the main context, as is mf_survey_end().
 */
gboolean mf_survey_begin(MfSurvey *survey, MfEngine *engine, MfSurveyTurn *turn, const char *what,
                         const char *const *names, gint *done_permyriad, GCancellable *cancellable,
                         GError **error);

/* Gives the turn back: once for each that has begun. */
void mf_survey_end(MfSurvey *survey);

/* Lets go of what the survey holds.  From any thread. */
void mf_survey_clear(MfSurvey *survey);

/* Notes how far a run is; data is the MfSurvey.  From any thread. */
void mf_survey_note_progress(guint done_permyriad, gpointer data);

/* Has who has the turn end soon. */
void mf_survey_stop(const MfSurveyTurn *turn);
