/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hook's words: what of libvirt's arguments is understood, told, and how answers are taken. */
#include <string.h>

#include "mf-error.h"
#include "mf-hook-args.h"
#include "mf-names.h"

#define UUID "c1b2a3d4-0001-4002-8003-123456789abc"

static MfHookArgs
args_of(const char *operation)
{
    return (MfHookArgs){.name = "vm1",
                        .operation = operation,
                        .suboperation = "begin",
                        .extra = "-",
                        .socket_path = "/s"};
}

static void
test_args_of_libvirt(void)
{
    char *argv[] = {"hook", "vm1", "release", "end", "shutdown", NULL};
    g_autoptr(GError) error = NULL;
    MfHookArgs args;

    g_assert_true(mf_hook_args_parse(5, argv, "/default", "/conf", &args, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(args.name, ==, "vm1");
    g_assert_cmpstr(args.operation, ==, "release");
    g_assert_cmpstr(args.suboperation, ==, "end");
    g_assert_cmpstr(args.extra, ==, "shutdown");
    g_assert_cmpstr(args.socket_path, ==, "/default");

    g_assert_true(mf_hook_args_parse(3, argv, "/default", "/conf", &args, &error));
    g_assert_cmpstr(args.suboperation, ==, "-");
    g_assert_cmpstr(args.extra, ==, "-");
}

static void
test_args_with_socket(void)
{
    char *argv[] = {"hook", "--socket", "/x", "vm1", "start", "begin", "-", NULL};
    char *domain[] = {"hook", "--socket", "start", "begin", "-", NULL};
    g_autoptr(GError) error = NULL;
    MfHookArgs args;

    g_assert_true(mf_hook_args_parse(7, argv, "/default", "/conf", &args, &error));
    g_assert_cmpstr(args.socket_path, ==, "/x");
    g_assert_cmpstr(args.name, ==, "vm1");
    g_assert_cmpstr(args.operation, ==, "start");
    g_assert_cmpstr(args.config_path, ==, "/conf");

    char *both[] = {"hook", "--socket", "/x", "--config", "/c", "vm1", "start", "begin", "-", NULL};
    g_assert_true(mf_hook_args_parse(9, both, "/default", "/conf", &args, &error));
    g_assert_cmpstr(args.socket_path, ==, "/x");
    g_assert_cmpstr(args.config_path, ==, "/c");
    g_assert_cmpstr(args.name, ==, "vm1");
    g_assert_cmpstr(args.extra, ==, "-");

    g_assert_true(mf_hook_args_parse(5, domain, "/default", "/conf", &args, &error));
    g_assert_cmpstr(args.socket_path, ==, "/default");
    g_assert_cmpstr(args.name, ==, "--socket");
}

static void
test_args_missing(void)
{
    char *argv[] = {"hook", "vm1", NULL};

    for (int argc = 0; argc <= 2; argc++) {
        g_autoptr(GError) error = NULL;
        MfHookArgs args = {.name = "untouched"};

        g_assert_false(mf_hook_args_parse(argc, argv, "/default", "/conf", &args, &error));
        g_assert_true(mf_error_is_invalid(error));
        g_assert_cmpstr(args.name, ==, "untouched");
    }
}

static void
test_operations(void)
{
    static const char *const told[] = {"prepare", "start",     "started", "stopped",
                                       "release", "reconnect", "migrate", "restore"};
    static const char *const untold[] = {"attach", "", "Start", "start ", "startedx", "pre"};

    for (gsize i = 0; i < G_N_ELEMENTS(told); i++) {
        g_assert_true(mf_hook_operation_is_forwarded(told[i]));
        g_assert_cmpint(mf_hook_operation_may_refuse(told[i]), ==, i == 0);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(untold); i++) {
        g_assert_false(mf_hook_operation_is_forwarded(untold[i]));
        g_assert_false(mf_hook_operation_may_refuse(untold[i]));
    }
}

static void
test_message(void)
{
    MfHookArgs args = args_of("started");
    MfDomxml domxml = {.name = "a\"b\\c\n\t\x01\x7f\xc3\xbc",
                       .uuid = UUID,
                       .nosharepages = TRUE,
                       .memory_kind = MF_MEMORY_SHARED};
    g_autoptr(GError) error = NULL;
    g_autofree char *bare = mf_hook_message_new(&args, &domxml, &error);
    g_autofree char *with_policy = NULL;

    g_assert_no_error(error);
    g_assert_cmpstr(bare, ==,
                    "{\"version\":1,\"operation\":\"started\",\"suboperation\":\"begin\",\"extra\":"
                    "\"-\",\"name\":\"a\\\"b\\\\c\\n\\t\\u0001\\u007f\xc3\xbc\",\"uuid\":\"" UUID
                    "\",\"nosharepages\":true,\"memory\":\"shared\"}\n");

    domxml = (MfDomxml){.name = "vm1",
                        .uuid = UUID,
                        .memory_bytes = MF_U64(G_GUINT64_CONSTANT(5) << 30),
                        .policy_xml = "<policy merge='on'/>"};
    with_policy = mf_hook_message_new(&args, &domxml, &error);
    g_assert_no_error(error);
    g_assert_true(g_str_has_suffix(with_policy, ",\"policy\":\"<policy merge='on'/>\"}\n"));
    g_assert_nonnull(strstr(with_policy, "\"nosharepages\":false,\"memory\":\"unknown\","
                                         "\"memory_bytes\":5368709120,"));

    /* More than a JSON reader's integer holds is no size of a host's. */
    domxml.memory_bytes = MF_U64(G_MAXUINT64);
    g_autofree char *without = mf_hook_message_new(&args, &domxml, &error);
    g_assert_null(strstr(without, "memory_bytes"));
}

/* A cut never leaves half a character, which would be no JSON. */
static void
test_message_is_cut_between_characters(void)
{
    MfHookArgs args = args_of("started");
    g_autoptr(GString) policy = g_string_new(NULL);
    MfDomxml domxml = {.name = "vm1", .uuid = UUID};

    for (int i = 0; i < 8000; i++) {
        g_string_append(policy, "\xe2\x82\xac");
    }
    for (int shift = 0; shift < 4; shift++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *message = NULL;

        domxml.policy_xml = policy->str;
        message = mf_hook_message_new(&args, &domxml, &error);
        g_assert_no_error(error);
        g_assert_true(g_utf8_validate(message, -1, NULL));
        g_assert_cmpuint(strlen(message), <, 4400);
        g_assert_cmpuint(strlen(message), >, 4090);
        g_string_prepend_c(policy, 'x');
    }
}

/* What escaping makes too long is refused, not sent in pieces. */
static void
test_message_too_long(void)
{
    MfHookArgs args = args_of("started");
    g_autofree char *name = g_strnfill(MF_HOOK_MAX_BYTES / 6 + 1, '\x01');
    MfDomxml domxml = {.name = name, .uuid = UUID};
    g_autoptr(GError) error = NULL;

    g_assert_null(mf_hook_message_new(&args, &domxml, &error));
    g_assert_true(mf_error_is_invalid(error));
}

static void
test_answers(void)
{
    static const struct {
        const char *line;
        const char *error; /* a part of the message; NULL: success */
        gboolean invalid;
    } cases[] = {
        {"{\"ok\":true}\n", NULL, FALSE},
        {"{\"ok\":true}", NULL, FALSE},
        {"{\"ok\":false,\"error\":\"no \\\"room\\\"\"}\n", "says: no \"room\"", FALSE},
        {"{\"ok\":false,\"error\":\"\"}", "says: ", FALSE},
        {"{\"ok\":false,\"error\":\"\\\\\"}", "says: \\", FALSE},
        {"{\"ok\":false,\"error\":\"}", "not understood", TRUE},
        {"{\"ok\":false,\"error\":\"a\\\"}", "not understood", TRUE},
        {"{\"ok\":false,\"error\":\"a\\nb\\u001b\"}", "says: a?b", FALSE},
        {"{\"ok\":false}", "not understood", TRUE},
        {"{\"ok\":false,\"refused\":\"a\\\"}", "not understood", TRUE},
        {"{\"ok\":false,\"refused\":true}", "not understood", TRUE},
        {"{\"refused\":\"a\"}", "not understood", TRUE},
        {"", "(empty)", TRUE},
        {"\n", "(empty)", TRUE},
        {"HTTP/1.1 400", "HTTP/1.1 400", TRUE},
        {"\xff\xfe", "not understood", TRUE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        char *found = (char *)"untouched";
        gboolean ok = mf_hook_answer_check(cases[i].line, strlen(cases[i].line), &found, &error);

        g_assert_cmpint(ok, ==, cases[i].error == NULL);
        g_assert_null(found);
        if (!ok) {
            g_assert_nonnull(strstr(error->message, cases[i].error));
            g_assert_cmpint(mf_error_is_invalid(error), ==, cases[i].invalid);
        }
    }
}

/* A refusal is an answer, not an error. */
static void
test_refusals(void)
{
    static const struct {
        const char *line;
        const char *refusal;
    } cases[] = {
        {"{\"ok\":false,\"refused\":\"no \\\"vm1\\\"\\n\"}\n", "no \"vm1\"?"},
        {"{\"ok\":false,\"refused\":\"b\xc3\xbcro\"}", "b\xc3\xbcro"},
        {"{\"ok\":false,\"refused\":\"\"}", ""},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *refusal = NULL;

        g_assert_true(mf_hook_answer_check(cases[i].line, strlen(cases[i].line), &refusal, &error));
        g_assert_no_error(error);
        g_assert_cmpstr(refusal, ==, cases[i].refusal);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hook-args/libvirt", test_args_of_libvirt);
    g_test_add_func("/hook-args/socket", test_args_with_socket);
    g_test_add_func("/hook-args/missing", test_args_missing);
    g_test_add_func("/hook-args/operations", test_operations);
    g_test_add_func("/hook-args/message", test_message);
    g_test_add_func("/hook-args/message-cut", test_message_is_cut_between_characters);
    g_test_add_func("/hook-args/message-too-long", test_message_too_long);
    g_test_add_func("/hook-args/answers", test_answers);
    g_test_add_func("/hook-args/refusals", test_refusals);
    return g_test_run();
}
