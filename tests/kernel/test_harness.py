#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The harness, tried on what it must tell apart: a test that passes, fails, skips, says too little, hangs,
is killed with its machine by a panic, a warning, a complaint of lockdep; and the machine that was asked for.

MEMFOLD_KERNEL is a folder with a bzImage that has the options of kernel/config/test.config.
"""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]

import judge
import ktap
import machine
import run
import table
import tap

TRIGGER = "/sys/kernel/debug/provoke-crash/DIRECT"


@contextlib.contextmanager
def kernel():
    folder = os.environ.get("MEMFOLD_KERNEL")
    if not folder:
        tap.skip("MEMFOLD_KERNEL names no kernel")
    yield pathlib.Path(folder) / "bzImage"


def boot(image, command, words="timeout=90", knobs=()):
    """How a machine with this shell command as its test ends: (Ended, cases)."""
    test = table.parse("sample", f"memory=256M cpus=1 {words}")
    ended = machine.run(image, dataclasses.replace(test.spec, knobs=knobs), command, {})
    return ended, ktap.cases_of(ended, test.protocol, test.name)


def expect(cases, *wanted):
    tap.equal([(case.name, case.state) for case in cases], list(wanted), "cases")


@tap.test
def passing_and_skipping_test_passes(image):
    ended, cases = boot(image, "echo TAP version 13; echo 1..2; echo ok 1 first; echo 'ok 2 # SKIP no file'")
    tap.equal(ended.verdict, machine.ENDED, "verdict")
    expect(cases, ("first", ktap.PASSED), ("no file", ktap.SKIPPED))


@tap.test
def failing_test_fails_with_its_reason(image):
    _, cases = boot(image, "echo 1..2; echo '# found 3'; echo not ok 1 first; echo ok 2 second; exit 1")
    expect(cases, ("first", ktap.FAILED), ("second", ktap.PASSED))
    tap.equal(cases[0].detail, "# found 3", "detail")


@tap.test
def exit_status_counts(image):
    _, cases = boot(image, "echo 1..1; echo ok 1 first; exit 3")
    expect(cases, ("first", ktap.PASSED), ("exit status", ktap.FAILED))


@tap.test
def truncated_tap_fails(image):
    _, cases = boot(image, "echo 1..3; echo ok 1 first; kill -9 $$")
    expect(cases, ("first", ktap.PASSED), ("plan", ktap.FAILED))


@tap.test
def silence_fails(image):
    _, cases = boot(image, "true")
    expect(cases, ("plan", ktap.FAILED))


@tap.test
def hang_is_told(image):
    ended, cases = boot(image, "echo 1..1; sleep 1000", "timeout=20")
    tap.equal(ended.verdict, machine.HANG, "verdict")
    expect(cases, ("machine", machine.HANG))


@tap.test
def panic_is_told(image):
    ended, cases = boot(image, "echo 1..1; echo ok 1 first; echo c >/proc/sysrq-trigger; sleep 1000")
    tap.equal(ended.verdict, machine.PANIC, "verdict")
    expect(cases, ("first", ktap.PASSED), ("machine", machine.PANIC))
    tap.check("sysrq" in ended.reason, f"the reason says why: {ended.reason}")


@tap.test
def warning_is_told(image):
    ended, cases = boot(image, f"echo 1..1; echo WARNING >{TRIGGER}; echo ok 1 first")
    tap.equal(ended.verdict, machine.WARNING, "verdict")
    expect(cases, ("machine", machine.WARNING))


@tap.test
def complaint_without_a_panic_is_told(image):
    """Lockdep and its like only print; the test itself passes."""
    ended, cases = boot(image, "echo 1..1; echo 'BUG: sample' >/dev/kmsg; echo ok 1 first")
    tap.equal(ended.verdict, machine.WARNING, "verdict")
    expect(cases, ("first", ktap.PASSED), ("machine", machine.WARNING))


@tap.test
def machine_that_ends_too_early_is_told(image):
    ended, cases = boot(image, "echo 1..1; echo ok 1 first; poweroff -f")
    tap.equal(ended.verdict, machine.DIED, "verdict")
    expect(cases, ("first", ktap.PASSED), ("machine", machine.DIED))


@tap.test
def machine_is_as_asked(image):
    command = """
echo 1..6
[ $(grep -c ^processor /proc/cpuinfo) = 2 ] && echo ok 1 cpus
[ -d /sys/devices/system/node/node1 ] && echo ok 2 nodes
[ $(cat /sys/block/zram0/disksize) = $((64 << 20)) ] && echo ok 3 zram
[ $(cat /sys/block/vda/size) = $((32 << 11)) ] && echo ok 4 disk
[ $(grep -c ^/ /proc/swaps) = 2 ] && echo ok 5 swap
grep -q sample_word /proc/cmdline && echo ok 6 cmdline"""
    _, cases = boot(image, command, "cpus=2 nodes=2 zram=64M disk=32M swap=yes cmdline=sample_word")
    expect(cases, *((name, ktap.PASSED) for name in ("cpus", "nodes", "zram", "disk", "swap", "cmdline")))


@tap.test
def missing_feature_skips(image):
    _, cases = boot(image, "echo 1..1; echo ok 1 first", "needs=/proc/self,/sys/no/such/file")
    expect(cases, ("all", ktap.SKIPPED))
    tap.check("/sys/no/such/file" in cases[0].detail, cases[0].detail)


@tap.test
def knobs_are_set(image):
    command = """
echo 1..2
[ $(cat /sys/kernel/mm/ksm/pages_to_scan) = 77 ] && echo ok 1 first
[ $(cat /sys/kernel/mm/ksm/sleep_millisecs) = 55 ] && echo ok 2 second"""
    _, cases = boot(image, command, knobs=("pages_to_scan=77", "sleep_millisecs=55"))
    expect(cases, ("first", ktap.PASSED), ("second", ktap.PASSED))


@tap.test
def knob_that_can_not_be_set_fails(image):
    for setting in ("no_such_knob=1", "pages_to_scan=many"):
        _, cases = boot(image, "echo 1..1; echo ok 1 first", knobs=(setting,))
        expect(cases, ("bail out", ktap.FAILED))
        tap.check(setting.partition("=")[0] in cases[0].detail, cases[0].detail)


@tap.test
def knob_that_is_wrong_is_refused(_image):
    for text in ("index", "Index=words", "../run=1", "index=a b", "index='", "index="):
        with contextlib.suppress(argparse.ArgumentTypeError):
            run.knob(text)
            raise tap.Failed(f"{text!r} was taken")


@tap.test
def kernel_that_does_not_boot_is_told(image):
    ended, _ = boot(image, "true", "cmdline=rdinit=/nothing,init=/nothing")
    tap.equal(ended.verdict, machine.PANIC, "verdict")


def judged(row, *cases):
    """What a judge with one expectation makes of the cases of the test `sample`: states, and unmet rows."""
    one = judge.Judge([table.Expectation(*row)])
    states = [one.judge("sample", case).state for case in cases]
    return states, len(list(one.unmet({"sample"})))


@tap.test
def stock_must_be_red(_image):
    red, green = ktap.Case("fix", ktap.FAILED, ""), ktap.Case("fix", ktap.PASSED, "")
    skipped, other = ktap.Case("fix", ktap.SKIPPED, ""), ktap.Case("other", ktap.PASSED, "")
    tap.equal(judged(("sample/fix", "fail"), red, other), ([ktap.PASSED, ktap.PASSED], 0), "red")
    tap.equal(judged(("sample/fix", "fail"), green), ([ktap.FAILED], 0), "green")
    tap.equal(judged(("sample/fix", "fail"), skipped), ([ktap.FAILED], 0), "skipped")
    tap.equal(judged(("sample/fix", "skip"), skipped), ([ktap.PASSED], 0), "skip that is wanted")
    tap.equal(judged(("sample/fix", "any"), red, green), ([ktap.PASSED, ktap.PASSED], 0), "either")
    tap.equal(judged(("sample/fix", "fail"), other), ([ktap.PASSED], 1), "a row that met nothing")
    tap.equal(judged(("sample/*", "panic"), ktap.Case("machine", "panic", "")), ([ktap.PASSED], 0), "panic")


@tap.test
def declaration_that_is_wrong_is_refused(_image):
    for words in ("memroy=3", "memory", "memory=much", "tiers=none"):
        with contextlib.suppress(ValueError):
            table.parse("sample", words)
            raise tap.Failed(f"{words!r} was taken")


if __name__ == "__main__":
    tap.main(context=kernel)
