/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The error domain, and errno in its terms. */
#include "mf-error.h"

#include <errno.h>

G_DEFINE_QUARK(mf - error - quark, mf_error)

MfError
mf_error_from_errno(int saved_errno)
{
    switch (saved_errno) {
    case ENOENT:
    case ESRCH:
        return MF_ERROR_GONE;
    case EACCES:
    case EPERM:
    case EROFS:
        return MF_ERROR_DENIED;
    case EAGAIN:
    case EBUSY:
    case EINTR:
        return MF_ERROR_BUSY;
    case EINVAL:
        return MF_ERROR_INVALID;
    case EOPNOTSUPP:
    case ENOSYS:
        return MF_ERROR_UNSUPPORTED;
    case ETIMEDOUT:
        return MF_ERROR_TIMEOUT;
    default:
        return MF_ERROR_FAILED;
    }
}

gboolean
mf_error_is_gone(const GError *error)
{
    return g_error_matches(error, MF_ERROR, MF_ERROR_GONE);
}

gboolean
mf_error_is_unsupported(const GError *error)
{
    return g_error_matches(error, MF_ERROR, MF_ERROR_UNSUPPORTED);
}

gboolean
mf_error_is_busy(const GError *error)
{
    return g_error_matches(error, MF_ERROR, MF_ERROR_BUSY);
}

gboolean
mf_error_is_denied(const GError *error)
{
    return g_error_matches(error, MF_ERROR, MF_ERROR_DENIED);
}

gboolean
mf_error_is_invalid(const GError *error)
{
    return g_error_matches(error, MF_ERROR, MF_ERROR_INVALID);
}

gboolean
mf_error_is_timeout(const GError *error)
{
    return g_error_matches(error, MF_ERROR, MF_ERROR_TIMEOUT);
}
