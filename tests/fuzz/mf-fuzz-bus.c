/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GDBus calls the filter in a thread of its own; what both look at is under the lock. */
#include "mf-fuzz-bus.h"

#include <string.h>

#define BUS           "org.freedesktop.DBus"
#define POLKIT        "org.freedesktop.PolicyKit1"
#define CALLER        ":1.7"
#define DAEMON        ":1.1"
#define NAME_IS_OWNED 1u
#define DEADLINE_SEC  100

struct _MfFuzzBus {
    GDBusServer *server;
    GDBusConnection *peer;
    GMutex lock;
    gboolean named;
    const MfFuzzCaller *caller;
    guint32 serial; /* of the call that is to be answered */
    GDBusMessage *answer;
};

/* The answer's body; NULL: an error. */
static GVariant *
answer_of_bus(const MfFuzzBus *bus, const char *member)
{
    if (g_str_equal(member, "Hello")) {
        return g_variant_new("(s)", DAEMON);
    }
    if (g_str_equal(member, "RequestName")) {
        return g_variant_new("(u)", NAME_IS_OWNED);
    }
    if (g_str_equal(member, "GetNameOwner")) {
        return g_variant_new("(s)", CALLER);
    }
    if (g_str_equal(member, "GetConnectionUnixUser") && bus->caller != NULL) {
        return bus->caller->known ? g_variant_new("(u)", bus->caller->uid) : NULL;
    }
    return g_variant_new("()");
}

/* Lock held. */
static GDBusMessage *
answer_to(MfFuzzBus *bus, GDBusMessage *message)
{
    const char *destination = g_dbus_message_get_destination(message);
    const char *member = g_dbus_message_get_member(message);
    GVariant *body = NULL;
    GDBusMessage *reply = NULL;

    if (g_strcmp0(destination, BUS) == 0) {
        body = answer_of_bus(bus, member);
        bus->named |= g_str_equal(member, "RequestName");
    } else if (g_strcmp0(destination, POLKIT) == 0 && bus->caller != NULL) {
        body = bus->caller->polkit;
    }
    if (body == NULL) {
        reply = g_dbus_message_new_method_error_literal(message, BUS ".Error.Failed", "no");
    } else {
        reply = g_dbus_message_new_method_reply(message);
        g_dbus_message_set_body(reply, body);
    }
    g_dbus_message_set_sender(reply, destination);
    return reply;
}

static GDBusMessage *
on_message(GDBusConnection *connection, GDBusMessage *message, gboolean incoming, gpointer data)
{
    MfFuzzBus *bus = data;
    g_autoptr(GDBusMessage) taken = message;
    g_autoptr(GDBusMessage) reply = NULL;

    if (!incoming) {
        return g_steal_pointer(&taken);
    }
    g_mutex_lock(&bus->lock);
    if (g_dbus_message_get_message_type(message) == G_DBUS_MESSAGE_TYPE_METHOD_CALL) {
        reply = answer_to(bus, message);
    } else if (bus->serial != 0 && g_dbus_message_get_reply_serial(message) == bus->serial) {
        g_assert_null(bus->answer);
        bus->answer = g_object_ref(message);
    }
    g_mutex_unlock(&bus->lock);
    if (reply != NULL) {
        g_dbus_connection_send_message(connection, reply, G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL,
                                       NULL);
    }
    g_main_context_wakeup(NULL);
    return NULL;
}

static gboolean
on_connection(G_GNUC_UNUSED GDBusServer *server, GDBusConnection *connection, gpointer data)
{
    MfFuzzBus *bus = data;

    g_assert_null(bus->peer);
    bus->peer = g_object_ref(connection);
    g_dbus_connection_add_filter(connection, on_message, bus, NULL);
    return TRUE;
}

MfFuzzBus *
mf_fuzz_bus_new(const char *folder)
{
    MfFuzzBus *bus = g_new0(MfFuzzBus, 1);
    g_autofree char *address = g_strdup_printf("unix:path=%s/bus", folder);
    g_autofree char *guid = g_dbus_generate_guid();
    g_autoptr(GError) error = NULL;

    g_mutex_init(&bus->lock);
    bus->server =
        g_dbus_server_new_sync(address, G_DBUS_SERVER_FLAGS_NONE, guid, NULL, NULL, &error);
    g_assert_no_error(error);
    g_signal_connect(bus->server, "new-connection", G_CALLBACK(on_connection), bus);
    g_dbus_server_start(bus->server);
    g_setenv("DBUS_SYSTEM_BUS_ADDRESS", g_dbus_server_get_client_address(bus->server), TRUE);
    return bus;
}

static gboolean
on_deadline(G_GNUC_UNUSED gpointer data)
{
    g_error("the bus waits in vain");
    return G_SOURCE_REMOVE;
}

/* Whether what is waited for is there; also takes it. */
static gboolean
take(MfFuzzBus *bus, GDBusMessage **ret_answer)
{
    gboolean there = FALSE;

    g_mutex_lock(&bus->lock);
    if (ret_answer == NULL) {
        there = bus->named;
    } else if (bus->answer != NULL) {
        *ret_answer = g_steal_pointer(&bus->answer);
        bus->serial = 0;
        bus->caller = NULL;
        there = TRUE;
    }
    g_mutex_unlock(&bus->lock);
    return there;
}

static void
wait_for(MfFuzzBus *bus, GDBusMessage **ret_answer)
{
    guint deadline_id = g_timeout_add_seconds(DEADLINE_SEC, on_deadline, NULL);

    while (!take(bus, ret_answer)) {
        g_main_context_iteration(NULL, TRUE);
    }
    g_source_remove(deadline_id);
}

void
mf_fuzz_bus_wait_for_name(MfFuzzBus *bus)
{
    wait_for(bus, NULL);
}

GDBusMessage *
mf_fuzz_bus_call(MfFuzzBus *bus, GDBusMessage *call, const MfFuzzCaller *caller)
{
    GDBusMessage *answer = NULL;
    guint32 serial = 0;
    gboolean sent = FALSE;

    g_dbus_message_set_sender(call, CALLER);
    /* The answer may come before the serial is known here: the filter waits for the lock. */
    g_mutex_lock(&bus->lock);
    bus->caller = caller;
    sent = g_dbus_connection_send_message(bus->peer, call, G_DBUS_SEND_MESSAGE_FLAGS_NONE, &serial,
                                          NULL);
    bus->serial = sent ? serial : 0;
    g_mutex_unlock(&bus->lock);
    if (!sent) {
        return NULL;
    }
    wait_for(bus, &answer);
    return answer;
}
