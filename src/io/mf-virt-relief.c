/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a storm asks of a domain: to stand still, or to give memory back. */
#include "mf-virt-private.h"

#include "mf-error.h"

/* Units of libvirt's memory figures. */
#define KIB 1024

/* A connection and the running domain on it. */
typedef struct {
    MfVirtLease *lease;
    virDomainPtr handle;
} Hold;

static void
hold_clear(Hold *hold)
{
    g_clear_pointer(&hold->handle, virDomainFree);
    g_clear_pointer(&hold->lease, mf_virt_lease_end);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Hold, hold_clear)

static gboolean
hold_take(MfVirt *virt, const char *uuid, Hold *hold, GError **error)
{
    hold->lease = mf_virt_lease(virt, MF_VIRT_FOR_RELIEF, error);
    hold->handle =
        hold->lease ? mf_virt_find_running(mf_virt_lease_get(hold->lease), uuid, error) : NULL;
    return hold->handle != NULL;
}

/* Sets error when libvirt said no. */
static gboolean
judge(const Hold *hold, int status, GError **error)
{
    if (status < 0) {
        mf_virt_set_error(mf_virt_lease_get(hold->lease), error);
    }
    return status >= 0;
}

/* A call has failed, and the connection is cut: the answer was lost, and it may have been done. */
static gboolean
is_lost(const Hold *hold)
{
    return virConnectIsAlive(mf_virt_lease_get(hold->lease)) != 1;
}

static gboolean
get_state(const Hold *hold, int *ret_state, GError **error)
{
    return judge(hold, virDomainGetState(hold->handle, ret_state, NULL, 0), error);
}

gboolean
mf_virt_suspend(MfVirt *virt, const char *uuid, gboolean *ret_lost, GError **error)
{
    g_auto(Hold) hold = {0};
    int state = VIR_DOMAIN_NOSTATE;

    *ret_lost = FALSE;
    if (!hold_take(virt, uuid, &hold, error) || !get_state(&hold, &state, error)) {
        return FALSE;
    }
    if (state != VIR_DOMAIN_RUNNING && state != VIR_DOMAIN_BLOCKED) {
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "it does not run just now");
        return FALSE;
    }
    if (!judge(&hold, virDomainSuspend(hold.handle), error)) {
        *ret_lost = is_lost(&hold);
        return FALSE;
    }
    return TRUE;
}

gboolean
mf_virt_resume(MfVirt *virt, const char *uuid, GError **error)
{
    g_auto(Hold) hold = {0};
    int state = VIR_DOMAIN_NOSTATE;

    if (!hold_take(virt, uuid, &hold, error) || !get_state(&hold, &state, error)) {
        return FALSE;
    }
    return state != VIR_DOMAIN_PAUSED || judge(&hold, virDomainResume(hold.handle), error);
}

gboolean
mf_virt_is_paused(MfVirt *virt, const char *uuid, gboolean *ret_paused, GError **error)
{
    g_auto(Hold) hold = {0};
    int state = VIR_DOMAIN_NOSTATE;

    if (!hold_take(virt, uuid, &hold, error) || !get_state(&hold, &state, error)) {
        return FALSE;
    }
    *ret_paused = state == VIR_DOMAIN_PAUSED;
    return TRUE;
}

/* What libvirt knows without asking QEMU is up to a second old, for QEMU holds its events back so
 * long; that counts where QEMU has no answer. */
static guint64
ask_balloon_kib(const Hold *hold, guint64 known_kib)
{
    virDomainMemoryStatStruct stats[VIR_DOMAIN_MEMORY_STAT_NR] = {0};
    int count = virDomainMemoryStats(hold->handle, stats, G_N_ELEMENTS(stats), 0);

    for (int i = 0; i < count; i++) {
        if (stats[i].tag == VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON) {
            return stats[i].val;
        }
    }
    return known_kib;
}

gboolean
mf_virt_get_balloon(MfVirt *virt, const char *uuid, guint64 *ret_current_bytes,
                    guint64 *ret_max_bytes, GError **error)
{
    g_auto(Hold) hold = {0};
    virDomainInfo info = {0};

    if (!hold_take(virt, uuid, &hold, error) ||
        !judge(&hold, virDomainGetInfo(hold.handle, &info), error)) {
        return FALSE;
    }
    *ret_current_bytes = ask_balloon_kib(&hold, info.memory) * KIB;
    *ret_max_bytes = (guint64)info.maxMem * KIB;
    return TRUE;
}

gboolean
mf_virt_set_balloon(MfVirt *virt, const char *uuid, guint64 bytes, gboolean *ret_lost,
                    GError **error)
{
    g_auto(Hold) hold = {0};

    *ret_lost = FALSE;
    if (!hold_take(virt, uuid, &hold, error)) {
        return FALSE;
    }
    if (virDomainSetMemoryFlags(hold.handle, bytes / KIB, VIR_DOMAIN_AFFECT_LIVE) == 0) {
        return TRUE;
    }
    mf_virt_set_error(mf_virt_lease_get(hold.lease), error);
    *ret_lost = is_lost(&hold);
    /* libvirt says the same of a domain without a balloon as of one that does not run. */
    if (error && mf_error_is_gone(*error) && virDomainIsActive(hold.handle) == 1) {
        (*error)->code = MF_ERROR_UNSUPPORTED;
    }
    return FALSE;
}
