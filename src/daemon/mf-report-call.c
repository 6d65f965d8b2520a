/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-report-call.h"

#include "../core/mf-error.h"
#include "../core/mf-text.h"
#include "../io/mf-workers.h"
#include "mf-describe-history.h"
#include "mf-reply.h"

#define PERIOD_DEFAULT_SEC (24 * 3600)
/* Each has arrays of some MiB in memory until it is a message. */
#define REPORTS_MAX 2

static guint reports_count; /* under way; of the main context */

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
is_named(const MfRecord *record, const char *name)
{
    return g_str_equal(name, mf_record_get_name(record)) ||
           g_ascii_strcasecmp(name, mf_record_get_uuid(record)) == 0;
}

/* Set of the records (const MfRecord) of the named domains; NULL with GONE when one has none. */
static GHashTable *
find_records(const MfEngine *engine, const char *const *names, GError **error)
{
    g_autoptr(GPtrArray) records = mf_history_list(mf_engine_get_history(engine));
    g_autoptr(GHashTable) found = g_hash_table_new(NULL, NULL);

    for (guint i = 0; names[i]; i++) {
        gboolean is_recorded = FALSE;

        for (guint k = 0; k < records->len; k++) {
            if (is_named(records->pdata[k], names[i])) {
                g_hash_table_add(found, records->pdata[k]);
                is_recorded = TRUE;
            }
        }
        if (!is_recorded) {
            g_autofree char *quoted = mf_text_quote(names[i]);

            g_set_error(error, MF_ERROR, MF_ERROR_GONE, "nothing is recorded of a domain %s",
                        quoted);
            return NULL;
        }
    }
    return g_steal_pointer(&found);
}

/* The answer, floating; NULL with an error. */
static GVariant *
report(const MfEngine *engine, const char *const *names, GVariant *options, GError **error)
{
    g_autoptr(GHashTable) records = NULL;
    guint period_sec = 0;

    if (!read_options(options, &period_sec, error)) {
        return NULL;
    }
    if (reports_count >= REPORTS_MAX) {
        g_set_error(error, MF_ERROR, MF_ERROR_BUSY,
                    "%d other reports are under way; try again when one has ended", REPORTS_MAX);
        return NULL;
    }
    records = find_records(engine, names, error);
    return records ? mf_describe_report(engine, names[0] ? records : NULL, period_sec) : NULL;
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

static void
on_replied(G_GNUC_UNUSED GObject *source, G_GNUC_UNUSED GAsyncResult *result,
           G_GNUC_UNUSED gpointer data)
{
    reports_count--;
}

/* Turning the arrays of five hundred domains into a message takes 0.2 s of CPU time, which the main
 * loop has not got. */
static void
answer_from_worker(GDBusMethodInvocation *invocation, GVariant *answer)
{
    g_autoptr(GTask) task = g_task_new(NULL, NULL, on_replied, NULL);
    Reply *reply = g_new0(Reply, 1);

    reply->invocation = invocation;
    reply->answer = g_variant_ref_sink(answer);
    g_task_set_task_data(task, reply, reply_free);
    reports_count++;
    mf_workers_run_now(task, reply_thread);
}

gboolean
mf_report_call(G_GNUC_UNUSED MfBusHost *host, GDBusMethodInvocation *invocation,
               const char *const *names, GVariant *options, gpointer user_data)
{
    g_autoptr(GError) error = NULL;
    GVariant *answer = NULL;

    if (mf_reply_names_refused(invocation, names)) {
        return TRUE;
    }
    answer = report(user_data, names, options, &error);
    if (answer) {
        answer_from_worker(invocation, answer);
    } else {
        mf_reply_error(invocation, error);
    }
    return TRUE;
}
