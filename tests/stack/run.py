#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A host made only of ours, and what its guests can and can't share.

    run.py --kernel DIR --stock DIR --base FILE --payload FILE [--tap FILE] [--long] [CASE...]

The host is a machine of its own (machine.py): our kernel, libvirt, our QEMU, memfoldd, hook and command. Its guests are
emulated in it. Cases that need the same machine run one after the other in one boot, and use what the last one left
running; a case that fails, or takes longer than it may, shows what everybody in the host has said, and the next one gets
a new host.
"""

import argparse
import contextlib
import pathlib
import signal
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
import machine  # noqa: E402
import scene  # noqa: E402
import suite  # noqa: E402
import case_broken_rule  # noqa: E402,F401
import case_groups  # noqa: E402,F401
import case_linux  # noqa: E402,F401
import case_migration  # noqa: E402,F401
import case_poison  # noqa: E402,F401
import case_policies  # noqa: E402,F401
import case_stock  # noqa: E402,F401
import case_storm  # noqa: E402,F401
import case_swap  # noqa: E402,F401
import case_timing  # noqa: E402,F401

LOGS = ("tail -n 60 /var/log/memfoldd.log", "tail -n 20 /var/log/libvirt/qemu/*.log", "dmesg | tail -n 20",
        "virsh list --all; memfold status", "cd /sys/kernel/mm/ksm && grep . run pages_* full_scans group_default", "free -m")


class Late(AssertionError):
    """The case took longer than it may."""


@contextlib.contextmanager
def limit(seconds):
    def ring(*_):
        raise Late(f"more than {seconds} s")

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def logs(host):
    """What everybody in the host has said, as far as it still answers."""
    lines = []
    for command in LOGS:
        try:
            lines += [f"--- {command}", *host.status(command, 30)[1].splitlines()]
        except (machine.Failed, machine.Ended, OSError) as failure:
            return lines + [f"--- the host does not answer: {failure}"]
    return lines


class Runner:
    """Runs cases in hosts; one host at a time."""

    def __init__(self, options):
        self.options, self.lines, self.failed, self.count = options, [], 0, 0
        self._stack, self._host, self._machine = contextlib.ExitStack(), None, None

    def say(self, line):
        self.lines.append(line)
        print(line, flush=True)

    def close(self):
        self._stack.close()
        self._host = self._machine = None

    def _host_for(self, one):
        if self._machine == one.machine:
            return self._host
        self.close()
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="memfold-stack."))
        kernel = self.options.kernel if one.kernel == suite.OURS else self.options.stock
        began = time.monotonic()
        self._host = self._stack.enter_context(machine.Host(
            kernel / "bzImage", (self.options.base, self.options.payload), folder, one.memory_mib, one.cpus,
            disk_mib=one.disk_mib))
        self.say(f"# a host with the kernel {one.kernel}, {one.memory_mib} MiB and {one.cpus} CPUs: up in "
                 f"{time.monotonic() - began:.0f} s")
        self._machine = one.machine
        return self._host

    def run(self, one):
        began = time.monotonic()
        good, told = True, []
        try:
            host = self._host_for(one)
            with limit(one.limit_sec):
                one.function(scene.Scene(host))
        except Exception:  # a broken case is a failed case, and the others still run
            good, told = False, traceback.format_exc().splitlines()
            if self._host:
                told += logs(self._host)
            self.close()
        self.count += 1
        self.failed += not good
        self.say(f"{'ok' if good else 'not ok'} {self.count} - {one.name}")
        for line in told:
            self.say(f"# {line}")
        self.say(f"# took {time.monotonic() - began:.0f} s of {one.limit_sec}")


def chosen(options):
    names = [one.name for one in suite.cases]
    wanted = [name.replace("_", " ") for name in options.cases]
    unknown = [name for name in wanted if name not in names]
    if unknown:
        print(f"no such case: {unknown[0]!r}; there are: {', '.join(names)}", file=sys.stderr)
        sys.exit(2)
    cases = [one for one in suite.cases if (one.name in wanted if wanted else one.long == options.long)]
    return sorted(cases, key=lambda one: one.machine)


def main():
    parser = argparse.ArgumentParser()
    for name in ("kernel", "stock", "base", "payload"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--tap", type=pathlib.Path)
    parser.add_argument("--long", action="store_true", help="those that take long, instead of the others")
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    runner = Runner(options)
    cases = chosen(options)
    runner.say("TAP version 13")
    runner.say(f"1..{len(cases)}")
    try:
        with contextlib.closing(runner):
            for one in cases:
                runner.run(one)
    finally:
        # What there is when it takes too long: fewer results than planned are a failure.
        if options.tap:
            options.tap.write_text("\n".join(runner.lines) + "\n", encoding="utf-8")
    return 1 if runner.failed else 0


if __name__ == "__main__":
    sys.exit(main())
