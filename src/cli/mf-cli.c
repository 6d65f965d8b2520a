/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options, messages and the daemon, for every subcommand; see mf-cli.h. */
#include "mf-cli.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "mf-cli-wait.h"
#include "mf-text.h"
#include "mf-units.h"

#define WIDTH_PLAIN_COLUMNS 100
#define WIDTH_MIN_COLUMNS   80
#define MIB_BYTES           (1024 * 1024)
#define LINE_MAX_BYTES      1024
#define OLD_MSEC            10000
#define NAMES_MAX           8 /* of running domains in a complaint */

void
mf_cli_complain(const char *format, ...)
{
    g_autofree char *text = NULL;
    g_autofree char *line = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    line = mf_text_printable(text, 4096);
    fprintf(stderr, "memfold: %s\n", line);
}

gboolean
mf_cli_parse(const MfCommand *command, const GOptionEntry *entries, int min_words, int max_words,
             int *argc, char ***argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new(command->arguments);
    g_autoptr(GError) error = NULL;
    g_autofree char *program = g_strdup_printf("memfold %s", command->name);
    int n_words;

    g_set_prgname(program);
    g_option_context_set_summary(context, command->summary);
    g_option_context_set_description(context, command->details);
    if (entries != NULL) {
        g_option_context_add_main_entries(context, entries, NULL);
    }
    if (!g_option_context_parse(context, argc, argv, &error)) {
        mf_cli_complain("%s; try: %s --help", error->message, program);
        return FALSE;
    }
    if (*argc > 1 && strcmp((*argv)[1], "--") == 0) {
        (*argv)++;
        (*argc)--;
    }
    n_words = *argc - 1;
    if (n_words < min_words || (max_words >= 0 && n_words > max_words)) {
        mf_cli_complain("%s arguments: expected %s %s; try: %s --help",
                        n_words < min_words ? "missing" : "too many", program, command->arguments,
                        program);
        return FALSE;
    }
    return TRUE;
}

MfExit
mf_cli_fail(const GError *error)
{
    if (g_error_matches(error, MEMFOLD_ERROR, MEMFOLD_ERROR_NO_DAEMON)) {
        mf_cli_complain("%s; to start the daemon: systemctl start memfoldd", error->message);
        return MF_EXIT_NO_DAEMON;
    }
    if (g_error_matches(error, MEMFOLD_ERROR, MEMFOLD_ERROR_DENIED)) {
        mf_cli_complain("permission denied: %s; try again as root", error->message);
        return MF_EXIT_FAILED;
    }
    mf_cli_complain("%s", error->message);
    return MF_EXIT_FAILED;
}

void
mf_cli_print_line(const char *label, const char *text)
{
    g_autofree char *clean = mf_text_printable(text, LINE_MAX_BYTES);

    printf("%s%s\n", label, clean);
}

char *
mf_cli_reason_line(const MemfoldReason *reason)
{
    return reason->remedy != NULL ? g_strconcat(reason->text, "; ", reason->remedy, NULL)
                                  : g_strdup(reason->text);
}

void
mf_cli_print_reason_lines(const char *label, const MemfoldFigures *figures)
{
    for (gsize i = 0; i < memfold_figures_get_n_reasons(figures); i++) {
        g_autofree char *line = mf_cli_reason_line(memfold_figures_get_reason(figures, i));

        mf_cli_print_line(label, line);
    }
}

void
mf_cli_print_reasons(const MemfoldFigures *figures)
{
    gsize n_reasons = memfold_figures_get_n_reasons(figures);

    if (n_reasons == 0) {
        printf("  the daemon gives no reason\n");
    }
    for (gsize i = 0; i < n_reasons; i++) {
        const MemfoldReason *reason = memfold_figures_get_reason(figures, i);

        mf_cli_print_line("  - ", reason->text);
        if (reason->remedy != NULL) {
            mf_cli_print_line("    remedy: ", reason->remedy);
        }
    }
}

gboolean
mf_cli_flush(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return TRUE;
    }
    if (errno == EPIPE) {
        /* GIO ignores it, for its sockets' sake. */
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    mf_cli_complain("stdout: %s", g_strerror(errno));
    /* Said once is enough. */
    __fpurge(stdout);
    clearerr(stdout);
    return FALSE;
}

void
mf_cli_print_age(const char *label, guint64 age_msec)
{
    if (age_msec > OLD_MSEC) {
        printf("%s%" G_GUINT64_FORMAT " s old\n", label, age_msec / 1000);
    }
}

MemfoldDescription *
mf_cli_describe(MfExit *ret_exit)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MfCliNotice) notice = mf_cli_notice_new();
    g_autoptr(MemfoldClient) client = memfold_client_new(&error);
    MemfoldDescription *description = NULL;

    if (client != NULL) {
        description = memfold_client_describe(client, &error);
    }
    g_clear_pointer(&notice, mf_cli_notice_free);
    if (description == NULL) {
        *ret_exit = mf_cli_fail(error);
    }
    return description;
}

const MemfoldFigures *
mf_cli_find_domain(const MemfoldDescription *description, const char *name)
{
    g_autoptr(GString) names = g_string_new(NULL);
    gsize n_domains = memfold_description_get_n_domains(description);

    for (gsize i = 0; i < n_domains; i++) {
        const MemfoldFigures *domain = memfold_description_get_domain(description, i);
        const char *uuid = memfold_figures_get_string(domain, "uuid");

        if (g_strcmp0(memfold_figures_get_string(domain, "name"), name) == 0 ||
            (uuid != NULL && g_ascii_strcasecmp(uuid, name) == 0)) {
            return domain;
        }
        if (i < NAMES_MAX) {
            g_string_append_printf(names, "%s%s", i == 0 ? "; running: " : ", ",
                                   mf_cli_word(domain, "name"));
        }
    }
    if (n_domains > NAMES_MAX) {
        g_string_append_printf(names, " and %" G_GSIZE_FORMAT " more; memfold status lists them",
                               n_domains - NAMES_MAX);
    }
    mf_cli_complain("no running domain \"%s\"%s", name, n_domains > 0 ? names->str : "; none runs");
    return NULL;
}

guint
mf_cli_width(void)
{
    struct winsize size;

    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return MAX(size.ws_col, WIDTH_MIN_COLUMNS);
    }
    return WIDTH_PLAIN_COLUMNS;
}

char *
mf_cli_mib(const MemfoldFigures *figures, const char *key)
{
    guint64 bytes;
    guint64 tenths;

    if (!memfold_figures_get_uint64(figures, key, &bytes)) {
        return g_strdup("-");
    }
    tenths = mf_mul_div(mf_add_sat(bytes, MIB_BYTES / 20), 10, MIB_BYTES);
    return g_strdup_printf("%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT " MiB", tenths / 10,
                           tenths % 10);
}

const char *
mf_cli_word(const MemfoldFigures *figures, const char *key)
{
    const char *text = memfold_figures_get_string(figures, key);

    return text != NULL && text[0] != '\0' ? text : "-";
}

const char *
mf_cli_run_state(const MemfoldFigures *host)
{
    static const char *const states[] = {"stopped", "running", "un-merging everything"};
    guint64 run;

    if (!memfold_figures_get_uint64(host, "ksm_run", &run)) {
        return "state unknown";
    }
    return run < G_N_ELEMENTS(states) ? states[run] : "in a state that memfold does not know";
}

char *
mf_cli_percent(const MemfoldFigures *figures, const char *key)
{
    guint64 permyriad;

    return memfold_figures_get_uint64(figures, key, &permyriad) ? mf_format_permyriad(permyriad)
                                                                : NULL;
}
