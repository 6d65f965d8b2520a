#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A demo that is cut short leaves nothing behind: by Ctrl-C at once, after kill -9 by --stop."""

import glob
import json
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import ksm
import libvirtd
import rig
import tap
import wait

PREFIX = "memfold-demo-"
DEMO = f"{HERE}/demo.py"
MERGING = "ksmd merges"


def knobs():
    with ksm.lock():
        return {**ksm.knobs(), "khugepaged": ksm.khugepaged_msec()}


def begin():
    """Starts a demo and returns it once guests run and ksmd merges."""
    demo = subprocess.Popen([DEMO, "--json"], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, start_new_session=True)
    end = time.monotonic() + 300
    for line in demo.stderr:
        if MERGING in line:
            return demo
        if time.monotonic() > end:
            break
        tap.diag(line.rstrip())
    demo.kill()
    raise wait.Timeout("the demo did not come to merging")


def check_nothing_is_left(before):
    tap.equal(glob.glob("/run/memfold-demo*"), [], "files left in /run")
    with libvirtd.Libvirtd() as used:
        names = [d.name() for d in rig.leftovers(used.connection, PREFIX)]
        tap.equal(names, [], "domains left")
    tap.equal(knobs(), before, "KSM knobs afterwards")


@tap.test
def interrupted_demo_ends_what_it_started():
    before = knobs()
    demo = begin()
    demo.send_signal(signal.SIGINT)
    result = json.loads(demo.communicate(timeout=120)[0])
    tap.equal(demo.returncode, 1, "exit status")
    tap.check("interrupted" in result["error"], f"error: {result['error']}")
    tap.check(result["knobs_restored"], "the demo says that knobs are not as before")
    check_nothing_is_left(before)


@tap.test
def killed_demo_is_taken_down_later():
    before = knobs()
    demo = begin()
    demo.kill()
    demo.communicate(timeout=30)
    done = subprocess.run([DEMO, "--stop"], text=True, capture_output=True, check=False)
    tap.diag(done.stdout)
    tap.equal(done.returncode, 0, "exit status of --stop")
    check_nothing_is_left(before)


@tap.test
def stop_without_a_demo_is_no_error():
    done = subprocess.run([DEMO, "--stop"], text=True, capture_output=True, check=False)
    tap.equal(done.returncode, 0, "exit status")


@tap.test
def unknown_emulator_is_named():
    done = subprocess.run([DEMO, "--json", "--emulator", "/no/such/qemu"], text=True,
                          capture_output=True, check=False)
    result = json.loads(done.stdout)
    tap.equal(done.returncode, 1, "exit status")
    tap.check("/no/such/qemu" in result["error"], f"error: {result['error']}")
    tap.check(result.get("knobs_restored", True), "knobs were changed")


if __name__ == "__main__":
    tap.main()
