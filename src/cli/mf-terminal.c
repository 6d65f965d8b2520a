/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A full-screen terminal; see mf-terminal.h.
 *
 * Signals are read from a signalfd: GLib's sources know neither SIGTSTP nor SIGCONT, and a handler
 * of our own would need state of the whole program.
 */
#include "mf-terminal.h"

#include <errno.h>
#include <glib-unix.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "mf-top-screen.h"

#define COLUMNS_DEFAULT 80
#define LINES_DEFAULT   24
#define KEYS_BYTES      64
/* A lone ESC is a key; one that begins a sequence has the rest of it behind it. */
#define ESCAPE_WAIT_MSEC 50
#define ESCAPE           '\x1b'
/* Second screen, no cursor; and back. */
#define SCREEN_TAKE "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J"
#define SCREEN_GIVE "\x1b[0m\x1b[?25h\x1b[?1049l"

struct _MfTerminal {
    MfTerminalHandlers handlers;
    gpointer user_data;
    gboolean wanted; /* it is to be taken again after a stop */
    gboolean entered;
    struct termios before; /* while entered */
    sigset_t signals_before;
    int signal_fd;
    guint signal_id;
    guint input_id;
    guint escape_id;
    GString *input; /* bytes that are no whole key yet */
};

gboolean
mf_terminal_is_usable(void)
{
    const char *kind = g_getenv("TERM");

    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && kind != NULL && kind[0] != '\0' &&
           !g_str_equal(kind, "dumb");
}

void
mf_terminal_get_size(guint *ret_columns, guint *ret_lines)
{
    struct winsize size = {0};
    gboolean known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;

    *ret_columns = known && size.ws_col > 0 ? size.ws_col : COLUMNS_DEFAULT;
    *ret_lines = known && size.ws_row > 0 ? size.ws_row : LINES_DEFAULT;
}

/* In as few pieces as the terminal takes, since a screen that comes line by line flickers. */
static void
put(const char *text)
{
    gsize left_bytes = strlen(text);

    while (left_bytes > 0) {
        gssize count = write(STDOUT_FILENO, text, left_bytes);

        if (count < 0 && errno != EINTR) {
            return;
        }
        text += MAX(count, 0);
        left_bytes -= (gsize)MAX(count, 0);
    }
}

/* How many bytes of text are a key, which ret_key gets (0: none that means anything); 0 when more
 * have to come. */
static gsize
decode_key(const char *text, gsize length_bytes, gunichar *ret_key)
{
    gunichar c;
    gsize end = 2;

    *ret_key = 0;
    if (text[0] != ESCAPE) {
        c = g_utf8_get_char_validated(text, (gssize)length_bytes);
        /* For GLib a NUL, too, is the end of a text that has to go on. */
        if (c == (gunichar)-2) {
            return memchr(text, '\0', length_bytes) != NULL ? 1 : 0;
        }
        *ret_key = c == (gunichar)-1 ? 0 : c;
        return c == (gunichar)-1 ? 1 : (gsize)(g_utf8_next_char(text) - text);
    }
    if (length_bytes < 2) {
        return 0;
    }
    if (text[1] != '[' && text[1] != 'O') {
        *ret_key = MF_KEY_ESCAPE;
        return 1;
    }
    /* Parameters, and one letter or '~' that ends it (ECMA-48). */
    while (end < length_bytes && !(text[end] >= '@' && text[end] <= '~')) {
        end++;
    }
    if (end == length_bytes) {
        return 0;
    }
    if (end == 2) {
        *ret_key = text[end] == 'A' ? MF_KEY_UP : text[end] == 'B' ? MF_KEY_DOWN : 0;
    }
    return end + 1;
}

static gboolean
on_escape_alone(gpointer data)
{
    MfTerminal *terminal = data;

    terminal->escape_id = 0;
    g_string_truncate(terminal->input, 0);
    terminal->handlers.key(MF_KEY_ESCAPE, terminal->user_data);
    return G_SOURCE_REMOVE;
}

static gboolean
on_input(G_GNUC_UNUSED gint fd, G_GNUC_UNUSED GIOCondition condition, gpointer data)
{
    MfTerminal *terminal = data;
    char bytes[KEYS_BYTES];
    gssize count = read(STDIN_FILENO, bytes, sizeof(bytes));
    gunichar key = 0;
    gsize used = 0;

    if (count < 0 && (errno == EINTR || errno == EAGAIN)) {
        return G_SOURCE_CONTINUE;
    }
    if (count <= 0) {
        terminal->input_id = 0;
        terminal->handlers.end(terminal->user_data);
        return G_SOURCE_REMOVE;
    }
    g_clear_handle_id(&terminal->escape_id, g_source_remove);
    g_string_append_len(terminal->input, bytes, count);
    while (terminal->input->len > 0 &&
           (used = decode_key(terminal->input->str, terminal->input->len, &key)) > 0) {
        g_string_erase(terminal->input, 0, (gssize)used);
        if (key != 0) {
            terminal->handlers.key(key, terminal->user_data);
        }
    }
    if (terminal->input->len > 0 && terminal->input->str[0] == ESCAPE) {
        terminal->escape_id = g_timeout_add(ESCAPE_WAIT_MSEC, on_escape_alone, terminal);
    }
    return G_SOURCE_CONTINUE;
}

void
mf_terminal_enter(MfTerminal *terminal)
{
    struct termios modes;

    terminal->wanted = TRUE;
    if (terminal->entered || tcgetattr(STDIN_FILENO, &terminal->before) != 0) {
        return;
    }
    modes = terminal->before;
    modes.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG | IEXTEN);
    modes.c_iflag &= ~(tcflag_t)IXON;
    modes.c_cc[VMIN] = 1;
    modes.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &modes);
    put(SCREEN_TAKE);
    terminal->entered = TRUE;
    terminal->input_id =
        g_unix_fd_add(STDIN_FILENO, G_IO_IN | G_IO_HUP | G_IO_ERR, on_input, terminal);
}

static void
leave(MfTerminal *terminal)
{
    if (!terminal->entered) {
        return;
    }
    terminal->entered = FALSE;
    g_clear_handle_id(&terminal->input_id, g_source_remove);
    g_clear_handle_id(&terminal->escape_id, g_source_remove);
    put(SCREEN_GIVE);
    /* What was typed and not read is not the shell's. */
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal->before);
}

/* SIGCONT, which wakes it, also takes the terminal again. */
void
mf_terminal_suspend(MfTerminal *terminal)
{
    leave(terminal);
    raise(SIGSTOP);
}

/* After SIGSTOP the shell has set modes of its own, and may have written on the screen. */
static void
take_again(MfTerminal *terminal)
{
    if (terminal->wanted) {
        leave(terminal);
        mf_terminal_enter(terminal);
        terminal->handlers.draw(terminal->user_data);
    }
}

static gboolean
on_signal(gint fd, G_GNUC_UNUSED GIOCondition condition, gpointer data)
{
    MfTerminal *terminal = data;
    struct signalfd_siginfo info;

    if (read(fd, &info, sizeof(info)) != (gssize)sizeof(info)) {
        return G_SOURCE_CONTINUE;
    }
    switch (info.ssi_signo) {
    case SIGWINCH:
        terminal->handlers.draw(terminal->user_data);
        break;
    case SIGTSTP:
        mf_terminal_suspend(terminal);
        break;
    case SIGCONT:
        take_again(terminal);
        break;
    default:
        terminal->handlers.end(terminal->user_data);
    }
    return G_SOURCE_CONTINUE;
}

MfTerminal *
mf_terminal_new(const MfTerminalHandlers *handlers, gpointer user_data)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGTSTP, SIGCONT, SIGWINCH};
    MfTerminal *terminal = g_new0(MfTerminal, 1);
    sigset_t signals;

    terminal->handlers = *handlers;
    terminal->user_data = user_data;
    terminal->input = g_string_new(NULL);
    sigemptyset(&signals);
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        sigaddset(&signals, numbers[i]);
    }
    pthread_sigmask(SIG_BLOCK, &signals, &terminal->signals_before);
    terminal->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    terminal->signal_id = g_unix_fd_add(terminal->signal_fd, G_IO_IN, on_signal, terminal);
    return terminal;
}

void
mf_terminal_free(MfTerminal *terminal)
{
    if (terminal == NULL) {
        return;
    }
    leave(terminal);
    g_source_remove(terminal->signal_id);
    close(terminal->signal_fd);
    pthread_sigmask(SIG_SETMASK, &terminal->signals_before, NULL);
    g_string_free(terminal->input, TRUE);
    g_free(terminal);
}

void
mf_terminal_draw(MfTerminal *terminal, const GPtrArray *lines, int selected)
{
    g_autoptr(GString) out = g_string_new("\x1b[H");

    if (!terminal->entered) {
        return;
    }
    for (guint i = 0; i < lines->len; i++) {
        const char *line = g_ptr_array_index(lines, i);
        gboolean marked = (int)i == selected;

        /* Erased first: behind a full line the cursor still stands on its last character. */
        g_string_append_printf(out, "%s\x1b[2K%s%s%s", i > 0 ? "\r\n" : "", marked ? "\x1b[7m" : "",
                               line, marked ? "\x1b[0m" : "");
    }
    g_string_append(out, "\x1b[H");
    put(out->str);
}
