/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-report-call.h"

#include "../core/mf-error.h"
#include "../core/mf-text.h"
#include "../io/mf-workers.h"
#include "mf-describe-history.h"
#include "mf-reply.h"

#define PERIOD_DEFAULT_SEC (24 * 3600)

/* An answer on its way. */
typedef struct {
    GDBusMethodInvocation *invocation;
    GVariant *answer;
} Reply;

/* FALSE with INVALID when an option is none, of another type, or out of range. */
static gboolean
read_options(GVariant *options, guint *ret_period_sec, GError **error)
{
    guint64 period_sec = PERIOD_DEFAULT_SEC;
    GVariantIter iter;
    const char *key = NULL;
    GVariant *value = NULL;

    g_variant_iter_init(&iter, options);
    while (g_variant_iter_next(&iter, "{&sv}", &key, &value)) {
        g_autoptr(GVariant) held = value;

        if (!g_str_equal(key, "period_sec") || !g_variant_is_of_type(held, G_VARIANT_TYPE_UINT64)) {
            g_autofree char *quoted = mf_text_quote(key);

            g_set_error(error, MF_ERROR, MF_ERROR_INVALID,
                        "option %s: expected period_sec, of type t", quoted);
            return FALSE;
        }
        period_sec = g_variant_get_uint64(held);
    }
    if (period_sec < MF_HISTORY_PERIOD_MIN_SEC || period_sec > MF_HISTORY_PERIOD_MAX_SEC) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID,
                    "period_sec=%" G_GUINT64_FORMAT " is not between %d and %d", period_sec,
                    MF_HISTORY_PERIOD_MIN_SEC, MF_HISTORY_PERIOD_MAX_SEC);
        return FALSE;
    }
    *ret_period_sec = (guint)period_sec;
    return TRUE;
}

static gboolean
has_record(const GPtrArray *records, const char *name)
{
    for (guint i = 0; i < records->len; i++) {
        const MfRecord *record = records->pdata[i];

        if (g_str_equal(name, mf_record_get_name(record)) ||
            g_ascii_strcasecmp(name, mf_record_get_uuid(record)) == 0) {
            return TRUE;
        }
    }
    return FALSE;
}

static gboolean
check_names(const MfEngine *engine, const char *const *names, GError **error)
{
    g_autoptr(GPtrArray) records = mf_history_list(mf_engine_get_history(engine));

    for (guint i = 0; names[i]; i++) {
        if (!has_record(records, names[i])) {
            g_autofree char *quoted = mf_text_quote(names[i]);

            g_set_error(error, MF_ERROR, MF_ERROR_GONE, "nothing is recorded of a domain %s",
                        quoted);
            return FALSE;
        }
    }
    return TRUE;
}

static void
reply_free(gpointer data)
{
    Reply *reply = data;

    g_variant_unref(reply->answer);
    g_free(reply);
}

static void
reply_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
             G_GNUC_UNUSED GCancellable *cancellable)
{
    Reply *reply = data;

    g_dbus_method_invocation_return_value(reply->invocation, reply->answer);
    g_task_return_boolean(task, TRUE);
}

/* Turning the arrays of five hundred domains into a message takes 0.2 s of CPU time, which the main
 * loop has not got. */
static void
answer_from_worker(GDBusMethodInvocation *invocation, GVariant *answer)
{
    g_autoptr(GTask) task = g_task_new(NULL, NULL, NULL, NULL);
    Reply *reply = g_new0(Reply, 1);

    reply->invocation = invocation;
    reply->answer = g_variant_ref_sink(answer);
    g_task_set_task_data(task, reply, reply_free);
    mf_workers_run_now(task, reply_thread);
}

gboolean
mf_report_call(G_GNUC_UNUSED MfBusHost *host, GDBusMethodInvocation *invocation,
               const char *const *names, GVariant *options, gpointer user_data)
{
    const MfEngine *engine = user_data;
    g_autoptr(GError) error = NULL;
    guint period_sec = 0;

    if (!read_options(options, &period_sec, &error) || !check_names(engine, names, &error)) {
        mf_reply_error(invocation, error);
        return TRUE;
    }
    answer_from_worker(invocation, mf_describe_report(engine, names[0] ? names : NULL, period_sec));
    return TRUE;
}
