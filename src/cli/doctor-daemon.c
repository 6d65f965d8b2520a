/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `memfold doctor` learns from the daemon; see mf-doctor.h. */
#include "mf-cli.h"
#include "mf-doctor.h"

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
        g_autofree char *remedy =
            g_strdup_printf("memfold set %s merge=auto writes a new one; see memfold(1)", name);

        mf_doctor_add(checks, "domain.policy", MF_CHECK_WARN, FALSE,
                      g_strdup_printf("%s: its policy was refused: %s", name, problem), remedy);
    }
}

/* Whether an earlier check of that name found all well. */
static gboolean
is_ok(const GPtrArray *checks, const char *name)
{
    for (guint i = 0; i < checks->len; i++) {
        const MfCheck *check = g_ptr_array_index(checks, i);

        if (g_str_equal(check->name, name)) {
            return check->state == MF_CHECK_OK;
        }
    }
    return FALSE;
}

/* A daemon that nobody asks at a start refuses nobody. */
static void
check_admission(GPtrArray *checks, const MemfoldFigures *host)
{
    const char *admission = memfold_figures_get_string(host, "admission");

    if (admission == NULL) {
        return;
    }
    if (g_str_equal(admission, "off") || is_ok(checks, "hook")) {
        mf_doctor_add(checks, "admission", MF_CHECK_OK, FALSE, g_strdup(admission), NULL);
    } else {
        mf_doctor_add(
            checks, "admission", MF_CHECK_WARN, FALSE,
            g_strdup_printf("admission=%s, but without the hook no start is checked", admission),
            "install memfold's hook, then restart libvirtd once");
    }
}

void
mf_doctor_check_daemon(GPtrArray *checks, const MemfoldDescription *description,
                       const char *problem)
{
    gsize n_domains;

    if (description == NULL) {
        mf_doctor_add(checks, "daemon", MF_CHECK_MISSING, TRUE, g_strdup(problem),
                      "systemctl start memfoldd, and see its log");
        return;
    }
    n_domains = memfold_description_get_n_domains(description);
    mf_doctor_add(checks, "daemon", MF_CHECK_OK, FALSE,
                  g_strdup_printf("memfoldd runs and knows %" G_GSIZE_FORMAT " domain%s", n_domains,
                                  n_domains == 1 ? "" : "s"),
                  NULL);
    check_admission(checks, memfold_description_get_host(description));
    for (gsize i = 0; i < n_domains; i++) {
        check_domain(checks, memfold_description_get_domain(description, i));
    }
}
