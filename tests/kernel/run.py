#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the kernel's tests, each in a machine of its own, and writes their cases as one TAP stream.

    run.py --tier patched --kernel DIR [--programs DIR] [--tap FILE] [TEST...]

DIR is what kernel/build.sh installs: bzImage, selftests/, tree/. --programs takes the programs from
another such folder, as a stock kernel's run takes them from the patched build. A case is called
TEST/CASE; progress goes to stdout, what a machine said is kept beside the TAP file for a test that failed.
"""

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

import judge
import ktap
import machine
import progs
import table

MACHINES_MAX = 2
# KASAN makes a machine slower, and takes an eighth of its memory and some more. The memory remains a number
# of whole blocks of memory hotplug, on whose borders a test may rely.
KASAN_TIME, KASAN_MEMORY_NUM, KASAN_MEMORY_DEN, BLOCK_MIB = 2, 5, 4, 128


class Reporter:
    """Progress for people, TAP for programs. Several threads report."""

    def __init__(self, tap, total, tier):
        self._tap, self._total, self._tier = tap, total, tier
        self._lock, self._done, self._cases, self.failed = threading.Lock(), 0, 0, 0
        self._began = time.monotonic()
        print("TAP version 13", file=tap)

    def progress(self, text):
        print(f"[{self._done}/{self._total}] {int(time.monotonic() - self._began)} s {self._tier}: {text}", flush=True)

    def cases(self, test, cases):
        """Writes the cases of one test, which has ended."""
        with self._lock:
            for case in cases:
                self._write(f"{test}/{case.name}", case)
            self._tap.flush()

    def _write(self, name, case):
        self._cases += 1
        name = name.replace("#", "")
        if case.state == ktap.SKIPPED:
            print(f"ok {self._cases} - {name} # SKIP {case.detail}", file=self._tap)
        elif case.state == ktap.PASSED:
            print(f"ok {self._cases} - {name}", file=self._tap)
        else:
            self.failed += 1
            print(f"not ok {self._cases} - {name}", file=self._tap)
            for line in case.detail.splitlines():
                print(f"# {line}", file=self._tap)

    def ended(self, test, cases, seconds):
        with self._lock:
            self._done += 1
            count = [sum(c.state == s for c in cases) for s in (ktap.PASSED, ktap.SKIPPED)]
            bad = len(cases) - sum(count)
            self.progress(f"{test}: {count[0]} passed, {bad} failed, {count[1]} skipped, {seconds:.0f} s")

    def close(self):
        print(f"1..{self._cases}", file=self._tap, flush=True)


class Runner:
    """Runs tests of one tier on one kernel."""

    def __init__(self, options, reporter, verdicts):
        self._options, self._reporter, self._judge = options, reporter, verdicts

    def _spec(self, spec):
        memory, timeout = spec.memory, spec.timeout * self._options.slow
        if self._options.kasan:
            memory = (memory * KASAN_MEMORY_NUM // KASAN_MEMORY_DEN // BLOCK_MIB + 2) * BLOCK_MIB
            timeout *= KASAN_TIME
        return dataclasses.replace(spec, memory=memory, timeout=timeout, knobs=(*spec.knobs, *self._options.knob))

    def _boot(self, test):
        """The test's cases, as its machine gave them."""
        seen = []

        def on_line(line):
            if ktap.is_result(line):
                seen.append(line)
                self._reporter.progress(f"{test.name}: {line}")

        with tempfile.TemporaryDirectory(prefix="memfold-prog.") as out:
            try:
                files = progs.files_of(test, self._options.programs / "selftests",
                                       self._options.programs / "tree", pathlib.Path(out))
            except subprocess.CalledProcessError as failure:
                return [ktap.Case("compiles", ktap.FAILED, failure.stderr)], None
            ended = machine.run(self._options.kernel / "bzImage", self._spec(test.spec),
                                progs.command_of(test), files, on_line)
        return ktap.cases_of(ended, test.protocol, test.name), ended

    def run(self, test):
        began = time.monotonic()
        self._reporter.progress(f"{test.name}: starts")
        cases, ended = self._boot(test)
        if self._judge:
            cases = [self._judge.judge(test.name, case) for case in cases]
        if ended and any(case.state not in (ktap.PASSED, ktap.SKIPPED) for case in cases):
            self._keep(test, ended)
        self._reporter.cases(test.name, cases)
        self._reporter.ended(test.name, cases, time.monotonic() - began)

    def _keep(self, test, ended):
        if self._options.tap:
            stem = self._options.tap.with_suffix("") / test.name
            stem.parent.mkdir(exist_ok=True)
            stem.with_suffix(".output").write_text("\n".join(ended.output) + "\n")
            stem.with_suffix(".console").write_text("\n".join(ended.console) + "\n")


def knob(text):
    """NAME=VALUE for a file of /sys/kernel/mm/ksm, as the command line has it."""
    if not re.fullmatch(r"[a-z_]+=[A-Za-z0-9_-]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return text


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tier", choices=table.TIERS, default="patched")
    parser.add_argument("--kernel", type=pathlib.Path, required=True, help="folder with bzImage")
    parser.add_argument("--programs", type=pathlib.Path, help="folder with selftests/ and tree/ (default: --kernel's)")
    parser.add_argument("--tap", type=pathlib.Path, help="write TAP to this file (default: stdout)")
    parser.add_argument("--slow", type=int, default=1, metavar="N", help="N times the time limits")
    parser.add_argument("--kasan", action="store_true", help="the kernel has KASAN: more memory and time")
    parser.add_argument("--knob", type=knob, action="append", default=[], metavar="NAME=VALUE",
                        help="write VALUE to /sys/kernel/mm/ksm/NAME before each test; may be repeated")
    parser.add_argument("--list", action="store_true", help="print the tests of the tier")
    parser.add_argument("tests", nargs="*", help="only these")
    options = parser.parse_args()
    options.programs = options.programs or options.kernel
    if not (options.kernel / "bzImage").exists():
        parser.error(f"{options.kernel} has no bzImage")
    return options


def chosen(options):
    every = progs.all_tests(options.programs / "selftests")
    names = [test.name for test in every]
    if unknown := [name for name in options.tests if name not in names]:
        sys.exit(f"run.py: no test is called {unknown[0]!r} (--list names them)")
    if options.tests:
        tests = [test for test in every if test.name in options.tests]
    else:
        tests = [test for test in every if options.tier in test.tiers]
    return [table.for_long(test) for test in tests] if options.tier == "long" else tests


def run_all(options, tests, tap):
    reporter = Reporter(tap, len(tests), options.tier)
    verdicts = judge.Judge(table.expectations()) if options.tier == "stock" else None
    runner = Runner(options, reporter, verdicts)
    with concurrent.futures.ThreadPoolExecutor(min(MACHINES_MAX, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(runner.run, test) for test in tests]
        try:
            for future in futures:
                future.result()
        except BaseException:
            machine.stop()
            raise
    if verdicts:
        reporter.cases("expect-stock", list(verdicts.unmet({test.name for test in tests})))
    reporter.close()
    return reporter.failed


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("run.py: ended by SIGTERM"))
    options = parse_options()
    tests = chosen(options)
    if options.list:
        print("\n".join(test.name for test in tests))
        return 0
    if machine.emulator() is None:
        sys.exit("run.py: no emulator: install the package qemu-system-x86")
    if not options.tap:
        return 1 if run_all(options, tests, sys.stdout) else 0
    with open(options.tap, "w", encoding="utf-8") as tap:
        return 1 if run_all(options, tests, tap) else 0


if __name__ == "__main__":
    sys.exit(main())
