/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hook's side: the words of its command line in the first line, separated by spaces, then the
 * domain's XML; or, when the first byte is '{', the daemon's answer.  What the hook sends is one
 * line that the daemon's reader takes, or refuses for the name or UUID alone.
 */
#include <string.h>

#include "../../libvirt-hooks/mf-hook-args.h"
#include "../../src/core/mf-names.h"
#include "../../src/daemon/mf-hook-message.h"
#include "mf-fuzz.h"

#define WORDS_MAX 12

static void
read_answer(const char *line, gsize length_bytes)
{
    g_autofree char *refusal = NULL;
    g_autoptr(GError) error = NULL;
    gboolean understood = mf_hook_answer_check(line, length_bytes, &refusal, &error);

    g_assert_cmpint(understood, ==, error == NULL);
    if (refusal != NULL) {
        g_assert_true(understood);
        g_assert_true(g_utf8_validate(refusal, -1, NULL));
        g_assert_null(strpbrk(refusal, "\n\r\033"));
    }
}

static void
check_message(const char *message, const MfDomxml *domxml)
{
    MfHookOperation operation = MF_HOOK_OTHER;
    g_autofree char *name = g_utf8_make_valid(domxml->name, -1);
    gsize length_bytes = strlen(message);
    g_autoptr(GError) error = NULL;
    g_autoptr(MfDomain) domain = NULL;

    g_assert_cmpuint(length_bytes, <=, MF_HOOK_MAX_BYTES);
    g_assert_true(strchr(message, '\n') == message + length_bytes - 1);
    domain = mf_hook_message_parse(message, length_bytes - 1, &operation, &error);
    if (domain == NULL) {
        g_assert_cmpstr(error->message, ==, "\"name\" or \"uuid\" is no domain's");
        return;
    }
    g_assert_cmpstr(domain->name, ==, name);
    g_assert_cmpint(domain->nosharepages, ==, domxml->nosharepages);
    g_assert_cmpint(domain->memory_kind, ==, domxml->memory_kind);
    if (domxml->policy_xml == NULL) {
        g_assert_null(domain->policy_error);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *line = NULL;
    g_auto(GStrv) words = NULL;
    MfHookArgs args = {.name = "-", .operation = "-"};
    g_autoptr(MfDomxml) domxml = NULL;
    g_autofree char *message = NULL;

    if (size > 0 && data[0] == '{') {
        read_answer((const char *)data, size);
        return 0;
    }
    line = mf_fuzz_take_line(&data, &size);
    words = g_strsplit(line, " ", WORDS_MAX);
    if (!mf_hook_args_parse((int)g_strv_length(words), words, "socket", "config", &args, NULL)) {
        return 0;
    }
    mf_hook_operation_is_forwarded(args.operation);
    mf_hook_operation_may_refuse(args.operation);
    domxml = mf_domxml_parse((const char *)data, size, NULL);
    message = domxml != NULL ? mf_hook_message_new(&args, domxml, NULL) : NULL;
    if (message != NULL) {
        check_message(message, domxml);
    }
    return 0;
}
