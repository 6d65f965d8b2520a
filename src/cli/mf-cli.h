/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the subcommands of `memfold` share: how they are found, their options, exit codes and
 * messages.
 *
 * A subcommand is one value in one file, and memfold.c lists them.  It prints its answer on stdout
 * and complaints on stderr, and returns the exit code.
 */
#pragma once

#include <glib.h>

#include "../lib/memfold.h"

typedef enum {
    MF_EXIT_OK = 0,
    MF_EXIT_FAILED = 1,
    MF_EXIT_USAGE = 2,
    MF_EXIT_NO_DAEMON = 3,
} MfExit;

typedef struct {
    const char *name;                     /* "config check" */
    const char *arguments;                /* for the usage line, such as "[DOMAIN...]" */
    const char *summary;                  /* one line of `memfold help` */
    const char *details;                  /* paragraphs under the options of --help, or NULL */
    MfExit (*run)(int argc, char **argv); /* argv[0] is the name */
} MfCommand;

extern const MfCommand mf_command_status;
extern const MfCommand mf_command_top;
extern const MfCommand mf_command_set;
extern const MfCommand mf_command_why;
extern const MfCommand mf_command_plan;
extern const MfCommand mf_command_estimate;
extern const MfCommand mf_command_audit;
extern const MfCommand mf_command_report;
extern const MfCommand mf_command_doctor;
extern const MfCommand mf_command_config;
extern const MfCommand mf_command_reload;

/*
 * Parses the options of a subcommand; the words that are left stand in argv[1] and after.  entries
 * may be NULL.  max_words of -1: any number.
 *
 * Returns FALSE after telling the user what is wrong: the caller returns MF_EXIT_USAGE.  --help
 * prints to stdout and ends the process with 0.
 */
gboolean mf_cli_parse(const MfCommand *command, const GOptionEntry *entries, int min_words,
                      int max_words, int *argc, char ***argv);

/* One line on stderr, after "memfold: ".  Foreign text is made printable. */
void mf_cli_complain(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* Complains about an error of libmemfold, with the remedy that fits its code, and answers the exit
 * code. */
MfExit mf_cli_fail(const GError *error);

/* One line on stdout after label, made printable. */
void mf_cli_print_line(const char *label, const char *text);

/* A reason in one line, its remedy behind it; not made printable.  g_free(). */
char *mf_cli_reason_line(const MemfoldReason *reason);

/* The reasons as a list, each in one line after label. */
void mf_cli_print_reason_lines(const char *label, const MemfoldFigures *figures);

/* The reasons as a list, each with its remedy on a line of its own. */
void mf_cli_print_reasons(const MemfoldFigures *figures);

/* Whether all that was printed so far has gone out; complains where it has not.  Where nobody reads
 * any more (`memfold status | head -1`) it ends the process by SIGPIPE, as it ends other programs.
 */
gboolean mf_cli_flush(void);

/* How old figures are, on a line after label, where somebody who asks now would take them for newer
 * (more than 10 seconds). */
void mf_cli_print_age(const char *label, guint64 age_msec);

/* Asks the daemon; on failure complains, sets ret_exit and returns NULL. */
MemfoldDescription *mf_cli_describe(MfExit *ret_exit);

/* The running domain of that name or UUID; complains and returns NULL when there is none.  It
 * belongs to description. */
const MemfoldFigures *mf_cli_find_domain(const MemfoldDescription *description, const char *name);

/* Columns to fill: the terminal's, at least 80; 100 when stdout is none. */
guint mf_cli_width(void);

/* A figure as "37.2 MiB" or "-" when absent; always MiB, so that a column can be compared.
 * g_free(). */
char *mf_cli_mib(const MemfoldFigures *figures, const char *key);

/* A string figure, or "-" when absent. */
const char *mf_cli_word(const MemfoldFigures *figures, const char *key);

/* What ksmd does: "running", "stopped", ... */
const char *mf_cli_run_state(const MemfoldFigures *host);

/* "3.20 %", or NULL when the figure is absent.  g_free(). */
char *mf_cli_percent(const MemfoldFigures *figures, const char *key);
