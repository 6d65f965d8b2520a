/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy element: what is read, what is refused, and there and back. */
#include <string.h>

#include "../../src/core/mf-policy.h"
#include "mf-test.h"

#define NS "xmlns='urn:memfold:policy:1'"

static void
test_accepted(void)
{
    static const struct {
        const char *xml;
        MfPolicy policy;
    } cases[] = {
        {"<policy " NS "/>", {MF_MERGE_AUTO, NULL, 100, FALSE}},
        {"<policy " NS " merge='off'/>", {MF_MERGE_OFF, NULL, 100, FALSE}},
        {"<policy merge='freeze' group='a.B_9-z' priority='0' boost='on' " NS "></policy>",
         {MF_MERGE_FREEZE, (char *)"a.B_9-z", 0, TRUE}},
        {"<memfold:policy xmlns:memfold='urn:memfold:policy:1' merge='zero' priority='1000'/>",
         {MF_MERGE_ZERO, NULL, 1000, FALSE}},
        {"<?xml version='1.0'?>\n<!-- hello --><policy " NS " merge=\"&#111;n\"> <!-- in -->\n "
         "</policy>\n",
         {MF_MERGE_ON, NULL, 100, FALSE}},
        {"<policy " NS " group='shared' boost='off'/>",
         {MF_MERGE_AUTO, (char *)"shared", 100, FALSE}},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(MfPolicy) policy = mf_policy_from_xml(cases[i].xml, &error);
        g_assert_no_error(error);
        g_assert_true(mf_policy_equal(policy, &cases[i].policy));
    }
}

static void
test_refused(void)
{
    static const struct {
        const char *xml;
        const char *part; /* of the message */
    } cases[] = {
        {"", "policy"},
        {"   ", "policy"},
        {"hello", "policy"},
        {"<policy " NS, "policy"},
        {"<policy " NS ">", "policy"},
        {"<policy " NS " merge=on/>", "policy"},
        {"<policy/>", "urn:memfold:policy:1"},
        {"<policy xmlns='urn:memfold:policy:2'/>", "urn:memfold:policy:1"},
        {"<policies " NS "/>", "\"policies\""},
        {"<m:policy " NS "/>", "\"m:policy\""},
        {"<policy xmlns:m='urn:memfold:policy:1'/>", "urn:memfold:policy:1"},
        {"<policy " NS "><a/></policy>", "\"a\""},
        {"<policy " NS ">text</policy>", "text"},
        {"<policy " NS "/><policy " NS "/>", "second"},
        {"<policy " NS "/>text", "policy"},
        {"<policy " NS "><![CDATA[x]]></policy>", "only one element"},
        {"<!DOCTYPE policy [<!ENTITY x 'on'>]><policy " NS " merge='&x;'/>", "only one element"},
        {"<policy " NS " merge='&x;'/>", "policy"},
        {"<policy " NS " merge='ON'/>", "merge has the value \"ON\"; allowed: auto, on, off"},
        {"<policy " NS " merge=''/>", "merge has the value \"\""},
        {"<policy " NS " merge='on' merge='off'/>", "\"merge\" is given twice"},
        {"<policy " NS " m:merge='on'/>", "unknown attribute \"m:merge\""},
        {"<policy " NS " color='red'/>", "unknown attribute \"color\"; allowed: merge"},
        {"<policy " NS " group=''/>", "group has the value"},
        {"<policy " NS " group='a b'/>", "group has the value \"a b\""},
        {"<policy " NS " group='../../etc'/>", "letters, digits"},
        {"<policy " NS " priority='1001'/>", "0 to 1000"},
        {"<policy " NS " priority='-1'/>", "0 to 1000"},
        {"<policy " NS " priority='+1'/>", "0 to 1000"},
        {"<policy " NS " priority=' 1'/>", "0 to 1000"},
        {"<policy " NS " priority='99999999999999999999999'/>", "0 to 1000"},
        {"<policy " NS " boost='yes'/>", "on, off"},
        {"<policy " NS " merge='\xff'/>", "policy"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        MfPolicy *policy = mf_policy_from_xml(cases[i].xml, &error);
        mf_test_case(cases[i].xml);
        g_assert_null(policy);
        mf_assert_error(error, MF_ERROR_INVALID, cases[i].part);
    }
}

static void
test_limits(void)
{
    g_autofree char *group = g_strnfill(MF_GROUP_MAX_LEN, 'g');
    g_autofree char *too_long = g_strnfill(MF_GROUP_MAX_LEN + 1, 'g');
    g_autofree char *padding = g_strnfill(4096, ' ');
    g_autofree char *big = g_strdup_printf("<policy " NS "/>%s", padding);
    g_autoptr(GError) error = NULL;

    g_assert_true(mf_group_name_valid(group));
    g_assert_false(mf_group_name_valid(too_long));
    g_assert_false(mf_group_name_valid(""));
    g_assert_false(mf_group_name_valid("ä"));
    g_assert_null(mf_policy_from_xml(big, &error));
    mf_assert_error(error, MF_ERROR_INVALID, "4096");

    /* What reading cost is bounded by the text, never by what it says of itself. */
    big[4096] = '\0';
    g_autoptr(MfPolicy) policy = mf_policy_from_xml(big, &error);
    g_assert_no_error(error);
    g_assert_nonnull(policy);
}

static void
test_message_is_bounded(void)
{
    g_autofree char *value = g_strnfill(3000, 'v');
    g_autofree char *xml = g_strdup_printf("<policy " NS " merge='%s'/>", value);
    g_autoptr(GError) error = NULL;

    g_assert_null(mf_policy_from_xml(xml, &error));
    g_assert_cmpuint(strlen(error->message), <, 300);
}

/* What mf_policy_to_xml() writes reads back the same once libvirt has put the namespace to it. */
static void
test_round_trip(void)
{
    static const char *const groups[] = {NULL, "shared", "tenant-a"};

    for (int merge = MF_MERGE_AUTO; merge <= MF_MERGE_ZERO; merge++) {
        for (guint i = 0; i < G_N_ELEMENTS(groups); i++) {
            MfPolicy policy = {merge, (char *)groups[i], 100 + i * 450, i == 1};
            g_autofree char *xml = mf_policy_to_xml(&policy);
            g_autofree char *declared = g_strconcat("<policy " NS, xml + strlen("<policy"), NULL);
            g_autoptr(GError) error = NULL;
            g_assert_true(g_str_has_prefix(xml, "<policy merge="));
            g_autoptr(MfPolicy) back = mf_policy_from_xml(declared, &error);
            g_assert_no_error(error);
            g_assert_true(mf_policy_equal(back, &policy));
        }
    }
}

static void
test_copy_and_equal(void)
{
    MfPolicy policy = {MF_MERGE_ON, (char *)"a", 7, TRUE};
    g_autoptr(MfPolicy) copy = mf_policy_copy(&policy);

    g_assert_true(mf_policy_equal(copy, &policy));
    g_assert_true(copy->group != policy.group);
    copy->boost = FALSE;
    g_assert_false(mf_policy_equal(copy, &policy));
    copy->boost = TRUE;
    g_free(copy->group);
    copy->group = NULL;
    g_assert_false(mf_policy_equal(copy, &policy));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/policy/accepted", test_accepted);
    g_test_add_func("/policy/refused", test_refused);
    g_test_add_func("/policy/limits", test_limits);
    g_test_add_func("/policy/message-is-bounded", test_message_is_bounded);
    g_test_add_func("/policy/round-trip", test_round_trip);
    g_test_add_func("/policy/copy-and-equal", test_copy_and_equal);
    return g_test_run();
}
