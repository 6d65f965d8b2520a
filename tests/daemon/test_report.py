#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What memfoldd keeps of its rounds of accounts, and what it tells of them.

The accounts come but once an hour by themselves: each round is one that a Describe has asked for, so that files are
never read while they are half written.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakehost  # noqa: E402
import memfoldd  # noqa: E402
import session  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

MEMFOLD = f"{os.environ.get('MEMFOLD_BUILD', '')}/src/cli/memfold"
UUID = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-1111-4111-8111-111111111111"
MERGING = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" merge="on" group="shared"/>'
CONFIG = "[ksmd]\nmanage=false\n[daemon]\naccounting-interval-msec=3600000\n"
PID, NEXT_PID, OTHER_PID, KSMD = 4711, 4712, 4713, 20
MIB, KIB = 1024 * 1024, 1024
TICK_USEC = 10000


class Scene:
    """A memfoldd with one domain, whose kernel counts."""

    def __init__(self, daemon, host):
        self.daemon, self.host = daemon, host

    def qemu(self, pid, saved_kib, cow_breaks, scanned, name="vm1", uuid=UUID, swap_ins=0):
        self.host.add_qemu(pid, name, uuid, ksm_kib=20000, saved_kib=saved_kib)
        self.host.write(f"proc/{pid}/ksm_stat",
                        f"ksm_rmap_items 10000\nksm_zero_pages 0\nksm_merging_pages 5000\nksm_process_profit 0\n"
                        f"ksm_cow_breaks {cow_breaks}\nksm_swpin_copies {swap_ins}\nksm_pages_scanned {scanned}\n")

    def ksmd(self, ticks, scanned):
        self.host.write(f"proc/{KSMD}/comm", "ksmd\n")
        self.host.write(f"proc/{KSMD}/stat", f"{KSMD} (ksmd) S 2" + " 0" * 9 + f" 0 {ticks}" + " 0" * 37 + "\n")
        self.host.set("pages_scanned", scanned)

    def report(self, *names, **options):
        from gi.repository import GLib
        options = {key: GLib.Variant("t", value) for key, value in {"period_sec": 3600, **options}.items()}
        figures, series, domains = self.daemon.call("/org/memfold1", "Host", "Report",
                                                    GLib.Variant("(asa{sv})", (names, options)))
        return figures, series, {d["name"]: {**d, "series": s} for d, s in domains}

    def of(self, name="vm1", **options):
        return self.report(**options)[2].get(name, {})

    def until(self, what, predicate):
        """Has rounds made until predicate() holds."""
        return wait.until(what, lambda: self.daemon.describe() and predicate(), 30, interval_sec=0.3,
                          show=self.report)


@contextlib.contextmanager
def surroundings():
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        host = fakehost.FakeHost(folder)
        uri = session.write_node(f"{folder}/node.xml", session.domain("vm1", UUID, MERGING))
        with memfoldd.Memfoldd(environment, folder, host.root, uri) as daemon:
            scene = Scene(daemon, host)
            scene.qemu(PID, 1000, 100, 5000)
            scene.ksmd(100, 20000)
            host.write("proc/vmstat", "cow_ksm 70\nksm_swpin_copy 7\n")
            daemon.configure(CONFIG)
            daemon.start()
            scene.until("the first accounts", lambda: scene.of().get("saved_bytes") == 1000 * KIB)
            yield scene


@tap.test
def nothing_is_counted_before_the_second_round(scene):
    found = scene.of()
    tap.equal((found["saved_average_bytes"], found["saved_max_bytes"]), (1000 * KIB, 1000 * KIB), "saved")
    tap.check("gain_bytes_per_cpu_sec" not in found, f"a gain of no time: {found}")
    tap.equal(found["gone"], False, "gone")


@tap.test
def counts_rates_and_shares_come_from_differences(scene):
    scene.qemu(PID, 5000, 1100, 5500, swap_ins=3)
    scene.ksmd(300, 22000)
    scene.host.write("proc/vmstat", "cow_ksm 2070\nksm_swpin_copy 10\n")
    scene.until("the writes to be counted", lambda: scene.of().get("cow_breaks_count") == 1000)
    found, (host, series, _) = scene.of(), scene.report()
    # 2 s of CPU time for 2000 pages, of which 500 were its own.
    tap.equal({key: found.get(key) for key in ("swap_in_copies_count", "scanned_pages", "scan_cpu_usec",
                                               "scan_cpu_estimated", "gain_bytes_per_cpu_sec", "saved_max_bytes")},
              {"swap_in_copies_count": 3, "scanned_pages": 500, "scan_cpu_usec": 50 * TICK_USEC,
               "scan_cpu_estimated": False, "gain_bytes_per_cpu_sec": 8000 * KIB, "saved_max_bytes": 5000 * KIB},
              "figures")
    tap.equal((host["cow_breaks_count"], host["swap_in_copies_count"], host["scan_cpu_usec"]),
              (2000, 3, 200 * TICK_USEC), "the host's")
    tap.check(0 < found["cow_breaks_per_1000_sec"] <= 1000 * 1000, f"rate: {found['cow_breaks_per_1000_sec']}")
    for key, (agos, values) in {**found["series"], **series}.items():
        tap.check(0 < len(agos) == len(values) and agos == sorted(agos, reverse=True), f"{key}: {agos} {values}")
    tap.equal(sorted(found["series"]), [
        "cow_breaks_per_1000_sec", "merged_bytes", "resident_bytes", "saved_bytes", "scan_cpu_usec_per_sec",
        "scanned_pages_per_sec", "swap_in_copies_per_1000_sec", "zero_bytes"], "series")


@tap.test
def describe_tells_the_latest(scene):
    figures, _, domains = scene.daemon.describe()
    tap.equal({key: domains["vm1"].get(key) for key in ("cow_breaks_count", "swap_in_copies_count", "scanned_pages",
                                                        "scan_cpu_usec", "scan_cpu_estimated")},
              {"cow_breaks_count": 1100, "swap_in_copies_count": 3, "scanned_pages": 5500,
               "scan_cpu_usec": 50 * TICK_USEC, "scan_cpu_estimated": False}, "vm1")
    tap.check(domains["vm1"]["saved_bytes_per_cpu_sec"] > 0, "saved for a second of CPU time")
    tap.equal((figures["cow_breaks_count"], figures["swap_in_copies_count"]), (2070, 10), "the host's")


@tap.test
def another_qemu_counts_anew(scene):
    scene.host.remove_process(PID)
    scene.qemu(NEXT_PID, 4000, 20, 10)
    scene.until("the new QEMU", lambda: scene.of().get("saved_bytes") == 4000 * KIB)
    tap.equal(scene.of()["cow_breaks_count"], 1000, "writes, when the counter went back")
    scene.qemu(NEXT_PID, 4000, 25, 10)
    scene.until("its writes", lambda: scene.of()["cow_breaks_count"] == 1005)


@tap.test
def a_domain_that_went_is_kept(scene):
    scene.qemu(OTHER_PID, 300, 0, 0, "vm2", OTHER)
    scene.until("vm2", lambda: scene.daemon.known_by_hook("vm2", OTHER, policy=MERGING) and
                scene.of("vm2").get("saved_bytes") == 300 * KIB)
    scene.daemon.hook("stopped", "vm2", OTHER)
    scene.host.remove_process(OTHER_PID)
    scene.until("vm2 to be gone", lambda: scene.of("vm2").get("gone"))
    found = scene.of("vm2")
    tap.equal((found.get("saved_bytes"), found["saved_max_bytes"]), (None, 300 * KIB), "saved now, and at most")
    tap.equal(list(scene.report("vm2")[2]), ["vm2"], "of vm2 alone")
    tap.equal(list(scene.report(OTHER.upper(), "vm1")[2]), ["vm1", "vm2"], "by name and by UUID")


@tap.test
def groups_are_summed_up_by_policy_where_the_kernel_has_none(scene):
    figures = scene.daemon.describe()[0]
    tap.equal((figures["groups_source"], figures["groups"]),
              ("policy", [{"group": "shared", "members_count": 1, "saved_bytes": 4000 * KIB, "domains": ["vm1"]}]),
              "groups")


@tap.test
def groups_are_the_kernels_where_it_has_them(scene):
    # vm1 is of the group "shared", which is the kernel's 0: memfoldd moves it there, as soon as there are groups.
    scene.host.write(f"proc/{NEXT_PID}/ksm_group", "7\n")
    for number, values in ((0, (5, 50)), (7, (10, 90, 1))):  # nobody counts the members of 0
        for name, value in zip(("pages_shared", "pages_sharing", "members"), values):
            scene.host.set(f"groups/{number}/{name}", value)
    scene.until("the kernel's groups, and vm1 in its own", lambda: scene.daemon.describe()[0]["groups"] ==
                [{"group_number": 0, "pages_shared_pages": 5, "pages_sharing_pages": 50,
                  "saved_bytes": 50 * 4096, "domains": ["vm1"]},
                 {"group_number": 7, "members_count": 1, "pages_shared_pages": 10, "pages_sharing_pages": 90,
                  "saved_bytes": 90 * 4096, "domains": []}])
    tap.equal(scene.daemon.describe()[0]["groups_source"], "kernel", "whose groups they are")
    tap.equal(scene.daemon.domain("vm1")["ksm_group_number"], 0, "group of vm1")
    tap.equal(scene.daemon.logged("domain vm1: merge group 7 -> 0"), 1, "moves of vm1")


@tap.test
def the_command_shows_the_same(scene):
    """Through libmemfold and the bus: numbers as the daemon tells them, and a page for people."""
    def memfold(*words):
        return subprocess.run([MEMFOLD, "report", "--period=1h", *words], env=scene.daemon.environment, text=True,
                              stdout=subprocess.PIPE, check=True, timeout=30).stdout

    host, series, domains = scene.report()
    found = json.loads(memfold("--json"))
    tap.equal([(d["name"], d["gone"], d.get("cow_breaks_count")) for d in found["domains"]],
              [(name, d["gone"], d.get("cow_breaks_count")) for name, d in domains.items()], "domains")
    tap.equal((found["host"]["scan_cpu_usec"], found["host"]["series"]["saved_bytes"]["saved_bytes"]),
              (host["scan_cpu_usec"], series["saved_bytes"][1]), "the host")
    names = {line.split("  ")[0] for line in memfold().splitlines()}
    tap.check({"vm1", "vm2 (gone)"} <= names, f"first words of the table: {names}")
    page = xml.etree.ElementTree.fromstring(memfold("--html=-").removeprefix("<!DOCTYPE html>"))
    tap.check(len(list(page.iter("svg"))) >= 4, "plots of the host and of vm1")


@tap.test
def bad_questions_are_refused(scene):
    tap.equal(list(scene.report(*(["vm1"] * 640))[2]), ["vm1"], "domains of the same name 640 times")
    for names, options, error in ((("vm1",) * 641, {}, "Invalid"), ((), {"period_sec": 59}, "Invalid"),
                                  ((), {"period_sec": 604801}, "Invalid"), ((), {"colour": 3600}, "Invalid"), (("nobody",), {}, "NoDomain")):
        try:
            scene.report(*names, **options)
        except memfoldd.Refused as refused:
            tap.equal(refused.name, error, f"error of {names} {options}")
        else:
            raise tap.Failed(f"{names} {options} went well")
    tap.equal((scene.report(period_sec=604800)[0]["step_sec"], scene.report()[0]["step_sec"]), (3600, 20), "steps")


@tap.test
def of_many_at_once_two_are_made(scene):
    def ask(answers):
        try:
            answers.append(scene.report()[0]["period_sec"])
        except memfoldd.Refused as refused:
            answers.append(refused.name)

    def burst():
        answers = []
        threads = [threading.Thread(target=ask, args=(answers,)) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        tap.check(len(answers) == 16 and set(answers) <= {3600, "Busy"} and 3600 in answers, f"answers: {answers}")
        return "Busy" in answers

    wait.until("one that comes when two are under way", burst, 30)
    wait.until("an answer when they are done", lambda: ask(found := []) or found == [3600], 20)


@tap.test
def other_calls_refuse_as_many_names(scene):
    from gi.repository import GLib
    names = ["vm1"] * 641
    for method, arguments in (("Audit", GLib.Variant("(as)", (names,))),
                              ("Estimate", GLib.Variant("(asa{sv})", (names, {})))):
        try:
            scene.daemon.call("/org/memfold1", "Host", method, arguments)
        except memfoldd.Refused as refused:
            tap.equal(refused.name, "Invalid", f"error of {method}")
        else:
            raise tap.Failed(f"{method} went well")


if __name__ == "__main__":
    tap.main(context=surroundings)
