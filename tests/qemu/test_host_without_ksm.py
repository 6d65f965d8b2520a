#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""On a kernel that cannot merge, QEMU says so, and everything else works as it always did.

Such a kernel is not at hand: a library in front of libc answers madvise() as it would (no-ksm.c).
"""

import os
import tempfile

import compare
import preload

import qmp
import tap
import wait
from machine import Machine

RAM_MIB = 32


def bare_machine(binary, *arguments, **options):
    return Machine(binary, *arguments, memory_mib=RAM_MIB,
                   prefix=("env", f"LD_PRELOAD={preload.library('no-ksm')}"), **options)


@compare.on_both
def nothing_is_marked(binary):
    with bare_machine(binary) as machine:
        tap.equal(machine.marked(), [], "marked areas")


@compare.on_both
def a_background_snapshot_completes(binary):
    with tempfile.TemporaryDirectory(prefix="memfold-snapshot-") as folder, \
            bare_machine(binary, guest="seed=3 common_mib=2") as machine:
        path = os.path.join(folder, "saved")
        machine.qmp("migrate-set-capabilities",
                    capabilities=[{"capability": "background-snapshot", "state": True}])
        machine.qmp("migrate", uri=f"exec:cat > {path}")
        answer = wait.until("the snapshot to end", lambda: ended(machine))
        tap.equal(answer["status"], "completed", f"the snapshot's end, {answer}")
        tap.equal(machine.console.verify(), 0, "bad pages")


def ended(machine):
    answer = machine.qmp("query-migrate")
    return answer if answer.get("status") in ("completed", "failed") else None


@tap.test
def the_query_says_that_the_host_is_to_blame(binaries):
    with bare_machine(binaries.ours) as machine:
        answer = machine.qmp("query-memory-merge", usage=True)
        tap.equal((answer["supported"], answer["modes"]), (False, ["off"]), "supported, modes")
        for block in answer["blocks"]:
            tap.equal(block["mergeable"], False, f"mergeable of {block['id']}")
            tap.equal(block["blockers"], ["host"], f"blockers of {block['id']}")


@tap.test
def on_is_refused_and_off_is_not(binaries):
    with bare_machine(binaries.ours) as machine:
        machine.qmp("set-memory-merge", mode="off")
        for mode in ("on", "frozen"):
            try:
                machine.qmp("set-memory-merge", mode=mode)
            except qmp.QmpError as refused:
                tap.check("not supported by this host" in str(refused), f"unclear: {refused}")
            else:
                tap.check(False, f"'{mode}' was taken")
        tap.equal(machine.qmp("query-memory-merge")["mode"], "off", "mode")


if __name__ == "__main__":
    compare.main()
