/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `memfold top`: who saves what, again and again.
 *
 * The daemon is asked in a thread, one question at a time, so that keys and signals are served
 * while it is slow or gone.  All else happens on the main loop.
 */
#include <gio/gio.h>
#include <stdio.h>

#include "mf-cli.h"
#include "mf-terminal.h"
#include "mf-text.h"
#include "mf-top-data.h"
#include "mf-top-screen.h"

#define INTERVAL_DEFAULT_SEC 2
#define INTERVAL_MAX_SEC     3600
#define NOTICE_MAX_BYTES     512

typedef struct {
    GMainLoop *loop;
    MfTerminal *terminal;  /* NULL: plain blocks */
    MemfoldClient *client; /* NULL while a question is under way, or when it is to be made */
    MfTopData *data;       /* NULL: the daemon has not answered yet */
    MfTopView view;
    guint interval_sec;
    guint left_count; /* how many refreshes are left; 0: no end */
    guint timer_id;
    MfExit exit_code;
} Top;

static void ask(Top *top);

/* What a thread asks with: the client is the question's as long as it is under way. */
static void
ask_thread(GTask *task, G_GNUC_UNUSED gpointer source, gpointer data,
           G_GNUC_UNUSED GCancellable *cancellable)
{
    MemfoldClient **client = data;
    MemfoldDescription *description = NULL;
    GError *error = NULL;

    if (*client == NULL) {
        *client = memfold_client_new(&error);
    }
    if (*client != NULL) {
        description = memfold_client_describe(*client, &error);
    }
    if (description != NULL) {
        g_task_return_pointer(task, description, (GDestroyNotify)memfold_description_free);
    } else {
        g_clear_pointer(client, memfold_client_free);
        g_task_return_error(task, error);
    }
}

static void
free_question(gpointer data)
{
    MemfoldClient **client = data;

    memfold_client_free(*client);
    g_free(client);
}

static void
draw(gpointer data)
{
    Top *top = data;

    if (top->data == NULL) {
        return;
    }
    if (top->terminal != NULL) {
        g_autoptr(GPtrArray) lines = NULL;
        guint columns = 0;
        guint lines_count = 0;
        int selected = -1;

        mf_terminal_get_size(&columns, &lines_count);
        lines = mf_top_layout(top->data, &top->view, columns, lines_count, &selected);
        mf_terminal_draw(top->terminal, lines, selected);
    } else {
        g_autofree char *block = mf_top_block(top->data, &top->view, mf_cli_width());

        fputs(block, stdout);
        if (!mf_cli_flush()) {
            top->exit_code = MF_EXIT_FAILED;
            g_main_loop_quit(top->loop);
        }
    }
}

static gboolean
on_timer(gpointer data)
{
    Top *top = data;

    top->timer_id = 0;
    ask(top);
    return G_SOURCE_REMOVE;
}

static void
take_description(Top *top, const MemfoldDescription *description)
{
    MfTopData *before = top->data;

    top->data = mf_top_data_new(description, g_get_monotonic_time() / 1000, before);
    mf_top_data_free(before);
    mf_top_sort(top->data->rows, top->view.sort);
    g_clear_pointer(&top->view.notice, g_free);
}

static void
take_error(Top *top, const GError *error)
{
    g_autofree char *notice =
        g_strdup_printf("NO ANSWER, trying again; the figures are old: %s", error->message);

    g_free(top->view.notice);
    top->view.notice = mf_text_printable(notice, NOTICE_MAX_BYTES);
}

static void
on_answered(G_GNUC_UNUSED GObject *source, GAsyncResult *result, gpointer data)
{
    Top *top = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(MemfoldDescription) description = g_task_propagate_pointer(G_TASK(result), &error);

    top->client = g_steal_pointer((MemfoldClient **)g_task_get_task_data(G_TASK(result)));
    if (description != NULL) {
        take_description(top, description);
    } else if (top->data != NULL) {
        take_error(top, error);
    } else {
        top->exit_code = mf_cli_fail(error);
        g_main_loop_quit(top->loop);
        return;
    }
    if (top->terminal != NULL) {
        mf_terminal_enter(top->terminal);
    }
    draw(top);
    if (top->left_count > 0 && --top->left_count == 0) {
        g_main_loop_quit(top->loop);
        return;
    }
    top->timer_id = g_timeout_add(top->interval_sec * 1000, on_timer, top);
}

static void
ask(Top *top)
{
    g_autoptr(GTask) task = g_task_new(NULL, NULL, on_answered, top);
    MemfoldClient **client = g_new(MemfoldClient *, 1);

    *client = g_steal_pointer(&top->client);
    g_task_set_task_data(task, client, free_question);
    g_task_run_in_thread(task, ask_thread);
}

static void
on_end(gpointer data)
{
    g_main_loop_quit(((Top *)data)->loop);
}

static void
on_key(gunichar key, gpointer data)
{
    Top *top = data;

    switch (mf_top_press(&top->view, top->data, key)) {
    case MF_TOP_DRAW:
        draw(top);
        break;
    case MF_TOP_SUSPEND:
        mf_terminal_suspend(top->terminal);
        break;
    case MF_TOP_QUIT:
        g_main_loop_quit(top->loop);
        break;
    case MF_TOP_NOTHING:
        break;
    }
}

/* Until the user, a signal, the count or a first error ends it.  A question that is still under way
 * then is left to the end of the process. */
static MfExit
show(Top *top, gboolean batch)
{
    static const MfTerminalHandlers handlers = {.key = on_key, .draw = draw, .end = on_end};

    top->loop = g_main_loop_new(NULL, FALSE);
    if (!batch && mf_terminal_is_usable()) {
        top->terminal = mf_terminal_new(&handlers, top);
    }
    ask(top);
    g_main_loop_run(top->loop);
    g_clear_handle_id(&top->timer_id, g_source_remove);
    mf_terminal_free(top->terminal);
    memfold_client_free(top->client);
    mf_top_data_free(top->data);
    mf_top_view_clear(&top->view);
    g_main_loop_unref(top->loop);
    return top->exit_code;
}

static MfExit
run(int argc, char **argv)
{
    gboolean batch = FALSE;
    int interval_sec = INTERVAL_DEFAULT_SEC;
    int count = 0;
    g_autofree char *sort = NULL;
    Top top = {.view.sort = MF_TOP_BY_SAVED};
    const GOptionEntry entries[] = {
        {"interval", 0, 0, G_OPTION_ARG_INT, &interval_sec, "Time between refreshes (default 2)",
         "SECONDS"},
        {"sort", 0, 0, G_OPTION_ARG_STRING, &sort,
         "Sort by name, saved (default), merged or change", "KEY"},
        {"batch", 0, 0, G_OPTION_ARG_NONE, &batch, "Print plain text, one block after the other",
         NULL},
        {"count", 0, 0, G_OPTION_ARG_INT, &count, "End after so many refreshes", "NUMBER"},
        G_OPTION_ENTRY_NULL,
    };

    if (!mf_cli_parse(&mf_command_top, entries, 0, 0, &argc, &argv)) {
        return MF_EXIT_USAGE;
    }
    if (interval_sec < 1 || interval_sec > INTERVAL_MAX_SEC) {
        mf_cli_complain("--interval is 1 to %d seconds", INTERVAL_MAX_SEC);
        return MF_EXIT_USAGE;
    }
    if (count < 0) {
        mf_cli_complain("--count is a number of refreshes");
        return MF_EXIT_USAGE;
    }
    if (sort != NULL && !mf_top_sort_from_string(sort, &top.view.sort)) {
        mf_cli_complain("\"%s\" is no sort key: name, saved, merged, change", sort);
        return MF_EXIT_USAGE;
    }
    top.interval_sec = (guint)interval_sec;
    top.left_count = (guint)count;
    return show(&top, batch);
}

const MfCommand mf_command_top = {
    .name = "top",
    .arguments = "",
    .summary = "Show who saves what, live",
    .details =
        "Keys: n, s, m, d sort by name, saved, merged, change of saved; j, k or arrows select;\n"
        "Enter shows all about a domain, Esc leads back; q quits.\n"
        "Where there is no terminal to draw on it prints plain text, as with --batch.",
    .run = run,
};
