# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that run a distribution's Linux: of their kernels, too, a tenant's are merged, and nobody else's."""

import re

from case_groups import expect_clean_audit
from scene import COMMON_PAGES, LINUX, apart
from suite import case
import tap

LINUX_MIB = 160
BOOT_SEC = 900
TENANTS = {"a1": "tenant-a", "a2": "tenant-a", "b1": "tenant-b", "b2": "tenant-b"}
SEEDED = "b2"  # the others are Linux
INSIDE = (("a1", "a2"), ("b1", "b2"))
ACROSS = [(a, b) for a in ("a1", "a2") for b in ("b1", "b2")]
# Beyond what both were given alike: text, tables and files of the kernel itself.
KERNEL_PAGES = 1000


def said_by(scene, name):
    return scene.host.run(f"cat /run/memfold-guest/{name}.log")


def start_all(scene):
    scene.start()
    for name, group in TENANTS.items():
        more = {} if name == SEEDED else {"boot": LINUX, "memory_mib": LINUX_MIB}
        scene.create(name, {"merge": "on", "group": group}, **more)
    scene.wait_ready(*TENANTS, limit_sec=BOOT_SEC)


@case(memory_mib=2048, cpus=2, limit_sec=2400, long=True)
def linux_guests_merge_inside_a_tenant_only(scene):
    """Two of tenant a; and of tenant b one beside a seeded guest, which shares the seeded pages and no kernel."""
    start_all(scene)
    for name in TENANTS:
        kind = re.findall(r"READY .*kind=(\w+)", said_by(scene, name))
        tap.equal(set(kind), {"tiny" if name == SEEDED else "linux"}, f"what {name} says that it is")
    pages = scene.wait_pages("what is alike to be merged", lambda p: p.common.get(("a1", "a2"), 0) >= COMMON_PAGES +
                             KERNEL_PAGES and p.common.get(("b1", "b2"), 0) >= COMMON_PAGES, *TENANTS)
    tap.diag(str(pages))
    scene.wait_scans()
    pages = scene.pages(*TENANTS)
    tap.check(apart(pages, *ACROSS), f"tenants share pages: {pages}")
    tap.equal(sorted(pages.common), sorted(INSIDE), f"who shares with whom: {pages}")
    scene.verify(*TENANTS)
    expect_clean_audit(scene)
    # Written through, each guest has its own again, and nobody else sees it.
    scene.ask("a1", "DIRTY", "dirty", 300)
    scene.verify(*TENANTS)
    scene.destroy(*TENANTS)
    scene.stop()
