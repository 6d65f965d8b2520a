# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo's domains, and what can be found out about them without asking memfold.

Four Linux guests: two ordinary ones, one with <nosharepages/>, one whose RAM is shared (memfd).
Two seeded guests beside them, for which the right answer is known to the page.
"""

import os

import ksm
import pagemap
import smaps
import wait
from domain import POLICY_NAMESPACE, policy_xml

PREFIX = "memfold-demo-"
LINUX_MIB = 128
LINUX_ARGS = "seed=11 common_mib=24 unique_mib=4"
SEEDED_MIB = 64
SEEDED_ARGS = "seed=23 common_mib=16 dup_mib=4 zero_mib=2 unique_mib=8"

# A stock kernel cannot keep groups apart, and then only the shared group may merge; the demo has
# the machine for itself, so ksmd may use most of a CPU and figures are read often.
CONFIG = """\
[merge]
default-group=shared

[ksmd]
cpu-budget-permyriad=8000
# Where ksmd's CPU time can't be read (in a PID namespace of its own), this is the whole rate.
min-pages-to-scan=2000

[daemon]
tick-msec=500
accounting-interval-msec=1000
"""

LINUX = (
    ("web-1", {"policy": {"merge": "auto"}}),
    ("web-2", {"policy": {"merge": "on"}}),
    ("vault", {"nosharepages": True}),
    ("router", {"memfd_shared": True, "policy": {"merge": "on"}}),
)
SEEDED = (("seeded-1", {"policy": {"merge": "on"}}), ("seeded-2", {"policy": {"merge": "on"}}))


def kernel_tells_merged():
    """Whether smaps has a KSM line (Linux 6.7); without it memfold's merged figure is absent."""
    return smaps.ksm_bytes(os.getpid()) is not None


def merged_pages(running):
    """KSM pages that a domain's QEMU has mapped, as the kernel says; exact and never stale."""
    said = smaps.ksm_bytes(running.pid)
    if said is not None:
        return said // pagemap.PAGE_BYTES
    return ram_merged_pages(running)


def ram_merged_pages(running):
    """KSM pages in a guest's RAM. QEMU's ROMs and tables are mergeable memory of their own, also
    where RAM is not."""
    pages = running.spec.memory_bytes // pagemap.PAGE_BYTES
    return pagemap.look(running.pid, running.ram().start, pages).ksm


class Scene:
    """The running domains, by the last part of their names."""

    def __init__(self, surroundings, daemon, timeout_sec):
        self.rig = surroundings
        self.daemon = daemon
        self.timeout_sec = timeout_sec
        self.domains = {}
        self.layouts = {}

    def boot(self):
        """Starts all domains, waits until each guest is ready, yields each name when it is."""
        for name, more in LINUX:
            self.domains[name] = self.rig.create(
                self.rig.linux(name, LINUX_MIB, LINUX_ARGS, **more))
        for name, more in SEEDED:
            self.domains[name] = self.rig.create(
                self.rig.tiny(name, SEEDED_MIB, SEEDED_ARGS, **more))
        for name, running in reversed(self.domains.items()):
            self.layouts[name] = running.console.wait_ready(self.timeout_sec)
            yield name

    def look(self, name, kind):
        """The pages of one kind of a seeded guest."""
        running, layout = self.domains[name], self.layouts[name]
        first, pages = layout.ranges()[kind]
        start = running.ram().start + first * pagemap.PAGE_BYTES
        return pagemap.look(running.pid, start, pages)

    def seeded_merged_pages(self, name):
        """How many of the pages that must merge are merged, in a seeded guest."""
        return self.look(name, "common").ksm + self.look(name, "dup").ksm

    def seeded_are_merged(self):
        return all(self.seeded_merged_pages(name) == self.layouts[name].merged_pages
                   for name, _ in SEEDED)

    def wait_merged(self, show):
        """Waits until the seeded guests are merged to the page and the Linux guests have
        settled: two whole scans in which KSM's count did not move by a hundredth. Calls show()
        at each look."""
        seen = {"pages": -1, "scans": 0}

        def settled():
            show()
            now = ksm.counters()
            pages = now["pages_shared"] + now["pages_sharing"]
            if abs(pages - seen["pages"]) * 100 > pages or not self.seeded_are_merged():
                seen.update(pages=pages, scans=now["full_scans"])
                return False
            return now["full_scans"] >= seen["scans"] + 2

        wait.until("the guests' equal pages to be merged", settled, self.timeout_sec, 1.0,
                   show=ksm.counters)

    def set_policy(self, name, **attributes):
        """Changes the policy of a running domain as an operator would; returns the command."""
        command = ["metadata", self.domains[name].name, POLICY_NAMESPACE, "--key", "memfold",
                   "--set", policy_xml(**attributes), "--live"]
        self.rig.virsh(*command)
        return "virsh " + " ".join(f"'{word}'" if "<" in word else word for word in command)

    def unmerged(self, name, whole):
        """True when a domain has no merged page: of its process if `whole`, else of its RAM."""
        running = self.domains[name]
        return (merged_pages(running) if whole else ram_merged_pages(running)) == 0

    def saved_bytes(self):
        """What merging saves among these domains: pages that map a KSM frame, less the frames.

        Counted in the page tables, without any of the counters that memfold reads.
        """
        mapped, frames = 0, set()
        for running in self.domains.values():
            for area in smaps.areas(running.pid):
                if area.mergeable and area.bytes["Rss"]:
                    pages = area.size_bytes // pagemap.PAGE_BYTES
                    seen = pagemap.look(running.pid, area.start, pages)
                    mapped += seen.ksm
                    frames.update(seen.frames)
        return (mapped - len(frames)) * pagemap.PAGE_BYTES
