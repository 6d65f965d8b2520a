/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which control group is a domain's own; never one that holds more than that. */
#include <string.h>

#include "mf-test.h"

#include "../../src/core/mf-parse.h"

static void
test_finds_the_domains_own(void)
{
    static const struct {
        const char *text, *path;
    } cases[] = {
        {"0::/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator\n",
         "machine.slice/machine-qemu\\x2d1\\x2dvm.scope"},
        {"0::/machine.slice/machine-qemu\\x2d1\\x2dvm.scope\n",
         "machine.slice/machine-qemu\\x2d1\\x2dvm.scope"},
        {"0::/machine/qemu-7-vm.libvirt-qemu/vcpu0\n", "machine/qemu-7-vm.libvirt-qemu"},
        {"12:memory:/machine/qemu-1-a.libvirt-qemu\n0::/machine/qemu-2-b.libvirt-qemu/emulator",
         "machine/qemu-2-b.libvirt-qemu"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *path =
            mf_parse_cgroup_of_domain(cases[i].text, strlen(cases[i].text), &error);
        mf_test_case(cases[i].text);
        g_assert_no_error(error);
        g_assert_cmpstr(path, ==, cases[i].path);
    }
}

static void
test_takes_nothing_else(void)
{
    static const char *const cases[] = {
        "",
        "0::/\n",
        "0::/machine.slice\n",
        "0::/system.slice/libvirtd.service\n",
        "0::/user.slice/user-0.slice/session-1.scope\n",
        "0::/machine.slice/machine-lxc\\x2d1.scope\n",
        "0::/../machine-qemu-1-vm.scope\n",
        "0::/a/../machine-qemu-1-vm.scope\n",
        "0::/a//machine-qemu-1-vm.scope\n",
        "0::machine-qemu-1-vm.scope\n",
        "12:memory:/machine/qemu-1-a.libvirt-qemu\n",
        "10::/machine/qemu-1-a.libvirt-qemu\n",
        "0::/qemu-1-a.libvirt-lxc\n",
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        GError *error = NULL;
        mf_test_case(cases[i]);
        g_assert_null(mf_parse_cgroup_of_domain(cases[i], strlen(cases[i]), &error));
        mf_assert_error(error, MF_ERROR_UNSUPPORTED, "");
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/parse-cgroup/own", test_finds_the_domains_own);
    g_test_add_func("/parse-cgroup/others", test_takes_nothing_else);
    return g_test_run();
}
