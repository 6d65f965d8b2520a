# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory of the host that fails while guests share it."""

import json

import case_groups
from suite import case
import tap
import wait

INJECT = "/sys/kernel/debug/hwpoison"
WARNING = "of the host's memory failed"
LOST, SPARED = ["a1", "a2"], ["b1", "b2"]


def poisoned(scene):
    """What memfold says of failed memory: the reason of the host, or None."""
    told = json.loads(scene.memfold("why", "--json", "b1"))["host_reasons"]
    return next((reason for reason in told if reason["code"] == "hardware-poisoned"), None)


def known(scene):
    return sorted(one["name"] for one in json.loads(scene.memfold("status", "--json"))["domains"])


def expect_lost(scene, frame):
    """QEMU asks to be told at once, and a QEMU without KVM has no guest to hand the error on to: it ends."""
    wait.until("those who shared it to end", lambda: sorted(scene.running()) == SPARED, scene.timeout_sec,
               show=scene.running)
    for name in LOST:
        said = scene.host.run(f"tail -n 1 /var/log/libvirt/qemu/{name}.log")
        tap.check("reason=crashed" in said, f"what libvirt says of {name}: {said}")
    killed = scene.host.run(f"dmesg | grep -c 'Memory failure: {frame}: Sending SIGBUS to qemu-system-x86'")
    tap.equal(int(killed), len(LOST), "processes that the kernel told")


@case(memory_mib=1536, cpus=2, limit_sec=900)
def a_memory_error_in_a_shared_page(scene):
    """All who share the page end with it, and nobody else; memfoldd says why, and the tenant merges anew."""
    case_groups.tenants(scene)
    pages = scene.wait_pages("the tenants to be merged", lambda p: case_groups.whole(p, LOST, SPARED),
                             *case_groups.TENANTS)
    daemon, frame = scene.memfoldd(), pages.frames[tuple(LOST)]
    tap.equal(poisoned(scene), None, "what is told before")
    warnings = scene.log().count(WARNING)
    scene.host.run(f"echo {frame} >{INJECT}/corrupt-pfn")
    expect_lost(scene, frame)
    told = wait.until("memfold to say it", lambda: poisoned(scene), 60, show=lambda: scene.memfold("status"))
    tap.check(told["text"].startswith(f"4.0 KiB {WARNING}"), told["text"])
    wait.until("memfoldd to forget who ended", lambda: known(scene) == SPARED, 60, show=lambda: known(scene))
    tap.equal(scene.log().count(WARNING), warnings + 1, "warnings in the log")
    tap.equal(scene.memfoldd(), daemon, "memfoldd goes on")
    tap.equal((scene.knob("run"), scene.knob("group_default")), ("1", "isolated"), "knobs")
    scene.verify(*SPARED)
    case_groups.tenants(scene)
    case_groups.expect_tenants(scene)
    scene.host.run(f"echo {frame} >{INJECT}/unpoison-pfn")
    wait.until("memfold to take it back", lambda: poisoned(scene) is None, 60, show=lambda: poisoned(scene))
