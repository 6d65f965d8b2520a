/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Errors say what the caller should do. */
#include <errno.h>
#include <glib.h>

#include "../../src/core/mf-error.h"

static void
test_from_errno(void)
{
    static const struct {
        int saved_errno;
        MfError code;
    } cases[] = {
        {ENOENT, MF_ERROR_GONE},        {ESRCH, MF_ERROR_GONE},
        {EACCES, MF_ERROR_DENIED},      {EPERM, MF_ERROR_DENIED},
        {EROFS, MF_ERROR_DENIED},       {EAGAIN, MF_ERROR_BUSY},
        {EBUSY, MF_ERROR_BUSY},         {EINTR, MF_ERROR_BUSY},
        {EINVAL, MF_ERROR_INVALID},     {EOPNOTSUPP, MF_ERROR_UNSUPPORTED},
        {ENOSYS, MF_ERROR_UNSUPPORTED}, {ETIMEDOUT, MF_ERROR_TIMEOUT},
        {EIO, MF_ERROR_FAILED},         {0, MF_ERROR_FAILED},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmpint(mf_error_from_errno(cases[i].saved_errno), ==, cases[i].code);
    }
}

static void
test_questions(void)
{
    typedef gboolean (*Question)(const GError *error);
    static const struct {
        MfError code;
        Question question;
    } cases[] = {
        {MF_ERROR_GONE, mf_error_is_gone},       {MF_ERROR_UNSUPPORTED, mf_error_is_unsupported},
        {MF_ERROR_BUSY, mf_error_is_busy},       {MF_ERROR_DENIED, mf_error_is_denied},
        {MF_ERROR_INVALID, mf_error_is_invalid}, {MF_ERROR_TIMEOUT, mf_error_is_timeout},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) foreign = g_error_new_literal(G_FILE_ERROR, cases[i].code, "foreign");
        g_assert_false(cases[i].question(NULL));
        g_assert_false(cases[i].question(foreign));
        for (guint j = 0; j < G_N_ELEMENTS(cases); j++) {
            g_autoptr(GError) error = g_error_new_literal(MF_ERROR, cases[j].code, "ours");
            g_assert_cmpint(cases[i].question(error), ==, i == j);
        }
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/error/from-errno", test_from_errno);
    g_test_add_func("/error/questions", test_questions);
    return g_test_run();
}
