/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `memfold doctor` finds in /sys, /proc, /run and /etc; see mf-doctor.h. */
#include <string.h>

#include "mf-build.h"
#include "mf-doctor.h"
#include "mf-host.h"
#include "mf-ksm.h"

#define HOOK_NAME            "50-memfold"
#define APPARMOR_ABSTRACTION "etc/apparmor.d/local/abstractions/libvirt-qemu"
#define SMALL_FILE_BYTES     65536

static void
check_ksm_run(GPtrArray *checks, const MfHost *host)
{
    static const char *const states[] = {"stopped", "running", "un-merging everything"};

    if (!host->run.known) {
        mf_doctor_add(checks, "kernel.ksm", MF_CHECK_WARN, FALSE,
                      g_strdup("KSM is there, its run state can't be read"), "look as root");
    } else if (host->run.value >= G_N_ELEMENTS(states)) {
        mf_doctor_add(checks, "kernel.ksm", MF_CHECK_WARN, FALSE,
                      g_strdup_printf("run is %" G_GUINT64_FORMAT ", which memfold does not know",
                                      host->run.value),
                      NULL);
    } else {
        mf_doctor_add(checks, "kernel.ksm", MF_CHECK_OK, FALSE,
                      g_strdup_printf("ksmd is %s", states[host->run.value]), NULL);
    }
}

static void
check_kernel(GPtrArray *checks, MfRoot *root, const MfHost *host)
{
    gboolean groups = mf_ksm_has_groups(root);

    check_ksm_run(checks, host);
    if (host->smart_scan.known) {
        mf_doctor_add(checks, "kernel.smart-scan", MF_CHECK_OK, FALSE,
                      g_strdup(host->smart_scan.value != 0 ? "on" : "there, but off"), NULL);
    } else {
        mf_doctor_add(checks, "kernel.smart-scan", MF_CHECK_MISSING, FALSE,
                      g_strdup("not in this kernel: each scan looks at every page"),
                      "Linux 6.7 or newer has it");
    }
    if (host->advisor_mode != NULL) {
        mf_doctor_add(checks, "kernel.advisor", MF_CHECK_OK, FALSE,
                      g_strdup_printf("mode %s", host->advisor_mode), NULL);
    } else {
        mf_doctor_add(checks, "kernel.advisor", MF_CHECK_MISSING, FALSE,
                      g_strdup("not in this kernel: memfold's own governor does its work"), NULL);
    }
    if (host->index != NULL) {
        mf_doctor_add(checks, "kernel.index", MF_CHECK_OK, FALSE,
                      g_strdup_printf("equal pages are found by %s", host->index), NULL);
    } else {
        mf_doctor_add(checks, "kernel.index", MF_CHECK_MISSING, FALSE,
                      g_strdup("a scan gets dearer with each page that there is"),
                      "run a kernel with memfold's series");
    }
    mf_doctor_add(checks, "kernel.groups", groups ? MF_CHECK_OK : MF_CHECK_MISSING, FALSE,
                  g_strdup(groups
                               ? "domains can be kept apart by group"
                               : "groups can't be enforced: a domain that names one is not merged"),
                  groups ? NULL : "run a kernel with memfold's series, or set group=shared");
}

static void
check_ksm(GPtrArray *checks, MfRoot *root, MfHost *host)
{
    g_autoptr(GError) error = NULL;

    if (mf_ksm_read(root, host, &error)) {
        check_kernel(checks, root, host);
    } else {
        mf_doctor_add(checks, "kernel.ksm", MF_CHECK_MISSING, TRUE, g_strdup(error->message),
                      "run a kernel built with CONFIG_KSM=y");
    }
}

/* Two managers of the same knobs undo each other's work. */
static void
check_other_manager(GPtrArray *checks, MfRoot *root, MfHost *host)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *unit =
        g_build_filename(mf_root_get_path(root),
                         "etc/systemd/system/multi-user.target.wants/ksmtuned.service", NULL);
    gboolean read = mf_host_read(root, host, &error);

    if (host->other_manager != NULL) {
        gboolean ksmtuned = g_str_equal(host->other_manager, "ksmtuned");

        mf_doctor_add(checks, "other-manager", MF_CHECK_WARN, TRUE,
                      g_strdup_printf("%s runs and writes the same knobs: memfold stands back",
                                      host->other_manager),
                      ksmtuned ? "systemctl disable --now ksmtuned"
                               : "have it leave KSM alone, or set manage=false in memfold.conf");
    } else if (g_file_test(unit, G_FILE_TEST_IS_SYMLINK)) {
        mf_doctor_add(checks, "other-manager", MF_CHECK_WARN, FALSE,
                      g_strdup("ksmtuned does not run, but starts with the host"),
                      "systemctl disable ksmtuned");
    } else if (!read) {
        mf_doctor_add(checks, "other-manager", MF_CHECK_WARN, FALSE,
                      g_strdup_printf("can't tell: %s", error->message), "look as root");
    } else {
        mf_doctor_add(checks, "other-manager", MF_CHECK_OK, FALSE,
                      g_strdup("nobody else drives ksmd"), NULL);
    }
}

static void
check_libvirt(GPtrArray *checks, MfRoot *root)
{
    static const char *const sockets[] = {"run/libvirt/libvirt-sock", "run/libvirt/virtqemud-sock"};

    for (gsize i = 0; i < G_N_ELEMENTS(sockets); i++) {
        if (mf_root_exists(root, sockets[i])) {
            mf_doctor_add(checks, "libvirt", MF_CHECK_OK, FALSE,
                          g_strdup_printf("socket /%s", sockets[i]), NULL);
            return;
        }
    }
    mf_doctor_add(checks, "libvirt", MF_CHECK_MISSING, FALSE,
                  g_strdup("neither libvirtd nor virtqemud has a socket"),
                  "systemctl start libvirtd, or virtqemud");
}

static void
check_hook(GPtrArray *checks, MfRoot *root)
{
    g_autofree char *path = g_build_filename(mf_root_get_path(root), MF_HOOK_DIR, HOOK_NAME, NULL);

    if (!g_file_test(path, G_FILE_TEST_IS_REGULAR)) {
        mf_doctor_add(
            checks, "hook", MF_CHECK_MISSING, FALSE,
            g_strdup_printf("%s is not there: a domain is seen only after it started", path),
            "install memfold's hook, then restart libvirtd once");
    } else if (!g_file_test(path, G_FILE_TEST_IS_EXECUTABLE)) {
        g_autofree char *remedy = g_strdup_printf("chmod 755 %s", path);

        mf_doctor_add(checks, "hook", MF_CHECK_WARN, FALSE,
                      g_strdup_printf("%s is not executable: libvirt passes it over", path),
                      remedy);
    } else {
        mf_doctor_add(checks, "hook", MF_CHECK_OK, FALSE, g_steal_pointer(&path), NULL);
    }
}

static void
check_apparmor(GPtrArray *checks, MfRoot *root)
{
    g_autofree char *enabled =
        mf_root_read(root, "sys/module/apparmor/parameters/enabled", SMALL_FILE_BYTES, NULL, NULL);
    g_autofree char *local = mf_root_read(root, APPARMOR_ABSTRACTION, SMALL_FILE_BYTES, NULL, NULL);

    if (enabled == NULL || enabled[0] != 'Y') {
        mf_doctor_add(checks, "apparmor", MF_CHECK_OK, FALSE, g_strdup("not enabled"), NULL);
    } else if (local != NULL && strstr(local, "ksm_stat") != NULL) {
        mf_doctor_add(checks, "apparmor", MF_CHECK_OK, FALSE,
                      g_strdup("QEMU may read its own KSM figures"), NULL);
    } else {
        mf_doctor_add(checks, "apparmor", MF_CHECK_WARN, FALSE,
                      g_strdup("QEMU may not read its own KSM figures: it leaves them out"),
                      "add memfold's lines to /" APPARMOR_ABSTRACTION " and reload the profiles");
    }
}

void
mf_doctor_check_host(GPtrArray *checks, MfRoot *root)
{
    g_autoptr(MfSnapshot) snapshot = mf_snapshot_new();

    check_ksm(checks, root, &snapshot->host);
    check_other_manager(checks, root, &snapshot->host);
    check_libvirt(checks, root);
    check_hook(checks, root);
    check_apparmor(checks, root);
}
