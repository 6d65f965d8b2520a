/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Following the domains: libvirt's events, what the hook tells.
 *
 * Events say only that something happened; what holds now is looked up in a worker.  A domain that
 * stops while it is being looked up, or listed, stays away; what is learned of it meanwhile
 * stays.  What the hook tells may be old: it was said while memfoldd did not listen, and lay there.
 * libvirt has the last word on who runs.
 */
#include "mf-engine-private.h"

#include "../core/mf-error.h"

#define LOOKUPS_MAX     3 /* of the five requests that libvirt serves a connection */
#define LIST_RETRY_MSEC 2000
/* For the sake of single domains that could not be read. */
#define LIST_AGAIN_MSEC 30000

/* What a worker is given, and who gets the answer. */
typedef struct {
    MfEngine *engine;
    MfVirt *virt;
    char *uuid;
    GPtrArray *unread; /* of MfDomain: what a list could not tell */
} Lookup;

/* A look-up under way, on the main context. */
typedef struct {
    gboolean again;
    gboolean stopped;
    gboolean stale; /* newer facts are known than it may bring */
} Pending;

static void list_begin(MfEngine *engine);

static gboolean
on_list_retry(gpointer data)
{
    MfEngine *engine = data;

    engine->list_id = 0;
    list_begin(engine);
    return G_SOURCE_REMOVE;
}

static void
list_later(MfEngine *engine, guint msec)
{
    if (mf_virt_is_connected(engine->virt) && engine->list_id == 0) {
        engine->list_id = g_timeout_add(msec, on_list_retry, engine);
    }
}

static void
lookup_free(gpointer data)
{
    Lookup *lookup = data;

    g_clear_pointer(&lookup->unread, g_ptr_array_unref);
    g_free(lookup->uuid);
    mf_virt_unref(lookup->virt);
    mf_engine_unref(lookup->engine);
    g_free(lookup);
}

static Lookup *
lookup_new(MfEngine *engine, const char *uuid)
{
    Lookup *lookup = g_new0(Lookup, 1);

    lookup->engine = mf_engine_ref(engine);
    lookup->virt = mf_virt_ref(engine->virt);
    lookup->uuid = g_strdup(uuid);
    return lookup;
}

/* What libvirt says of one domain; its refused policy is told once. */
static gboolean
take_facts(MfEngine *engine, const MfDomain *facts, MfSource source)
{
    g_autofree char *what = g_strdup_printf("domain \"%s\"", facts->name);
    g_autofree char *subject = g_strdup_printf("%s/policy", facts->uuid);
    g_autoptr(GError) refused = NULL;

    if (facts->policy_error) {
        refused =
            g_error_new(MF_ERROR, MF_ERROR_INVALID,
                        "its policy is refused, the default applies: %s", facts->policy_error);
    }
    mf_problems_note(engine->domain_problems, subject, what, refused);
    return mf_registry_update(engine->registry, facts, source, g_get_monotonic_time());
}

static void
remove_domain(MfEngine *engine, const char *uuid)
{
    mf_engine_storm_forget(engine, uuid);
    mf_problems_forget(engine->domain_problems, uuid);
    if (mf_registry_remove(engine->registry, uuid)) {
        mf_engine_note_changed(engine);
    } else {
        mf_engine_kick(engine);
    }
}

void
mf_engine_take_newest(MfEngine *engine, const MfDomain *facts)
{
    Pending *pending = g_hash_table_lookup(engine->looking_up, facts->uuid);

    if (pending) {
        pending->stale = TRUE;
        pending->again = TRUE;
    }
    if (engine->newer_than_list) {
        g_hash_table_add(engine->newer_than_list, g_strdup(facts->uuid));
    }
    if (take_facts(engine, facts, MF_SOURCE_LIBVIRT)) {
        mf_engine_note_changed(engine);
    }
}

static void lookup_begin(MfEngine *engine, const char *uuid);

static void
lookup_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
              G_GNUC_UNUSED GCancellable *cancellable)
{
    Lookup *lookup = data;
    GError *error = NULL;
    MfDomain *facts = mf_virt_lookup(lookup->virt, lookup->uuid, &error);

    if (facts) {
        g_task_return_pointer(task, facts, (GDestroyNotify)mf_domain_free);
    } else {
        g_task_return_error(task, error);
    }
}

static void
on_looked_up(G_GNUC_UNUSED GObject *source, GAsyncResult *result, G_GNUC_UNUSED gpointer data)
{
    Lookup *lookup = g_task_get_task_data(G_TASK(result));
    MfEngine *engine = lookup->engine;
    g_autoptr(GError) error = NULL;
    g_autoptr(MfDomain) facts = g_task_propagate_pointer(G_TASK(result), &error);
    g_autofree Pending *pending = NULL;
    g_autofree char *key = NULL;

    if (engine->stopped) {
        return;
    }
    g_hash_table_steal_extended(engine->looking_up, lookup->uuid, (gpointer *)&key,
                                (gpointer *)&pending);
    mf_problems_note(engine->domain_problems, lookup->uuid, facts ? facts->name : lookup->uuid,
                     error);
    if (error && !mf_error_is_gone(error)) {
        engine->listed_all = FALSE;
        list_later(engine, LIST_RETRY_MSEC);
    }
    if (facts && !pending->stopped && !pending->stale) {
        mf_engine_take_newest(engine, facts);
    } else if (error && mf_error_is_gone(error) && !pending->again &&
               mf_registry_find(engine->registry, lookup->uuid)) {
        remove_domain(engine, lookup->uuid);
    }
    if (pending->again) {
        lookup_begin(engine, lookup->uuid);
    }
    mf_engine_domains_ask(engine);
}

static void
lookup_begin(MfEngine *engine, const char *uuid)
{
    Pending *pending = g_hash_table_lookup(engine->looking_up, uuid);
    g_autoptr(GTask) task = NULL;

    if (pending) {
        pending->again = TRUE;
        return;
    }
    g_hash_table_insert(engine->looking_up, g_strdup(uuid), g_new0(Pending, 1));
    task = g_task_new(NULL, NULL, on_looked_up, NULL);
    g_task_set_task_data(task, lookup_new(engine, uuid), lookup_free);
    mf_workers_run(engine->lookups, task, lookup_thread);
}

static void
list_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
            G_GNUC_UNUSED GCancellable *cancellable)
{
    Lookup *lookup = data;
    GError *error = NULL;
    GPtrArray *domains = mf_virt_list(lookup->virt, &lookup->unread, &error);

    if (domains) {
        g_task_return_pointer(task, domains, (GDestroyNotify)g_ptr_array_unref);
    } else {
        g_task_return_error(task, error);
    }
}

/* A domain that libvirt can't describe keeps what was known of it; if that is nothing, it is there,
 * and nothing is done to it. */
static void
take_unread(MfEngine *engine, const MfDomain *unread)
{
    g_autofree char *what = g_strdup_printf("domain \"%s\"", unread->name);
    g_autoptr(GError) why = g_error_new_literal(MF_ERROR, MF_ERROR_FAILED, unread->policy_error);

    mf_problems_note(engine->domain_problems, unread->uuid, what, why);
    if (!mf_registry_find(engine->registry, unread->uuid)) {
        mf_registry_update(engine->registry, unread, MF_SOURCE_LIBVIRT, g_get_monotonic_time());
    }
}

/* Whoever is known and not in the list went while libvirt was away. */
static void
take_list(MfEngine *engine, GPtrArray *listed, GPtrArray *unread, GHashTable *newer)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) known = mf_engine_dup_domains(engine);

    for (guint i = 0; i < listed->len; i++) {
        const MfDomain *facts = listed->pdata[i];

        g_hash_table_add(seen, facts->uuid);
        if (!g_hash_table_contains(newer, facts->uuid)) {
            mf_problems_note(engine->domain_problems, facts->uuid, facts->name, NULL);
            take_facts(engine, facts, MF_SOURCE_LIBVIRT);
        }
    }
    for (guint i = 0; i < unread->len; i++) {
        const MfDomain *domain = unread->pdata[i];

        g_hash_table_add(seen, domain->uuid);
        if (!g_hash_table_contains(newer, domain->uuid)) {
            take_unread(engine, domain);
        }
    }
    for (guint i = 0; i < known->len; i++) {
        const MfDomain *domain = known->pdata[i];

        /* It may have come while the list was made: looking it up tells, and has it go if not. */
        if (!g_hash_table_contains(seen, domain->uuid)) {
            lookup_begin(engine, domain->uuid);
        }
    }
    mf_engine_note_changed(engine);
}

static void
on_listed(G_GNUC_UNUSED GObject *source, GAsyncResult *result, G_GNUC_UNUSED gpointer data)
{
    Lookup *lookup = g_task_get_task_data(G_TASK(result));
    MfEngine *engine = lookup->engine;
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) listed = g_task_propagate_pointer(G_TASK(result), &error);
    g_autoptr(GHashTable) newer = g_steal_pointer(&engine->newer_than_list);
    gboolean again = engine->list_again;

    engine->list_again = FALSE;
    if (engine->stopped) {
        return;
    }
    mf_problems_note(engine->domain_problems, "list", "list of domains", error);
    if (listed) {
        take_list(engine, listed, lookup->unread, newer);
        mf_engine_paused_check_all(engine);
        mf_engine_domains_ask(engine);
    }
    if (again) {
        list_begin(engine);
    } else if (!listed || lookup->unread->len > 0) {
        list_later(engine, listed ? LIST_AGAIN_MSEC : LIST_RETRY_MSEC);
    }
    engine->listed_all =
        listed && lookup->unread->len == 0 && !engine->newer_than_list && engine->list_id == 0;
}

static void
list_begin(MfEngine *engine)
{
    g_autoptr(GTask) task = NULL;

    if (engine->newer_than_list) {
        engine->list_again = TRUE;
        return;
    }
    g_clear_handle_id(&engine->list_id, g_source_remove);
    engine->listed_all = FALSE;
    engine->newer_than_list = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    task = g_task_new(NULL, NULL, on_listed, NULL);
    g_task_set_task_data(task, lookup_new(engine, NULL), lookup_free);
    mf_workers_run(engine->lookups, task, list_thread);
}

static void
domain_stopped(MfEngine *engine, const char *uuid)
{
    Pending *pending = g_hash_table_lookup(engine->looking_up, uuid);

    if (pending) {
        pending->stopped = TRUE;
        pending->again = FALSE;
    }
    if (engine->newer_than_list) {
        g_hash_table_add(engine->newer_than_list, g_strdup(uuid));
    }
    remove_domain(engine, uuid);
}

/* What the lost libvirtd still holds, such as an opening that it never answers, is not to hold up
 * what the next one is asked.  The old pools go when their work has come back.
 */
static void
workers_renew(MfEngine *engine)
{
    g_clear_pointer(&engine->settings, mf_workers_free);
    g_clear_pointer(&engine->lookups, mf_workers_free);
    engine->lookups = mf_workers_new(LOOKUPS_MAX);
    engine->settings = mf_workers_new(1);
}

static void
on_virt_event(MfVirtEvent event, const char *uuid, gpointer data)
{
    MfEngine *engine = data;

    switch (event) {
    case MF_VIRT_CONNECTED:
        mf_registry_forgive(engine->registry);
        list_begin(engine);
        break;
    case MF_VIRT_DISCONNECTED:
        workers_renew(engine);
        mf_engine_storm_renew(engine);
        mf_engine_tell_changed(engine);
        break;
    case MF_VIRT_STARTED:
        if (engine->newer_than_list) {
            g_hash_table_remove(engine->newer_than_list, uuid);
        }
        mf_registry_ask_anew(engine->registry, uuid);
        lookup_begin(engine, uuid);
        break;
    case MF_VIRT_METADATA:
        lookup_begin(engine, uuid);
        break;
    case MF_VIRT_STOPPED:
        domain_stopped(engine, uuid);
        break;
    case MF_VIRT_RESUMED:
        mf_engine_paused_check(engine, uuid);
        mf_registry_ask_anew(engine->registry, uuid);
        mf_engine_domains_ask(engine);
        break;
    case MF_VIRT_MERGE_CHANGE:
        mf_registry_want_query(engine->registry, uuid);
        mf_engine_domains_ask(engine);
        break;
    }
}

void
mf_engine_domains_start(MfEngine *engine)
{
    engine->looking_up = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    workers_renew(engine);
    engine->virt = mf_virt_new(engine->config->libvirt_uri, on_virt_event, engine);
    engine->monitor = mf_monitor_new(engine->virt, engine->host);
}

void
mf_engine_domains_stop(MfEngine *engine)
{
    g_clear_handle_id(&engine->list_id, g_source_remove);
    /* First: what is still to be done then fails at once, for want of a connection. */
    g_clear_pointer(&engine->virt, mf_virt_free);
    g_clear_pointer(&engine->monitor, mf_monitor_free);
    g_clear_pointer(&engine->settings, mf_workers_free);
    g_clear_pointer(&engine->lookups, mf_workers_free);
    g_clear_pointer(&engine->looking_up, g_hash_table_unref);
    g_clear_pointer(&engine->newer_than_list, g_hash_table_unref);
}

gboolean
mf_engine_is_connected(const MfEngine *engine)
{
    return engine->virt && mf_virt_is_connected(engine->virt);
}

GPtrArray *
mf_engine_dup_domains(const MfEngine *engine)
{
    return mf_registry_copy_domains(engine->registry, g_get_monotonic_time());
}

GPtrArray *
mf_engine_list_domains(const MfEngine *engine)
{
    return mf_registry_list_domains(engine->registry);
}

const MfDomain *
mf_engine_get(const MfEngine *engine, const char *uuid)
{
    return mf_registry_find(engine->registry, uuid);
}

const MfDomain *
mf_engine_find(const MfEngine *engine, const char *name_or_uuid)
{
    return mf_registry_find_any(engine->registry, name_or_uuid);
}

void
mf_engine_domains_look_up(MfEngine *engine, const char *uuid)
{
    /* While libvirt is away, the list that is made when it is back tells. */
    if (mf_engine_is_connected(engine)) {
        lookup_begin(engine, uuid);
    }
}

void
mf_engine_domain_started(MfEngine *engine, const MfDomain *facts)
{
    Pending *pending =
        engine->looking_up ? g_hash_table_lookup(engine->looking_up, facts->uuid) : NULL;

    /* Who looks it up now may have come too early to find it. */
    if (pending) {
        pending->again = TRUE;
    }
    if (mf_registry_is_reachable(engine->registry, facts->uuid) && mf_engine_is_connected(engine)) {
        lookup_begin(engine, facts->uuid);
        return;
    }
    if (take_facts(engine, facts, MF_SOURCE_HOOK)) {
        mf_engine_note_changed(engine);
    }
}

void
mf_engine_domain_stopped(MfEngine *engine, const char *uuid)
{
    /* Not by libvirt's events: they may come after the next start was prepared. */
    mf_admissions_end(engine->admissions, uuid);
    mf_engine_end_hold(engine, uuid);
    if (engine->looking_up) {
        gboolean is_doubtful = mf_registry_find(engine->registry, uuid) ||
                               g_hash_table_contains(engine->looking_up, uuid) ||
                               engine->newer_than_list;

        domain_stopped(engine, uuid);
        if (is_doubtful) {
            mf_engine_domains_look_up(engine, uuid);
        }
    }
}

gboolean
mf_engine_domains_are_known(const MfEngine *engine)
{
    GHashTableIter iter;
    gpointer uuid = NULL;
    gpointer value = NULL;

    if (!mf_engine_is_connected(engine) || !engine->listed_all) {
        return FALSE;
    }
    g_hash_table_iter_init(&iter, engine->looking_up);
    while (g_hash_table_iter_next(&iter, &uuid, &value)) {
        const Pending *pending = value;

        /* One that has just started is being looked up; one that libvirt says has ended is not
         * there. */
        if (!mf_registry_find(engine->registry, uuid) && (!pending->stopped || pending->again)) {
            return FALSE;
        }
    }
    return TRUE;
}

void
mf_engine_domains_doubt(MfEngine *engine)
{
    const char *uuid = NULL;

    while (mf_virt_is_connected(engine->virt) &&
           (uuid = mf_registry_next_doubtful(engine->registry, g_get_monotonic_time()))) {
        lookup_begin(engine, uuid);
    }
}
