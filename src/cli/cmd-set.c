/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `memfold set`: change a running domain's policy, now and for its next start.
 *
 * All the words are checked before the first is sent, so that a slip of the pen changes nothing.
 */
#include <stdio.h>
#include <string.h>

#include "mf-cli-wait.h"
#include "mf-cli.h"
#include "mf-policy.h"

/* Splits ATTR=VALUE words into two NULL-terminated arrays and has them checked.  An empty group
 * takes the attribute away, which stands for the configuration's default; the check sees that by
 * its name. */
static gboolean
read_words(int n_words, char **words, GPtrArray *names, GPtrArray *values)
{
    g_autoptr(GPtrArray) checked = g_ptr_array_new();
    g_autoptr(MfPolicy) policy = NULL;
    g_autoptr(GError) error = NULL;

    for (int i = 0; i < n_words; i++) {
        const char *equals = strchr(words[i], '=');

        if (equals == NULL || equals == words[i]) {
            mf_cli_complain("\"%s\" is not ATTR=VALUE, such as merge=off", words[i]);
            return FALSE;
        }
        g_ptr_array_add(names, g_strndup(words[i], (gsize)(equals - words[i])));
        g_ptr_array_add(values, g_strdup(equals + 1));
        g_ptr_array_add(checked, g_str_equal(words[i], "group=") ? (gpointer)MF_GROUP_ISOLATED
                                                                 : (gpointer)(equals + 1));
    }
    g_ptr_array_add(names, NULL);
    g_ptr_array_add(checked, NULL);
    policy = mf_policy_from_attributes((const char *const *)names->pdata,
                                       (const char *const *)checked->pdata, &error);
    if (policy == NULL) {
        mf_cli_complain("%s", error->message);
        return FALSE;
    }
    return TRUE;
}

/* Tells of the attribute at index that was not set, or not known to be, and of those behind it. */
static MfExit
fail_at(const char *domain, const GPtrArray *names, const GPtrArray *values, guint index,
        const GError *error)
{
    gboolean unknown = g_error_matches(error, MEMFOLD_ERROR, MEMFOLD_ERROR_TIMED_OUT);
    g_autoptr(GString) rest = g_string_new(NULL);
    g_autoptr(GError) whole = NULL;

    for (guint i = index + 1; i < values->len; i++) {
        g_string_append_printf(rest, "%s%s=%s", i == index + 1 ? "; not tried: " : ", ",
                               (char *)names->pdata[i], (char *)values->pdata[i]);
    }
    whole = g_error_new(error->domain, error->code, "domain \"%s\", %s=%s: %s%s%s%s%s", domain,
                        (char *)names->pdata[index], (char *)values->pdata[index], error->message,
                        unknown ? "; it is not known whether it was set: memfold status " : "",
                        unknown ? domain : "", unknown ? " tells" : "", rest->str);
    return mf_cli_fail(whole);
}

static MfExit
run(int argc, char **argv)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) values = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(MemfoldClient) client = NULL;
    g_autoptr(GError) error = NULL;

    if (!mf_cli_parse(&mf_command_set, NULL, 2, -1, &argc, &argv) ||
        !read_words(argc - 2, argv + 2, names, values)) {
        return MF_EXIT_USAGE;
    }
    client = memfold_client_new(&error);
    if (client == NULL) {
        return mf_cli_fail(error);
    }
    for (guint i = 0; i + 1 < names->len; i++) {
        const char *attribute = g_ptr_array_index(names, i);
        const char *value = g_ptr_array_index(values, i);

        g_autoptr(MfCliNotice) notice = mf_cli_notice_new();
        gboolean done = memfold_client_set_policy(client, argv[1], attribute, value, &error);

        g_clear_pointer(&notice, mf_cli_notice_free);
        if (!done) {
            return fail_at(argv[1], names, values, i, error);
        }
        printf("%s: %s=%s\n", argv[1], attribute, value);
        fflush(stdout);
    }
    return MF_EXIT_OK;
}

const MfCommand mf_command_set = {
    .name = "set",
    .arguments = "DOMAIN ATTR=VALUE...",
    .summary = "Change the policy of a running domain, now and for its next start",
    .details =
        "Attributes:\n"
        "  merge=on|off|freeze|auto|zero   what to do with its memory\n"
        "  group=NAME                      merge only with domains of this group; empty: "
        "the default\n"
        "  priority=0..1000                the lower one gives way first in a storm\n"
        "  boost=on|off                    scan it first after its start, where the kernel can",
    .run = run,
};
