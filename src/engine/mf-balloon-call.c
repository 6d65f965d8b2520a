/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-balloon-call.h"

#include "../core/mf-error.h"

#define MAX_DIVISOR 2 /* of its maximum: no guest is left less */
#define KIB         1024
#define UNIT_BYTES  (G_GUINT64_CONSTANT(1) << 20)

static guint64
round_up(guint64 bytes)
{
    return (bytes + UNIT_BYTES - 1) / UNIT_BYTES * UNIT_BYTES;
}

gboolean
mf_balloon_fill(MfVirt *virt, MfOwed *owed, const MfDomain *domain, guint64 bytes,
                MfBalloon *ret_balloon, GError **error)
{
    MfDebt before = {0};
    MfDebt debt = {0};
    guint64 now_bytes = 0;
    guint64 max_bytes = 0;
    guint64 asked_bytes = 0;
    gboolean lost = FALSE;
    g_autoptr(GError) problem = NULL;

    if (!mf_virt_get_balloon(virt, domain->uuid, &now_bytes, &max_bytes, error)) {
        return FALSE;
    }
    asked_bytes = now_bytes > bytes ? now_bytes - bytes : 0;
    asked_bytes = round_up(MAX(asked_bytes, max_bytes / MAX_DIVISOR));
    if (asked_bytes >= now_bytes) {
        g_set_error(error, MF_ERROR, MF_ERROR_BUSY, "its balloon has taken half of its memory");
        return FALSE;
    }
    mf_owed_get(owed, domain->uuid, &before);
    debt = before;
    debt.pid = domain->pid;
    mf_balloon_ask(&debt.balloon, now_bytes, asked_bytes);
    if (!mf_owed_set(owed, domain->uuid, &debt, error)) {
        return FALSE;
    }
    /* When the answer is lost, it may have been asked; what the guest has tells. */
    if (!mf_virt_set_balloon(virt, domain->uuid, asked_bytes, &lost, &problem) && !lost) {
        mf_owed_set(owed, domain->uuid, &before, NULL);
        g_propagate_error(error, g_steal_pointer(&problem));
        return FALSE;
    }
    *ret_balloon = debt.balloon;
    return TRUE;
}

/* A guest may look like that, too; then nobody but a person gives it back what it had. */
static void
tell_foreign(const MfDomain *domain, const MfBalloon *balloon)
{
    g_warning(
        "domain \"%s\": somebody else has set its balloon, and memfold leaves it so; if nobody "
        "has: virsh setmem %s %" G_GUINT64_FORMAT " --live",
        domain->name, domain->name, balloon->before_bytes / KIB);
}

gboolean
mf_balloon_empty(MfVirt *virt, MfOwed *owed, const MfDomain *domain, MfBalloon *ret_balloon,
                 GError **error)
{
    MfDebt debt = {0};
    MfBalloon balloon = {0};
    guint64 now_bytes = 0;
    guint64 max_bytes = 0;
    gboolean lost = FALSE;

    if (!mf_virt_get_balloon(virt, domain->uuid, &now_bytes, &max_bytes, error)) {
        return FALSE;
    }
    if (!mf_owed_look(owed, domain->uuid, now_bytes, &balloon)) {
        *ret_balloon = balloon;
        return TRUE;
    }
    if (mf_balloon_is_in_doubt(&balloon)) {
        *ret_balloon = balloon;
        return TRUE;
    }
    mf_owed_get(owed, domain->uuid, &debt);
    if (mf_balloon_is_foreign(&balloon)) {
        tell_foreign(domain, &balloon);
    }
    if (mf_balloon_is_returning(&balloon) || mf_balloon_is_foreign(&balloon)) {
        debt.balloon = (MfBalloon){0};
    } else if (mf_virt_set_balloon(virt, domain->uuid, balloon.before_bytes, &lost, error)) {
        mf_balloon_return(&debt.balloon);
    } else {
        return FALSE;
    }
    *ret_balloon = debt.balloon;
    return mf_owed_set(owed, domain->uuid, &debt, error);
}
