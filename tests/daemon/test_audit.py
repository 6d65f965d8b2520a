#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`memfold audit` as a call: who may not be named, one at a time, its progress, ends before the end, and a
libvirt that is away. What it finds is test_audit_real.py's and tests/fake/test-audit-run.c's.

Usage: test_audit.py MEMFOLD [TEST...]
"""

import contextlib
import json
import os
import pathlib
import pty
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakehost  # noqa: E402
import memfoldd  # noqa: E402
import session  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

MEMFOLD = sys.argv.pop(1)
MERGING = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" merge="on" group="shared"/>'
UUID = "11111111-1111-4111-8111-111111111111"
PID = 4711
STRANGERS = (4800, 4810, 4820)
START = 0x10000000
PAGE = os.sysconf("SC_PAGESIZE")
SMALL_BYTES, LARGE_BYTES = 1 << 20, 32 << 40  # the latter takes tens of seconds


def map_bytes(host, size_bytes):
    """Gives the domain an area in which there is nothing, and pagemap the length to say so."""
    host.write(f"proc/{PID}/maps", f"{START:x}-{START + size_bytes:x} rw-p 00000000 00:00 0\n")
    with open(host.path(f"proc/{PID}/pagemap"), "wb") as file:
        file.truncate((START + size_bytes) // PAGE * 8)


@contextlib.contextmanager
def surroundings():
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        host = fakehost.FakeHost(folder)
        host.add_qemu(PID, "vm1", UUID)
        map_bytes(host, SMALL_BYTES)
        for table in ("kpageflags", "kpagecount"):
            host.write(f"proc/{table}", "")
        os.chmod(folder, 0o755)
        uri = session.write_node(f"{folder}/node.xml", session.domain("vm1", UUID, MERGING))
        with memfoldd.Memfoldd(environment, folder, host.root, uri) as daemon:
            daemon.start()
            wait.until("the domain's process", lambda: daemon.describe()[2].get("vm1", {}).get("pid") == PID, 20)
            yield daemon, host


def begin(daemon, *words, **options):
    return subprocess.Popen([MEMFOLD, "audit", *words], env=daemon.environment, stdin=subprocess.DEVNULL, text=True,
                            **options)


def run(daemon, *words):
    with begin(daemon, *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        out, err = program.communicate(timeout=30)
    return program.returncode, out, err


@contextlib.contextmanager
def running(scene, **options):
    """An audit that takes its time, and is under way."""
    daemon, host = scene
    begun = daemon.logged("looks at the page tables")
    map_bytes(host, LARGE_BYTES)
    with begin(daemon, **options) as program:
        try:
            daemon.wait_log("looks at the page tables", begun + 1)
            yield program
        finally:
            program.kill()
            map_bytes(host, SMALL_BYTES)


@tap.test
def nothing_shared_is_proven(scene):
    code, out, err = run(scene[0], "--json", "vm1", UUID.upper())
    tap.equal((code, err), (0, ""), "exit code and stderr")
    found = json.loads(out)
    tap.equal((found["host"]["verdict"], found["host"]["domains_count"], found["violations"]), ("clean", 1, []), "verdict")
    tap.equal([(d["name"], d["group"]) for d in found["domains"]], [("vm1", "shared")], "domains")


@tap.test
def a_name_that_nobody_has_is_refused(scene):
    code, out, err = run(scene[0], "vm1", "nobody")
    tap.equal((code, out), (1, ""), "exit code and stdout")
    tap.check('no running domain "nobody"' in err, err)


@tap.test
def one_at_a_time_until_the_caller_leaves(scene):
    with running(scene, stderr=subprocess.DEVNULL) as first:
        code, _, err = run(scene[0])
        tap.check(code == 1 and "another audit is under way" in err, f"exit code {code}: {err}")
        tap.equal(first.poll(), None, "the first one goes on")
    wait.until("an audit after the caller has left", lambda: run(scene[0])[0] == 0, 20)


@tap.test
def ksmd_waits_as_long(scene):
    daemon, host = scene
    wait.until("ksmd to run", lambda: host.get("run") == "1", 20)
    with running(scene, stderr=subprocess.DEVNULL):
        wait.until("ksmd to wait", lambda: host.get("run") == "0", 20)
        wait.until("the reason", lambda: "audit-hold" in str(daemon.describe()), 20, show=lambda: str(daemon.describe()))
    wait.until("ksmd to go on", lambda: host.get("run") == "1", 20)


@tap.test
def a_person_who_waits_sees_how_far_it_is(scene):
    leader, follower = pty.openpty()
    with running(scene, stderr=follower, stdout=subprocess.DEVNULL):
        os.close(follower)
        shown = b""
        until = time.monotonic() + 30
        while b"%" not in shown and time.monotonic() < until:
            shown += os.read(leader, 4096)
    os.close(leader)
    tap.check(b"looking at page tables: " in shown, f"{shown}")


@tap.test
def a_kernel_without_the_tables_is_told(scene):
    daemon, host = scene
    os.rename(host.path("proc/kpagecount"), host.path("proc/away"))
    # The one that was left may take a moment to end.
    code, out, err = wait.until("no other audit to be under way", lambda: (
        "under way" not in (found := run(daemon))[2] and found), 20)
    os.rename(host.path("proc/away"), host.path("proc/kpagecount"))
    tap.equal((code, out), (1, ""), "exit code and stdout")
    tap.check("/proc/kpagecount" in err, err)


@tap.test
def without_libvirt_nothing_is_proven(scene):
    daemon, host = scene
    folder = f"{daemon.folder}/lonely"
    os.mkdir(folder)
    with bus.private() as environment, memfoldd.Memfoldd(environment, folder, host.root,
                                                         "qemu+unix:///system?socket=/nonexistent") as lonely:
        lonely.start()
        code, out, _ = run(lonely)
        tap.equal(code, 1, "exit code")
        tap.check("not proven" in out and "not connected to libvirt" in out, out)


@contextlib.contextmanager
def slow_one(scene, name, library, variable):
    """A second memfoldd of the host, not started, with a preloaded library that has things wait for as long as there is
    a sign: memfoldd, the sign, and the environment of what is run beside it."""
    daemon, host = scene
    folder = f"{daemon.folder}/{name}"
    os.mkdir(folder)
    sign = pathlib.Path(folder, "slow")
    with bus.private() as environment:
        slow = {**environment, **memfoldd.preload(library), variable: str(sign)}
        with memfoldd.Memfoldd(slow, folder, host.root, daemon.uri) as other:
            yield other, sign, environment


@tap.test
def before_libvirt_has_told_of_all_domains_nothing_is_proven(scene):
    """Connected, but the list has not come: an empty one would be clean."""
    with slow_one(scene, "early", "slow-libvirt", "SLOW_LIBVIRT_LIST") as (early, sign, environment):
        sign.touch()
        try:
            early.start()
            early.environment = environment
            wait.until("the connection", lambda: early.describe()[0]["libvirt_connected"], 20)
            code, out, _ = run(early)
            tap.equal(code, 1, "exit code before the list")
            tap.check("not proven" in out and "told of all" in " ".join(out.split()), out)
        finally:
            sign.unlink()
        wait.until("the list to come", lambda: "vm1" in early.describe()[2], 20)
        wait.until("a proof after it", lambda: run(early)[0] == 0, 20)


def map_a_page_that_somebody_shares(host):
    """One page of the domain's is merged, and mapped twice: the other processes are asked."""
    frame, merged = 7, 1 << 21
    with open(host.path(f"proc/{PID}/pagemap"), "r+b") as file:
        file.seek(START // PAGE * 8)
        file.write((1 << 63 | frame).to_bytes(8, "little"))
    for table, word in (("kpageflags", merged), ("kpagecount", 2)):
        with open(host.path(f"proc/{table}"), "wb") as file:
            file.write(bytes(8 * frame) + word.to_bytes(8, "little"))


@tap.test
def who_keeps_it_waiting_is_passed_over(scene):
    """A process holds its memory lock for as long as it likes, and reading of its memory waits."""
    _, host = scene
    for pid in STRANGERS:
        host.add_process(pid, "chrome", ("chrome",))
        host.write(f"proc/{pid}/smaps", "")
        host.write(f"proc/{pid}/pagemap", "")
    with slow_one(scene, "patient", "slow-file", "SLOW_FILE") as (patient, sign, environment):
        patient.start()
        patient.environment = environment
        wait.until("a proof", lambda: run(patient)[0] == 0, 20)
        try:
            before_sec = patient.cpu_sec()
            sign.write_text(f"!proc/{PID}/maps", encoding="ascii")
            with begin(patient, stdout=subprocess.DEVNULL) as busy:
                wait.until("work for longer than its patience", lambda: patient.cpu_sec() - before_sec > 12, 120)
                sign.unlink()
                tap.equal(busy.wait(20), 0, "exit code of one that takes long")
            sign.write_text(f"proc/{PID}/maps", encoding="ascii")
            code, out, _ = run(patient)
            tap.check(code == 1 and "keeps waiting" in " ".join(out.split()), f"exit code {code}: {out}")
            with begin(patient, stderr=subprocess.DEVNULL) as left:
                patient.wait_log("looks at the page tables", patient.logged("looks at the page tables") + 1)
                left.kill()
            sign.write_text("0/smaps", encoding="ascii")  # of all strangers
            begun = time.monotonic()
            wait.until("a proof after who waited has left", lambda: run(patient)[0] == 0, 20)
            tap.check(time.monotonic() - begun < 10, "the next one waited, too")
            map_a_page_that_somebody_shares(host)
            code, out, _ = run(patient)
            tap.check(code == 1 and "not proven" in out, f"exit code {code}: {out}")
            tap.equal(patient.logged(r"process 48.0 \(chrome\) keeps those waiting"), 2, "passed over, and no more are tried")
            begun = time.monotonic()
            code, out, _ = run(patient)
            tap.check(code == 1 and "not proven" in out, f"exit code {code}: {out}")
            tap.check(time.monotonic() - begun < 8, "who is known to hang is waited for again")
        finally:
            sign.unlink(missing_ok=True)
            for table in ("kpageflags", "kpagecount"):
                host.write(f"proc/{table}", "")
            map_bytes(host, SMALL_BYTES)


@tap.test
def a_stop_does_not_wait_for_it(scene):
    with running(scene, stderr=subprocess.DEVNULL) as program:
        begun = time.monotonic()
        tap.equal(scene[0].stop(), 0, "exit status of memfoldd")
        tap.check(time.monotonic() - begun < 10, "memfoldd waited for the audit")
        tap.equal(program.wait(10), 1, "exit code of memfold")


if __name__ == "__main__":
    tap.main(context=surroundings)
