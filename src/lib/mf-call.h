/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How libmemfold asks the daemon. */
#pragma once

#include "memfold.h"

/* Calls a method of memfoldd's and waits for the answer, 25 seconds at most.  Takes a floating
 * params, or NULL.  The reply is of reply_type and the caller's, or there is an error as memfold.h
 * has them. */
GVariant *mf_call(MemfoldClient *client, const char *path, const char *interface,
                  const char *method, GVariant *params, const char *reply_type, GError **error);

/* The same of a method of the host's, without a deadline.  progress, which may be NULL, is called
 * for each signal of that name meanwhile. */
GVariant *mf_call_long(MemfoldClient *client, const char *method, GVariant *params,
                       const char *reply_type, const char *signal, MemfoldProgress progress,
                       gpointer user_data, GError **error);

/* TRUE when all words, NULL-terminated or NULL, can be sent; else MEMFOLD_ERROR_INVALID: what is
 * not UTF-8 the bus does not carry. */
gboolean mf_call_check_words(const char *const *words, GError **error);
