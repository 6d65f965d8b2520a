#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""merge=auto with real guests and the running kernel's ksmd: who does not pay is stopped, and tried again
when somebody comes that it shares with."""

import contextlib
import os
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import ksm  # noqa: E402
import memfoldd  # noqa: E402
import rig  # noqa: E402
import smaps  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

PREFIX = "memfold-test-worth-"
MIB = 1 << 20
MEMORY_MIB = 256
COMMON_MIB = 64
# Much that is its own, so that what a QEMU merges of its ROMs is less than what ksmd's items take.
ARGS = f"seed=41 common_mib={COMMON_MIB} unique_mib=128"

# Where ksmd's CPU time can't be read, the lowest rate is the whole rate.
CONFIG = """\
[merge]
default-group=shared
[ksmd]
min-pages-to-scan=4000
[daemon]
tick-msec=500
accounting-interval-msec=1000
"""


class Scene:
    def __init__(self, domains, daemon):
        self.rig = domains
        self.daemon = daemon
        self.guests = {}

    def create(self, name, **policy):
        guest = self.rig.create(self.rig.tiny(name, MEMORY_MIB, ARGS, policy=policy))
        guest.console.wait_ready()
        self.guests[name] = guest

    def find(self, name):
        return self.daemon.describe()[2].get(PREFIX + name, {})

    def codes(self, name):
        return [code for code, *_ in self.find(name).get("reasons", [])]

    def ram_is_mergeable(self, name):
        guest = self.guests[name]
        return all(area.mergeable for area in smaps.areas(guest.pid)
                   if area.size_bytes == guest.spec.memory_bytes)


@contextlib.contextmanager
def surroundings():
    emulator = os.environ.get("MEMFOLD_QEMU")
    if not emulator or not os.path.exists(emulator):
        raise tap.Skip("no QEMU to test with: MEMFOLD_QEMU")
    with ksm.borrowed(), tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, \
            bus.private() as environment, rig.Rig(PREFIX, emulator) as domains:
        domains.refuse_strangers()
        with memfoldd.Memfoldd(environment, folder, uri="qemu:///system") as daemon:
            daemon.configure(CONFIG)
            scene = Scene(domains, daemon)
            daemon.start()
            scene.create("alone", merge="auto")
            yield scene


@tap.test
def who_saves_less_than_it_costs_is_stopped(scene):
    wait.until("alone to be found not worth it", lambda: "not-worth" in scene.codes("alone"), 240, 0.5,
               show=lambda: scene.find("alone"))
    wait.until("alone to be switched off", lambda: scene.find("alone").get("mode") == "off", 30, 0.2,
               show=lambda: scene.find("alone"))
    tap.check(not scene.ram_is_mergeable("alone"), "its RAM is still marked")
    text, remedy = [(text, remedy) for code, text, remedy in scene.find("alone")["reasons"] if code == "not-worth"][0]
    tap.diag(text)
    tap.check("it saved" in text and "tried again in" in text, text)
    tap.check('merge="on"' in remedy, remedy)
    tap.equal(scene.guests["alone"].console.verify(), 0, "wrong pages")


@tap.test
def who_comes_to_share_with_it_ends_the_pause(scene):
    tap.check("not-worth" in scene.codes("alone"), "alone is not stopped")
    scene.create("other", merge="auto")
    wait.until("alone to be tried again", lambda: scene.find("alone").get("mode") == "on", 30, 0.2,
               show=lambda: scene.find("alone"))
    wait.until("both to save what they have in common", lambda: sum(
        scene.find(name).get("saved_bytes", 0) for name in ("alone", "other")) >= COMMON_MIB * MIB, 180, 0.5,
        show=ksm.counters)
    for name in ("alone", "other"):
        tap.equal(scene.codes(name).count("not-worth"), 0, f"{name} is stopped")
        tap.equal(scene.guests[name].console.verify(), 0, f"wrong pages of {name}")


@tap.test
def what_is_ordered_is_not_judged(scene):
    scene.rig.virsh("metadata", PREFIX + "alone", "urn:memfold:policy:1", "--key", "memfold", "--set",
                    "<policy merge='on'/>", "--live")
    scene.guests["other"].destroy()
    before = ksm.counters()["full_scans"]
    wait.until("ksmd to sweep over what is left", lambda: ksm.counters()["full_scans"] >= before + 6, 240, 0.5,
               show=ksm.counters)
    wait.until("the accounts to show that it saves little", lambda: scene.find("alone").get(
        "saved_bytes", COMMON_MIB * MIB) < 8 * MIB, 60, 0.5, show=lambda: scene.find("alone"))
    tap.equal(scene.find("alone")["mode"], "on", "its mode")
    tap.equal(scene.codes("alone").count("not-worth"), 0, "reasons")


if __name__ == "__main__":
    tap.main(context=surroundings)
