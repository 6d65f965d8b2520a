/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The JSON that `memfold` prints: one member for each figure that is known, under the daemon's own
 * key.
 *
 * A figure that is absent there is absent here.  The policy's attributes stand together in
 * "policy", and the reasons in "reasons" as objects of code, text and, where there is one, remedy.
 */
#pragma once

#include <json-glib/json-glib.h>

#include "../lib/memfold.h"

/* Of anything but a domain of a description, whose policy the next one puts together. */
JsonObject *mf_cli_json_figures(const MemfoldFigures *figures);
JsonObject *mf_cli_json_domain(const MemfoldFigures *domain);

/* Adds the reasons as an array under the name of member. */
void mf_cli_json_add_reasons(JsonObject *object, const char *member, const MemfoldFigures *figures);

/* An action of a plan; its one reason is the member "reason". */
JsonObject *mf_cli_json_action(const MemfoldFigures *action);

/* Prints object to stdout, indented, and takes it. */
void mf_cli_json_print(JsonObject *object);
