# SPDX-License-Identifier: GPL-2.0-or-later
"""Tenants put together on purpose: that memfold's own proof can fail on this kernel, and what memfoldd does then."""

import json

import case_groups
from scene import COMMON_PAGES, CONFIG, FAST
from suite import case
import tap
import wait

# b1 gets into the group of these, and out of that of b2.
GUILTY = [("a1", "b1"), ("a2", "b1")]
# No un-merging fits above such a reserve, so that memfoldd can't mend what it sees.
NO_ROOM = CONFIG.replace("[daemon]", "[merge]\nreserve-permyriad=9000\n[daemon]")


def configure(scene, config):
    scene.host.write("/run/memfold.conf", config)
    scene.memfold("reload")


def break_rule(scene):
    """By hand, while memfoldd does not look."""
    scene.host.run("killall -STOP memfoldd")
    number = scene.group("a1")
    scene.host.run(f"echo {number} >/proc/{scene.pid('b1')}/ksm_group")
    tap.equal(scene.group("b1"), number, "number of b1")
    scene.set_knobs(**FAST)
    scene.wait_pages("the guilty to be merged", lambda p: case_groups.whole(p, *GUILTY), *case_groups.TENANTS)
    scene.host.run("killall -CONT memfoldd")


def violations(scene):
    """What an audit finds: {(name, name): (their groups, pages)}; it fails when there is anything."""
    status, said = scene.host.status("memfold audit --json", 120)
    found = {}
    for one in json.loads(said)["violations"]:
        (first, group), (other, other_group) = sorted(((one["name"], one["group"]), (one["other_name"], one["other_group"])))
        found[(first, other)] = ((group, other_group), one["violation_pages"])
    tap.equal(status, 1 if found else status, f"status of an audit that found {found}")
    return found


@case(memory_mib=1536, cpus=2, limit_sec=900)
def an_audit_of_a_broken_rule(scene):
    """It fails and names who shares how much with whom, while memfoldd has no room to mend it, and is clean after."""
    case_groups.tenants(scene)
    case_groups.expect_clean_audit(scene)
    before = scene.groups(*case_groups.TENANTS)
    configure(scene, NO_ROOM)
    break_rule(scene)
    found = wait.until("an audit to find it", lambda: violations(scene), 60, 1, show=lambda: scene.groups("a1", "b1"))
    # A page that all three have is told of two of them.
    tap.check(set(found) <= set(GUILTY), f"who is named: {found}")
    tap.equal({groups for groups, _ in found.values()}, {("tenant-a", "tenant-b")}, "tenants that are named")
    tap.check(sum(pages for _, pages in found.values()) >= COMMON_PAGES, f"pages that they share: {found}")
    said = scene.host.status("memfold audit", 120)[1]
    tap.check(all(words in said for words in ("VIOLATED", '"a1" (tenant-a)', '"b1" (tenant-b)')), said)
    wait.until("why to tell it", lambda: "moving it to its group takes" in scene.why("b1"), 60, 1,
               show=lambda: scene.why("b1"))
    configure(scene, CONFIG)
    case_groups.expect_tenants(scene)
    tap.equal(scene.groups(*case_groups.TENANTS), before, "groups when it is mended")
