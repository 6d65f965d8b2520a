/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-hookd.h"

#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../core/mf-error.h"
#include "../core/mf-names.h"
#include "../core/mf-text.h"
#include "mf-hook-message.h"

#define CONNECTIONS_MAX 64
#define CLIENT_MAX_MSEC (2 * MF_HOOK_BUDGET_MSEC)
/* The hook needs the rest of its budget for its own work. */
#define ANSWER_MAX_MSEC (MF_HOOK_BUDGET_MSEC * 7 / 10)

struct _MfHookd {
    gatomicrefcount refs; /* a client keeps it beyond mf_hookd_free() */
    GSocketService *service;
    char *path;
    MfEngine *engine;
    GHashTable *judged; /* set of Client whose start is being judged */
    guint connections_count;
    gboolean crowd_warned;
};

typedef struct {
    gatomicrefcount refs;
    MfHookd *hookd;
    GSocketConnection *connection;
    GCancellable *cancellable;
    guint late_id;
    guint answer_id; /* a prepare under way: answers when it takes too long */
    MfDomain *facts;
    gboolean admitted; /* of a prepare: the start was judged, or nobody could */
    gboolean refused;  /* the answer is that it must not start */
    gboolean ended;    /* the domain's end was told while its start was judged */
    gboolean answered;
    gsize used_bytes;
    char text[MF_HOOK_MAX_BYTES];
    char *reply;
} Client;

static void read_more(Client *client);

static void
hookd_unref(MfHookd *hookd)
{
    if (g_atomic_ref_count_dec(&hookd->refs)) {
        g_free(hookd->path);
        mf_engine_unref(hookd->engine);
        g_hash_table_unref(hookd->judged);
        g_free(hookd);
    }
}

static Client *
client_ref(Client *client)
{
    g_atomic_ref_count_inc(&client->refs);
    return client;
}

static void
client_unref(Client *client)
{
    if (!g_atomic_ref_count_dec(&client->refs)) {
        return;
    }
    client->hookd->connections_count--;
    hookd_unref(client->hookd);
    g_object_unref(client->connection);
    g_object_unref(client->cancellable);
    mf_domain_free(client->facts);
    g_free(client->reply);
    g_free(client);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Client, client_unref)

static void
client_end(Client *client)
{
    g_clear_handle_id(&client->late_id, g_source_remove);
    g_clear_handle_id(&client->answer_id, g_source_remove);
    g_cancellable_cancel(client->cancellable);
    g_io_stream_close(G_IO_STREAM(client->connection), NULL, NULL);
}

/* Whether a start is refused by admission when nobody judges it; the hook does by itself. */
static gboolean
refuses_unjudged(const Client *client)
{
    const MfConfig *config = mf_engine_get_config(client->hookd->engine);

    return config->admission == MF_ADMISSION_ENFORCE && config->admission_refuses;
}

static void
on_written(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(Client) client = data;
    gboolean written =
        g_output_stream_write_all_finish(G_OUTPUT_STREAM(source), result, NULL, NULL);

    /* The hook had given up. */
    if (!written && client->refused && !refuses_unjudged(client)) {
        g_warning("domain \"%s\": nobody waited for the answer that it must not start, so that it "
                  "does, most likely",
                  client->facts->name);
        mf_engine_admit_unjudged(client->hookd->engine, client->facts);
    }
    client_end(client);
}

/* Of a text that prints, on one line, C escapes what JSON would have to, and alike.  Free with
 * g_free(). */
static char *
escape(const char *text)
{
    char beyond_ascii[129] = {0}; /* stays as it is: a domain's name may be in any language */
    g_autofree char *printable = mf_text_printable(text, strlen(text));

    for (guint i = 0; i < sizeof beyond_ascii - 1; i++) {
        beyond_ascii[i] = (char)(0x80 + i);
    }
    return g_strescape(printable, beyond_ascii);
}

/* member "error" or "refused" with its text; both NULL: all is well.  The first answer counts. */
static void
answer_with(Client *client, const char *member, const char *text)
{
    GOutputStream *output = g_io_stream_get_output_stream(G_IO_STREAM(client->connection));

    g_clear_handle_id(&client->answer_id, g_source_remove);
    if (client->answered) {
        return;
    }
    client->answered = TRUE;
    if (text) {
        g_autofree char *escaped = escape(text);

        client->reply = g_strdup_printf("{\"ok\":false,\"%s\":\"%s\"}\n", member, escaped);
    } else {
        client->reply = g_strdup("{\"ok\":true}\n");
    }
    g_output_stream_write_all_async(output, client->reply, strlen(client->reply),
                                    G_PRIORITY_DEFAULT, client->cancellable, on_written,
                                    client_ref(client));
}

/* problem NULL: all is well. */
static void
answer(Client *client, const char *problem)
{
    answer_with(client, "error", problem);
}

static void
on_prepared(G_GNUC_UNUSED GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(Client) client = data;
    g_autoptr(GError) error = NULL;

    if (!mf_engine_prepare_finish(result, &error)) {
        g_warning("domain \"%s\": may be merged for a moment after its start, ksmd could not be "
                  "stopped: %s",
                  client->facts->name, error->message);
    }
    answer(client, NULL);
}

static void
on_admitted(G_GNUC_UNUSED GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(Client) client = data;
    g_autofree char *refusal = NULL;

    g_hash_table_remove(client->hookd->judged, client);
    if (client->ended) {
        /* Nothing more comes of that start, to end what it would be given now. */
        client->admitted = TRUE;
        answer(client, NULL);
        return;
    }
    /* Whoever was answered already can't be told any more, and starts or not by that answer. */
    if (!client->answered && !mf_engine_admit_finish(result, &refusal)) {
        client->refused = TRUE;
        answer_with(client, "refused", refusal);
        return;
    }
    client->admitted = TRUE;
    if (!client->refused) {
        mf_engine_prepare(client->hookd->engine, client->facts, on_prepared, client_ref(client));
    }
}

/* The host's figures did not come in time, so that nobody was asked, as with a daemon that is down.
 */
static void
admit_unasked(Client *client)
{
    const MfConfig *config = mf_engine_get_config(client->hookd->engine);

    client->refused = refuses_unjudged(client);
    if (config->admission == MF_ADMISSION_OFF) {
        return;
    }
    g_warning("domain \"%s\": %s unchecked, the host's figures did not come in %d ms",
              client->facts->name, client->refused ? "not started" : "started", ANSWER_MAX_MSEC);
    if (client->refused) {
        g_autofree char *text =
            g_strdup_printf("domain \"%s\" is not started: the host's figures did not come in %d "
                            "ms; try again, or set refuse-without-daemon=false in memfold.conf",
                            client->facts->name, ANSWER_MAX_MSEC);
        answer_with(client, "refused", text);
    } else {
        mf_engine_admit_unjudged(client->hookd->engine, client->facts);
    }
}

static gboolean
on_prepare_late(gpointer data)
{
    Client *client = data;

    client->answer_id = 0;
    if (client->admitted) {
        g_warning("domain \"%s\": may be merged for a moment after its start, ksmd did not stop "
                  "in %d ms",
                  client->facts->name, ANSWER_MAX_MSEC);
    } else {
        admit_unasked(client);
    }
    answer(client, NULL);
    return G_SOURCE_REMOVE;
}

static void
domain_stopped(MfHookd *hookd, const char *uuid)
{
    GHashTableIter iter;
    gpointer key = NULL;

    g_hash_table_iter_init(&iter, hookd->judged);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        Client *client = key;

        client->ended |= strcmp(client->facts->uuid, uuid) == 0;
    }
    mf_engine_domain_stopped(hookd->engine, uuid);
}

static void
handle(Client *client, gsize length_bytes)
{
    MfEngine *engine = client->hookd->engine;
    MfHookOperation operation = MF_HOOK_OTHER;
    g_autoptr(GError) error = NULL;
    MfDomain *facts = mf_hook_message_parse(client->text, length_bytes, &operation, &error);

    client->facts = facts;
    if (!facts) {
        g_warning("hook: message refused: %s", error->message);
        answer(client, error->message);
        return;
    }
    switch (operation) {
    case MF_HOOK_MIGRATE:
        mf_engine_domain_migrates(engine, facts->uuid);
        break;
    case MF_HOOK_PREPARE:
        client->answer_id = g_timeout_add(ANSWER_MAX_MSEC, on_prepare_late, client);
        g_hash_table_add(client->hookd->judged, client);
        mf_engine_admit(engine, facts, on_admitted, client_ref(client));
        return;
    case MF_HOOK_STARTED:
        mf_engine_domain_started(engine, facts);
        break;
    case MF_HOOK_STOPPED:
        domain_stopped(client->hookd, facts->uuid);
        break;
    case MF_HOOK_OTHER:
        break;
    }
    answer(client, NULL);
}

static void
on_read(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(Client) client = data;
    gssize n_bytes = g_input_stream_read_finish(G_INPUT_STREAM(source), result, NULL);
    const char *end = NULL;

    if (n_bytes < 0) {
        client_end(client);
        return;
    }
    end = memchr(client->text + client->used_bytes, '\n', (gsize)n_bytes);
    client->used_bytes += (gsize)n_bytes;
    if (end) {
        handle(client, (gsize)(end - client->text));
    } else if (n_bytes == 0) {
        answer(client, "the message ends before its line does");
    } else if (client->used_bytes == MF_HOOK_MAX_BYTES) {
        g_warning("hook: message refused: longer than %d bytes", MF_HOOK_MAX_BYTES);
        answer(client, "the message is too long");
    } else {
        read_more(client);
    }
}

static void
read_more(Client *client)
{
    GInputStream *input = g_io_stream_get_input_stream(G_IO_STREAM(client->connection));

    g_input_stream_read_async(input, client->text + client->used_bytes,
                              MF_HOOK_MAX_BYTES - client->used_bytes, G_PRIORITY_DEFAULT,
                              client->cancellable, on_read, client_ref(client));
}

static gboolean
on_client_late(gpointer data)
{
    Client *client = data;

    client->late_id = 0;
    client_end(client);
    return G_SOURCE_REMOVE;
}

static gboolean
peer_is_trusted(GSocketConnection *connection)
{
    g_autoptr(GCredentials) credentials =
        g_socket_get_credentials(g_socket_connection_get_socket(connection), NULL);
    uid_t uid = credentials ? g_credentials_get_unix_user(credentials, NULL) : (uid_t)-1;

    return uid == 0 || (uid != (uid_t)-1 && uid == getuid());
}

static gboolean
on_incoming(G_GNUC_UNUSED GSocketService *service, GSocketConnection *connection,
            G_GNUC_UNUSED GObject *source, gpointer data)
{
    MfHookd *hookd = data;
    g_autoptr(Client) client = NULL;

    if (hookd->connections_count >= CONNECTIONS_MAX) {
        if (!hookd->crowd_warned) {
            g_warning("hook: more than %d connections at once, the rest is turned away",
                      CONNECTIONS_MAX);
        }
        hookd->crowd_warned = TRUE;
        return TRUE;
    }
    client = g_new0(Client, 1);
    g_atomic_ref_count_init(&client->refs);
    client->hookd = hookd;
    g_atomic_ref_count_inc(&hookd->refs);
    client->connection = g_object_ref(connection);
    client->cancellable = g_cancellable_new();
    hookd->connections_count++;
    client->late_id = g_timeout_add_full(G_PRIORITY_DEFAULT, CLIENT_MAX_MSEC, on_client_late,
                                         client_ref(client), (GDestroyNotify)client_unref);
    if (peer_is_trusted(connection)) {
        read_more(client);
    } else {
        answer(client, "only root is listened to");
    }
    return TRUE;
}

MfHookd *
mf_hookd_new(const char *path, MfEngine *engine, GError **error)
{
    g_autoptr(MfHookd) hookd = g_new0(MfHookd, 1);
    g_autoptr(GSocketAddress) address = NULL;
    gsize room_bytes = g_unix_socket_address_abstract_names_supported() ? 107 : 103;
    mode_t old_umask = 0;
    gboolean listens = FALSE;

    g_atomic_ref_count_init(&hookd->refs);
    hookd->engine = mf_engine_ref(engine);
    hookd->judged = g_hash_table_new(NULL, NULL);
    hookd->service = g_socket_service_new();
    if (strlen(path) > room_bytes) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "%s: too long for a socket's path", path);
        return NULL;
    }
    g_unlink(path);
    /* libvirt starts as many hooks at once as domains are started. */
    g_socket_listener_set_backlog(G_SOCKET_LISTENER(hookd->service), 2 * CONNECTIONS_MAX);
    address = g_unix_socket_address_new(path);
    old_umask = umask(0177);
    listens = g_socket_listener_add_address(G_SOCKET_LISTENER(hookd->service), address,
                                            G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, NULL,
                                            NULL, error);
    umask(old_umask);
    if (!listens) {
        g_prefix_error(error, "%s: ", path);
        return NULL;
    }
    hookd->path = g_strdup(path);
    g_signal_connect(hookd->service, "incoming", G_CALLBACK(on_incoming), hookd);
    return g_steal_pointer(&hookd);
}

void
mf_hookd_free(MfHookd *hookd)
{
    if (!hookd) {
        return;
    }
    g_socket_service_stop(hookd->service);
    g_socket_listener_close(G_SOCKET_LISTENER(hookd->service));
    g_object_unref(hookd->service);
    if (hookd->path) {
        g_unlink(hookd->path);
    }
    hookd_unref(hookd);
}
