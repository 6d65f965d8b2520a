/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `memfold doctor` learns from the daemon; see mf-doctor.h. */
#include <string.h>

#include "mf-cli.h"
#include "mf-doctor.h"

#define FAULT_PREFIX "host." /* of the name of a check, before the reason's code */

/* How a domain's memory can be switched while it runs; the values of the figure "switch". */
static const struct {
    const char *value;
    const char *finding;
    MfCheckState state;
    const char *remedy;
} switches[] = {
    {"qmp", "QEMU has memfold's series: every block can be switched and asked", MF_CHECK_OK, NULL},
    {"backend", "stock QEMU: memory backends can be switched, figures come from /proc", MF_CHECK_OK,
     NULL},
    {"none", "this QEMU's memory can't be switched while it runs", MF_CHECK_WARN,
     "add <nosharepages/> to its <memoryBacking> to keep it from merging, or use a QEMU with "
     "memfold's series"},
};

/* The daemon knows whether the policy was refused, or could not be read. */
static const char *
policy_remedy(const MemfoldFigures *domain)
{
    for (gsize i = 0; i < memfold_figures_get_n_reasons(domain); i++) {
        const MemfoldReason *reason = memfold_figures_get_reason(domain, i);

        if (g_str_equal(reason->code, "policy-invalid") && reason->remedy != NULL) {
            return reason->remedy;
        }
    }
    return "see memfold why of it";
}

static void
check_domain(GPtrArray *checks, const MemfoldFigures *domain)
{
    const char *name = mf_cli_word(domain, "name");
    const char *how = memfold_figures_get_string(domain, "switch");
    const char *problem = memfold_figures_get_string(domain, "policy_error");
    gboolean known = FALSE;

    for (gsize i = 0; how != NULL && i < G_N_ELEMENTS(switches); i++) {
        if (g_str_equal(how, switches[i].value)) {
            known = TRUE;
            mf_doctor_add(checks, "domain.qemu", switches[i].state, FALSE,
                          g_strdup_printf("%s: %s", name, switches[i].finding), switches[i].remedy);
        }
    }
    if (!known) {
        mf_doctor_add(checks, "domain.qemu", MF_CHECK_WARN, FALSE,
                      g_strdup_printf("%s: its QEMU has not answered yet", name),
                      "look again; if it stays so, see the daemon's log");
    }
    if (problem != NULL && problem[0] != '\0') {
        mf_doctor_add(checks, "domain.policy", MF_CHECK_WARN, FALSE,
                      g_strdup_printf("%s: its policy was refused or not read: %s", name, problem),
                      policy_remedy(domain));
    }
}

/* The earlier check of that name; NULL when there is none. */
static MfCheck *
find_check(const GPtrArray *checks, const char *name)
{
    for (guint i = 0; i < checks->len; i++) {
        MfCheck *check = g_ptr_array_index(checks, i);

        if (g_str_equal(check->name, name)) {
            return check;
        }
    }
    return NULL;
}

/* A daemon that nobody asks at a start refuses nobody. */
static void
check_admission(GPtrArray *checks, const MemfoldFigures *host)
{
    const char *admission = memfold_figures_get_string(host, "admission");
    const MfCheck *hook = find_check(checks, "hook");

    if (admission == NULL) {
        return;
    }
    if (g_str_equal(admission, "off") || (hook != NULL && hook->state == MF_CHECK_OK)) {
        mf_doctor_add(checks, "admission", MF_CHECK_OK, FALSE, g_strdup(admission), NULL);
    } else {
        mf_doctor_add(
            checks, "admission", MF_CHECK_WARN, FALSE,
            g_strdup_printf("admission=%s, but without the hook no start is checked", admission),
            "install memfold's hook, then restart libvirtd once");
    }
}

/* A daemon that does not talk to this user, or not now, may well do its work. */
static void
check_silence(GPtrArray *checks, const GError *error)
{
    char *finding = g_strdup(error->message);

    if (g_error_matches(error, MEMFOLD_ERROR, MEMFOLD_ERROR_NO_DAEMON)) {
        mf_doctor_add(checks, "daemon", MF_CHECK_MISSING, TRUE, finding,
                      "systemctl start memfoldd, and see its log");
    } else if (g_error_matches(error, MEMFOLD_ERROR, MEMFOLD_ERROR_DENIED)) {
        mf_doctor_add(checks, "daemon", MF_CHECK_WARN, FALSE, finding,
                      "run as root or join group libvirt");
    } else {
        mf_doctor_add(checks, "daemon", MF_CHECK_WARN, FALSE, finding, "see the daemon's log");
    }
}

/* A start that takes long has a remedy. */
static gboolean
is_usual_start(const MemfoldReason *reason)
{
    return g_str_equal(reason->code, "start-hold") && reason->remedy == NULL;
}

/* Reasons of the host that tell of a fault rather than of how it is set up, as checks. */
static void
check_faults(GPtrArray *checks, const MemfoldFigures *host)
{
    static const char *const names[] = {
        FAULT_PREFIX "libvirt-away",
        FAULT_PREFIX "knob-failed",
        FAULT_PREFIX "hardware-poisoned",
        FAULT_PREFIX "uncovered",
        FAULT_PREFIX "storm",
        FAULT_PREFIX "suspended",
        FAULT_PREFIX "qemus-silent",
        FAULT_PREFIX "newcomers-merge",
        FAULT_PREFIX "start-hold",
    };
    gboolean connected = TRUE;
    gboolean told = FALSE;

    for (gsize i = 0; i < memfold_figures_get_n_reasons(host); i++) {
        const MemfoldReason *reason = memfold_figures_get_reason(host, i);

        for (gsize k = 0; k < G_N_ELEMENTS(names); k++) {
            if (g_str_equal(names[k] + strlen(FAULT_PREFIX), reason->code) &&
                !is_usual_start(reason)) {
                told |= k == 0;
                mf_doctor_add(checks, names[k], MF_CHECK_WARN, FALSE, g_strdup(reason->text),
                              reason->remedy != NULL ? reason->remedy : "see the daemon's log");
            }
        }
    }
    if (!told && memfold_figures_get_boolean(host, "libvirt_connected", &connected) && !connected) {
        mf_doctor_add(checks, names[0], MF_CHECK_WARN, FALSE,
                      g_strdup("memfoldd is not connected to libvirt"),
                      "see that libvirtd runs and answers");
    }
}

/* Who told memfold to leave the knobs to the other manager has what was asked for. */
static void
allow_other_manager(const GPtrArray *checks, const MemfoldFigures *host)
{
    MfCheck *check = find_check(checks, "other-manager");
    gboolean managed = TRUE;

    if (check != NULL && memfold_figures_get_boolean(host, "managed", &managed) && !managed) {
        check->broken = FALSE;
    }
}

void
mf_doctor_check_daemon(GPtrArray *checks, const MemfoldDescription *description,
                       const GError *error)
{
    gsize n_domains;

    if (description == NULL) {
        check_silence(checks, error);
        return;
    }
    n_domains = memfold_description_get_n_domains(description);
    mf_doctor_add(checks, "daemon", MF_CHECK_OK, FALSE,
                  g_strdup_printf("memfoldd runs and knows %" G_GSIZE_FORMAT " domain%s", n_domains,
                                  n_domains == 1 ? "" : "s"),
                  NULL);
    allow_other_manager(checks, memfold_description_get_host(description));
    check_faults(checks, memfold_description_get_host(description));
    check_admission(checks, memfold_description_get_host(description));
    for (gsize i = 0; i < n_domains; i++) {
        check_domain(checks, memfold_description_get_domain(description, i));
    }
}
