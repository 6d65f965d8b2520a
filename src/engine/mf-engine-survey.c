/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Long looks at domains: one at a time, for as long as somebody waits. */
#include "mf-engine-survey.h"

#include "../core/mf-error.h"
#include "mf-engine-private.h"

/* Copies of the named domains, each once, or of all; NULL with GONE when one does not run. */
static GPtrArray *
pick_domains(MfEngine *engine, const char *const *names, GError **error)
{
    g_autoptr(GPtrArray) domains = g_ptr_array_new_with_free_func((GDestroyNotify)mf_domain_free);

    if (names[0] == NULL) {
        return mf_engine_dup_domains(engine);
    }
    for (guint i = 0; names[i]; i++) {
        const MfDomain *domain = mf_engine_find(engine, names[i]);
        gboolean is_twice = FALSE;

        if (!domain) {
            g_set_error(error, MF_ERROR, MF_ERROR_GONE,
                        "no running domain \"%s\" (memfold status lists them)", names[i]);
            return NULL;
        }
        for (guint k = 0; k < domains->len; k++) {
            const MfDomain *other = domains->pdata[k];
            is_twice |= g_str_equal(other->uuid, domain->uuid);
        }
        if (!is_twice) {
            g_ptr_array_add(domains, mf_domain_copy(domain));
        }
    }
    return g_steal_pointer(&domains);
}

gboolean
mf_survey_begin(MfSurvey *survey, MfEngine *engine, MfSurveyTurn *turn, const char *what,
                const char *const *names, gint *done_permyriad, GCancellable *cancellable,
                GError **error)
{
    g_autoptr(GPtrArray) named = NULL;

    if (turn->cancellable || engine->stopped) {
        g_set_error(error, MF_ERROR, MF_ERROR_BUSY,
                    "another %s is under way; try again when it has ended", what);
        return FALSE;
    }
    named = pick_domains(engine, names, error);
    if (!named) {
        return FALSE;
    }
    turn->cancellable = g_object_ref(cancellable);
    *survey = (MfSurvey){.engine = mf_engine_ref(engine),
                         .turn = turn,
                         .host = mf_root_ref(engine->host),
                         .config = mf_config_copy(engine->config),
                         .named = g_steal_pointer(&named),
                         .done_permyriad = g_atomic_rc_box_acquire(done_permyriad)};
    return TRUE;
}

void
mf_survey_end(MfSurvey *survey)
{
    g_clear_object(&survey->turn->cancellable);
}

void
mf_survey_clear(MfSurvey *survey)
{
    g_clear_pointer(&survey->done_permyriad, g_atomic_rc_box_release);
    g_clear_pointer(&survey->named, g_ptr_array_unref);
    g_clear_pointer(&survey->config, mf_config_free);
    g_clear_pointer(&survey->host, mf_root_unref);
    g_clear_pointer(&survey->engine, mf_engine_unref);
}

void
mf_survey_note_progress(guint done_permyriad, gpointer data)
{
    const MfSurvey *survey = data;

    g_atomic_int_set(survey->done_permyriad, (gint)done_permyriad);
}

void
mf_survey_stop(const MfSurveyTurn *turn)
{
    if (turn->cancellable) {
        g_cancellable_cancel(turn->cancellable);
    }
}
