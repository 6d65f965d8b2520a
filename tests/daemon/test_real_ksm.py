#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""memfoldd and the kernel's own knobs, which react to each other: stopped, or killed with -9 while they
are changed, it leaves every one of them as it was."""

import contextlib
import os
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import ksm  # noqa: E402
import memfoldd  # noqa: E402
import session  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

UUID = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
OFF = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" merge="off"/>'
MERGING = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" merge="on" group="shared"/>'
# As an operator may have left them; none is what memfold wants. Entering an advisor's mode, or leaving
# it, makes the kernel set pages_to_scan.
KNOBS = {"run": 0, "pages_to_scan": 777, "sleep_millisecs": 33, "use_zero_pages": 1, "smart_scan": 1}
KNOBS = {name: value for name, value in KNOBS.items() if os.path.exists(f"{ksm.DIRECTORY}/{name}")}
CONFIG = "[ksmd]\nsleep-msec=21\nuse-zero-pages=off\n[daemon]\ntick-msec=200\n"


@contextlib.contextmanager
def governing(**more):
    """(memfoldd that has changed the host's knobs, what they were)"""
    if not os.access(f"{ksm.DIRECTORY}/run", os.W_OK):
        tap.skip("only root can write KSM's knobs, where there is KSM")
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        uri = session.write_node(f"{folder}/node.xml", session.domain("vm1", UUID, MERGING))
        with ksm.borrowed(**KNOBS):
            ksm.set_knobs(**more)
            before = ksm.knobs()
            with memfoldd.Memfoldd(environment, folder, uri=uri) as daemon:
                daemon.configure(CONFIG)
                daemon.start()
                wait.until("every knob to be changed", lambda: all(
                    ksm.read(name) != before[name] for name in (*KNOBS, *more)), 20, show=ksm.knobs)
                yield daemon, before


def modes():
    """Keywords of governing() for each mode of the advisor that this kernel has."""
    yield {}
    if os.path.exists(f"{ksm.DIRECTORY}/advisor_mode"):
        yield {"advisor_mode": "scan-time"}


@tap.test
def a_stop_puts_every_knob_back():
    for more in modes():
        with governing(**more) as (daemon, before):
            tap.equal(daemon.stop(), 0, "exit status")
            tap.equal(ksm.knobs(), before, f"knobs ({more})")


@tap.test
def restore_puts_back_what_one_killed_amid_its_work_left():
    for more in modes():
        with governing(**more) as (daemon, before):
            daemon.kill()
            tap.equal(ksm.read("run"), "1", "run after kill -9")
            status, text = daemon.restore()
            tap.equal(status, 0, f"status of --restore ({text})")
            tap.equal(ksm.knobs(), before, f"knobs ({more})")


@tap.test
def the_next_one_takes_over_from_one_that_was_killed():
    with governing() as (daemon, before):
        daemon.kill()
        daemon.start()
        wait.until("ksmd to be started again", lambda: ksm.read("run") == "1", 20)
        tap.equal(daemon.stop(), 0, "exit status")
        tap.equal(ksm.knobs(), before, "knobs")


@tap.test
def ksmd_stands_while_a_domain_starts_that_must_not_be_merged():
    with governing() as (daemon, before):
        daemon.prepare("vm2", OTHER, policy=OFF, ready=lambda: ksm.read("run") == "1")
        tap.equal(ksm.read("run"), "0", "run when the hook has its answer")
        scans = ksm.read("full_scans"), ksm.read("pages_scanned")
        wait.until("ticks to go by", lambda: "start-hold" in [c for c, *_ in daemon.describe()[1]], 20)
        tap.equal((ksm.read("full_scans"), ksm.read("pages_scanned")), scans, "what ksmd has done since")
        tap.equal(ksm.read("run"), "0", "run while it is held")
        daemon.hook("release", "vm2", OTHER)
        wait.until("ksmd to be started again", lambda: ksm.read("run") == "1", 20)
        tap.equal(daemon.stop(), 0, "exit status")
        tap.equal(ksm.knobs(), before, "knobs")


if __name__ == "__main__":
    tap.main()
