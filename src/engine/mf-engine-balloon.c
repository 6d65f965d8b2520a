/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What comes of balloons that were asked for memory: the guest's driver follows in its own time, or
 * never.  Looking has workers of its own, so that a libvirtd that hangs with them holds up no
 * pause.
 */
#include "mf-engine-private.h"

#include "../core/mf-error.h"
#include "../core/mf-units.h"
#include "../io/mf-proc.h"

#define LOOKS_MAX 2

typedef struct {
    MfEngine *engine;
    MfVirt *virt;
    char *uuid;
    gint64 pid; /* of its QEMU; 0 when not known */
    MfBalloon balloon;
} Look;

static void
look_free(gpointer data)
{
    Look *look = data;

    g_free(look->uuid);
    mf_virt_unref(look->virt);
    mf_engine_unref(look->engine);
    g_free(look);
}

static void
look_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
            G_GNUC_UNUSED GCancellable *cancellable)
{
    Look *look = data;
    guint64 now_bytes = 0;
    guint64 max_bytes = 0;
    GError *error = NULL;

    if (look->pid > 0 && mf_proc_is_stopped(look->engine->host, look->pid)) {
        g_task_return_new_error(task, MF_ERROR, MF_ERROR_TIMEOUT, "its QEMU is stopped");
    } else if (mf_virt_get_balloon(look->virt, look->uuid, &now_bytes, &max_bytes, &error)) {
        mf_owed_look(look->engine->owed, look->uuid, now_bytes, &look->balloon);
        g_task_return_boolean(task, TRUE);
    } else {
        g_task_return_error(task, error);
    }
}

/* It is told once, and again when it is over. */
static void
note_trouble(MfEngine *engine, const MfDomain *domain)
{
    g_autofree char *text =
        mf_storm_balloon_trouble(&engine->memory->storm, domain->uuid, g_get_monotonic_time());
    g_autofree char *subject = g_strdup_printf("%s/balloon-gives", domain->uuid);
    g_autofree char *what = g_strdup_printf("domain \"%s\"", domain->name);
    g_autoptr(GError) trouble = NULL;

    if (text) {
        trouble = g_error_new(MF_ERROR, MF_ERROR_FAILED,
                              "%s; has its guest no driver (virtio_balloon)?", text);
    }
    mf_problems_note(engine->domain_problems, subject, what, trouble);
}

static void
tell_reached(const MfDomain *domain, const MfBalloon *before, const MfBalloon *now)
{
    g_autofree char *had = mf_format_bytes(before->before_bytes);

    if (now->before_bytes == 0 && mf_balloon_is_returning(before)) {
        g_message("domain \"%s\": its balloon has given all back, it has %s again", domain->name,
                  had);
    } else if (now->before_bytes > 0 && before->lowest_bytes > now->asked_bytes &&
               now->lowest_bytes <= now->asked_bytes) {
        g_autofree char *given = mf_format_bytes(mf_balloon_given_bytes(now));
        g_autofree char *left = mf_format_bytes(now->now_bytes);

        g_message("domain \"%s\": its balloon has taken %s, it is left %s", domain->name, given,
                  left);
    }
}

static void
on_looked(G_GNUC_UNUSED GObject *source, GAsyncResult *result, G_GNUC_UNUSED gpointer data)
{
    Look *look = g_task_get_task_data(G_TASK(result));
    MfEngine *engine = look->engine;
    MfStorm *storm = &engine->memory->storm;
    gboolean seen = g_task_propagate_boolean(G_TASK(result), NULL);
    const MfDomain *domain = NULL;
    const MfVictim *victim = NULL;

    if (engine->stopped) {
        return;
    }
    domain = mf_registry_find(engine->registry, look->uuid);
    victim = g_hash_table_lookup(storm->victims, look->uuid);
    if (seen && domain && victim && !victim->calling.busy) {
        tell_reached(domain, &victim->balloon, &look->balloon);
    }
    mf_storm_looked(storm, look->uuid, seen ? &look->balloon : NULL);
    if (domain) {
        note_trouble(engine, domain);
    }
}

void
mf_engine_balloons_look(MfEngine *engine)
{
    MfStorm *storm = &engine->memory->storm;
    const char *uuid = NULL;

    while ((uuid = mf_storm_next_look(storm, g_get_monotonic_time())) != NULL) {
        g_autoptr(GTask) task = NULL;
        const MfDomain *domain = mf_registry_find(engine->registry, uuid);
        Look *look = NULL;

        /* A look would not end before its QEMU answers, and there are few. */
        if (mf_registry_is_silent(engine->registry, uuid, g_get_monotonic_time())) {
            mf_storm_looked(storm, uuid, NULL);
            continue;
        }
        task = g_task_new(NULL, NULL, on_looked, NULL);
        look = g_new0(Look, 1);
        look->pid = domain ? domain->pid : 0;
        look->engine = mf_engine_ref(engine);
        look->virt = mf_virt_ref(engine->virt);
        look->uuid = g_strdup(uuid);
        g_task_set_task_data(task, look, look_free);
        mf_workers_run(engine->balloon_looks, task, look_thread);
    }
}

void
mf_engine_balloons_renew(MfEngine *engine)
{
    g_clear_pointer(&engine->balloon_looks, mf_workers_free);
    engine->balloon_looks = mf_workers_new(LOOKS_MAX);
}
