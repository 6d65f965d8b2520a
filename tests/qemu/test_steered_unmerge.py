#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What QEMU does when un-merging takes long, fails, or is called off.

A host that is out of memory at the right moment is not at hand, nor is a kernel that can freeze: a
library in front of libc answers madvise() for it (steered-unmerge.c), and takes its orders from files.
"""

import contextlib
import pathlib
import tempfile

import compare
import preload

import tap
import wait
from machine import MIB, Machine

EXTRA_MIB = 37
EXTRA = ("-object", f"memory-backend-ram,id=extra,size={EXTRA_MIB}M,merge=on")
OFF = ("-object", "memory-backend-ram,id=off,size=13M,merge=off")
GUEST = "seed=3 common_mib=2"


@contextlib.contextmanager
def steered(binary, *arguments, **options):
    """Yields a machine, and the folder whose files steer its madvise()."""
    with tempfile.TemporaryDirectory(prefix="memfold-steer-") as folder, \
            Machine(binary, *arguments, memory_mib=32, **options,
                    prefix=("env", f"LD_PRELOAD={preload.library('steered-unmerge')}", f"STEERED_UNMERGE={folder}")) as machine:
        yield machine, pathlib.Path(folder)


def set_backend(machine, merge):
    machine.qmp("qom-set", path="/objects/extra", property="merge", value=merge)


def snapshot(machine, folder):
    machine.qmp("migrate-set-capabilities",
                capabilities=[{"capability": "background-snapshot", "state": True}])
    machine.qmp("migrate", uri=f"exec:cat > {folder}/saved")


def snapshot_end(machine):
    def ended():
        status = machine.qmp("query-migrate")["status"]
        return status if status in ("completed", "failed", "cancelled") else None
    return wait.until("the snapshot to end", ended)


@tap.test
def on_wins_over_an_unmerge_that_fails(binaries):
    """Nothing of the block stays unmarked, though a part of it was un-merged before the failure."""
    with steered(binaries.ours, *EXTRA) as (machine, folder):
        (folder / "hold").touch()
        set_backend(machine, False)
        wait.until("a call that waits", (folder / "held").exists)
        set_backend(machine, True)
        (folder / "fail").touch()
        (folder / "hold").unlink()
        wait.until("all of the block to be marked",
                   lambda: [area.mergeable for area in machine.sized_areas(EXTRA_MIB * MIB)] == [True],
                   10)
        tap.equal(machine.stderr(), "", "warnings")


@tap.test
def an_unmerge_that_fails_is_an_error_and_is_tried_again(binaries):
    with steered(binaries.ours, *EXTRA) as (machine, folder):
        (folder / "fail").touch()
        set_backend(machine, False)
        wait.until("a warning", lambda: "'extra' is still shared in part" in machine.stderr(), 10)
        (folder / "fail").unlink()
        machine.qmp("set-memory-merge", mode="off", id="extra")
        tap.equal([area.mergeable for area in machine.sized_areas(EXTRA_MIB * MIB)], [False], "marks")


@tap.test
def a_snapshot_that_is_cancelled_while_it_unmerges_does_not_pause_the_guest(binaries):
    with steered(binaries.ours, guest=GUEST) as (machine, folder):
        (folder / "hold").touch()
        snapshot(machine, folder)
        wait.until("a call that waits", (folder / "held").exists)
        machine.qmp("migrate_cancel")
        (folder / "hold").unlink()
        tap.equal(snapshot_end(machine), "cancelled", "the snapshot's end")
        tap.equal([event["event"] for event in machine.monitors[0].events
                   if event["event"] in ("STOP", "RESUME")], [], "what became of the guest")
        tap.check("error-desc" not in machine.qmp("query-migrate"), "an error")
        wait.until("memory to be marked again",
                   lambda: all(area.mergeable for area in machine.ram_areas()), 10)
        snapshot(machine, folder)
        tap.equal(snapshot_end(machine), "completed", "the next snapshot's end")
        tap.equal(machine.console.verify(), 0, "bad pages")


def last_advice(folder):
    """{address: "freeze" or "thaw"}, the last word for each block."""
    return dict(reversed(line.split()) for line in (folder / "frozen").read_text().splitlines())


@tap.test
def a_snapshot_that_fails_leaves_nothing_frozen(binaries):
    with steered(binaries.ours, *EXTRA, *OFF, guest=GUEST) as (machine, folder):
        (folder / "frozen").touch()
        (folder / "fail").touch()
        snapshot(machine, folder)
        tap.equal(snapshot_end(machine), "failed", "the snapshot's end")
        tap.check(last_advice(folder), "nothing was frozen: the test shows nothing")
        wait.until("all to be thawed", lambda: set(last_advice(folder).values()) == {"thaw"}, 10,
                   show=lambda: last_advice(folder))


@tap.test
def off_and_on_around_a_freezing_snapshot_thaws(binaries):
    """The block is un-merged while others are still being suspended, and marked again after it."""
    with steered(binaries.ours, *EXTRA, *OFF, guest=GUEST) as (machine, folder):
        (folder / "frozen").touch()
        (folder / "hold").touch()
        snapshot(machine, folder)
        wait.until("a call that waits", (folder / "held").exists)
        set_backend(machine, False)
        (folder / "hold").unlink()
        tap.equal(snapshot_end(machine), "completed", "the snapshot's end")
        machine.qmp("set-memory-merge", mode="off", id="extra")
        machine.qmp("set-memory-merge", mode="on", id="extra")
        tap.equal(set(last_advice(folder).values()), {"thaw"}, "the last word for each block")


if __name__ == "__main__":
    compare.main()
