# SPDX-License-Identifier: GPL-2.0-or-later
"""The side channel: a guest that times its writes finds out what it shares, and nothing of other tenants."""

import re

import case_groups
from scene import DUP_PAGES, apart
from suite import case
import tap

# A copy is a fault, an allocation and 4 KiB moved, in an emulator within an emulator.
SLOWER = 4


def ticks(scene, name, share):
    """The median of the first writes to pages of that kind."""
    answer = scene.ask(name, "TIMED", f"time {share}")
    return int(re.search(r"median_ticks=(\d+)", answer)[1])


@case(memory_mib=1536, cpus=2, limit_sec=900)
def write_timing_finds_neighbours_of_the_own_group_alone(scene):
    """The spy has what all tenants have. It sees its own duplicates, so that it can see; not that the tenants have
    its common pages. A guest of a tenant sees its neighbour's: inside a group the attack works."""
    case_groups.tenants(scene)
    scene.create("spy", {"merge": "on", "group": "tenant-c"})
    scene.wait_ready("spy")
    names = [*case_groups.TENANTS, "spy"]
    pages = scene.wait_pages("tenants and spy to be merged", lambda p: case_groups.whole(p, ("a1", "a2")) and
                             p.ksm["spy"] >= DUP_PAGES, *names)
    tap.check(apart(pages, *[("spy", name) for name in case_groups.TENANTS]), f"the spy shares with nobody: {pages}")
    scene.wait_scans()
    own, found, candidates = (ticks(scene, "spy", share) for share in ("unique", "dup", "common"))
    tap.diag(f"spy, ticks a write: own pages {own}, own duplicates {found}, what other tenants have {candidates}")
    tap.check(found > SLOWER * own, "the spy can tell a merged page by its write")
    tap.check(candidates * 2 < found and candidates < SLOWER * own, "and finds none that other tenants have")
    own, neighbour = (ticks(scene, "a1", share) for share in ("unique", "common"))
    tap.diag(f"a1, ticks a write: own pages {own}, what a2 has {neighbour}")
    tap.check(neighbour > SLOWER * own, "a guest finds what its own tenant's other guest has")
    scene.verify("spy", "a1", "a2")
    scene.destroy("spy")
