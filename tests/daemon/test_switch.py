#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""memfoldd and QEMUs that are real: policies become modes, and a frozen QEMU holds up nobody else.

Usage: test_switch.py [--stock] [TEST...].  KSM's knobs are left alone (manage=false), so that no other
test has to wait.
"""

import contextlib
import os
import pathlib
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import memfoldd  # noqa: E402
import rig  # noqa: E402
import smaps  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

STOCK = "--stock" in sys.argv
if STOCK:
    sys.argv.remove("--stock")
PREFIX = "memfold-test-stock-" if STOCK else "memfold-test-switch-"
SHARED = {"group": "shared"}


class Scene:
    def __init__(self, domains, daemon):
        self.rig = domains
        self.daemon = daemon
        self.guests = {}

    def create(self, name, policy, **more):
        guest = self.rig.create(self.rig.tiny(name, 32, "seed=1 common_mib=4", policy=policy, **more))
        self.guests[name] = guest
        return guest

    def set(self, name, attributes):
        self.rig.virsh("metadata", PREFIX + name, "urn:memfold:policy:1", "--key", "memfold", "--set",
                       f"<policy {attributes}/>", "--live")

    def find(self, name):
        return self.daemon.describe()[2].get(PREFIX + name, {})

    def codes(self, name):
        return [code for code, *_ in self.find(name)["reasons"]]

    def wait_mode(self, name, mode, deadline_sec=30.0):
        """Milliseconds until the domain's mode is told to be this one."""
        started = time.monotonic()
        wait.until(f"{name} to be {mode}", lambda: self.find(name).get("mode") == mode, deadline_sec,
                   interval_sec=0.005, show=lambda: self.find(name))
        return int((time.monotonic() - started) * 1000)

    def ram_is_mergeable(self, name):
        guest = self.guests[name]
        return all(area.mergeable for area in smaps.areas(guest.pid)
                   if area.size_bytes == guest.spec.memory_bytes)


@contextlib.contextmanager
def surroundings():
    emulator = os.environ.get("MEMFOLD_STOCK_QEMU" if STOCK else "MEMFOLD_QEMU")
    if not emulator or not os.path.exists(emulator):
        raise tap.Skip("no QEMU to test with: MEMFOLD_QEMU or MEMFOLD_STOCK_QEMU")
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        with rig.Rig(PREFIX, emulator) as domains:
            domains.refuse_strangers()
            with memfoldd.Memfoldd(environment, folder, uri="qemu:///system") as daemon:
                daemon.configure("[ksmd]\nmanage=false\n")
                scene = Scene(domains, daemon)
                scene.create("early", SHARED)
                scene.create("refuser", {**SHARED, "merge": "off"})
                daemon.start()
                yield scene


@tap.test
def who_runs_already_is_found_and_switched(scene):
    scene.wait_mode("early", "on")
    scene.wait_mode("refuser", "off")
    tap.equal(scene.find("early")["switch"], "backend" if STOCK else "qmp", "switch")
    tap.check(scene.ram_is_mergeable("early"), "the RAM of early is not marked")
    tap.check(not scene.ram_is_mergeable("refuser"), "the RAM of refuser is marked")
    tap.equal(scene.find("early")["pid"], scene.guests["early"].pid, "pid")


@tap.test
def who_comes_later_is_switched_as_well(scene):
    scene.create("late", {**SHARED, "merge": "off"})
    scene.wait_mode("late", "off")
    tap.check(not scene.ram_is_mergeable("late"), "the RAM of late is marked")


@tap.test
def a_changed_policy_becomes_a_mode_and_back(scene):
    scene.set("early", "merge='off' group='shared'")
    tap.diag(f"off after {scene.wait_mode('early', 'off')} ms")
    tap.check(not scene.ram_is_mergeable("early"), "its RAM is marked after off")
    scene.set("early", "merge='on' group='shared'")
    tap.diag(f"on after {scene.wait_mode('early', 'on')} ms")
    tap.check(scene.ram_is_mergeable("early"), "its RAM is not marked after on")


@tap.test
def set_over_the_bus_does_the_same(scene):
    scene.daemon.set_policy(PREFIX + "early", "merge", "off")
    scene.wait_mode("early", "off")
    found = scene.rig.virsh("metadata", PREFIX + "early", "urn:memfold:policy:1")
    tap.check('merge="off"' in found and 'group="shared"' in found, f"metadata: {found}")
    scene.daemon.set_policy(PREFIX + "early", "merge", "on")
    scene.wait_mode("early", "on")


@tap.test
def freezing_is_refused_where_it_can_not_be_done(scene):
    if "frozen" in (scene.guests["early"].qmp("query-memory-merge").get("modes", []) if not STOCK else []):
        scene.daemon.set_policy(PREFIX + "early", "merge", "freeze")
        scene.wait_mode("early", "frozen")
        scene.daemon.set_policy(PREFIX + "early", "merge", "on")
        scene.wait_mode("early", "on")
        return
    try:
        scene.daemon.set_policy(PREFIX + "early", "merge", "freeze")
    except memfoldd.Refused as refused:
        tap.equal(refused.name, "Unsupported", f"error ({refused.message})")
    else:
        raise tap.Failed("freeze was taken")
    tap.equal(scene.find("early")["merge"], "on", "merge")


@tap.test
def a_switch_by_somebody_else_is_noticed_and_set_right(scene):
    if STOCK:
        tap.check(not scene.ram_is_mergeable("refuser"), "refuser is marked")
        return
    said = scene.daemon.logged(f'{PREFIX}refuser": memory merging is off now')
    scene.guests["refuser"].qmp("set-memory-merge", mode="on")
    wait.until("it to be switched off again",
               lambda: scene.daemon.logged(f'{PREFIX}refuser": memory merging is off now') > said, 30)
    scene.wait_mode("refuser", "off")
    tap.check(not scene.ram_is_mergeable("refuser"), "the RAM of refuser is marked")


@tap.test
def a_frozen_qemu_holds_up_nobody_else(scene):
    frozen = scene.guests["early"]
    os.kill(frozen.pid, signal.SIGSTOP)
    try:
        scene.set("early", "merge='off' group='shared'")
        wait.until("its policy to be read", lambda: scene.find("early")["merge"] == "off", 10)
        scene.set("late", "merge='on' group='shared'")
        msec = scene.wait_mode("late", "on")
        tap.diag(f"the other is on after {msec} ms")
        # libvirt's keepalive is five seconds: nobody waits for that to be woken.
        tap.check(msec < 4000, f"the other was on only after {msec} ms")
        scene.set("late", "merge='off' group='shared'")
        scene.wait_mode("late", "off")
        scene.create("new", SHARED)
        scene.wait_mode("new", "on")
        wait.until("it to be told", lambda: "its QEMU is stopped" in str(scene.find("early")["reasons"]), 30,
                   show=lambda: scene.find("early"))
        tap.equal(scene.find("early")["mode"], "on", "the mode that it had")
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    scene.wait_mode("early", "off", 60)
    tap.check(not scene.ram_is_mergeable("early"), "its RAM is marked after it woke")
    scene.set("early", "merge='on' group='shared'")
    scene.wait_mode("early", "on")


@tap.test
def a_domain_that_is_killed_is_forgotten_and_may_come_again(scene):
    guest = scene.guests["new"]
    os.kill(guest.pid, signal.SIGKILL)
    wait.until("it to be forgotten", lambda: not scene.find("new"), 30)
    wait.until("libvirt to forget it, too",
               lambda: guest.name not in [d.name() for d in scene.rig.connection.listAllDomains()], 30)
    scene.guests["new"] = scene.rig.create(guest.spec)
    scene.wait_mode("new", "on")
    wait.until("the pid of the new one",
               lambda: scene.find("new").get("pid") == scene.guests["new"].pid, 30,
               show=lambda: scene.find("new"))


if __name__ == "__main__":
    tap.main(context=surroundings)
