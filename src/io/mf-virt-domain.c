/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The blocking calls about domains: list, look up, talk to a monitor, write a policy. */
#include "mf-virt-private.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include <string.h>

#include "mf-domxml.h"
#include "mf-error.h"
#include "mf-qmp.h"

void
mf_virt_set_error(virConnectPtr connection, GError **error)
{
    int code = virGetLastErrorCode();
    g_autofree char *message = g_strdup(virGetLastErrorMessage());
    MfError ours = MF_ERROR_FAILED;

    switch (code) {
    case VIR_ERR_NO_DOMAIN:
    case VIR_ERR_OPERATION_INVALID: /* "domain is not running" */
        ours = MF_ERROR_GONE;
        break;
    case VIR_ERR_NO_SUPPORT:
    case VIR_ERR_CONFIG_UNSUPPORTED:
    case VIR_ERR_ARGUMENT_UNSUPPORTED:
    case VIR_ERR_OPERATION_UNSUPPORTED:
        ours = MF_ERROR_UNSUPPORTED;
        break;
    case VIR_ERR_OPERATION_DENIED:
    case VIR_ERR_AUTH_FAILED:
    case VIR_ERR_AUTH_CANCELLED:
    case VIR_ERR_AUTH_UNAVAILABLE:
    case VIR_ERR_ACCESS_DENIED:
        ours = MF_ERROR_DENIED;
        break;
    case VIR_ERR_OPERATION_TIMEOUT:
        ours = MF_ERROR_TIMEOUT;
        break;
    default:
        break;
    }
    if (connection && virConnectIsAlive(connection) == 0) {
        ours = MF_ERROR_BUSY;
    }
    g_set_error(error, MF_ERROR, ours, "libvirt: %s", message);
}

/* The domain as far as libvirt knows it.  Facts that can't be read stay unknown, and what was wrong
 * with them is told by policy_error; only a domain that is gone is an error. */
static MfDomain *
domain_describe(virDomainPtr handle, GError **error)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    g_autofree char *text = NULL;
    g_autoptr(MfDomxml) domxml = NULL;
    g_autoptr(MfDomain) domain = NULL;
    g_autoptr(MfPolicy) policy = NULL;
    g_autoptr(GError) problem = NULL;

    /* XML of a running domain holds its live metadata. */
    text = virDomainGetXMLDesc(handle, 0);
    if (!text || virDomainGetUUIDString(handle, uuid) < 0) {
        mf_virt_set_error(virDomainGetConnect(handle), error);
        return NULL;
    }
    domain = mf_domain_new(uuid, virDomainGetName(handle));
    domxml = mf_domxml_parse(text, strlen(text), &problem);
    if (!domxml) {
        domain->policy_error = g_strdup(problem->message);
        domain->is_unread = TRUE;
        return g_steal_pointer(&domain);
    }
    domain->nosharepages = domxml->nosharepages;
    domain->memory_kind = domxml->memory_kind;
    domain->launch_security = g_strdup(domxml->launch_security);
    domain->passthrough_count = domxml->passthrough_count;
    if (!domxml->policy_xml) {
        return g_steal_pointer(&domain);
    }
    policy = mf_policy_from_xml(domxml->policy_xml, &problem);
    if (policy) {
        mf_policy_free(domain->policy);
        domain->policy = g_steal_pointer(&policy);
    } else {
        domain->policy_error = g_strdup(problem->message);
    }
    return g_steal_pointer(&domain);
}

static void
free_handles(virDomainPtr *handles)
{
    for (gsize i = 0; handles && handles[i]; i++) {
        virDomainFree(handles[i]);
    }
    g_free(handles);
}

static MfDomain *
domain_unread(virDomainPtr handle, const GError *problem)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    MfDomain *domain = NULL;

    virDomainGetUUIDString(handle, uuid);
    domain = mf_domain_new(uuid, virDomainGetName(handle));
    domain->policy_error = g_strdup(problem->message);
    domain->is_unread = TRUE;
    return domain;
}

GPtrArray *
mf_virt_list(MfVirt *virt, GPtrArray **ret_unread, GError **error)
{
    g_autoptr(MfVirtLease) lease = mf_virt_lease(virt, MF_VIRT_FOR_DOMAINS, error);
    g_autoptr(GPtrArray) domains = g_ptr_array_new_with_free_func((GDestroyNotify)mf_domain_free);
    g_autoptr(GPtrArray) unread = g_ptr_array_new_with_free_func((GDestroyNotify)mf_domain_free);
    virDomainPtr *handles = NULL;
    gboolean cut = FALSE;

    if (!lease) {
        return NULL;
    }
    if (virConnectListAllDomains(mf_virt_lease_get(lease), &handles,
                                 VIR_CONNECT_LIST_DOMAINS_ACTIVE) < 0) {
        mf_virt_set_error(mf_virt_lease_get(lease), error);
        return NULL;
    }
    for (gsize i = 0; handles[i] && !cut; i++) {
        g_autoptr(GError) problem = NULL;
        MfDomain *domain = domain_describe(handles[i], &problem);

        if (domain) {
            g_ptr_array_add(domains, domain);
        } else if (mf_error_is_busy(problem)) {
            g_propagate_error(error, g_steal_pointer(&problem));
            cut = TRUE;
        } else if (!mf_error_is_gone(problem)) {
            g_ptr_array_add(unread, domain_unread(handles[i], problem));
        }
    }
    free_handles(handles);
    if (cut) {
        return NULL;
    }
    *ret_unread = g_steal_pointer(&unread);
    return g_steal_pointer(&domains);
}

virDomainPtr
mf_virt_find_running(virConnectPtr connection, const char *uuid, GError **error)
{
    g_autoptr(virDomain) handle = virDomainLookupByUUIDString(connection, uuid);
    int is_active = handle ? virDomainIsActive(handle) : -1;

    /* A connection that is cut says nothing of the domain. */
    if (is_active < 0) {
        mf_virt_set_error(connection, error);
        return NULL;
    }
    if (is_active == 0) {
        g_set_error(error, MF_ERROR, MF_ERROR_GONE, "domain \"%s\" is not running",
                    virDomainGetName(handle));
        return NULL;
    }
    return g_steal_pointer(&handle);
}

MfDomain *
mf_virt_lookup(MfVirt *virt, const char *uuid, GError **error)
{
    g_autoptr(MfVirtLease) lease = mf_virt_lease(virt, MF_VIRT_FOR_DOMAINS, error);
    g_autoptr(virDomain) handle = NULL;

    if (!lease) {
        return NULL;
    }
    handle = mf_virt_find_running(mf_virt_lease_get(lease), uuid, error);
    return handle ? domain_describe(handle, error) : NULL;
}

char *
mf_virt_monitor(MfVirt *virt, const char *uuid, const char *command, GError **error)
{
    g_autoptr(MfVirtLease) lease = mf_virt_lease(virt, MF_VIRT_FOR_MONITORS, error);
    g_autoptr(virDomain) handle = NULL;
    char *answer = NULL;

    if (!lease) {
        return NULL;
    }
    handle = virDomainLookupByUUIDString(mf_virt_lease_get(lease), uuid);
    if (!handle || virDomainQemuMonitorCommand(handle, command, &answer, 0) < 0) {
        mf_virt_set_error(mf_virt_lease_get(lease), error);
        return NULL;
    }
    if (strlen(answer) > MF_QMP_MAX_BYTES) {
        g_free(answer);
        g_set_error(error, MF_ERROR, MF_ERROR_INVALID, "QEMU's answer is over %d bytes",
                    MF_QMP_MAX_BYTES);
        return NULL;
    }
    return answer;
}

gboolean
mf_virt_set_policy(MfVirt *virt, const char *uuid, const MfPolicy *policy, GError **error)
{
    g_autoptr(MfVirtLease) lease = mf_virt_lease(virt, MF_VIRT_FOR_DOMAINS, error);
    g_autoptr(virDomain) handle = NULL;
    g_autofree char *element = mf_policy_to_xml(policy);
    unsigned int flags = VIR_DOMAIN_AFFECT_LIVE;
    int is_persistent = 0;

    if (!lease) {
        return FALSE;
    }
    handle = mf_virt_find_running(mf_virt_lease_get(lease), uuid, error);
    if (!handle) {
        return FALSE;
    }
    is_persistent = virDomainIsPersistent(handle);
    if (is_persistent == 1) {
        flags |= VIR_DOMAIN_AFFECT_CONFIG;
    }
    if (is_persistent < 0 || virDomainSetMetadata(handle, VIR_DOMAIN_METADATA_ELEMENT, element,
                                                  MF_POLICY_KEY, MF_POLICY_NS, flags) < 0) {
        mf_virt_set_error(mf_virt_lease_get(lease), error);
        return FALSE;
    }
    return TRUE;
}
