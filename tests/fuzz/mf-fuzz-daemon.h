/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bus without a bus: libmemfold is compiled with GDBus's calls renamed to those of
 * mf-fuzz-daemon.c, which give the answers that a target has chosen.
 */
#pragma once

#include <gio/gio.h>

/* What every method answers from now on: a value, which GDBus refuses when it is of another type
 * than was asked for; or an error of that name; or, with neither, nothing in time.  Not copied. */
void mf_fuzz_daemon_answers(GVariant *value, const char *error_name);
