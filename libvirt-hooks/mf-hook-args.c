/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hook's words and lines; see mf-hook-args.h. */
#include "mf-hook-args.h"

#include <string.h>

#include "../src/core/mf-error.h"
#include "../src/core/mf-names.h"
#include "../src/core/mf-text.h"

/* The operations that change which domains run, where, or with which memory.  `attach` has no
 * caller in current libvirt. */
static const char *const forwarded[] = {
    "prepare", "start", "started", "stopped", "release", "reconnect", "migrate", "restore",
};

/* mf_policy_from_xml() reads 4096 bytes; one more is enough to be refused. */
#define POLICY_SENT_MAX_BYTES 4097
#define WORD_MAX_BYTES        64
#define SENTENCE_MAX_BYTES    1500

gboolean
mf_hook_operation_is_forwarded(const char *operation)
{
    for (gsize i = 0; i < G_N_ELEMENTS(forwarded); i++) {
        if (strcmp(operation, forwarded[i]) == 0) {
            return TRUE;
        }
    }
    return FALSE;
}

gboolean
mf_hook_operation_may_refuse(const char *operation)
{
    return strcmp(operation, "prepare") == 0;
}

gboolean
mf_hook_args_parse(int argc, char *const *argv, const char *default_socket_path,
                   const char *default_config_path, MfHookArgs *ret_args, GError **error)
{
    const char *socket_path = default_socket_path;
    const char *config_path = default_config_path;
    int first = 1;

    if (argc >= 7 && strcmp(argv[1], "--socket") == 0) {
        socket_path = argv[2];
        first = 3;
    }
    if (argc == 9 && first == 3 && strcmp(argv[3], "--config") == 0) {
        config_path = argv[4];
        first = 5;
    }
    if (argc < first + 2) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID,
                    "expected the arguments NAME OPERATION SUBOPERATION EXTRA from libvirt");
        return FALSE;
    }
    *ret_args = (MfHookArgs){
        .name = argv[first],
        .operation = argv[first + 1],
        .suboperation = argc > first + 2 ? argv[first + 2] : "-",
        .extra = argc > first + 3 ? argv[first + 3] : "-",
        .socket_path = socket_path,
        .config_path = config_path,
    };
    return TRUE;
}

/* RFC 8259, section 7: quote, backslash and control characters are escaped; text must be UTF-8. */
static void
append_json_string(GString *json, const char *text)
{
    g_string_append_c(json, '"');
    for (const char *p = text; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;

        if (c == '"' || c == '\\') {
            g_string_append_c(json, '\\');
            g_string_append_c(json, (char)c);
        } else if (c == '\n') {
            g_string_append(json, "\\n");
        } else if (c == '\t') {
            g_string_append(json, "\\t");
        } else if (c < 0x20 || c == 0x7f) {
            g_string_append_printf(json, "\\u%04x", c);
        } else {
            g_string_append_c(json, (char)c);
        }
    }
    g_string_append_c(json, '"');
}

/* Appends ,"key":"text" with at most max_bytes of text, cut between characters. */
static void
append_member(GString *json, const char *key, const char *text, gsize max_bytes)
{
    g_autofree char *cut = NULL;
    gsize length_bytes = strlen(text);

    if (length_bytes > max_bytes) {
        const char *end = g_utf8_find_prev_char(text, text + max_bytes + 1);

        length_bytes = end != NULL ? (gsize)(end - text) : 0;
    }
    cut = g_utf8_make_valid(text, (gssize)length_bytes);
    g_string_append_printf(json, ",\"%s\":", key);
    append_json_string(json, cut);
}

char *
mf_hook_message_new(const MfHookArgs *args, const MfDomxml *domxml, GError **error)
{
    g_autoptr(GString) json = g_string_sized_new(512);

    g_string_append(json, "{\"version\":1");
    append_member(json, "operation", args->operation, WORD_MAX_BYTES);
    append_member(json, "suboperation", args->suboperation, WORD_MAX_BYTES);
    append_member(json, "extra", args->extra, WORD_MAX_BYTES);
    append_member(json, "name", domxml->name, MF_HOOK_MAX_BYTES);
    append_member(json, "uuid", domxml->uuid, WORD_MAX_BYTES);
    g_string_append_printf(json, ",\"nosharepages\":%s", domxml->nosharepages ? "true" : "false");
    append_member(json, "memory", mf_memory_kind_to_string(domxml->memory_kind), WORD_MAX_BYTES);
    /* JSON's integers are the daemon's gint64; no host has more. */
    if (domxml->memory_bytes.known && domxml->memory_bytes.value <= G_MAXINT64) {
        g_string_append_printf(json, ",\"memory_bytes\":%" G_GUINT64_FORMAT,
                               domxml->memory_bytes.value);
    }
    if (domxml->policy_xml != NULL) {
        append_member(json, "policy", domxml->policy_xml, POLICY_SENT_MAX_BYTES);
    }
    g_string_append(json, "}\n");

    if (json->len > MF_HOOK_MAX_BYTES) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID,
                    "the message would have %" G_GSIZE_FORMAT " bytes, at most %d may be sent",
                    json->len, MF_HOOK_MAX_BYTES);
        return NULL;
    }
    return g_string_free(g_steal_pointer(&json), FALSE);
}

/* The words of an answer that begins with head, or NULL when text is none such.  No JSON reader:
 * the daemon writes this line, and what it does not look like is shown as it came. */
static char *
words_after(const char *text, const char *head)
{
    static const char tail[] = "\"}";
    gsize length_bytes = strlen(text);
    gsize n_backslashes = 0;
    g_autofree char *quoted = NULL;

    if (length_bytes < strlen(head) + strlen(tail) || !g_str_has_prefix(text, head) ||
        !g_str_has_suffix(text, tail)) {
        return NULL;
    }
    quoted = g_strndup(text + strlen(head), length_bytes - strlen(head) - strlen(tail));
    for (gsize i = strlen(quoted); i > 0 && quoted[i - 1] == '\\'; i--) {
        n_backslashes++;
    }
    return n_backslashes % 2 == 0 ? g_strcompress(quoted) : NULL;
}

gboolean
mf_hook_answer_check(const char *line, gsize length_bytes, char **ret_refusal, GError **error)
{
    g_autofree char *text = g_strndup(line, length_bytes);
    g_autofree char *refusal = NULL;
    g_autofree char *words = NULL;
    g_autofree char *printable = NULL;

    *ret_refusal = NULL;
    g_strchomp(text);
    if (g_str_has_prefix(text, "{\"ok\":true")) {
        return TRUE;
    }
    refusal = words_after(text, "{\"ok\":false,\"refused\":\"");
    if (refusal != NULL) {
        *ret_refusal = mf_text_printable(refusal, SENTENCE_MAX_BYTES);
        return TRUE;
    }
    words = words_after(text, "{\"ok\":false,\"error\":\"");
    if (words != NULL) {
        printable = mf_text_printable(words, 512);
        g_set_error(error, MF_ERROR, MF_ERROR_FAILED, "memfoldd says: %s", printable);
        return FALSE;
    }
    printable = mf_text_printable(text, 80);
    g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "memfoldd's answer is not understood: %s",
                printable[0] != '\0' ? printable : "(empty)");
    return FALSE;
}
