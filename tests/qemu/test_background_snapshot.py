#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A background snapshot must hold what memory held when it began, though ksmd merges meanwhile.

QEMU write-protects memory with userfaultfd, so that a page is saved before the guest's first write
to it.  When ksmd replaces such a page by a merged one, the protection is lost (replace_page() in
the kernel's mm/ksm.c), the write goes unseen, and the snapshot gets the later contents.

The order of events is forced, so that chance has no part in it: we read nothing of the stream,
which stops QEMU's saving thread at once; ksmd passes over all memory several times; the guest
rewrites its pages, or blocks in the first of them that is still protected; then we read.  A guest
restored from that stream checks its memory by itself.
"""

import contextlib
import os
import socket
import tempfile
import threading

import compare

import ksm
import qmp
import tap
import wait
from machine import Machine

COMMON_MIB = 8
PAGES = COMMON_MIB * 256
GUEST = f"seed=31 salt=1 common_mib={COMMON_MIB}"
TWIN = f"seed=31 salt=2 common_mib={COMMON_MIB}"
MEMORY_MIB = 32
SCANS = 4
REWRITE_SEC = 2
TRIES = 3


@contextlib.contextmanager
def pair(binary):
    """Two guests that have all their common pages in common, and a folder; yields one guest."""
    with tempfile.TemporaryDirectory(prefix="memfold-snapshot-") as folder, \
            Machine(binary, memory_mib=MEMORY_MIB, guest=GUEST) as machine, \
            Machine(binary, memory_mib=MEMORY_MIB, guest=TWIN):
        yield machine, folder


def begin_snapshot(machine, folder):
    """Starts a background snapshot; returns its stream, of which nothing has been read."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/stream")
        listener.listen()
        listener.settimeout(30)
        machine.qmp("migrate-set-capabilities",
                    capabilities=[{"capability": "background-snapshot", "state": True}])
        machine.qmp("migrate", uri=f"unix:{folder}/stream")
        stream, _ = listener.accept()
    stream.settimeout(60)
    # QEMU stops the guest, protects its memory, and lets it go on: from here the snapshot stands
    machine.monitors[0].wait_event("RESUME")
    return stream


def finish_snapshot(machine, stream, path):
    """Lets the snapshot run to its end, into a file."""
    def save():
        with stream, open(path, "wb") as output:
            while data := stream.recv(1 << 20):
                output.write(data)

    reader = threading.Thread(target=save, daemon=True)
    reader.start()
    wait.until("the snapshot to end",
               lambda: machine.qmp("query-migrate")["status"] in ("completed", "failed"))
    reader.join(60)
    answer = machine.qmp("query-migrate")
    tap.equal(answer["status"], "completed", f"the snapshot's end, {answer}")


def wrong_pages(binary, path):
    """Restores the stream; returns how many pages hold anything else than at its beginning."""
    with Machine(binary, memory_mib=MEMORY_MIB, guest=GUEST,
                 incoming=f"exec:cat {path}") as restored:
        wait.until("the restored guest",
                   lambda: restored.qmp("query-status")["status"] != "inmigrate")
        restored.qmp("cont")
        return restored.console.verify()


def snapshot_during_scans(binary, scanning):
    """One snapshot while ksmd runs or not; returns how many of its pages are wrong."""
    ksm.write("run", 0)
    with pair(binary) as (machine, folder):
        stream = begin_snapshot(machine, folder)
        if scanning:
            ksm.write("run", 1)
            ksm.wait_full_scans(SCANS)
        merged = machine.merged_pages()
        with contextlib.suppress(wait.Timeout):
            machine.console.command("dirty", "DIRTY", timeout_sec=REWRITE_SEC)
        tap.equal(ksm.read("run"), "1" if scanning else "0", "KSM's run (does another use KSM?)")
        path = os.path.join(folder, "saved")
        finish_snapshot(machine, stream, path)
        tap.equal(machine.console.verify(), 0, "bad pages of the guest that was saved")
        wrong = wrong_pages(binary, path)
        tap.diag(f"{wrong} of {PAGES} pages wrong, {merged} merged while the snapshot waited")
        return wrong


@compare.on_both
def snapshot_is_right_while_ksmd_stands(binary):
    tap.equal(snapshot_during_scans(binary, scanning=False), 0, "wrong pages")


@tap.test
def snapshot_is_wrong_while_ksmd_runs_on_stock(binaries):
    """The control.  Should a distribution have the fix one day, it says so and is no failure."""
    for _ in range(TRIES):
        if snapshot_during_scans(binaries.stock, scanning=True):
            return
    tap.diag("this QEMU or this kernel has a fix of its own: the control shows nothing here")


@tap.test
def snapshot_is_right_while_ksmd_runs_on_ours(binaries):
    tap.equal(snapshot_during_scans(binaries.ours, scanning=True), 0, "wrong pages")


@compare.on_both
def merging_goes_on_after_a_snapshot(binary):
    """What a snapshot suspends comes back, or it would cost the saving for ever."""
    ksm.write("run", 1)
    with pair(binary) as (machine, folder):
        for _ in range(2):
            wait.until(f"{PAGES} merged pages", lambda: machine.merged_pages() >= PAGES,
                       show=machine.merged_pages)
            finish_snapshot(machine, begin_snapshot(machine, folder),
                            os.path.join(folder, "saved"))
            os.unlink(f"{folder}/stream")
        wait.until(f"{PAGES} merged pages after the snapshots",
                   lambda: machine.merged_pages() >= PAGES, show=machine.merged_pages)
        tap.equal(machine.console.verify(), 0, "bad pages")


def marks(machine):
    return [area.mergeable for area in machine.ram_areas()]


@tap.test
def a_running_snapshot_is_a_blocker_on_ours(binaries):
    """Nobody may merge while it runs, whatever is set meanwhile; what was set holds afterwards."""
    with pair(binaries.ours) as (machine, folder):
        stream = begin_snapshot(machine, folder)
        block = next(b for b in machine.qmp("query-memory-merge")["blocks"] if b["id"] == "pc.ram")
        tap.check("snapshot" in block["blockers"], f"no blocker 'snapshot': {block}")
        tap.equal(any(marks(machine)), False, "marked during the snapshot")
        with contextlib.suppress(qmp.QmpError):
            machine.qmp("set-memory-merge", mode="on")
        tap.equal(any(marks(machine)), False, "marked after 'on' during the snapshot")
        finish_snapshot(machine, stream, os.path.join(folder, "saved"))
        tap.equal(all(marks(machine)), True, "marked after the snapshot")
        block = next(b for b in machine.qmp("query-memory-merge")["blocks"] if b["id"] == "pc.ram")
        tap.equal(block["blockers"], [], "blockers after the snapshot")


@tap.test
def off_during_a_snapshot_holds_after_it_on_ours(binaries):
    with pair(binaries.ours) as (machine, folder):
        stream = begin_snapshot(machine, folder)
        machine.qmp("set-memory-merge", mode="off")
        finish_snapshot(machine, stream, os.path.join(folder, "saved"))
        tap.equal(any(marks(machine)), False, "marked after the snapshot")


@tap.test
def merging_goes_on_after_a_snapshot_that_failed_on_ours(binaries):
    """Not on stock: 7.2 may hang for ever when the reader of a snapshot goes away."""
    with pair(binaries.ours) as (machine, folder):
        begin_snapshot(machine, folder).close()
        wait.until("the snapshot to fail", lambda: machine.qmp("query-migrate")["status"]
                   in ("failed", "cancelled"))
        wait.until("its end to be tidied up", lambda: all(marks(machine)), 10)
        tap.equal(machine.console.verify(), 0, "bad pages")


def fast_ksm():
    return ksm.borrowed(pages_to_scan=20000, sleep_millisecs=2, smart_scan=0, run=0)


if __name__ == "__main__":
    compare.main(fast_ksm)
