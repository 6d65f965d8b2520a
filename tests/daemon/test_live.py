#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A changed will takes effect within two seconds, on real QEMUs, and on nobody else.

What the others' QEMUs do is told by themselves: each event of theirs about merging is written down.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import libvirtd  # noqa: E402
import memfold  # noqa: E402
import smaps  # noqa: E402
import tap  # noqa: E402
import virthost  # noqa: E402
import wait  # noqa: E402

LIVE_SEC = 2.0
MIB = 32
SHARED = "group='shared'"
# One without a policy is merged where default-group says so.
DOMAINS = {"one": SHARED, "two": SHARED, "refuser": f"merge='off' {SHARED}", "plain": None}
CONFIG = "[merge]\ndefault-group={group}\n[ksmd]\nmin-pages-to-scan={least}\nmax-pages-to-scan={most}\n"
EVENT = "MEMORY_MERGE_CHANGE"


class Scene:
    def __init__(self, host, daemon, events):
        self.host, self.daemon = host, daemon
        self.events = events
        # Each tells by itself that its mode is another one.
        answer = host.virsh("qemu-monitor-command", "one", '{"execute": "query-memory-merge"}').stdout
        self.blocks_count = len(json.loads(answer)["return"]["blocks"])

    def ram_is_mergeable(self, name):
        return smaps.guest_ram(self.host.pid(name), MIB << 20).mergeable

    def cli(self, *words):
        done = subprocess.run([memfold.program("memfold"), *words], env=self.daemon.environment, text=True,
                              capture_output=True, check=False, timeout=30)
        tap.equal(done.returncode, 0, f"memfold {' '.join(words)}: {done.stderr}")

    def configure(self, group="isolated", least=100, most=200000):
        self.daemon.configure(CONFIG.format(group=group, least=least, most=most))

    def events_of(self):
        """{name: events about merging that its QEMU has sent}"""
        with open(self.events, encoding="utf-8") as file:
            text = file.read()
        return {name: text.count(f"for domain '{name}'") for name in DOMAINS}

    def others(self, name):
        """What must stay as it is when that domain is switched."""
        told = self.events_of()
        domains = self.daemon.describe()[2]
        return {other: (domains[other]["mode"], told[other],
                        self.daemon.logged(f'domain "{other}": memory merging is'))
                for other in DOMAINS if other != name}

    @contextlib.contextmanager
    def takes_effect(self, what, name, mergeable):
        """The body changes the will; the RAM of that domain's QEMU must follow in time, and no other one's."""
        before, told = self.others(name), self.events_of()[name]
        started = time.monotonic()
        yield
        wait.until(f"{what} to reach QEMU", lambda: self.ram_is_mergeable(name) == mergeable,
                   LIVE_SEC - (time.monotonic() - started), interval_sec=0.01,
                   show=lambda: self.daemon.domain(name))
        tap.diag(f"{what}: {int((time.monotonic() - started) * 1000)} ms")
        mode = "on" if mergeable else "off"
        wait.until("it to be told", lambda: self.daemon.domain(name)["mode"] == mode, LIVE_SEC)
        # virsh may be late to write down what it is told; another one's event would not come later than these.
        wait.until("its QEMU's events", lambda: self.events_of()[name] >= told + self.blocks_count, 20, show=self.events_of)
        tap.equal(self.others(name), before, f"the others' (mode, events, switches) after {what}")


@contextlib.contextmanager
def surroundings():
    emulator = os.environ.get("MEMFOLD_QEMU")
    if not emulator or not os.path.exists(emulator):
        raise tap.Skip("no QEMU to test with: MEMFOLD_QEMU")
    with tempfile.TemporaryDirectory(prefix="memfold-live-", dir="/run") as folder, bus.private() as environment:
        with virthost.Host(folder, "alpha") as host, contextlib.ExitStack() as stack:
            for name, attributes in DOMAINS.items():
                host.create(name, emulator, attributes, mib=MIB)
            events = f"{folder}/events"
            with open(events, "w", encoding="utf-8") as file:
                listener = subprocess.Popen(["virsh", "-c", host.uri, "qemu-monitor-event", "--loop", "--event", EVENT],
                                            stdin=subprocess.PIPE, stdout=file, env=libvirtd.ENVIRONMENT)
            stack.callback(listener.wait)
            stack.callback(listener.terminate)
            daemon = stack.enter_context(host.memfoldd(environment))
            scene = Scene(host, daemon, events)
            scene.configure()
            daemon.start()
            for name, mode in (("one", "on"), ("two", "on"), ("refuser", "off"), ("plain", "off")):
                wait.until(f"{name} to be {mode}", lambda: daemon.describe()[2].get(name, {}).get("mode") == mode, 60,
                           show=daemon.describe)
            yield scene


@tap.test
def virsh_metadata_takes_effect(scene):
    with scene.takes_effect("virsh metadata, off", "one", False):
        scene.host.set_policy("one", f"merge='off' {SHARED}")
    with scene.takes_effect("virsh metadata, on", "one", True):
        scene.host.set_policy("one", f"merge='on' {SHARED}")


@tap.test
def memfold_set_takes_effect(scene):
    with scene.takes_effect("memfold set merge=off", "two", False):
        scene.cli("set", "two", "merge=off")
    with scene.takes_effect("memfold set merge=on", "two", True):
        scene.cli("set", "two", "merge=on")
    with scene.takes_effect("memfold set group=a, which this kernel can't keep apart", "two", False):
        scene.cli("set", "two", "group=a")
    with scene.takes_effect("memfold set group=shared", "two", True):
        scene.cli("set", "two", "group=shared")


@tap.test
def a_reload_takes_effect(scene):
    scene.configure(group="shared")
    with scene.takes_effect("default-group=shared", "plain", True):
        scene.cli("reload")
    scene.configure()
    with scene.takes_effect("default-group=isolated", "plain", False):
        scene.cli("reload")


@tap.test
def a_new_bound_reaches_the_knob(scene):
    before = scene.others(None)
    files = scene.host.files
    wait.until("ksmd to run", lambda: files.get("run") == "1", 10)
    # How fast ksmd is within its bounds depends on what it is measured to need; the bounds hold at once.
    for least, most in ((70000, 80000), (10, 50)):
        scene.configure(least=least, most=most)
        started = time.monotonic()
        scene.cli("reload")
        wait.until(f"pages_to_scan to be {least} to {most}",
                   lambda: least <= int(files.get("pages_to_scan") or 0) <= most, LIVE_SEC,
                   interval_sec=0.01, show=files.knobs)
        tap.diag(f"{least} to {most}: {int((time.monotonic() - started) * 1000)} ms")
    tap.equal(scene.others(None), before, "all (modes, events, switches) after new bounds")


if __name__ == "__main__":
    tap.main(context=surroundings)
