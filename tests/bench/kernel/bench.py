#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures what ksmd spends on memory of many kinds, on a stock kernel and on ours with its knobs, one after
the other for each case; writes what it found as JSON and as a plot, and prints the table of targets.

    bench.py --output DIR --programs DIR [--tcg-stock DIR --tcg-patched DIR] [--uml-stock DIR --uml-patched DIR]

A --tcg folder has the bzImage that kernel/build.sh installs with `--config bench`, an --uml folder the
program `linux` of uml/build.sh; --programs is a folder with tree/, as kernel/build.sh installs it.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import measure
import plan
import plot
import summary

import machine

HERE = pathlib.Path(__file__).resolve().parent
REPETITIONS = {plan.UML: 3, plan.TCG: 1}
# Instructions are the same whatever else runs.
WORKERS = {plan.UML: 1, plan.TCG: 2}


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for platform in plan.PLATFORMS:
        for kernel in ("stock", "patched"):
            parser.add_argument(f"--{platform}-{kernel}", type=pathlib.Path, metavar="DIR", help="folder with that kernel")
    parser.add_argument("--programs", type=pathlib.Path, metavar="DIR", help="folder with tree/")
    parser.add_argument("--output", type=pathlib.Path, metavar="DIR", help="folder for results.json, plot.svg, table.txt")
    parser.add_argument("--size", choices=("quick", "full"), default="quick", help="which sizes (default: quick)")
    parser.add_argument("--repetitions", type=int, metavar="N", help="rounds on UML (default: 3)")
    plan.add_choices(parser, "only these, by comma")
    options = parser.parse_args()
    if not options.table and not (options.programs and options.output):
        parser.error("--programs and --output are needed")
    return options


def kernels_of(options):
    """{(platform, kernel): folder} of what was given."""
    given = {}
    for platform in plan.PLATFORMS:
        for kernel in ("stock", "patched"):
            if folder := getattr(options, f"{platform}_{kernel}"):
                given[platform, kernel] = folder
    return given


def hash_bytes_per_sec():
    """What this machine hashes in a second; None without libxxhash."""
    with tempfile.TemporaryDirectory(prefix="memfold-hash.") as folder:
        program = pathlib.Path(folder) / "hashspeed"
        try:
            subprocess.run([os.environ.get("CC", "gcc"), "-O2", "-o", str(program), str(HERE / "hashspeed.c"), "-lxxhash"],
                           check=True, capture_output=True)
            return float(subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout)
        except (OSError, subprocess.CalledProcessError):
            return None


def rounds(options, kernels, platform):
    """[(round, job)] of a platform in the order in which they run."""
    jobs = [job for job in plan.jobs(options.size, (platform,), options.cases, options.variants, options.pages)
            if (platform, job.variant.kernel) in kernels]
    count = options.repetitions if options.repetitions and platform == plan.UML else REPETITIONS[platform]
    return [(number, job) for number in range(count) for job in jobs]


class Measuring:
    """The records as they come. Several threads measure where no time is."""

    def __init__(self, kernels, program, total, save):
        self._kernels, self._program, self._total, self._save = kernels, program, total, save
        self._lock, self._began, self._absent = threading.Lock(), time.monotonic(), set()
        self._done, self.records = 0, []

    def measure(self, round_number, job):
        # A knob that a kernel does not have it does not have at another size either.
        where = (job.platform, job.variant.name, job.case.name)
        if where in self._absent:
            self._tell(job, "as before")
            return
        record = measure.run(job, self._kernels[job.platform, job.variant.kernel], self._program)
        with self._lock:
            self.records.append(record | {"round": round_number})
            self._save(self.records)
        if "absent" in record:
            self._absent.add(where)
            self._tell(job, f"this kernel has no {record['absent']}")
        else:
            self._tell(job, ", ".join(f"{name} {summary.number_words(value)}" for name, value in record["figures"].items()))

    def _tell(self, job, words):
        with self._lock:
            self._done += 1
            print(f"[{self._done}/{self._total}] {int(time.monotonic() - self._began)} s {job.platform} {job.case.name} "
                  f"{summary.size_words(job.pages)} {job.variant.name}: {words}", flush=True)


def measure_all(options, kernels, save):
    """The records of all jobs; all that there are go to `save` when one came."""
    work = {platform: rounds(options, kernels, platform) for platform in plan.PLATFORMS}
    with tempfile.TemporaryDirectory(prefix="memfold-prog.") as folder:
        program = measure.compile_program(options.programs / "tree", folder)
        measuring = Measuring(kernels, program, sum(map(len, work.values())), save)
        for platform, jobs in work.items():
            with concurrent.futures.ThreadPoolExecutor(min(WORKERS[platform], os.cpu_count() or 1)) as pool:
                try:
                    for future in [pool.submit(measuring.measure, *one) for one in jobs]:
                        future.result()
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    machine.stop()
                    raise
    return measuring.records


def processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def report(document):
    text = "\n".join(summary.lines(document["records"], document["hash_bytes_per_sec"])) + "\n"
    print(text, end="", flush=True)
    return text


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench.py: ended by SIGTERM"))
    options = parse_options()
    if options.table:
        report(json.loads(options.table.read_text()))
        return 0
    kernels = kernels_of(options)
    options.output.mkdir(parents=True, exist_ok=True)
    speeds = [hash_bytes_per_sec()]
    document = {"processor": processor(), "hash_bytes_per_sec": speeds[0], "records": []}

    def save(records):
        document["records"] = records
        (options.output / "results.json").write_text(json.dumps(document, indent=1) + "\n")

    try:
        records = measure_all(options, kernels, save)
    except measure.Broken as failure:
        sys.exit(f"bench.py: {failure}")
    speeds.append(hash_bytes_per_sec())
    if all(speeds):
        document["hash_bytes_per_sec"] = statistics.mean(speeds)
    save(records)
    (options.output / "plot.svg").write_text(plot.draw(records))
    (options.output / "table.txt").write_text(report(document))
    print(f"results.json, plot.svg, table.txt: {options.output}")
    return 1 if any(summary.unequal(records)) else 0


if __name__ == "__main__":
    sys.exit(main())
