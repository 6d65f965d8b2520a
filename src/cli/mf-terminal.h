/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The terminal of a full-screen program: single keys, a screen of lines, and everything as it was
 * afterwards.
 *
 * Works with plain ANSI sequences on stdin and stdout, and from the default main context.  While a
 * MfTerminal exists the signals that end, stop or resize such a program arrive as calls: they are
 * blocked in the thread that made it and in all threads that come after, so it is to be made first.
 */
#pragma once

#include <glib.h>

typedef struct _MfTerminal MfTerminal;

typedef struct {
    /* A character, or one of the keys of mf-top-screen.h that are none. */
    void (*key)(gunichar key, gpointer user_data);
    /* The screen is to be drawn: it has another size, or was taken again. */
    void (*draw)(gpointer user_data);
    /* A signal asks for the end, or the terminal went away. */
    void (*end)(gpointer user_data);
} MfTerminalHandlers;

/* Whether stdin and stdout are a terminal that can place its cursor. */
gboolean mf_terminal_is_usable(void);

/* handlers are copied.  The terminal itself is left alone until mf_terminal_enter(). */
MfTerminal *mf_terminal_new(const MfTerminalHandlers *handlers, gpointer user_data);

/* Gives the terminal back as it was, and signals their old meaning. */
void mf_terminal_free(MfTerminal *terminal);

/* Takes the terminal: keys come singly and unseen, the screen is a second one.  Again: does
 * nothing.
 */
void mf_terminal_enter(MfTerminal *terminal);

/* Gives the terminal back and stops the process; draws again when it is continued. */
void mf_terminal_suspend(MfTerminal *terminal);

/* The size of the screen; 80 by 24 when the terminal does not say. */
void mf_terminal_get_size(guint *ret_columns, guint *ret_lines);

/* Draws lines (of char *, as many as the screen has, none wider); selected is the one to be shown
 * in reverse, or -1.  Nothing while the terminal is not taken. */
void mf_terminal_draw(MfTerminal *terminal, const GPtrArray *lines, int selected);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MfTerminal, mf_terminal_free)
