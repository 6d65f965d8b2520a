#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`memfold audit` of real guests whose pages ksmd has merged, judged by the page tables once more.

memfoldd knows the guests as domains of libvirt's test driver and finds their processes, but has no way to
their monitors: so it can't take apart what must not be shared, and the audit has something to find.

Usage: test_audit_real.py MEMFOLD [TEST...]
"""

import collections
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path[0:0] = [str(HERE.parent / "lib"), str(HERE.parent / "qemu")]
import bus  # noqa: E402
import ksm  # noqa: E402
import memfoldd  # noqa: E402
import pagemap  # noqa: E402
import session  # noqa: E402
import smaps  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402
from machine import Machine  # noqa: E402

MEMFOLD = sys.argv.pop(1)
PID_FILES = "/run/libvirt/qemu"
NAMES = ("memfold-test-audit-a", "memfold-test-audit-b")
UUID = dict(zip(NAMES, ("a1111111-1111-4111-8111-111111111111", "b1111111-1111-4111-8111-111111111111")))
ELEMENT = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" group="{}"/>'
AUDITS = 12
GUEST = "seed=83 common_mib=8 dup_mib=2 unique_mib=2 salt={}"
CONFIG = "[merge]\ndefault-group={}\n[ksmd]\nmanage=false\n[daemon]\ntick-msec=200\n"


def frames_of(pid):
    """How often each KSM frame is mapped by a process."""
    seen = collections.Counter()
    for area in smaps.areas(pid):
        if area.mergeable:
            seen.update(pagemap.look(pid, area.start, area.size_bytes // pagemap.PAGE_BYTES).frames)
    return seen


class Scene:
    """Two guests that are merged as far as they can be; ksmd stands still."""

    def __init__(self, folder, environment, guests):
        self.folder = folder
        self.environment = environment
        self.guests = guests
        self.frames = {name: frames_of(guest.pid) for name, guest in guests.items()}

    @property
    def common_frames(self):
        one, two = self.frames.values()
        return set(one) & set(two)

    @contextlib.contextmanager
    def governed(self, groups, default_group, more=()):
        """A memfoldd that takes those guests for domains, each with the group of its policy; and domains
        that have no process."""
        folder = tempfile.mkdtemp(dir=self.folder)
        os.chmod(folder, 0o755)
        uri = session.write_node(f"{folder}/node.xml", *(
            session.domain(name, UUID.get(name, "c1111111-1111-4111-8111-111111111111"),
                           ELEMENT.format(group) if group else "") for name, group in [*groups.items(), *more]))
        with memfoldd.Memfoldd(self.environment, folder, uri=uri) as daemon:
            daemon.configure(CONFIG.format(default_group))
            daemon.start()
            wait.until("the domains' processes", lambda: sorted(
                d.get("pid", 0) for d in daemon.describe()[2].values() if d["name"] in groups) == sorted(
                    self.guests[name].pid for name in groups), 30, show=lambda: daemon.describe()[2])
            yield daemon
            daemon.stop()

    def audit(self, *words):
        """(exit code, parsed or printed answer)"""
        done = subprocess.run([MEMFOLD, "audit", *words], env=self.environment, text=True, capture_output=True,
                              check=False, timeout=120)
        tap.equal(done.stderr, "", "stderr")
        return done.returncode, json.loads(done.stdout) if "--json" in words else done.stdout


@contextlib.contextmanager
def guest(name, salt):
    with Machine(os.environ["MEMFOLD_QEMU"], "-uuid", UUID[name], memory_mib=32, machine="pc,mem-merge=on",
                 guest=GUEST.format(salt)) as machine:
        path = f"{PID_FILES}/{name}.pid"
        with open(path, "w", encoding="ascii") as file:
            file.write(f"{machine.pid}\n")
        try:
            yield machine
        finally:
            os.unlink(path)


@contextlib.contextmanager
def surroundings():
    if not os.path.exists(os.environ.get("MEMFOLD_QEMU", "")):
        raise tap.Skip("no QEMU of ours: set MEMFOLD_QEMU")
    if not os.access(f"{ksm.DIRECTORY}/run", os.W_OK) or not os.access("/proc/kpagecount", os.R_OK):
        raise tap.Skip("only root can write KSM's knobs and read page tables")
    with contextlib.ExitStack() as stack:
        for path in ("/run/libvirt", PID_FILES):
            if not os.path.exists(path):
                os.mkdir(path)
                stack.callback(os.rmdir, path)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="memfold-daemon-"))
        os.chmod(folder, 0o755)
        environment = stack.enter_context(bus.private())
        stack.enter_context(ksm.borrowed(use_zero_pages=0, **ksm.FAST))
        guests = {name: stack.enter_context(guest(name, salt)) for salt, name in enumerate(NAMES, 1)}
        wanted = [g.layout.merged_pages for g in guests.values()]
        wait.until("the guests to be merged", lambda: [
            g.merged_pages() >= pages for g, pages in zip(guests.values(), wanted)] == [True, True], 120,
            show=lambda: [g.merged_pages() for g in guests.values()])
        ksm.write("run", 0)
        yield Scene(folder, environment, guests)


@tap.test
def one_group_is_proven_clean(scene):
    with scene.governed(dict.fromkeys(NAMES), "shared"):
        code, found = scene.audit("--json")
        text = scene.audit()
    tap.equal((code, found["host"]["verdict"]), (0, "clean"), f"verdict ({found['host']})")
    tap.equal(text[0], 0, "exit code of the table")
    tap.check("\nproven: no page is shared across groups (2 domains" in text[1], text[1])
    mappings = sum(scene.frames.values(), collections.Counter())
    shared = {frame for frame, count in mappings.items() if count > 1}
    tap.check(len(shared) > 2048, f"only {len(shared)} frames are shared")
    tap.equal(found["host"]["within_pages"], len(shared), "merged pages")
    for domain in found["domains"]:
        mine = scene.frames[domain["name"]]
        tap.equal(domain["merged_pages"], sum(n for frame, n in mine.items() if frame in shared),
                  f"mappings of {domain['name']}")
    tap.equal([found["host"][f"{key}_pages"] for key in ("violation", "transient", "unexplained")], [0, 0, 0],
              "others")


@tap.test
def two_tenants_with_common_pages_are_found(scene):
    with scene.governed(dict(zip(NAMES, ("tenant-a", "tenant-b"))), "isolated") as daemon:
        code, found = scene.audit("--json")
        text = scene.audit()
        named = scene.audit("--json", NAMES[1])
        tap.equal(daemon.logged("audit: violated"), 3, "lines of the log")
    common = len(scene.common_frames)
    tap.check(common >= 2048, f"only {common} frames are common")
    tap.equal((code, found["host"]["verdict"], found["host"]["violation_pages"]), (1, "violated", common), "verdict")
    tap.equal([{key: v[key] for key in v if key not in ("frame_number", "reasons")} for v in found["violations"]], [{
        "name": NAMES[0], "uuid": UUID[NAMES[0]], "group": "tenant-a", "pid": scene.guests[NAMES[0]].pid,
        "other_name": NAMES[1], "other_uuid": UUID[NAMES[1]], "other_group": "tenant-b",
        "other_pid": scene.guests[NAMES[1]].pid, "violation_pages": common}], "who")
    tap.check(found["violations"][0]["frame_number"] in scene.common_frames, "the frame is not a common one")
    tap.equal([d["violation_pages"] for d in found["domains"]], [common, common], "of each")
    tap.equal(text[0], 1, "exit code of the table")
    tap.check(f"VIOLATED: {common} pages" in text[1] and
              f'"{NAMES[0]}" (tenant-a) and "{NAMES[1]}" (tenant-b): {common} pages' in text[1], text[1])
    tap.equal((named[0], named[1]["host"]["violation_pages"], [d["name"] for d in named[1]["domains"]]),
              (1, common, [NAMES[1]]), "one that is named")


@tap.test
def a_process_that_is_no_domain_is_a_stranger(scene):
    """The second guest is nobody's domain here."""
    common = len(scene.common_frames)
    only = NAMES[:1]
    for group, default_group, pages in (("tenant-a", "isolated", common), ("tenant-a", "shared", common),
                                        ("shared", "isolated", common), (None, "shared", 0)):
        with scene.governed(dict.fromkeys(only, group), default_group):
            code, found = scene.audit("--json")
        what = f"group={group} default-group={default_group}"
        tap.equal((code, found["host"]["verdict"], found["host"]["violation_pages"]),
                  (1, "violated", pages) if pages else (0, "clean", 0), what)
        tap.equal([(v["name"], v["other_name"], v["other_pid"]) for v in found["violations"]],
                  [(only[0], "qemu-system-x86", scene.guests[NAMES[1]].pid)] if pages else [], f"who with {what}")


@tap.test
def who_can_not_be_looked_at_leaves_it_unproven(scene):
    with scene.governed(dict.fromkeys(NAMES), "shared", [("memfold-test-audit-c", None)]):
        code, found = scene.audit("--json")
        text = scene.audit()
    tap.equal((code, found["host"]["verdict"], found["host"]["failed_count"]), (1, "not-proven", 1), "verdict")
    tap.equal({d["name"]: [r["code"] for r in d["reasons"]] for d in found["domains"]},
              {**dict.fromkeys(NAMES, []), "memfold-test-audit-c": ["audit-failed"]}, "reasons")
    tap.check("not proven: " in text[1] and "VIOLATED" not in text[1] and text[0] == 1, text[1])


@contextlib.contextmanager
def restless(scene):
    """ksmd works, and a guest rewrites half of its common pages and takes that back, all the time; what was
    merged before is out of date afterwards."""
    ended = threading.Event()
    guest_a = scene.guests[NAMES[0]]
    console, half, rounds = guest_a.console, guest_a.layout.common_pages // 2, []

    def rewrite():
        while not ended.is_set():
            console.dirty(half)
            console.restore()
            rounds.append(console.verify())

    ksm.write("run", 1)
    thread = threading.Thread(target=rewrite)
    thread.start()
    try:
        yield rounds
    finally:
        ended.set()
        thread.join()
        ksm.write("run", 0)


@tap.test
def pages_that_come_and_go_are_no_violation(scene):
    """And those that stay are one, whatever comes and goes beside them. The last test, see restless()."""
    for groups, wanted, others in (("shared", "shared"), "clean", {"not-proven"}), (("tenant-a", "tenant-b"), "violated", set()):
        with scene.governed(dict(zip(NAMES, groups)), "isolated"), restless(scene) as rounds:
            found = [scene.audit("--json")[1]["host"] for _ in range(AUDITS)]
            wait.until("a round of rewriting", lambda r=rounds: r, 60)
        tap.diag(f"{groups}: {[(f['verdict'], f['looks_count'], f['transient_pages'], f['unexplained_pages']) for f in found]}")
        verdicts = [f["verdict"] for f in found]
        tap.check(wanted in verdicts and set(verdicts) <= {wanted, *others}, f"verdicts: {verdicts}")
        tap.equal(set(rounds), {0}, "bad pages of the guest")


if __name__ == "__main__":
    tap.main(context=surroundings)
