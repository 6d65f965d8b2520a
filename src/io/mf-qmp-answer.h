/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's answers as JSON that can be walked without fear.
 *
 * Size and nesting are bounded before anything is parsed, and each member is fetched by the type
 * that it must have.  All errors are MF_ERROR_INVALID, but for an error that QEMU itself reports.
 * Internal to the mf-qmp files.
 */
#pragma once

#include <json-glib/json-glib.h>

#include "mf-qmp.h"

/* Sends a command and returns what stands under "return" in its answer.  Takes arguments (may be
 * NULL). Blocks for as long as the transport does, and passes its errors on. */
JsonNode *mf_qmp_run(const MfQmp *qmp, const char *command, JsonObject *arguments, GError **error);

/* What stands under "return" in one answer.  QEMU's "error" becomes MF_ERROR_UNSUPPORTED when it
 * knows the command not, or its host can't, else MF_ERROR_FAILED. */
JsonNode *mf_qmp_answer_parse(const char *text, gsize length_bytes, GError **error);

/* node as the object or array that it must be; what names it in messages. */
JsonObject *mf_qmp_answer_object(JsonNode *node, const char *what, GError **error);
JsonArray *mf_qmp_answer_array(JsonNode *node, const char *what, guint max_count, GError **error);

/* Members of an object by type; a missing one is an error.  Text is printable ASCII of at most
 * max_bytes and is borrowed. */
const char *mf_qmp_answer_text(JsonObject *object, const char *name, gsize max_bytes,
                               GError **error);
gboolean mf_qmp_answer_size(JsonObject *object, const char *name, guint64 *ret_value,
                            GError **error);
gboolean mf_qmp_answer_boolean(JsonObject *object, const char *name, gboolean *ret_value,
                               GError **error);
