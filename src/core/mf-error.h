/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The errors of memfold.
 *
 * A code says what the caller should do about it, not what went wrong; the message says that, and
 * names the domain or file.  Callers ask the mf_error_is_*() questions and never compare errno.
 */
#pragma once

#include <glib.h>

#define MF_ERROR (mf_error_quark())

typedef enum {
    MF_ERROR_FAILED,      /* an unexpected failure: log it, the next tick tries again */
    MF_ERROR_GONE,        /* the domain, process or file went away: skip it */
    MF_ERROR_UNSUPPORTED, /* this host or QEMU can't: stop asking, say so once */
    MF_ERROR_BUSY,        /* not now: the next tick tries again, without a log line */
    MF_ERROR_DENIED,      /* no permission: absent figure, said once */
    MF_ERROR_INVALID,     /* input of somebody else is wrong: nothing was changed */
    MF_ERROR_TIMEOUT,     /* no answer within the deadline */
} MfError;

GQuark mf_error_quark(void);

/* Maps an errno value to the code that asks for the same behaviour (ENOENT, ESRCH: GONE; EACCES,
 * EPERM, EROFS: DENIED; EAGAIN, EBUSY, EINTR: BUSY; EINVAL: INVALID; EOPNOTSUPP, ENOSYS:
 * UNSUPPORTED; ETIMEDOUT: TIMEOUT; else FAILED).  Pure. */
MfError mf_error_from_errno(int saved_errno);

/* Each answers whether error is of the MF_ERROR domain with that code; FALSE for NULL. */
gboolean mf_error_is_gone(const GError *error);
gboolean mf_error_is_unsupported(const GError *error);
gboolean mf_error_is_busy(const GError *error);
gboolean mf_error_is_denied(const GError *error);
gboolean mf_error_is_invalid(const GError *error);
gboolean mf_error_is_timeout(const GError *error);
