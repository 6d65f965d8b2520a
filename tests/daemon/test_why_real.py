#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`memfold why` of domains that are real: at first ksmd has not looked at them, then nothing is wrong, and
a block that somebody switches off is named."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import ksm  # noqa: E402
import memfoldd  # noqa: E402
import rig  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

MEMFOLD = sys.argv.pop(1)
PREFIX = "memfold-test-why-"
CONFIG = "[daemon]\ntick-msec=200\naccounting-interval-msec=1000\n"


class Scene:
    def __init__(self, domains, daemon):
        self.rig = domains
        self.daemon = daemon
        self.guests = {}

    def create(self, name):
        guest = self.rig.create(self.rig.tiny(name, 64, "seed=7 common_mib=24", policy={"group": "shared"}))
        guest.console.wait_ready()
        self.guests[name] = guest

    def why(self, name):
        done = subprocess.run([MEMFOLD, "why", "--json", PREFIX + name], env=self.daemon.environment, text=True,
                              capture_output=True, check=False, timeout=30)
        return json.loads(done.stdout) if done.returncode == 0 else {"reasons": []}

    def told(self, name, code):
        return next((r for r in self.why(name)["reasons"] if r["code"] == code), None)


@contextlib.contextmanager
def surroundings():
    emulator = rig.our_qemu()
    if not os.access(f"{ksm.DIRECTORY}/run", os.W_OK):
        raise tap.Skip("only root can write KSM's knobs, where there is KSM")
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        with ksm.borrowed(run=0), rig.Rig(PREFIX, emulator) as domains:
            domains.refuse_strangers()
            with memfoldd.Memfoldd(environment, folder, uri="qemu:///system") as daemon:
                daemon.configure(CONFIG)
                scene = Scene(domains, daemon)
                for name in ("a", "b"):
                    scene.create(name)
                daemon.start()
                yield scene
                daemon.stop()


@tap.test
def at_first_ksmd_has_not_looked_at_it_twice(scene):
    found = wait.until("not-scanned", lambda: scene.told("a", "not-scanned"), 30, show=lambda: scene.why("a"))
    tap.diag(found["text"])


@tap.test
def then_it_merges_and_nothing_is_wrong(scene):
    for name in ("a", "b"):
        found = wait.until(f"nothing to be wrong with {name}",
                           lambda n=name: (w := scene.why(n)).get("nothing_is_wrong") and w, 120,
                           show=lambda n=name: scene.why(n))
        tap.check(found["merged_bytes"] > 20 << 20, f"merged of {name}: {found['merged_bytes']}")


@tap.test
def a_block_that_is_switched_off_is_named(scene):
    guest = scene.guests["a"]
    guest.qmp("set-memory-merge", mode="off", id="pc.ram")
    found = wait.until("block-unmarked", lambda: scene.told("a", "block-unmarked"), 30,
                       show=lambda: scene.why("a"))
    tap.diag(found["text"])
    tap.check('"pc.ram" (64.0 MiB)' in found["text"] and "policy" in found["text"], found["text"])
    tap.check("set-memory-merge" in found["remedy"], found["remedy"])
    tap.equal(scene.told("b", "block-unmarked"), None, "block-unmarked of the other one")
    guest.qmp("set-memory-merge", mode="on", id="pc.ram")
    wait.until("it to be gone", lambda: not scene.told("a", "block-unmarked"), 30, show=lambda: scene.why("a"))


if __name__ == "__main__":
    tap.main(context=surroundings)
