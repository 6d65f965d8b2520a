# SPDX-License-Identifier: GPL-2.0-or-later
"""From a domain's metadata to ksmd: who shares pages with whom, and who never does."""

import json

from scene import COMMON_PAGES, DUP_PAGES, FAST, apart
from suite import case
import tap
import wait

TENANTS = {"a1": "tenant-a", "a2": "tenant-a", "b1": "tenant-b", "b2": "tenant-b"}


def policy(name):
    return {"merge": "on", "group": TENANTS[name]}


def tenants(scene):
    """memfoldd and the guests of both tenants, those that are there already among them."""
    if not scene.memfoldd():
        scene.start()
    for name in sorted(TENANTS.keys() - set(scene.running())):
        scene.create(name, policy(name))
    scene.wait_ready(*TENANTS)


def whole(pages, *pairs):
    """All pages that these pairs must have in common are."""
    return all(pages.common.get(tuple(sorted(pair)), 0) >= COMMON_PAGES for pair in pairs)


def expect_clean_audit(scene):
    """memfold's own proof says the same. Guests go on under it, so that it may have to be asked again."""
    def clean():
        status, said = scene.host.status("memfold audit", 120)
        tap.check("VIOLATED" not in said, said)
        return status == 0

    wait.until("an audit that proves it", clean, 180, 1, show=lambda: scene.host.status("memfold audit", 120)[1])


def expect_tenants(scene, *lonely):
    """Tenants are merged inside, not across, and the kernel's numbers say the same; lonely: who shares with nobody."""
    names = [*TENANTS, *lonely]
    pages = scene.wait_pages("the tenants to be merged", lambda p: whole(p, ("a1", "a2"), ("b1", "b2")) and
                             all(p.ksm[name] >= DUP_PAGES for name in lonely), *names)
    groups = scene.groups(*names)
    tap.check(groups["a1"] == groups["a2"] and groups["b1"] == groups["b2"], f"one number a tenant: {groups}")
    tap.equal(len({groups[n] for n in ("a1", "b1", *lonely)} - {"0"}), 2 + len(lonely), f"numbers of their own: {groups}")
    scene.wait_scans()
    pages = scene.pages(*names)
    tap.check(whole(pages, ("a1", "a2"), ("b1", "b2")), f"what was merged still is: {pages}")
    tap.equal(sorted(pages.common), [("a1", "a2"), ("b1", "b2")], f"who shares with whom: {pages}")
    scene.verify(*names)
    expect_clean_audit(scene)


def told_groups(scene, *names):
    """What status says of the kernel's groups: their domains by number; and the one that nobody is in."""
    said = json.loads(scene.memfold("status", "--json"))["host"]["groups"]
    shared = [one for one in said if one["group_number"] == 0]
    return ({str(one["group_number"]): one["domains"] for one in said if set(one["domains"]) & set(names)},
            [(one.get("members_count"), one["saved_bytes"], one["domains"]) for one in shared])


@case(memory_mib=1536, cpus=2, limit_sec=1200)
def no_window_while_nobody_looks(scene):
    """ksmd runs fast and memfoldd is stopped: who starts then merges with nobody, from exec on, until he is placed.

    The control is the same on a kernel that has not been told to isolate who starts: there they do merge.
    """
    scene.set_knobs(**FAST)
    for name in ("a1", "b1"):
        scene.create(name, policy(name))
    scene.wait_ready("a1", "b1")
    scene.wait_pages("the control to merge across", lambda p: whole(p, ("a1", "b1")), "a1", "b1")
    scene.destroy("a1", "b1")
    scene.set_knobs(run=0)
    scene.start()
    wait.until("newcomers to merge with nobody", lambda: scene.knob("group_default") == "isolated", 60)
    scene.host.run("killall -STOP memfoldd")
    scene.set_knobs(**FAST)
    for name in TENANTS:
        scene.create(name, policy(name))
    scene.wait_ready(*TENANTS)
    scene.wait_pages("each to merge with itself", lambda p: all(p.ksm[n] >= DUP_PAGES for n in TENANTS), *TENANTS)
    scene.wait_scans()
    pages = scene.pages(*TENANTS)
    tap.equal(pages.common, {}, f"pages in common before anybody placed them: {pages}")
    scene.host.run("killall -CONT memfoldd")
    expect_tenants(scene)


@case(memory_mib=1536, cpus=2, limit_sec=1200)
def tenants_merge_inside_and_not_across(scene):
    """Metadata ends as the kernel's group; a domain without a group is alone, and merges with itself."""
    tenants(scene)
    scene.create("lone", {"merge": "on"})
    scene.create("plain")
    scene.wait_ready("lone", "plain")
    expect_tenants(scene, "lone", "plain")
    names, numbers = [*TENANTS, "lone", "plain"], scene.groups(*TENANTS, "lone", "plain")
    wanted = {number: sorted(n for n in names if numbers[n] == number) for number in numbers.values()}
    # Group 0 is for those that may share with everybody, whom nobody counts.
    wait.until("status to tell of all groups", lambda: told_groups(scene, *names) == (wanted, [(None, 0, [])]), 60,
               show=lambda: (wanted, told_groups(scene, *names)))
    scene.destroy("lone", "plain")


@case(memory_mib=1536, cpus=2, limit_sec=900)
def a_tenant_changed_live(scene):
    """A domain that changes its tenant leaves its pages behind before it shares the other one's."""
    tenants(scene)
    scene.memfold("set", "a2", "group=tenant-b")
    pages = scene.wait_pages("a2 to merge with its new tenant", lambda p: whole(p, ("a2", "b1"), ("b1", "b2")), *TENANTS)
    tap.check(apart(pages, ("a1", "a2"), ("a1", "b1"), ("a1", "b2")), f"a1 is alone: {pages}")
    tap.equal(scene.group("a2"), scene.group("b1"), "number of a2")
    scene.set_policy("a2", **policy("a2"))
    expect_tenants(scene)


@case(memory_mib=1536, cpus=2, limit_sec=900)
def right_after_restarts(scene):
    """memfoldd told to end, memfoldd killed, libvirtd killed: each time all is as it was, and a newcomer finds it."""
    tenants(scene)
    before = scene.groups(*TENANTS)
    for signal in ("TERM", "KILL"):
        scene.stop(signal)
        scene.start()
        expect_tenants(scene)
        tap.equal(scene.groups(*TENANTS), before, f"groups after SIG{signal}")
    scene.host.run("killall -9 libvirtd; while pidof libvirtd; do sleep 0.1; done; rm -f /run/libvirtd.pid; libvirtd -d")
    wait.until("libvirtd to answer", lambda: scene.host.status("virsh -q uri")[0] == 0, 120)
    scene.destroy("b2")
    tenants(scene)
    expect_tenants(scene)
    tap.equal(scene.groups(*TENANTS), before, "groups after libvirtd, and a new b2")


@case(memory_mib=1536, cpus=2, limit_sec=900)
def right_after_save_and_restore(scene):
    """A restored domain is another process: isolated at first, then where it was."""
    tenants(scene)
    before = scene.pid("a2")
    scene.virsh("save", "a2", "/run/a2.save", limit_sec=120)
    scene.virsh("restore", "/run/a2.save", limit_sec=120)
    tap.check(scene.pid("a2") != before, "another process")
    expect_tenants(scene)
