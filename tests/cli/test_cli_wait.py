#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`memfold` and a daemon that is slow: what a person sees who waits, and what a change is that nobody answered to.

Usage: test_cli_wait.py MEMFOLD [TEST...]
"""

import contextlib
import os
import pathlib
import pty
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakedaemon  # noqa: E402
import tap  # noqa: E402

MEMFOLD = sys.argv.pop(1)
OK, FAILED = range(2)
NOTICE = "waiting for memfoldd..."
ERASED = f"{NOTICE}\r{' ' * len(NOTICE)}\r"
VM1 = {"uuid": "11111111-2222-3333-4444-555555555555", "name": "vm1", "merge": "auto", "mode": "on", "reasons": []}
SCENARIO = {"host": {}, "reasons": [], "domains": [VM1], "actions": [], "report": {"host": {}, "series": {}, "domains": []}}


class Host(fakedaemon.Host):
    def run(self, *words):
        return subprocess.run([MEMFOLD, *words], env=self.environment, text=True, timeout=100, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True)

    def watched(self, *words):
        """Its end, and what it writes on stderr where that is a terminal."""
        leader, follower = pty.openpty()
        with subprocess.Popen([MEMFOLD, *words], env=self.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=follower) as program:
            os.close(follower)
            output = fakedaemon.until_closed(leader)
            return program.wait(), output


@contextlib.contextmanager
def surroundings():
    with bus.private() as environment:
        yield Host(environment, SCENARIO)


@tap.test
def who_waits_is_told_for_whom(host):
    delays = {method: 3 for method in ("Describe", "Plan", "Report", "Reload", "SetPolicy")}
    for words in (["status"], ["plan"], ["report"], ["reload"], ["set", "vm1", "merge=off"]):
        with host.daemon(delays=delays):
            tap.equal(host.watched(*words), (OK, ERASED), f"{words} on a terminal")
    with host.daemon(delays=delays):
        tap.equal(host.run("status").stderr, "", "stderr where nobody looks")
    with host.daemon():
        tap.equal(host.watched("status"), (OK, ""), "a fast answer")


@tap.test
def what_is_told_goes_before_a_complaint(host):
    with host.daemon(delays={"Reload": 3}, errors={"Reload": ["org.memfold1.Error.Invalid", "line 3"]}):
        code, text = host.watched("reload")
    tap.equal((code, text), (FAILED, f"{ERASED}memfold: line 3\r\n"), "end of reload")


@tap.test
def a_change_may_take_as_long_as_password_and_qemu(host):
    """Longer than any other call."""
    with host.daemon(delays={"SetPolicy": 27}):
        result = host.run("set", "vm1", "merge=off")
    tap.equal((result.returncode, result.stdout, result.stderr), (OK, "vm1: merge=off\n", ""), "set after 27 s")


@tap.test
def a_change_that_nobody_answered_to_may_have_been_made(host):
    with host.daemon(errors={"SetPolicy": ["org.freedesktop.DBus.Error.NoReply", "it left the bus"]}):
        several = host.run("set", "vm1", "merge=off", "group=a", "boost=on")
        one = host.run("set", "vm1", "merge=off")
    known = "memfold: domain \"vm1\", merge=off: it left the bus; it is not known whether it was set: memfold status vm1 tells"
    tap.equal((several.returncode, several.stdout, several.stderr),
              (FAILED, "", f"{known}; not tried: group=a, boost=on\n"), "set of three")
    tap.equal((one.returncode, one.stderr), (FAILED, f"{known}\n"), "set of one")
    with host.daemon(errors={"SetPolicy": ["org.memfold1.Error.Failed", "QEMU says no"]}):
        refused = host.run("set", "vm1", "merge=off", "group=a")
    tap.equal(refused.stderr, "memfold: domain \"vm1\", merge=off: QEMU says no; not tried: group=a\n", "a refusal")


if __name__ == "__main__":
    tap.main(context=surroundings)
