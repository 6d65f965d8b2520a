#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The device state of our QEMU is that of its base: a guest moves between the two either way.

`-dump-vmstate` lists every field of every device; two builds of the same base must list the same.
The distribution's QEMU is another version, so this wants a build of the base without the series
(--base).
"""

import json
import os
import pathlib
import tempfile

import compare

import tap
from machine import run_once

MACHINES = ("pc", "q35")


def described(binary, machine):
    with tempfile.TemporaryDirectory(prefix="memfold-vmstate-") as folder:
        path = pathlib.Path(folder) / "state"
        status, error = run_once(binary, "-machine", machine, "-dump-vmstate", str(path))
        tap.equal(status, 0, f"exit status of {binary} ({error})")
        return path.read_bytes()


def same_state(binaries, machine):
    if not binaries.base or not os.access(binaries.base, os.X_OK):
        tap.skip("no build of the base without the series")
    ours, base = described(binaries.ours, machine), described(binaries.base, machine)
    fields, wanted = json.loads(ours), json.loads(base)
    tap.check(len(wanted) > 50, "the base describes hardly any device")
    differing = [name for name in fields | wanted if fields.get(name) != wanted.get(name)]
    tap.equal(differing[:10], [], f"first of {len(differing)} devices that differ")
    tap.check(ours == base, "the same fields, described by other bytes")


@tap.test
def pc_is_as_in_the_base(binaries):
    same_state(binaries, "pc")


@tap.test
def q35_is_as_in_the_base(binaries):
    same_state(binaries, "q35")


if __name__ == "__main__":
    compare.main()
