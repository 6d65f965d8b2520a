#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Hunts with fuzz targets for as long as one likes, some at a time, and prints what it came to. What counts is the CPU
time of each: on a busy machine a hunt takes longer, and is as thorough.

What is new is kept in the folder --keep, a folder for each target, and the next hunt begins there; what crashes a
target is kept beside it. Exit status 1 when there was a crash.

Usage: hunt.py --build DIR --keep DIR [--seconds N] [--jobs N] [TARGET...]
"""

import argparse
import concurrent.futures
import os
import pathlib
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import libfuzzer  # noqa: E402

TARGETS = sorted(name for name in libfuzzer.REACHES if name != "planted")
ROW = "{:<10} {:>8} {:>10} {:>8} {:>8} {:>8}  {}"


def options():
    parser = argparse.ArgumentParser(description="Hunt with fuzz targets.")
    parser.add_argument("--build", required=True, type=pathlib.Path, help="a build with -Dfuzz=true")
    parser.add_argument("--keep", required=True, type=pathlib.Path, help="where inputs and crashes are kept")
    parser.add_argument("--seconds", type=int, default=600, help="of CPU time for each target (600)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="targets at a time")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of: {' '.join(TARGETS)}")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.targets if name not in TARGETS]
    if unknown:
        parser.error(f"no such target: {unknown[0]} (there are: {' '.join(TARGETS)})")
    return chosen


def hunt(chosen, name):
    """Returns a row of the table, and whether the target crashed."""
    program = chosen.build / "tests" / "fuzz" / f"fuzz-{name}"
    crashes = chosen.keep / "crashes"
    crashes.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="memfold-fuzz-", dir=libfuzzer.SCRATCH) as scratch:
        run = libfuzzer.hunt(name, program, chosen.seconds, scratch, keep=str(chosen.keep / name))
        kept = []
        for path in run.inputs:
            kept.append(crashes / f"{name}-{os.path.basename(path).removeprefix('found-')}")
            shutil.copy(path, kept[-1])
        if run.crashed:
            log = crashes / f"{name}.log"
            log.write_text(run.log, encoding="utf-8")
            kept.append(log)
    told = " ".join(map(str, kept)) if run.crashed else "clean"
    return ROW.format(name, round(run.cpu_sec), run.execs, run.seeds_cov, run.cov, run.new_inputs, told), run.crashed


def main():
    chosen = options()
    print(ROW.format("target", "CPU sec", "inputs", "cov from", "cov to", "new", "found"), flush=True)
    crashed = False
    with concurrent.futures.ThreadPoolExecutor(max_workers=chosen.jobs) as pool:
        for row, broken in pool.map(lambda name: hunt(chosen, name), chosen.targets or TARGETS):
            print(row, flush=True)
            crashed |= broken
    sys.exit(1 if crashed else 0)


if __name__ == "__main__":
    main()
