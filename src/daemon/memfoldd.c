/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memfoldd: options, signals and wiring.
 *
 * Everything hangs on one main loop.  Before anything is changed, what a dead memfoldd left in the
 * journal is put back; whatever ends the loop, the engine puts back what this one changed.
 */
#include <errno.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <libvirt-glib/libvirt-glib.h>
#include <locale.h>
#include <string.h>
#include <unistd.h>

#include "../core/mf-error.h"
#include "../core/mf-names.h"
#include "../engine/mf-engine.h"
#include "../io/mf-configfile.h"
#include "../io/mf-host.h"
#include "../io/mf-workers.h"
#include "mf-build.h"
#include "mf-control.h"
#include "mf-footprint.h"
#include "mf-hookd.h"
#include "mf-log.h"
#include "mf-notify.h"

#define EXIT_USAGE      2
#define LOCK_NAME       "lock"
#define LEAVE_WAIT_MSEC 2000

typedef struct {
    char *config_path;
    char *runtime_dir;
    char *root_path;
    char *uri;
    gboolean restore;

    MfRoot *host;
    MfRoot *runtime;
    MfJournal *journal;
    MfEngine *engine;
    GMainLoop *loop;
    gboolean stopping; /* what the bus still says comes too late */
    int exit_status;
} Daemon;

static void
daemon_clear(Daemon *daemon)
{
    g_clear_pointer(&daemon->engine, mf_engine_unref);
    g_clear_pointer(&daemon->journal, mf_journal_free);
    g_clear_pointer(&daemon->runtime, mf_root_unref);
    g_clear_pointer(&daemon->host, mf_root_unref);
    g_clear_pointer(&daemon->loop, g_main_loop_unref);
    g_clear_pointer(&daemon->config_path, g_free);
    g_clear_pointer(&daemon->runtime_dir, g_free);
    g_clear_pointer(&daemon->root_path, g_free);
    g_clear_pointer(&daemon->uri, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Daemon, daemon_clear)

/* Returns -1 to go on, else the exit status. */
static int
parse_options(Daemon *daemon, int argc, char **argv)
{
    gboolean version = FALSE;
    gboolean foreground = FALSE;
    const GOptionEntry entries[] = {
        {"config", 'c', 0, G_OPTION_ARG_FILENAME, &daemon->config_path,
         "Configuration; FILE.d/*.conf is read after it (" MF_CONFIG_FILE ")", "FILE"},
        {"runtime-dir", 0, 0, G_OPTION_ARG_FILENAME, &daemon->runtime_dir,
         "Where lock, journal and hook socket are (ROOT" MF_RUNTIME_DIR ")", "DIR"},
        {"root", 0, 0, G_OPTION_ARG_FILENAME, &daemon->root_path,
         "Take proc, sys and run from below DIR (/)", "DIR"},
        {"uri", 'u', 0, G_OPTION_ARG_STRING, &daemon->uri,
         "libvirt to connect to, instead of libvirt-uri of the configuration", "URI"},
        {"foreground", 'f', 0, G_OPTION_ARG_NONE, &foreground,
         "Stay in the foreground, as memfoldd always does", NULL},
        {"restore", 0, 0, G_OPTION_ARG_NONE, &daemon->restore,
         "Put back the knobs that a dead memfoldd left changed, and exit", NULL},
        {"version", 'V', 0, G_OPTION_ARG_NONE, &version, "Print the version and exit", NULL},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_set_summary(context, "Keeps one copy of what virtual machines have in common: "
                                          "drives ksmd by the domains' policies.");
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        g_printerr("memfoldd: %s (--help tells the options)\n", error->message);
        return EXIT_USAGE;
    }
    if (argc > 1) {
        g_printerr("memfoldd: unexpected argument \"%s\" (--help tells the options)\n", argv[1]);
        return EXIT_USAGE;
    }
    if (version) {
        g_print("memfoldd %s\n", MF_VERSION);
        return EXIT_SUCCESS;
    }
    if (!daemon->config_path) {
        daemon->config_path = g_strdup(MF_CONFIG_FILE);
    }
    if (!daemon->root_path) {
        daemon->root_path = g_strdup("/");
    }
    if (!daemon->runtime_dir) {
        daemon->runtime_dir = g_build_filename(daemon->root_path, MF_RUNTIME_DIR, NULL);
    }
    return -1;
}

static MfConfig *
load_config(const Daemon *daemon, GError **error)
{
    g_autoptr(MfConfig) config = mf_configfile_load(daemon->config_path, error);

    if (!config) {
        g_prefix_error(error, "configuration: ");
        return NULL;
    }
    if (daemon->uri) {
        g_free(config->libvirt_uri);
        config->libvirt_uri = g_strdup(daemon->uri);
    }
    return g_steal_pointer(&config);
}

static gboolean
open_roots(Daemon *daemon, GError **error)
{
    daemon->host = mf_root_new(daemon->root_path, error);
    if (!daemon->host) {
        return FALSE;
    }
    if (g_mkdir_with_parents(daemon->runtime_dir, 0755) < 0) {
        int saved_errno = errno;

        g_set_error(error, MF_ERROR, mf_error_from_errno(saved_errno), "%s: %s",
                    daemon->runtime_dir, g_strerror(saved_errno));
        return FALSE;
    }
    daemon->runtime = mf_root_new(daemon->runtime_dir, error);
    if (!daemon->runtime) {
        return FALSE;
    }
    daemon->journal = mf_journal_new(daemon->runtime, daemon->host);
    return TRUE;
}

/* The lock makes sure that whoever wrote a journal found here is dead.  It goes with the process.
 */
static gboolean
take_lock(const Daemon *daemon, GError **error)
{
    if (mf_root_lock(daemon->runtime, LOCK_NAME, error) >= 0) {
        return TRUE;
    }
    if (error && mf_error_is_busy(*error)) {
        g_clear_error(error);
        g_set_error(error, MF_ERROR, MF_ERROR_BUSY,
                    "another memfoldd runs with %s; stop it first, it puts the knobs back itself",
                    daemon->runtime_dir);
    }
    return FALSE;
}

/* Whoever starts writes a journal of its own, which must not take a damaged one's place. */
static void
set_journal_aside(const Daemon *daemon)
{
    g_autoptr(GError) error = NULL;

    if (mf_journal_set_aside(daemon->journal, &error)) {
        g_warning("it is kept as %s/%s; KSM's knobs stay as they are now",
                  mf_root_get_path(daemon->runtime), MF_JOURNAL_BAD_NAME);
    } else {
        g_warning("%s", error->message);
    }
}

/* Puts back what a dead memfoldd left.  FALSE when a knob could not be put back. */
static gboolean
restore_leftover(Daemon *daemon, GError **error)
{
    g_autoptr(MfSnapshot) present = mf_snapshot_new();
    gint64 pid = 0;

    if (!mf_journal_load(daemon->journal, &pid, error)) {
        return FALSE;
    }
    if (mf_journal_is_empty(daemon->journal)) {
        return TRUE;
    }
    g_message("memfoldd (PID %" G_GINT64_FORMAT
              ") ended without putting KSM's knobs back; doing so",
              pid);
    mf_host_read(daemon->host, &present->host, NULL);
    if (!mf_journal_restore(daemon->journal, present->host.other_manager)) {
        g_set_error(error, MF_ERROR, MF_ERROR_FAILED, "not every knob could be put back");
        return FALSE;
    }
    return TRUE;
}

static void
on_ready(gpointer data)
{
    if (!((Daemon *)data)->stopping) {
        g_message("ready");
        mf_notify_ready();
    }
}

static void
on_taken(gpointer data)
{
    Daemon *daemon = data;

    if (daemon->stopping) {
        return;
    }
    g_warning("%s is owned by another process: is another memfoldd running?", MF_BUS_NAME);
    daemon->exit_status = EXIT_FAILURE;
    g_main_loop_quit(daemon->loop);
}

static gboolean
reload(gpointer data, GError **error)
{
    Daemon *daemon = data;
    g_autoptr(MfConfig) config = load_config(daemon, error);

    if (!config) {
        return FALSE;
    }
    mf_engine_set_config(daemon->engine, config);
    g_message("configuration: read again");
    return TRUE;
}

static gboolean
on_reload_signal(gpointer data)
{
    g_autoptr(GError) error = NULL;

    mf_notify_reloading();
    if (!reload(data, &error)) {
        g_warning("%s; the old one stays", error->message);
    }
    mf_notify_ready();
    return G_SOURCE_CONTINUE;
}

static gboolean
on_stop_signal(gpointer data)
{
    g_main_loop_quit(((Daemon *)data)->loop);
    return G_SOURCE_CONTINUE;
}

static gboolean
run(Daemon *daemon, GError **error)
{
    static const MfControlHandlers handlers = {on_ready, on_taken, reload};
    g_autofree char *socket_path = g_build_filename(daemon->runtime_dir, MF_HOOK_SOCKET_NAME, NULL);
    g_autoptr(MfConfig) config = load_config(daemon, error);
    g_autoptr(MfHookd) hookd = NULL;
    g_autoptr(MfControl) control = NULL;

    if (!config) {
        return FALSE;
    }
    gvir_event_register();
    daemon->engine = mf_engine_new(daemon->host, daemon->journal, config);
    hookd = mf_hookd_new(socket_path, daemon->engine, error);
    if (!hookd) {
        return FALSE;
    }
    daemon->loop = g_main_loop_new(NULL, FALSE);
    g_unix_signal_add(SIGTERM, on_stop_signal, daemon);
    g_unix_signal_add(SIGINT, on_stop_signal, daemon);
    g_unix_signal_add(SIGHUP, on_reload_signal, daemon);
    mf_engine_start(daemon->engine);
    control = mf_control_new(daemon->engine, &handlers, daemon);
    mf_notify_watchdog_start();
    g_main_loop_run(daemon->loop);

    daemon->stopping = TRUE;
    mf_notify_stopping();
    g_message("stopping");
    g_clear_pointer(&hookd, mf_hookd_free);
    if (!mf_engine_stop(daemon->engine)) {
        g_set_error(error, MF_ERROR, MF_ERROR_FAILED,
                    "not every knob could be put back; memfoldd --restore tries again");
        return FALSE;
    }
    return TRUE;
}

/* Everything is put back by now.  A worker that a frozen libvirtd or QEMU holds, or a process whose
 * figures it reads, can't be stopped, and exit() would pull down libvirt's libraries under it
 * (mf-workers.h). */
static int
leave(int status)
{
    guint undone_count = mf_workers_wait(LEAVE_WAIT_MSEC);

    if (undone_count > 0) {
        g_message("leaving while %u calls still wait for libvirt, QEMU or a process", undone_count);
        _exit(status);
    }
    return status;
}

int
main(int argc, char **argv)
{
    g_auto(Daemon) daemon = {0};
    g_autoptr(GError) error = NULL;
    int status = 0;

    mf_footprint_limit();
    setlocale(LC_CTYPE, "");
    mf_log_begin();
    status = parse_options(&daemon, argc, argv);
    if (status >= 0) {
        return status;
    }
    if (strcmp(daemon.root_path, "/") != 0) {
        g_message("proc, sys and run are taken from below %s", daemon.root_path);
    }
    if (!open_roots(&daemon, &error) || !take_lock(&daemon, &error)) {
        g_warning("%s", error->message);
        return EXIT_FAILURE;
    }
    if (!restore_leftover(&daemon, &error)) {
        g_warning("%s", error->message);
        if (daemon.restore) {
            return EXIT_FAILURE;
        }
        if (mf_journal_is_empty(daemon.journal)) {
            set_journal_aside(&daemon);
        }
        g_clear_error(&error);
    }
    if (daemon.restore) {
        return EXIT_SUCCESS;
    }
    if (!run(&daemon, &error)) {
        g_warning("%s", error->message);
        daemon.exit_status = EXIT_FAILURE;
    }
    return leave(daemon.exit_status);
}
