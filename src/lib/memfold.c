/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libmemfold: one bus connection, a few calls, and values to read; see memfold.h.
 *
 * The daemon's answers are kept as they came (GVariant checks their type and their bounds) and are
 * looked into when asked.  The connection is a private one, because the shared one of g_bus_get()
 * ends the process when the bus goes away.
 */
#include "memfold.h"

#include "mf-call.h"
#include "mf-figures.h"
#include "mf-names.h"

#define CALL_TIMEOUT_MSEC 25000
/* polkit may wait 20 seconds for a password, and then QEMU 30 for a monitor that is not free. */
#define SET_TIMEOUT_MSEC 60000
/* Of Describe and Plan: the host, and what there are several of. */
#define HOST_REPLY_TYPE     "(a{sv}a(sss)a(a{sv}a(sss)))"
#define ESTIMATE_REPLY_TYPE "(a{sv}aa{sv}a(a{sv}a(sss)))"
#define ERROR_PREFIX        MF_BUS_NAME ".Error."

struct _MemfoldClient {
    GDBusConnection *bus;
};

struct _MemfoldDescription {
    MemfoldFigures *host;
    GPtrArray *domains; /* of MemfoldFigures */
};

struct _MemfoldPlan {
    MemfoldFigures *host;
    GPtrArray *actions; /* of MemfoldFigures */
};

struct _MemfoldEstimate {
    MemfoldFigures *all;
    GPtrArray *groups;  /* of MemfoldFigures */
    GPtrArray *domains; /* of MemfoldFigures */
};

G_DEFINE_QUARK(memfold-error-quark, memfold_error)

static MemfoldError
code_of_remote(const char *name)
{
    static const struct {
        const char *name;
        MemfoldError code;
    } codes[] = {
        {ERROR_PREFIX "NoDomain", MEMFOLD_ERROR_NO_DOMAIN},
        {ERROR_PREFIX "Denied", MEMFOLD_ERROR_DENIED},
        {ERROR_PREFIX "Invalid", MEMFOLD_ERROR_INVALID},
        {ERROR_PREFIX "Unsupported", MEMFOLD_ERROR_UNSUPPORTED},
        {ERROR_PREFIX "Busy", MEMFOLD_ERROR_BUSY},
        {"org.freedesktop.DBus.Error.ServiceUnknown", MEMFOLD_ERROR_NO_DAEMON},
        {"org.freedesktop.DBus.Error.NameHasNoOwner", MEMFOLD_ERROR_NO_DAEMON},
        {"org.freedesktop.DBus.Error.AccessDenied", MEMFOLD_ERROR_DENIED},
        {"org.freedesktop.DBus.Error.AuthFailed", MEMFOLD_ERROR_DENIED},
        {"org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", MEMFOLD_ERROR_DENIED},
        {"org.freedesktop.DBus.Error.InvalidArgs", MEMFOLD_ERROR_INVALID},
        {"org.freedesktop.DBus.Error.NoReply", MEMFOLD_ERROR_TIMED_OUT},
        {"org.freedesktop.DBus.Error.Timeout", MEMFOLD_ERROR_TIMED_OUT},
        {"org.freedesktop.DBus.Error.TimedOut", MEMFOLD_ERROR_TIMED_OUT},
    };

    for (gsize i = 0; name != NULL && i < G_N_ELEMENTS(codes); i++) {
        if (g_str_equal(name, codes[i].name)) {
            return codes[i].code;
        }
    }
    return MEMFOLD_ERROR_FAILED;
}

/* Turns what GDBus says into what memfold.h promises. */
static void
take_dbus_error(GError *from, int timeout_msec, GError **error)
{
    g_autofree char *name = g_dbus_error_get_remote_error(from);
    MemfoldError code = code_of_remote(name);

    g_dbus_error_strip_remote_error(from);
    if (code == MEMFOLD_ERROR_NO_DAEMON) {
        g_set_error(error, MEMFOLD_ERROR, code,
                    "memfoldd is not running (%s has no owner on the bus)", MF_BUS_NAME);
    } else if (g_strcmp0(name, "org.freedesktop.DBus.Error.AccessDenied") == 0) {
        g_set_error(error, MEMFOLD_ERROR, code,
                    "the system bus lets only root and the group libvirt talk to memfoldd");
    } else if (g_error_matches(from, G_IO_ERROR, G_IO_ERROR_TIMED_OUT)) {
        g_set_error(error, MEMFOLD_ERROR, MEMFOLD_ERROR_TIMED_OUT,
                    "memfoldd did not answer within %d seconds", timeout_msec / 1000);
    } else {
        g_set_error_literal(error, MEMFOLD_ERROR, code, from->message);
    }
    g_error_free(from);
}

static GVariant *
call_within(MemfoldClient *client, int timeout_msec, const char *path, const char *interface,
            const char *method, GVariant *params, const char *reply_type, GError **error)
{
    GError *failure = NULL;
    GVariant *reply = g_dbus_connection_call_sync(
        client->bus, MF_BUS_NAME, path, interface, method, params, G_VARIANT_TYPE(reply_type),
        G_DBUS_CALL_FLAGS_NO_AUTO_START | G_DBUS_CALL_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION,
        timeout_msec, NULL, &failure);

    if (reply == NULL) {
        take_dbus_error(failure, timeout_msec, error);
    }
    return reply;
}

GVariant *
mf_call(MemfoldClient *client, const char *path, const char *interface, const char *method,
        GVariant *params, const char *reply_type, GError **error)
{
    return call_within(client, CALL_TIMEOUT_MSEC, path, interface, method, params, reply_type,
                       error);
}

gboolean
mf_call_check_words(const char *const *words, GError **error)
{
    for (gsize i = 0; words != NULL && words[i] != NULL; i++) {
        if (!g_utf8_validate(words[i], -1, NULL)) {
            g_set_error(error, MEMFOLD_ERROR, MEMFOLD_ERROR_INVALID,
                        "argument %" G_GSIZE_FORMAT " is not UTF-8", i + 1);
            return FALSE;
        }
    }
    return TRUE;
}

MemfoldClient *
memfold_client_new(GError **error)
{
    g_autoptr(GDBusConnection) bus = NULL;
    g_autoptr(GError) failure = NULL;
    g_autofree char *address = g_dbus_address_get_for_bus_sync(G_BUS_TYPE_SYSTEM, NULL, &failure);
    MemfoldClient *client;

    if (address != NULL) {
        bus = g_dbus_connection_new_for_address_sync(
            address,
            G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
            NULL, NULL, &failure);
    }
    if (bus == NULL) {
        g_set_error(error, MEMFOLD_ERROR, MEMFOLD_ERROR_NO_DAEMON,
                    "cannot reach the system bus: %s", failure->message);
        return NULL;
    }
    client = g_new0(MemfoldClient, 1);
    client->bus = g_steal_pointer(&bus);
    return client;
}

void
memfold_client_free(MemfoldClient *client)
{
    if (client != NULL) {
        g_object_unref(client->bus);
        g_free(client);
    }
}

/* Calls a method of the host's that answers with HOST_REPLY_TYPE, and takes the answer apart; both
 * are set, or there is an error. */
static gboolean
call_host(MemfoldClient *client, const char *method, MemfoldFigures **ret_host,
          GPtrArray **ret_others, GError **error)
{
    g_autoptr(GVariant) reply = NULL;
    g_autoptr(GVariant) values = NULL;
    g_autoptr(GVariant) texts = NULL;
    g_autoptr(GVariant) others = NULL;

    reply =
        mf_call(client, MF_OBJECT_HOST, MF_INTERFACE_HOST, method, NULL, HOST_REPLY_TYPE, error);
    if (reply == NULL) {
        return FALSE;
    }
    g_variant_get(reply, "(@a{sv}@a(sss)@a(a{sv}a(sss)))", &values, &texts, &others);
    *ret_host = mf_figures_new(values, texts);
    *ret_others = mf_figures_of_several(others);
    return TRUE;
}

MemfoldDescription *
memfold_client_describe(MemfoldClient *client, GError **error)
{
    MemfoldDescription *description;
    MemfoldFigures *host;
    GPtrArray *domains;

    g_return_val_if_fail(client != NULL, NULL);
    if (!call_host(client, "Describe", &host, &domains, error)) {
        return NULL;
    }
    description = g_new0(MemfoldDescription, 1);
    description->host = host;
    description->domains = domains;
    return description;
}

MemfoldPlan *
memfold_client_plan(MemfoldClient *client, GError **error)
{
    MemfoldPlan *plan;
    MemfoldFigures *host;
    GPtrArray *actions;

    g_return_val_if_fail(client != NULL, NULL);
    if (!call_host(client, "Plan", &host, &actions, error)) {
        return NULL;
    }
    plan = g_new0(MemfoldPlan, 1);
    plan->host = host;
    plan->actions = actions;
    return plan;
}

gboolean
memfold_client_set_policy(MemfoldClient *client, const char *domain, const char *attribute,
                          const char *value, GError **error)
{
    g_autoptr(GVariant) found = NULL;
    g_autoptr(GVariant) reply = NULL;
    const char *const words[] = {domain, attribute, value, NULL};
    const char *path;

    g_return_val_if_fail(client != NULL && domain != NULL && attribute != NULL && value != NULL,
                         FALSE);
    if (!mf_call_check_words(words, error)) {
        return FALSE;
    }
    found = mf_call(client, MF_OBJECT_HOST, MF_INTERFACE_HOST, "FindDomain",
                    g_variant_new("(s)", domain), "(o)", error);
    if (found == NULL) {
        return FALSE;
    }
    g_variant_get(found, "(&o)", &path);
    reply = call_within(client, SET_TIMEOUT_MSEC, path, MF_INTERFACE_DOMAIN, "SetPolicy",
                        g_variant_new("(ss)", attribute, value), "()", error);
    return reply != NULL;
}

/* A call that tells how far it is. */
typedef struct {
    GMainLoop *loop;
    MemfoldProgress progress;
    gpointer user_data;
    GVariant *reply;
    GError *failure;
} LongCall;

static void
on_long_reply(GObject *source, GAsyncResult *result, gpointer data)
{
    LongCall *call = data;

    call->reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &call->failure);
    g_main_loop_quit(call->loop);
}

static void
on_progress(G_GNUC_UNUSED GDBusConnection *bus, G_GNUC_UNUSED const char *sender,
            G_GNUC_UNUSED const char *path, G_GNUC_UNUSED const char *interface,
            G_GNUC_UNUSED const char *signal, GVariant *params, gpointer data)
{
    const LongCall *call = data;
    guint32 done_permyriad;

    if (g_variant_is_of_type(params, G_VARIANT_TYPE("(u)"))) {
        g_variant_get(params, "(u)", &done_permyriad);
        call->progress(MIN(done_permyriad, 10000), call->user_data);
    }
}

/* The replies and signals of this call come on a context of its own, so that nothing else of the
 * program runs meanwhile. */
GVariant *
mf_call_long(MemfoldClient *client, const char *method, GVariant *params, const char *reply_type,
             const char *signal, MemfoldProgress progress, gpointer user_data, GError **error)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autoptr(GMainLoop) loop = g_main_loop_new(context, FALSE);
    LongCall call = {loop, progress, user_data, NULL, NULL};
    guint subscription_id = 0;

    g_main_context_push_thread_default(context);
    if (progress != NULL) {
        subscription_id = g_dbus_connection_signal_subscribe(
            client->bus, MF_BUS_NAME, MF_INTERFACE_HOST, signal, MF_OBJECT_HOST, NULL,
            G_DBUS_SIGNAL_FLAGS_NONE, on_progress, &call, NULL);
    }
    g_dbus_connection_call(client->bus, MF_BUS_NAME, MF_OBJECT_HOST, MF_INTERFACE_HOST, method,
                           params, G_VARIANT_TYPE(reply_type),
                           G_DBUS_CALL_FLAGS_NO_AUTO_START |
                               G_DBUS_CALL_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION,
                           G_MAXINT, NULL, on_long_reply, &call);
    g_main_loop_run(loop);
    if (progress != NULL) {
        g_dbus_connection_signal_unsubscribe(client->bus, subscription_id);
    }
    while (g_main_context_iteration(context, FALSE)) {
        continue;
    }
    g_main_context_pop_thread_default(context);
    if (call.reply == NULL) {
        take_dbus_error(call.failure, G_MAXINT, error);
    }
    return call.reply;
}

MemfoldEstimate *
memfold_client_estimate(MemfoldClient *client, const char *const *domains, guint64 rate_bytes,
                        MemfoldProgress progress, gpointer user_data, GError **error)
{
    const char *const nobody[] = {NULL};
    GVariantBuilder options = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sv}"));
    g_autoptr(GVariant) no_texts = g_variant_ref_sink(g_variant_new("a(sss)", NULL));
    g_autoptr(GVariant) reply = NULL;
    g_autoptr(GVariant) all = NULL;
    g_autoptr(GVariant) groups = NULL;
    g_autoptr(GVariant) of_domains = NULL;
    MemfoldEstimate *estimate;

    g_return_val_if_fail(client != NULL, NULL);
    if (!mf_call_check_words(domains, error)) {
        return NULL;
    }
    if (rate_bytes > 0) {
        g_variant_builder_add(&options, "{sv}", "rate_bytes", g_variant_new_uint64(rate_bytes));
    }
    reply = mf_call_long(client, "Estimate",
                         g_variant_new("(^asa{sv})", domains != NULL ? domains : nobody, &options),
                         ESTIMATE_REPLY_TYPE, MF_SIGNAL_PROGRESS, progress, user_data, error);
    if (reply == NULL) {
        return NULL;
    }
    g_variant_get(reply, "(@a{sv}@aa{sv}@a(a{sv}a(sss)))", &all, &groups, &of_domains);
    estimate = g_new0(MemfoldEstimate, 1);
    estimate->all = mf_figures_new(all, no_texts);
    estimate->groups = mf_figures_of_plain(groups);
    estimate->domains = mf_figures_of_several(of_domains);
    return estimate;
}

void
memfold_estimate_free(MemfoldEstimate *estimate)
{
    if (estimate != NULL) {
        mf_figures_free(estimate->all);
        g_ptr_array_unref(estimate->groups);
        g_ptr_array_unref(estimate->domains);
        g_free(estimate);
    }
}

const MemfoldFigures *
memfold_estimate_get_all(const MemfoldEstimate *estimate)
{
    return estimate->all;
}

gsize
memfold_estimate_get_n_groups(const MemfoldEstimate *estimate)
{
    return estimate->groups->len;
}

const MemfoldFigures *
memfold_estimate_get_group(const MemfoldEstimate *estimate, gsize index)
{
    g_return_val_if_fail(index < estimate->groups->len, NULL);
    return g_ptr_array_index(estimate->groups, index);
}

gsize
memfold_estimate_get_n_domains(const MemfoldEstimate *estimate)
{
    return estimate->domains->len;
}

const MemfoldFigures *
memfold_estimate_get_domain(const MemfoldEstimate *estimate, gsize index)
{
    g_return_val_if_fail(index < estimate->domains->len, NULL);
    return g_ptr_array_index(estimate->domains, index);
}

gboolean
memfold_client_reload(MemfoldClient *client, GError **error)
{
    g_autoptr(GVariant) reply = NULL;

    g_return_val_if_fail(client != NULL, FALSE);
    reply = mf_call(client, MF_OBJECT_HOST, MF_INTERFACE_HOST, "Reload", NULL, "()", error);
    return reply != NULL;
}

void
memfold_description_free(MemfoldDescription *description)
{
    if (description != NULL) {
        mf_figures_free(description->host);
        g_ptr_array_unref(description->domains);
        g_free(description);
    }
}

const MemfoldFigures *
memfold_description_get_host(const MemfoldDescription *description)
{
    return description->host;
}

gsize
memfold_description_get_n_domains(const MemfoldDescription *description)
{
    return description->domains->len;
}

const MemfoldFigures *
memfold_description_get_domain(const MemfoldDescription *description, gsize index)
{
    g_return_val_if_fail(index < description->domains->len, NULL);
    return g_ptr_array_index(description->domains, index);
}

void
memfold_plan_free(MemfoldPlan *plan)
{
    if (plan != NULL) {
        mf_figures_free(plan->host);
        g_ptr_array_unref(plan->actions);
        g_free(plan);
    }
}

const MemfoldFigures *
memfold_plan_get_host(const MemfoldPlan *plan)
{
    return plan->host;
}

gsize
memfold_plan_get_n_actions(const MemfoldPlan *plan)
{
    return plan->actions->len;
}

const MemfoldFigures *
memfold_plan_get_action(const MemfoldPlan *plan, gsize index)
{
    g_return_val_if_fail(index < plan->actions->len, NULL);
    return g_ptr_array_index(plan->actions, index);
}
