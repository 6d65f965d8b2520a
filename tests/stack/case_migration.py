# SPDX-License-Identifier: GPL-2.0-or-later
"""Domains that come from another libvirt, or should have gone to one, while tenants are kept apart."""

import itertools
import json

import case_groups
import elsewhere
from scene import DUP_PAGES, FAST
from suite import case
import tap
import wait

TENANT_A, TENANT_B = ["a1", "a2", "a3"], ["b1", "b2", "b3"]
NEWCOMERS = {"a3": "tenant-a", "b3": "tenant-b"}
ALL = (*TENANT_A, *TENANT_B)
PAIRS = [pair for tenant in (TENANT_A, TENANT_B) for pair in itertools.combinations(tenant, 2)]


def way(name):
    """What virsh is told of the way that the memory takes."""
    return ("--live", "--migrateuri", f"unix://{elsewhere.FOLDER}/{name}.migration")


def described(scene):
    return json.loads(scene.memfold("status", "--json"))


def qemus(scene):
    return len(scene.host.run("pidof qemu-system-x86_64").split())


def counted_once(scene):
    """What each tenant saves is its own domains' alone, and nobody else saves anything."""
    said = described(scene)
    told = {one["group_number"]: one for one in said["host"]["groups"]}
    shared = told.pop(0)  # of those that may share with everybody
    groups = {tuple(sorted(one["domains"])): one["members_count"] for one in told.values()}
    saved_bytes = sum(one["saved_bytes"] for one in said["domains"])
    return (groups == {tuple(TENANT_A): 3, tuple(TENANT_B): 3} and shared["saved_bytes"] == 0 and
            said["host"]["other_saved_bytes"] == 0 and
            abs(saved_bytes - said["host"]["saved_bytes"]) <= said["host"]["saved_bytes"] // 100)


@case(memory_mib=1536, cpus=2, limit_sec=1200, long=True)
def domains_that_migrate_in(scene):
    """Policies come with them; they are with nobody, each other included, until memfoldd placed them, and then with
    their tenants alone."""
    case_groups.tenants(scene)
    with elsewhere.Elsewhere(scene) as other:
        for name, tenant in NEWCOMERS.items():
            other.create(name, {"merge": "on", "group": tenant})
        scene.host.run("killall -STOP memfoldd")
        scene.set_knobs(**FAST)
        for name in NEWCOMERS:
            other.virsh("migrate", name, "qemu:///system", *way(name), limit_sec=300)
        tap.equal(other.running(), [], "who is left elsewhere")
    scene.wait_pages("each to merge with itself", lambda p: all(p.ksm[n] >= DUP_PAGES for n in NEWCOMERS), *ALL)
    scene.wait_scans()
    pages = scene.pages(*ALL)
    tap.check(not any(name in pair for pair in pages.common for name in NEWCOMERS),
              f"who came is with nobody before it was placed: {pages}")
    scene.host.run("killall -CONT memfoldd")
    scene.wait_pages("them to merge with their tenants", lambda p: case_groups.whole(p, *PAIRS), *ALL)
    scene.wait_scans()
    pages = scene.pages(*ALL)
    tap.equal(sorted(pages.common), PAIRS, f"who shares with whom: {pages}")
    scene.verify(*ALL)
    wait.until("all to be counted once", lambda: counted_once(scene), scene.timeout_sec, 0.5, show=lambda: described(scene))
    case_groups.expect_clean_audit(scene)
    scene.destroy(*NEWCOMERS)


@case(memory_mib=1536, cpus=2, limit_sec=900)
def a_migration_called_off(scene):
    """When a part of it went over: it stays what and where it was, and nothing of it is left elsewhere."""
    case_groups.tenants(scene)
    scene.wait_pages("the tenants to be merged", lambda p: case_groups.whole(p, ("a1", "a2"), ("b1", "b2")),
                     *case_groups.TENANTS)
    groups, pid, count = scene.groups(*case_groups.TENANTS), scene.pid("a2"), qemus(scene)
    with elsewhere.Elsewhere(scene) as other:
        words = " ".join(("virsh -q migrate a2", f"'{elsewhere.URI}'", *way("a2"), "--bandwidth 1"))
        scene.host.run(f"({words}; echo status $?) >/run/called-off 2>&1 &")

        def gone_mib():
            status, said = scene.host.status("virsh -q qemu-monitor-command a2 query-migrate")
            return 0 if status else json.loads(said)["return"].get("ram", {}).get("transferred", 0) >> 20

        wait.until("a part of a2 to be over", lambda: gone_mib() >= 3, 300, 0.2,
                   show=lambda: scene.host.run("cat /run/called-off; virsh domjobinfo a2"))
        tap.equal(other.virsh("list", "--all", "--name").split(), ["a2"], "who waits elsewhere")
        scene.virsh("domjobabort", "a2")
        said = wait.until("virsh to end", lambda: "status" in (text := scene.host.run("cat /run/called-off")) and text, 60)
        tap.check("status 0" not in said, f"virsh says that it failed: {said}")
        wait.until("nothing to be left elsewhere", lambda: not other.virsh("list", "--all", "--name").split(), 60)
        tap.equal(scene.host.run(f"find {elsewhere.FOLDER} -name '*.migration'"), "", "sockets left")
    tap.equal(qemus(scene), count, "QEMUs that run")
    tap.equal((scene.pid("a2"), scene.groups(*case_groups.TENANTS)), (pid, groups), "process of a2, and groups")
    case_groups.expect_tenants(scene)
    known = sorted(one["name"] for one in described(scene)["domains"])
    tap.equal(known, sorted(case_groups.TENANTS), "whom memfoldd knows")
