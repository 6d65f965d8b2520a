# SPDX-License-Identifier: GPL-2.0-or-later
"""Every policy, from the operator's word to the guest's page tables."""

import case_groups
from scene import COMMON_PAGES, MIB_PAGES, ZERO_MIB, apart
from suite import case
import tap
import wait

PAIR = ("a1", "a2")
ZERO_PAGES = ZERO_MIB * MIB_PAGES


def wait_mode(scene, name, mode):
    wait.until(f"{name} to be {mode}", lambda: f"mode    {mode}\n" in scene.why(name), scene.timeout_sec, 0.5,
               show=lambda: scene.why(name))


def merged(scene, name="a2"):
    return scene.pages(name).ksm[name]


def wait_merged(scene):
    scene.wait_pages("a1 and a2 to be merged", lambda p: case_groups.whole(p, PAIR), *PAIR)


@case(memory_mib=1536, cpus=2, limit_sec=900)
def on_off_and_auto_live(scene):
    """By virsh and by memfold: off takes all apart, on and auto merge again; the neighbour keeps its own."""
    case_groups.tenants(scene)
    wait_merged(scene)
    scene.set_policy("a2", merge="off", group="tenant-a")
    wait_mode(scene, "a2", "off")
    scene.wait_pages("nothing of a2 to be merged", lambda p: p.ksm["a2"] == 0, *PAIR)
    scene.wait_scans()
    tap.equal(merged(scene), 0, "merged pages of a2 while it is off")
    scene.memfold("set", "a2", "merge=auto")
    wait_mode(scene, "a2", "on")
    wait_merged(scene)
    scene.memfold("set", "a2", "merge=off")
    scene.wait_pages("nothing of a2 to be merged", lambda p: p.ksm["a2"] == 0, *PAIR)
    scene.memfold("set", "a2", "merge=on")
    wait_merged(scene)
    scene.verify(*PAIR)


@case(memory_mib=1536, cpus=2, limit_sec=900)
def freeze_keeps_and_looks_for_nothing(scene):
    """What is merged stays; what a frozen guest writes anew is merged no more, until it is on again."""
    case_groups.tenants(scene)
    wait_merged(scene)
    scene.set_policy("a2", merge="freeze", group="tenant-a")
    wait_mode(scene, "a2", "frozen")
    before = merged(scene)
    tap.check(before >= COMMON_PAGES, f"a2 keeps what is merged: {before} pages")
    scene.ask("a2", "DIRTY", "dirty 1024")
    scene.ask("a2", "RESTORED", "restore")
    scene.wait_scans()
    now = merged(scene)
    tap.check(now <= before - 1024, f"what a2 wrote is not merged again: {before} pages, then {now}")
    scene.set_policy("a2", merge="on", group="tenant-a")
    wait_merged(scene)
    scene.verify(*PAIR)


@case(memory_mib=1536, cpus=2, limit_sec=900)
def zero_merges_zeroes_alone(scene):
    """Pages of zeroes become the kernel's zero page; duplicates and what neighbours have are left."""
    case_groups.tenants(scene)
    wait_merged(scene)
    scene.memfold("set", "a2", "merge=zero")
    scene.wait_pages("a2 to have only zeroes merged", lambda p: p.ksm["a2"] == 0 and p.zero["a2"] >= ZERO_PAGES, *PAIR)
    wait_mode(scene, "a2", "on")
    scene.wait_scans()
    pages = scene.pages(*PAIR)
    tap.check(pages.ksm["a2"] == 0 and apart(pages, PAIR), f"nothing else of a2 is merged: {pages}")
    scene.verify("a2")
    scene.memfold("set", "a2", "merge=on")
    wait_merged(scene)
    scene.verify(*PAIR)


@case(memory_mib=1536, cpus=2, limit_sec=600)
def nosharepages_wins(scene):
    """libvirt's own word: such a domain is not merged, whatever its policy says."""
    case_groups.tenants(scene)
    wait_merged(scene)
    scene.create("vault", {"merge": "on", "group": "tenant-a"}, nosharepages=True)
    scene.wait_ready("vault")
    wait.until("memfoldd to know it", lambda: scene.host.status("memfold why vault")[0] == 0, 60)
    scene.wait_scans()
    pages = scene.pages("vault", "a1")
    tap.check(pages.ksm["vault"] == 0 and apart(pages, ("vault", "a1")), f"vault is not merged: {pages}")
    tap.check("nosharepages" in scene.why("vault"), scene.why("vault"))
    scene.destroy("vault")
