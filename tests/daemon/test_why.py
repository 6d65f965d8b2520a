#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every reason that `memfold why` knows, brought about in a host of files, told, and gone with its cause.

What only a real QEMU tells (modes, blocks and their blockers) is test_why_real.py's.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakehost  # noqa: E402
import memfoldd  # noqa: E402
import session  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

MEMFOLD = sys.argv.pop(1)
POLICY = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" {}/>'
MERGING = POLICY.format('merge="on" group="shared"')
KSMTUNED = 99
PAGES = 25600  # of each domain: 100 MiB
CONFIG = "[daemon]\ntick-msec=100\naccounting-interval-msec=500\n"
# A host that is through with all of it: no reason below is told because of these.
COUNTERS = {"full_scans": 7, "pages_scanned": 1000000, "pages_shared": 100, "pages_sharing": 40000,
            "pages_unshared": 40000, "pages_volatile": 0, "smart_scan": 0, "merge_across_nodes": 1,
            "stable_node_chains": 0, "stable_node_dups": 0, "max_page_sharing": 256}
SMAPS = """7f0000000000-7f0010000000 rw-p 00000000 00:00 0
Size:             262144 kB
Rss:              102400 kB
Pss:               60000 kB
KSM:              {ksm} kB
AnonHugePages:    {huge} kB
Swap:             {swap} kB
VmFlags: rd wr mr mw me ac {mg}sd
"""
# name: (policy, what else its XML has)
DOMAINS = {
    "good": (MERGING, {}),
    "vm": (MERGING, {}),
    "off": (POLICY.format('merge="off" group="shared"'), {}),
    "frozen": (POLICY.format('merge="freeze" group="shared"'), {}),
    "zero": (POLICY.format('merge="zero" group="shared"'), {}),
    "bad": (POLICY.format('merge="sometimes" group="shared"'), {}),
    "tenant": (POLICY.format('merge="on" group="tenant-a"'), {}),
    "nogroup": ("", {}),
    "optout": (MERGING, {"backing": "<nosharepages/>"}),
    "shared": (MERGING, {"backing": "<access mode='shared'/>"}),
    "memfd": (MERGING, {"backing": "<source type='memfd'/><access mode='shared'/>"}),
    "hugetlb": (MERGING, {"backing": "<hugepages/>"}),
    "file": (MERGING, {"backing": "<source type='file'/>"}),
    "secret": (MERGING, {"more": "<launchSecurity type='sev'><cbitpos>47</cbitpos><reducedPhysBits>1"
                                 "</reducedPhysBits><policy>0x0003</policy></launchSecurity>"}),
    "vfio": (MERGING, {"more": "<devices><hostdev mode='subsystem' type='pci' managed='yes'><source><address "
                               "domain='0' bus='6' slot='2' function='0'/></source></hostdev></devices>"}),
}
PID = {name: number for number, name in enumerate(DOMAINS, 4711)}
UUID = {name: f"{number:08}-1111-4111-8111-111111111111" for number, name in enumerate(DOMAINS, 1)}


class Scene:
    def __init__(self, host, daemon):
        self.host = host
        self.daemon = daemon

    def figures(self, name, rmap=PAGES, more="", **smaps):
        """What /proc tells of the domain's QEMU."""
        self.host.write(f"proc/{PID[name]}/smaps", SMAPS.format(
            **{"ksm": 60000, "huge": 0, "swap": 0, "mg": "mg ", **smaps}))
        self.host.write(f"proc/{PID[name]}/ksm_stat",
                        f"ksm_rmap_items {rmap}\nksm_zero_pages 0\nksm_merging_pages 15000\n"
                        f"ksm_process_profit 0\n{more}")

    def usual(self):
        """Everything as it is when nothing is wrong."""
        for name, value in COUNTERS.items():
            self.host.set(name, value)
        self.host.write("proc/vmstat", "cow_ksm 0\nksm_swpin_copy 0\n")
        for name in DOMAINS:
            self.figures(name)

    def why(self, name):
        return json.loads(self.run("why", "--json", name))

    def run(self, *words):
        done = subprocess.run([MEMFOLD, *words], env=self.daemon.environment, text=True, capture_output=True,
                              check=False, timeout=30)
        tap.equal((done.returncode, done.stderr), (0, ""), f"memfold {words}")
        return done.stdout

    def told(self, name, code, key="reasons"):
        return next((r for r in self.why(name)[key] if r["code"] == code), None)

    def wait_told(self, name, code, *words, remedy=None, key="reasons"):
        """Waits until the reason is told with these words, and checks its remedy: what it holds, or
        None for none at all. Returns it."""
        found = wait.until(f"{name} to be told {code} with {words}", lambda: (
            (r := self.told(name, code, key)) and all(w in r["text"] for w in words) and r), 20,
            show=lambda: self.why(name)[key])
        tap.check(remedy in found.get("remedy", "") if remedy else "remedy" not in found,
                  f"remedy of {code}: {found.get('remedy')!r}, wanted {remedy!r}")
        text = self.run("why", name)
        tap.check(all(word in text for word in words), f"{code} is not in the text: {text}")
        return found

    def wait_gone(self, name, code, key="reasons"):
        wait.until(f"{code} of {name} to be gone", lambda: not self.told(name, code, key), 20,
                   show=lambda: self.why(name)[key])

    def tick_by(self):
        """Waits until a tick has read everything that was written before. A tick reads a knob last, and
        puts it right; the second one that does so began after the first."""
        for _ in range(2):
            self.host.set("sleep_millisecs", 77)
            wait.until("a tick to go by", lambda: self.host.get("sleep_millisecs") not in ("", "77"), 20)

    def host_told(self, code, *words, remedy=None):
        return self.wait_told("vm", code, *words, remedy=remedy, key="host_reasons")


@contextlib.contextmanager
def surroundings():
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        host = fakehost.FakeHost(folder)
        for name in DOMAINS:
            host.add_qemu(PID[name], name, UUID[name])
        uri = session.write_node(f"{folder}/node.xml", *(
            session.domain(name, UUID[name], policy, **more) for name, (policy, more) in DOMAINS.items()))
        with memfoldd.Memfoldd(environment, folder, host.root, uri) as daemon:
            scene = Scene(host, daemon)
            scene.usual()
            daemon.configure(CONFIG)
            daemon.start()
            wait.until("all domains to be judged", lambda: all(
                "saved_bytes" in d and d["reasons"] for d in daemon.describe()[2].values())
                and len(daemon.describe()[2]) == len(DOMAINS), 20, show=daemon.describe)
            wait.until("ksmd to be started", lambda: host.get("run") == "1", 20)
            yield scene


# What follows from the XML


@tap.test
def a_domain_with_nothing_wrong_is_told_nothing_more(scene):
    for name in ("good", "vm"):
        # At first its QEMU has not been asked yet.
        wait.until(f"{name} to have no reason but its policy", lambda: [
            (r["code"], r.get("remedy")) for r in scene.why(name)["reasons"]] == [("policy", None)], 20,
            show=lambda: scene.why(name)["reasons"])


@tap.test
def policy_and_groups(scene):
    scene.wait_told("off", "policy", "merge=off")
    scene.wait_told("frozen", "freeze-unsupported", "can't freeze", remedy="kernel")
    scene.wait_told("zero", "zero-unsupported", "merge=zero", remedy='merge="on"')
    scene.wait_told("bad", "policy-invalid", "sometimes", remedy="memfold set")
    scene.wait_told("tenant", "group-unenforced", '"tenant-a"', remedy="merge groups")
    scene.wait_told("nogroup", "group-unenforced", "names no group", remedy="default-group=shared")
    scene.wait_told("optout", "nosharepages", "always wins", remedy="remove <nosharepages/>")


@tap.test
def the_kinds_of_memory_are_told_apart(scene):
    scene.wait_told("shared", "memory-shared", "access mode 'shared'", remedy="<access mode='shared'/>")
    scene.wait_told("memfd", "memory-shared", "memfd", remedy="<source type='memfd'/>")
    scene.wait_told("hugetlb", "memory-hugepages", "hugetlb", remedy="<hugepages/>")
    scene.wait_told("file", "memory-file", "written")


@tap.test
def memory_that_is_the_guests_alone_or_pinned(scene):
    scene.wait_told("secret", "guest-private", '"sev"', remedy="<launchSecurity>")
    scene.wait_told("vfio", "pinned", "1 passed-through device", remedy="virtio")
    tap.equal([r["code"] for r in scene.why("vfio")["reasons"]], ["pinned", "policy"], "order")


# What the host does


@tap.test
def ksm_is_missing(scene):
    there, away = scene.host.path("sys/kernel/mm/ksm"), scene.host.path("sys/kernel/mm/away")
    os.rename(there, away)
    try:
        scene.host_told("ksm-missing", "nothing is merged", remedy="CONFIG_KSM")
    finally:
        os.rename(away, there)
    scene.wait_gone("vm", "ksm-missing", "host_reasons")


@tap.test
def another_manager_owns_the_knobs_and_ksmd_is_off(scene):
    scene.host.add_process(KSMTUNED, "ksmtuned")
    scene.host_told("other-manager", "ksmtuned", remedy="stop and disable ksmtuned")
    tap.equal(scene.told("vm", "ksm-off", "host_reasons"), None, "ksm-off while ksmd runs")
    scene.host.set("run", 0)
    scene.host_told("ksm-off", "run=0", remedy="write 1")
    scene.host.remove_process(KSMTUNED)
    scene.wait_gone("vm", "other-manager", "host_reasons")
    scene.wait_gone("vm", "ksm-off", "host_reasons")
    wait.until("ksmd to run again", lambda: scene.host.get("run") == "1", 20)


@tap.test
def unmanaged_and_off(scene):
    scene.daemon.configure(CONFIG + "[ksmd]\nmanage=false\n")
    scene.daemon.reload()
    scene.host_told("unmanaged", "manage=false", remedy="manage=true")
    scene.host_told("ksm-off", "may not start it", remedy="write 1")
    scene.daemon.configure(CONFIG)
    scene.daemon.reload()
    scene.wait_gone("vm", "ksm-off", "host_reasons")
    wait.until("ksmd to run again", lambda: scene.host.get("run") == "1", 20)


@tap.test
def the_governor_is_idle(scene):
    scene.daemon.hook("prepare", "coming", "99999999-1111-4111-8111-111111111111",
                      policy=POLICY.format('merge="off"'))
    scene.host_told("start-hold", "1 domain that must not merge is starting")
    scene.daemon.hook("release", "coming", "99999999-1111-4111-8111-111111111111")
    scene.wait_gone("vm", "start-hold", "host_reasons")
    scene.host.set("pages_sharing", 40000000)
    scene.host_told("uncovered", "nothing more is merged", remedy="add swap")
    scene.host.set("pages_sharing", COUNTERS["pages_sharing"])
    scene.wait_gone("vm", "uncovered", "host_reasons")
    wanting = [name for name, (policy, _) in DOMAINS.items() if policy == MERGING]
    for name in wanting:
        scene.daemon.set_policy(name, "merge", "off")
    scene.host_told("no-domains", "no running domain should merge")
    for name in wanting:
        scene.daemon.set_policy(name, "merge", "on")
    scene.wait_gone("vm", "no-domains", "host_reasons")


@tap.test
def memory_that_failed(scene):
    tap.check("failed and is out of use" not in scene.daemon.text(), "nothing is said before")
    scene.host.write("proc/meminfo", fakehost.MEMINFO + "HardwareCorrupted:     8 kB\n")
    scene.host_told("hardware-poisoned", "8.0 KiB of the host's memory failed", remedy="dmesg")
    tap.equal(scene.daemon.text().count("8.0 KiB of the host's memory failed"), 1, "warnings")
    scene.host.write("proc/meminfo", fakehost.MEMINFO)
    scene.wait_gone("vm", "hardware-poisoned", "host_reasons")


# What ksmd finds


@tap.test
def not_scanned_twice_yet(scene):
    scene.figures("vm", rmap=10000)
    scene.wait_told("vm", "not-scanned", "found 10000 of its 25600 pages")
    scene.host.add_process(KSMTUNED, "ksmtuned")
    wait.until("memfoldd to stand back", lambda: scene.told("vm", "other-manager", "host_reasons"), 20)
    scene.host.set("run", 0)
    scene.wait_told("vm", "not-scanned", "does not run now", remedy="host's reasons")
    scene.host.remove_process(KSMTUNED)
    scene.figures("vm")
    scene.wait_gone("vm", "not-scanned")


@tap.test
def a_domain_that_starts_is_told_how_long_it_takes(scene):
    """Its QEMU is another process, of which ksmd knows nothing."""
    scene.host.remove_process(PID["vm"])
    scene.host.add_qemu(5000, "vm", UUID["vm"], rmap_pages=0)
    PID["vm"] = 5000
    scene.figures("vm", rmap=0)
    scene.wait_told("vm", "not-scanned", "0 of the 3 sweeps")
    scanned = COUNTERS["pages_scanned"]

    def scan():
        nonlocal scanned
        scanned += 1000
        scene.host.set("pages_scanned", scanned)
        found = scene.told("vm", "not-scanned")
        return found if "pages a second" in found["text"] else None

    found = wait.until("a rate", scan, 30, interval_sec=0.2)
    tap.check("about " in found["text"], found["text"])
    scene.figures("vm")
    for sweep in (1, 2):
        scene.host.set("full_scans", COUNTERS["full_scans"] + sweep)
        scene.wait_told("vm", "not-scanned", f"{sweep} of the 3 sweeps")
    scene.host.set("full_scans", COUNTERS["full_scans"] + 3)
    scene.wait_gone("vm", "not-scanned")


@tap.test
def pages_change_between_two_looks(scene):
    scene.figures("vm", ksm=20000)
    scene.host.set("pages_volatile", 90000)
    scene.wait_told("vm", "volatile", "(90000) change between two looks", "tracks 25600", remedy="merge=off")
    tap.equal(scene.told("good", "volatile"), None, "volatile of the one that merges well")
    scene.host.set("pages_volatile", 0)
    scene.wait_gone("vm", "volatile")


@tap.test
def merged_pages_are_written_again(scene):
    scene.figures("vm", more="ksm_cow_breaks 50000\n")
    scene.figures("good", more="ksm_cow_breaks 50000\n")
    scene.tick_by()
    tap.equal(scene.told("vm", "volatile"), None, "volatile because of what was written before")
    scene.figures("vm", more="ksm_cow_breaks 60000\n")
    scene.wait_told("vm", "volatile", "10000 of its merged pages (39.1 MiB) were written", remedy="merge=off")
    tap.equal(scene.told("good", "volatile"), None, "volatile of the other one")
    scene.figures("vm")
    scene.wait_gone("vm", "volatile")


@tap.test
def huge_pages_are_not_split(scene):
    scene.figures("vm", ksm=0, huge=90000)
    scene.wait_told("vm", "huge-pages", "87.9 MiB", "0 B are merged", remedy="memfold estimate vm")
    scene.figures("vm", huge=20000)
    scene.wait_gone("vm", "huge-pages")
    scene.host.set("huge_min_pages", 64)
    scene.host.set("pages_unsplit", 5000)
    scene.wait_told("vm", "huge-pages", "where 64 pages of one", "5000 pages", remedy="huge_min_pages")
    scene.host.set("huge_min_pages", 1)
    scene.figures("vm")
    scene.wait_gone("vm", "huge-pages")


@tap.test
def equal_pages_on_other_nodes(scene):
    def nodes(name, *pages):
        scene.host.write(f"proc/{PID[name]}/numa_maps", "7f0000000000 default anon=25600 dirty=25600 " + " ".join(
            f"N{node}={count}" for node, count in enumerate(pages)) + " kernelpagesize_kB=4\n")

    for name in PID:
        nodes(name, 25600, 0)
    scene.host.set("merge_across_nodes", 0)
    nodes("vm", 20000, 5600)
    scene.wait_told("vm", "other-node", "on node 0, 21.9 MiB on others", remedy="merge_across_nodes")
    tap.equal(scene.told("good", "other-node"), None, "other-node of who is on one node with the rest")
    nodes("vm", 0, 25600)
    scene.wait_told("vm", "other-node", "on node 1", "other domains are on another node", remedy="<numatune>")
    scene.host.set("merge_across_nodes", 1)
    scene.wait_gone("vm", "other-node")


@tap.test
def the_limit_of_sharing(scene):
    scene.host.set("max_page_sharing", 10)
    scene.host.set("stable_node_chains", 3)
    scene.host.set("stable_node_dups", 2003)
    scene.wait_told("vm", "sharing-limit", "3 contents", "max_page_sharing=10", "7.8 MiB", remedy="max_page_sharing")
    scene.host.set("stable_node_dups", 0)
    scene.wait_gone("vm", "sharing-limit")


@tap.test
def merged_pages_came_back_from_swap(scene):
    scene.figures("vm", swap=30000)
    scene.tick_by()
    scene.host.write("proc/vmstat", "cow_ksm 0\nksm_swpin_copy 9000\n")
    scene.wait_told("vm", "swapped-in", "29.3 MiB of its memory is in swap", "9000 merged pages", remedy="swappiness")
    tap.equal(scene.told("good", "swapped-in"), None, "swapped-in of who has nothing in swap")
    scene.figures("vm", swap=0)
    scene.wait_gone("vm", "swapped-in")
    # A kernel that counts for each process needs no guess.
    scene.figures("vm", more="ksm_swpin_copies 10\n")
    scene.tick_by()
    scene.figures("vm", more="ksm_swpin_copies 5010\n")
    scene.wait_told("vm", "swapped-in", "5000 of its merged pages (19.5 MiB) came back", remedy="swappiness")
    scene.figures("vm")
    scene.wait_gone("vm", "swapped-in")


@tap.test
def in_the_end_nothing_more_is_told(scene):
    for name in ("good", "vm"):
        # Run alone, its QEMU may not have been asked yet.
        wait.until(f"{name} to have its policy alone", lambda: [
            r["code"] for r in scene.why(name)["reasons"]] == ["policy"], 20, show=lambda: scene.why(name)["reasons"])


if __name__ == "__main__":
    tap.main(context=surroundings)
