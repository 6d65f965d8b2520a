/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The script and its reader; see the header. */
#include "fakeqmp.h"

#include <json-glib/json-glib.h>

typedef struct {
    char *command;
    char *answer; /* NULL: the transport fails */
    MfError code;
} Step;

struct _FakeQmp {
    GQueue steps;
};

static void
step_free(Step *step)
{
    g_free(step->command);
    g_free(step->answer);
    g_free(step);
}

FakeQmp *
fake_qmp_new(void)
{
    FakeQmp *fake = g_new0(FakeQmp, 1);

    g_queue_init(&fake->steps);
    return fake;
}

void
fake_qmp_free(FakeQmp *fake)
{
    const Step *left = g_queue_peek_head(&fake->steps);

    if (left != NULL) {
        g_error("QEMU was never asked: %s", left->command);
    }
    g_free(fake);
}

static void
add_step(FakeQmp *fake, const char *command, const char *answer, MfError code)
{
    Step *step = g_new0(Step, 1);

    step->command = g_strdup(command);
    step->answer = g_strdup(answer);
    step->code = code;
    g_queue_push_tail(&fake->steps, step);
}

void
fake_qmp_expect(FakeQmp *fake, const char *command, const char *answer)
{
    add_step(fake, command, answer, MF_ERROR_FAILED);
}

void
fake_qmp_expect_failure(FakeQmp *fake, const char *command, MfError code)
{
    add_step(fake, command, NULL, code);
}

static JsonNode *
parse(const char *text)
{
    g_autoptr(GError) error = NULL;
    JsonNode *node = json_from_string(text, &error);

    g_assert_no_error(error);
    return node;
}

static char *
call(gpointer data, const char *command, GError **error)
{
    FakeQmp *fake = data;
    Step *step = g_queue_pop_head(&fake->steps);

    if (step == NULL) {
        g_error("QEMU did not expect: %s", command);
    }
    g_autoptr(JsonNode) wanted = parse(step->command);
    g_autoptr(JsonNode) got = parse(command);
    if (!json_node_equal(wanted, got)) {
        g_error("QEMU expected %s, not %s", step->command, command);
    }
    char *answer = g_strdup(step->answer);
    if (answer == NULL) {
        g_set_error(error, MF_ERROR, step->code, "the transport fails");
    }
    step_free(step);
    return answer;
}

MfQmp
fake_qmp_get(FakeQmp *fake)
{
    return (MfQmp){call, fake};
}
