#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Balloons in a storm, with guests: a Linux that has the driver, and one without.

libvirt, QEMU, guests and memfoldd's calls are real; that memory is short is told by files in the place of
/proc/meminfo and /proc/vmstat.

Usage: test_balloon_real.py MEMFOLD [TEST...]
"""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import domain  # noqa: E402
import guest  # noqa: E402
import rig  # noqa: E402
import tap  # noqa: E402
import virthost  # noqa: E402
import wait  # noqa: E402

MEMFOLD = sys.argv.pop(1)
MIB = 1 << 20
PAGE = 4096
RAM_MIB = {"driven": 256, "bare": 48, "deaf": 64}
PRIORITY = {"driven": 50, "bare": 20, "deaf": 10}
ARGS = {"driven": "seed=3 common_mib=24 unique_mib=16", "bare": "seed=3 common_mib=8",
        "deaf": "seed=3 common_mib=8 unique_mib=8"}
TOUCHED_MIB = 128
TOTAL_MIB, SAVED_MIB, SHORT_MIB, ROOMY_MIB = 16000, 8000, 4000, 14000
RATE_MIB = 400  # of merged memory that is written, a second
BEAT_SEC = 0.05
CONFIG = "[merge]\ndefault-group=shared\ncoverage-permyriad=0\nreserve-permyriad=0\n[daemon]\ntick-msec=500\n" \
         "[storm]\nhorizon-msec={horizon}\nreclaim=false\nballoon=true\nsuspend={suspend}\n"


class Weather(threading.Thread):
    """What the host says of its memory: while `blows`, merged memory is written and what is at hand gets less."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.files = {name: f"{folder}/{name}" for name in ("meminfo", "vmstat")}
        self.blows = False
        self.at_hand_mib = float(ROOMY_MIB)
        self.written_pages = 0
        self.ended = threading.Event()
        self.lock = threading.Lock()
        for path in self.files.values():
            pathlib.Path(path).touch()
        self.show()

    def _put(self, name, text):
        # In place, for memfoldd has this very file mounted; of one length, so that nobody reads a part.
        with open(self.files[name], "r+", encoding="ascii") as file:
            file.write(text)

    def show(self):
        self._put("meminfo", f"MemTotal: {TOTAL_MIB << 10:12} kB\nMemAvailable: {int(self.at_hand_mib * 1024):12} kB\n"
                  f"SwapTotal: {0:12} kB\nSwapFree: {0:12} kB\n")
        self._put("vmstat", f"cow_ksm {self.written_pages:12}\n")

    def run(self):
        last = time.monotonic()
        while not self.ended.wait(BEAT_SEC):
            now = time.monotonic()
            with self.lock:
                if self.blows:
                    self.written_pages += int(RATE_MIB * (now - last) * MIB / PAGE)
                    self.at_hand_mib = max(SHORT_MIB / 4, self.at_hand_mib - RATE_MIB * (now - last))
                self.show()
            last = now

    def set(self, blows, at_hand_mib):
        with self.lock:
            self.blows, self.at_hand_mib = blows, float(at_hand_mib)
            self.show()


class Guest:
    def __init__(self, scene, name, **files):
        self.host, self.name = scene.host, name
        policy = {"merge": "on", "group": "shared", "priority": str(PRIORITY[name])}
        spec = domain.Domain(name, scene.emulator, f"{scene.folder}/{name}.console", RAM_MIB[name], ARGS[name],
                             policy=policy, balloon=name != "bare", **files)
        self.host.create_xml(name, spec.xml())
        self.console = guest.Console(spec.console)
        self.console.wait_ready(120)
        self.console.settle()

    def host_figures(self):
        """(what its balloon leaves it, what QEMU has of the host), in MiB."""
        words = dict(line.split() for line in self.host.virsh("dommemstat", self.name).stdout.splitlines() if line)
        return int(words["actual"]) >> 10, int(words["rss"]) >> 10

    @property
    def left_mib(self):
        return self.host_figures()[0]

    def own_mib(self):
        """What the guest's kernel has and what of it is available, as it says."""
        said = self.console.info()
        return said.ram_pages * PAGE >> 20, said.available_pages * PAGE >> 20

    def state(self):
        return self.host.virsh("domstate", self.name).stdout.strip()


class Scene:
    def __init__(self, folder, emulator, host, daemon):
        self.folder, self.emulator, self.host, self.daemon = folder, emulator, host, daemon
        self.weather = Weather(folder)

    def set_up(self):
        for name, path in self.weather.files.items():
            self.host.replace(f"proc/{name}", path)
        self.host.files.set("pages_sharing", SAVED_MIB * MIB // PAGE)
        files = rig.guest_directory()
        if not os.path.exists(f"{files}/linux.kernel"):
            raise tap.Skip("the Linux guest is not built: tests/guest/build.sh without --tiny-only")
        self.driven = Guest(self, "driven", kernel=f"{files}/linux.kernel", initramfs=f"{files}/linux.initramfs")
        self.driven.console.touch(TOUCHED_MIB)
        self.configure()
        self.daemon.start()
        self.weather.start()
        self.known("driven")

    def known(self, name):
        wait.until(f"the figures of {name}", lambda: "resident_bytes" in self.daemon.describe()[2].get(name, {}), 30,
                   show=lambda: (self.daemon.describe()[2], self.daemon.text()[-2000:]))

    def configure(self, horizon=120000, suspend="false"):
        self.daemon.configure(CONFIG.format(horizon=horizon, suspend=suspend))
        if self.daemon.process and self.daemon.process.poll() is None:
            self.daemon.reload()

    def storm(self):
        """Merged memory is written, and the balloon of `driven` takes what it can."""
        self.host.files.set("full_scans", int(self.host.files.get("full_scans")) + 2)
        self.weather.set(True, SHORT_MIB)
        # No guest is left with less than a half; how much of that is asked for depends on what it holds.
        wait.until("the balloon to be filled", lambda: self.driven.left_mib < RAM_MIB["driven"] - 60, 30,
                   show=lambda: self.daemon.text()[-3000:])
        self.daemon.wait_log('domain "driven": its balloon has taken', self.taken + 1)
        self.taken += 1

    taken = 0

    def calm(self, at_hand_mib):
        self.weather.set(False, at_hand_mib)
        wait.until("the storm to be over", lambda: "storm" not in [code for code, *_ in self.daemon.describe()[1]], 30)

    def wait_left(self, mib, why):
        wait.until(why, lambda: self.driven.left_mib == mib, 40, show=lambda: (
            self.driven.host_figures(), self.daemon.domain("driven")["reasons"], self.daemon.text()[-2000:]))

    def owes(self):
        return os.path.exists(f"{self.daemon.runtime}/owed")

    def wait_no_debt(self, deadline_sec=20):
        wait.until("nothing to be owed", lambda: not self.owes() and "balloon" not in self.why("driven"), deadline_sec,
                   show=lambda: (self.why("driven"), self.daemon.text()[-2000:]))

    def why(self, name):
        return subprocess.run([MEMFOLD, "why", name], env=self.daemon.environment, text=True, capture_output=True,
                              check=True, timeout=30).stdout


@contextlib.contextmanager
def surroundings():
    emulator = rig.our_qemu()
    with tempfile.TemporaryDirectory(prefix="memfold-balloon-", dir="/run") as folder, bus.private() as environment, \
            virthost.Host(folder, "short") as host, host.memfoldd(environment) as daemon:
        scene = Scene(folder, emulator, host, daemon)
        try:
            scene.set_up()
            yield scene
        finally:
            scene.weather.ended.set()


@tap.test
def the_guest_gives_memory_back(scene):
    driven = scene.driven
    own_mib, available_mib = driven.own_mib()
    left_mib, rss_mib = driven.host_figures()
    tap.equal(left_mib, RAM_MIB["driven"], "what the guest has before")
    scene.storm()
    left_mib, rss_now_mib = driven.host_figures()
    given_mib = RAM_MIB["driven"] - left_mib
    own_now_mib, available_now_mib = driven.own_mib()
    tap.diag(f"given {given_mib} MiB: RSS {rss_mib} -> {rss_now_mib}, the guest's MemTotal {own_mib} -> {own_now_mib}, "
             f"MemAvailable {available_mib} -> {available_now_mib} MiB")
    tap.check(left_mib >= RAM_MIB["driven"] // 2, f"only {left_mib} MiB are left to the guest")
    tap.check(abs(own_mib - own_now_mib - given_mib) <= 2, "what the guest misses is not what libvirt says it gave")
    tap.check(available_mib - available_now_mib >= given_mib * 3 // 4, "the guest has as much available as before")
    tap.check(rss_mib - rss_now_mib >= given_mib // 2, "the host has not got back what the guest gave")
    tap.equal(driven.console.verify(), 0, "bad pages")
    taken = f"its balloon has taken {given_mib}.0 MiB of {given_mib}.0 MiB"
    # It looks once a second.
    wait.until("why to tell all of it", lambda: taken in scene.why("driven"), 20, show=lambda: scene.why("driven"))
    tap.check("(priority 50)" in scene.why("driven"), scene.why("driven"))
    tap.check(scene.daemon.logged(r"domain driven: balloon .*in a storm, its balloon takes up to"), "not in the log")
    tap.check(scene.owes(), "nobody wrote down what is owed")


@tap.test
def it_is_given_back_when_there_is_room(scene):
    scene.calm(50)
    wait.until("what it waits for to be told", lambda: "gives them back when" in scene.why("driven"), 10,
               show=lambda: scene.why("driven"))
    tap.check(scene.driven.left_mib < RAM_MIB["driven"], "it was given back without room")
    scene.calm(ROOMY_MIB)
    scene.wait_left(RAM_MIB["driven"], "all to be given back")
    scene.wait_no_debt()
    tap.equal(scene.driven.console.verify(), 0, "bad pages")


@tap.test
def a_crash_loses_nothing(scene):
    scene.storm()
    left_mib = scene.driven.left_mib
    scene.daemon.kill()
    scene.weather.set(False, 50)
    scene.daemon.start()
    scene.daemon.wait_log('domain "driven": an earlier memfoldd left it with a filled balloon')
    wait.until("its state to be told", lambda: f"its balloon has taken {RAM_MIB['driven'] - left_mib}.0 MiB, and gives"
               in scene.why("driven"), 20, show=lambda: scene.why("driven"))
    tap.equal(scene.driven.left_mib, left_mib, "what it has while there is no room")
    scene.weather.set(False, ROOMY_MIB)
    scene.wait_left(RAM_MIB["driven"], "all to be given back after the crash")
    scene.wait_no_debt()
    tap.equal(scene.driven.console.verify(), 0, "bad pages")


@tap.test
def the_administrator_wins(scene):
    """With memfoldd there, and while it is dead."""
    for dies in (False, True):
        scene.storm()
        if dies:
            scene.daemon.kill()
        wanted_mib = RAM_MIB["driven"] - 20
        scene.host.virsh("setmem", "driven", f"{wanted_mib}M", "--live")
        wait.until("virsh setmem", lambda: scene.driven.left_mib == wanted_mib, 20)
        if dies:
            scene.weather.set(False, SHORT_MIB)
            scene.daemon.start()
            scene.known("driven")
        else:
            wait.until("that to be told", lambda: f"leaves it {wanted_mib}.0 MiB" in scene.why("driven"), 10,
                       show=lambda: scene.why("driven"))
        scene.calm(ROOMY_MIB)
        # A guest that starts anew looks like that, too, but not for half a minute.
        scene.wait_no_debt(60)
        tap.equal(scene.driven.left_mib, wanted_mib, f"what the guest has (memfoldd died: {dies})")
        tap.equal(scene.daemon.logged("domain driven: balloon 0 B .*somebody else has set its balloon"), dies + 1,
                  "lines in the log that say so")
        tap.equal(scene.daemon.logged(f"WARNING.*virsh setmem driven {RAM_MIB['driven'] << 10} --live"), dies + 1,
                  "lines that say how to give it back all the same")
        scene.host.virsh("setmem", "driven", f"{RAM_MIB['driven']}M", "--live")
        scene.wait_left(RAM_MIB["driven"], "virsh setmem to what it had")
    tap.equal(scene.driven.console.verify(), 0, "bad pages")


@tap.test
def one_without_a_driver_is_told_and_passed(scene):
    """It comes first, gives nothing, the next one is asked, and it is paused when time is short; one without
    even a balloon is told as such."""
    deaf, bare = (Guest(scene, name, rom=f"{rig.guest_directory()}/tiny.rom") for name in ("deaf", "bare"))
    for each in (deaf, bare):
        scene.known(each.name)
    scene.storm()
    scene.daemon.wait_log('WARNING.*domain "bare": balloon: libvirt: .*without the balloon device')
    scene.daemon.wait_log('WARNING.*domain "deaf": its balloon was asked for .* and has given nothing')
    why = scene.why("deaf")
    tap.check("has given nothing" in why and "load virtio_balloon" in why, why)
    tap.equal(deaf.left_mib, RAM_MIB["deaf"], "what it has")
    text = scene.daemon.text()
    tap.check(text.rindex("domain deaf: balloon") < text.rindex("domain driven: balloon"), "the order of priorities")
    scene.configure(horizon=200000, suspend="true")
    wait.until("it to be paused", lambda: deaf.state() == "paused", 20, show=lambda: scene.daemon.text()[-2000:])
    scene.configure()
    scene.calm(ROOMY_MIB)
    for each in (deaf, bare):
        wait.until(f"{each.name} to run", lambda name=each: name.state() == "running", 60, show=scene.daemon.text)
    scene.wait_no_debt()
    for each in (deaf, bare, scene.driven):
        tap.equal(each.console.verify(), 0, f"bad pages of {each.name}")
    for each in (deaf, scene.driven):
        tap.equal(each.left_mib, RAM_MIB[each.name], f"what {each.name} has at the end")


if __name__ == "__main__":
    tap.main(context=surroundings)
