#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A storm on a host of plain files: counters that run as if all domains rewrote their memory, for as long as they
are not paused.  The libvirtd is real, its domains are of its test driver."""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakehost  # noqa: E402
import libvirtd  # noqa: E402
import memfoldd  # noqa: E402
import session  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

MEMFOLD = sys.argv.pop(1)
PRIORITY = {"low": 10, "middle": 200, "high": 300}
UUID = {name: f"{number}1111111-1111-4111-8111-111111111111" for number, name in enumerate(PRIORITY, 1)}
PID = {name: 4711 + number for number, name in enumerate(PRIORITY)}
POLICY = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" merge="on" group="shared" priority="{}"/>'
PAGE = 4096
MIB = 1 << 20
SAVED_MIB, TOTAL_MIB, AT_HAND_MIB = 8000, 16000, 4800
OWN_KIB, MERGED_KIB = 40000, 2000000  # of each domain
# A second.  Without low the rest is far from a pause, also where an interval was measured at three times its rate.
RATE_MIB = {"low": 400, "middle": 100, "high": 100}
SCARCE_MIB = 1700  # no room for low, and enough for the others, also at the rate that was seen last
BEAT_SEC = 0.05
CONFIG = "[merge]\ncoverage-permyriad=0\n[daemon]\ntick-msec=1000\n[storm]\nhorizon-msec={horizon}\nreclaim=true\nballoon={balloon}\nsuspend={suspend}\n"


class Weather(threading.Thread):
    """Makes the host's figures move while `blows`: every domain that is not paused writes."""

    def __init__(self, host):
        super().__init__(daemon=True)
        self.host = host
        self.blows = False
        self.look = None  # finds out who is paused
        self.paused = set()
        self.at_hand_mib = AT_HAND_MIB
        self.written_pages = dict.fromkeys(PRIORITY, 0)
        self.ended = threading.Event()
        self.lock = threading.RLock()

    def rest(self, mib=None):
        """Nobody writes, or looks, any more when this returns, and so much is at hand if it is given."""
        with self.lock:
            self.blows = False
            self.leave(self.at_hand_mib if mib is None else mib)

    def leave(self, mib):
        """From now on so much is at hand, and the host's files say so when this returns."""
        with self.lock:
            self.at_hand_mib = mib
            self.show()

    def show(self):
        self.host.write("proc/meminfo", f"MemTotal: {TOTAL_MIB << 10} kB\nMemAvailable: {int(self.at_hand_mib * 1024)} kB\n"
                 f"SwapTotal: {1 << 20} kB\nSwapFree: {1 << 20} kB\n")
        self.host.write("proc/vmstat", f"cow_ksm {sum(self.written_pages.values())}\n")
        for name, pages in self.written_pages.items():
            self.host.write(f"proc/{PID[name]}/ksm_stat", f"ksm_rmap_items 0\nksm_zero_pages 0\nksm_cow_breaks {pages}\n")
            # A little of what was written shows in the accounts.
            rss_kib = OWN_KIB + MERGED_KIB + min(pages * PAGE >> 10, 10000)
            self.host.write(f"proc/{PID[name]}/smaps", fakehost.SMAPS_AREA.format(
                size=rss_kib, rss=rss_kib, pss=rss_kib - MERGED_KIB, ksm=MERGED_KIB, mg="mg "))

    def run(self):
        last = time.monotonic()
        while not self.ended.wait(BEAT_SEC):
            now = time.monotonic()
            with self.lock:
                # Who was paused a moment ago must not be seen to write on: memfoldd would pause the next one.
                if self.blows and self.look:
                    self.look()
                for name in PRIORITY:
                    if self.blows and name not in self.paused:
                        # A machine that stands still for a moment has no gust to make up for.
                        step_mib = RATE_MIB[name] * min(now - last, 4 * BEAT_SEC)
                        self.written_pages[name] += int(step_mib * MIB / PAGE)
                        self.at_hand_mib = max(0, self.at_hand_mib - step_mib)
                self.show()
            last = now


class Stage:
    MEMORY_KIB = 64 << 10  # of each domain

    def __init__(self, folder, environment):
        self.folder = folder
        self.host = fakehost.FakeHost(folder)
        self.host.set("pages_sharing", SAVED_MIB * MIB // PAGE)
        self.weather = Weather(self.host)
        for name in PID:
            self.add_qemu(name)
            self.host.write(self.reclaim_file(name), "")
        self.weather.show()
        self.libvirtd = session.Libvirtd(folder)
        self.daemon = memfoldd.Memfoldd(environment, folder, self.host.root, self.libvirtd.uri)

    def add_qemu(self, name):
        self.host.add_qemu(PID[name], name, UUID[name], ksm_kib=MERGED_KIB, saved_kib=MERGED_KIB)
        self.host.write(f"proc/{PID[name]}/cgroup", f"0::/{self.group(name)}/libvirt/emulator\n")

    def replace_qemu(self, name):
        """Has the domain another PID."""
        with self.weather.lock:
            self.host.remove_process(PID[name])
            PID[name] += 1000
            self.add_qemu(name)
            self.weather.show()

    def create(self, name):
        self.connection.createXML(session.domain(name, UUID[name], POLICY.format(PRIORITY[name])), 0)

    def known(self, *names):
        wait.until("the domains", lambda: set(names) <= set(self.daemon.describe()[2]), 20)
        wait.until("their accounts", lambda: all("saved_bytes" in self.daemon.domain(name) for name in names), 20)

    def left_kib(self, name):
        """What its balloon leaves it."""
        return self.connection.lookupByName(name).info()[2]

    @staticmethod
    def group(name):
        return f"machine.slice/machine-qemu\\x2d1\\x2d{name}.scope"

    def reclaim_file(self, name):
        return f"sys/fs/cgroup/{self.group(name)}/memory.reclaim"

    def reclaimed(self, name):
        with open(self.host.path(self.reclaim_file(name)), encoding="ascii") as file:
            return file.read() != ""

    def watch_pauses(self):
        """Has who is paused write no more."""
        paused = self.connection.listAllDomains(libvirtd.bindings().VIR_CONNECT_LIST_DOMAINS_PAUSED)
        self.weather.paused = {domain.name() for domain in paused}
        return self.weather.paused

    def begin(self, at_hand_mib=AT_HAND_MIB):
        """What is at hand, and nothing reclaimed or written yet: ksmd has swept twice."""
        self.host.set("full_scans", int(self.host.get("full_scans")) + 2)
        for name in PRIORITY:
            self.host.write(self.reclaim_file(name), "")
        self.weather.paused = set()
        self.weather.leave(at_hand_mib)
        self.lines = len(self.daemon.text())

    def said(self):
        """The log since the begin."""
        return self.daemon.text()[self.lines:]

    def configure(self, horizon=60000, suspend=False, balloon=False):
        self.daemon.configure(CONFIG.format(horizon=horizon, suspend=str(suspend).lower(), balloon=str(balloon).lower()))
        self.daemon.reload()
        self.weather.look = self.watch_pauses if suspend else None

    def says_paused(self, name):
        """Not only that it is being paused."""
        return any(text.startswith("paused by memfold") for _, text, _ in self.daemon.domain(name)["reasons"])

    def pause_low(self, told=True):
        """A storm that goes on, until low is paused and, unless told not to, memfoldd says so."""
        self.configure(horizon=26000, suspend=True)
        self.begin()
        self.weather.blows = True
        wait.until("low to be paused", lambda: "low" in self.watch_pauses(), 30, interval_sec=0.02)
        if told:
            wait.until("that to be told", lambda: self.says_paused("low"), 10)

    def calm(self):
        """Ends the storm, and waits until memfoldd says so, with room for all."""
        self.weather.rest(AT_HAND_MIB * 3)
        wait.until("the storm to be over", lambda: "storm" not in self.host_codes(), 30)
        wait.until("nobody to be paused", lambda: not self.watch_pauses(), 60)
        wait.until("ksmd to go on", lambda: self.host.get("run") == "1", 30)

    @contextlib.contextmanager
    def answers(self, how):
        """A memfoldd whose answers from libvirtd are LOST or LATE while the file is there that is given."""
        sign = pathlib.Path(self.folder, "answer")
        usual = self.daemon.environment
        self.daemon.stop()
        self.daemon.environment = {**usual, **memfoldd.preload("lost-answer"), f"{how}_ANSWER": str(sign)}
        try:
            self.daemon.start()
            wait.until("ksmd to be started", lambda: self.host.get("run") == "1", 20)
            sign.touch()
            yield sign
        finally:
            sign.unlink(missing_ok=True)
            self.daemon.stop()
            self.daemon.environment = usual
            self.daemon.start()

    @contextlib.contextmanager
    def one_answer_lost(self):
        """The next pause, or wish of a balloon, is done, and its connection cut before the answer."""
        with self.answers("LOST") as sign:
            yield
            tap.check(not sign.exists(), "no answer was lost")

    @contextlib.contextmanager
    def low_being_paused(self):
        """Low is paused, and memfoldd has no answer to that yet: it comes when the file goes that is given."""
        with self.answers("LATE") as sign:
            self.pause_low(told=False)
            self.weather.rest(SCARCE_MIB)
            yield sign

    def priority(self, name, priority):
        """Has memfoldd know that, and with it all that libvirtd has told before."""
        self.connection.lookupByName(name).setMetadata(
            libvirtd.bindings().VIR_DOMAIN_METADATA_ELEMENT, f'<policy merge="on" group="shared" priority="{priority}"/>', "memfold",
            "urn:memfold:policy:1", 0)
        wait.until(f"the priority of {name}", lambda: self.daemon.domain(name)["priority"] == priority, 20)

    def owes(self):
        return os.path.exists(f"{self.daemon.runtime}/owed")

    def nothing_owed(self):
        wait.until("nothing to be owed", lambda: not self.owes(), 60, show=self.daemon.text)

    def gone(self, name, words):
        """Ends a domain that memfold has paused, waits for what memfoldd says of that, and starts it again."""
        self.connection.lookupByName(name).destroy()
        wait.until("that to be told", lambda: re.search(f'domain "{name}": it has gone while memfold {words}.*virsh resume '
                                                        f'{name} there', self.said()), 20, show=self.said)
        self.create(name)
        self.known(name)

    def host_codes(self):
        return [code for code, *_ in self.daemon.describe()[1]]

    def codes(self, name):
        return [code for code, *_ in self.daemon.domain(name)["reasons"]]


@contextlib.contextmanager
def surroundings():
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        stage = Stage(folder, environment)
        with stage.libvirtd:
            stage.connection = stage.libvirtd.open()
            stage.connection.lookupByName("test").destroy()
            for name in PRIORITY:
                stage.create(name)
            stage.weather.start()
            try:
                with stage.daemon as daemon:
                    daemon.configure(CONFIG.format(horizon=60000, suspend="false", balloon="false"))
                    daemon.start()
                    stage.known(*PRIORITY)
                    wait.until("ksmd to be started", lambda: stage.host.get("run") == "1", 20)
                    yield stage
            finally:
                stage.weather.ended.set()
                stage.weather.join()


@tap.test
def a_storm_stops_ksmd_and_names_the_writers(stage):
    stage.begin()
    stage.weather.paused = {"middle"}
    stage.weather.blows = True
    started = time.monotonic()
    wait.until("ksmd to be stopped", lambda: stage.host.get("run") == "0", 20, interval_sec=0.02)
    tap.diag(f"ksmd was stopped after {int((time.monotonic() - started) * 1000)} ms")
    stage.daemon.wait_log("storm: merged memory is written at .* a second, most of it by (high|low)")
    tap.equal(stage.daemon.logged("most of it by .*middle"), 0, "lines that name the one that writes nothing")
    tap.check("storm" in stage.host_codes(), f"reasons of the host: {stage.host_codes()}")
    stage.calm()
    stage.daemon.wait_log("the storm is over")
    tap.equal(stage.daemon.logged("a storm: "), 1, "alerts of one storm")


@tap.test
def memory_is_reclaimed_of_the_lowest_first(stage):
    stage.begin(1500)
    stage.weather.blows = True
    wait.until("the highest to give way", lambda: stage.reclaimed("high"), 30)
    text = stage.said()
    places = [text.index(f"domain {name}: reclaim ") for name in PRIORITY]
    tap.equal(places, sorted(places), "places in the log of low, middle, high")
    tap.check("gives-way" in stage.codes("low"), f"reasons of low: {stage.codes('low')}")
    tap.equal(stage.watch_pauses(), set(), "who is paused although that is not allowed")
    stage.calm()


@tap.test
def the_lowest_is_paused_and_goes_on(stage):
    """The rate of all three leaves less than a quarter of the horizon, the rate of two leaves more."""
    stage.configure(horizon=26000, suspend=True)
    stage.begin()
    stage.weather.blows = True
    wait.until("somebody to be paused", stage.watch_pauses, 30, interval_sec=0.02)
    wait.until("that to be told", lambda: stage.says_paused("low"), 10)
    tap.equal(stage.watch_pauses(), {"low"}, "who is paused")
    stage.calm()
    stage.nothing_owed()


@tap.test
def a_crash_leaves_nobody_paused(stage):
    stage.pause_low(told=False)
    stage.weather.rest()
    stage.daemon.kill()
    stage.weather.leave(100)
    stage.daemon.start()
    stage.daemon.wait_log('domain "low": an earlier memfoldd left it paused')
    wait.until("that to be told", lambda: stage.says_paused("low"), 20)
    plan = json.loads(subprocess.run([MEMFOLD, "plan", "--json"], env=stage.daemon.environment, text=True,
                                     capture_output=True, check=True, timeout=30).stdout)
    tap.equal([a for a in plan["actions"] if a["kind"] == "resume"], [], "resumptions without room")
    tap.check("low" in stage.watch_pauses(), "low runs although there is no room for it")
    wait.until("what is missing to be told of the host", lambda: "suspended" in stage.host_codes(), 20,
               show=lambda: stage.daemon.describe()[1])
    status = subprocess.run([MEMFOLD, "status"], env=stage.daemon.environment, text=True, capture_output=True,
                            check=True, timeout=30).stdout
    tap.check('"low", the first to go on, lacks 2.1 GiB' in status and "virsh resume low" in status, status)
    stage.calm()


@tap.test
def a_pause_whose_answer_is_lost_ends(stage):
    with stage.one_answer_lost():
        stage.pause_low(told=False)
        stage.daemon.wait_log('domain "low": whether it is paused is not known')
        wait.until("that to be told", lambda: stage.says_paused("low"), 10)
        tap.check(stage.owes(), "nobody wrote down what is owed")
        stage.calm()
        stage.nothing_owed()


@tap.test
def a_balloon_whose_answer_is_lost_is_given_back(stage):
    stage.configure(balloon=True)
    with stage.one_answer_lost():
        stage.begin()
        stage.weather.blows = True
        wait.until("low to give way", lambda: stage.left_kib("low") < stage.MEMORY_KIB, 30, interval_sec=0.02)
        stage.calm()
        wait.until("all to have their memory", lambda: all(stage.left_kib(name) == stage.MEMORY_KIB for name in PRIORITY),
                   60, show=stage.daemon.text)
        stage.nothing_owed()


@tap.test
def one_that_somebody_else_resumed_is_not_memfolds(stage):
    """While memfoldd looks, and while it is dead; what is paused after that is left alone."""
    for dies in (False, True):
        told = stage.daemon.logged('"low": memfold had paused it, and somebody else has it go on')
        stage.pause_low()
        stage.weather.rest(SCARCE_MIB)
        if dies:
            stage.daemon.kill()
        stage.connection.lookupByName("low").resume()
        if dies:
            stage.daemon.start()
        stage.daemon.wait_log('"low": memfold had paused it, and somebody else has it go on', told + 1)
        wait.until("that to be told", lambda: "suspended" not in stage.codes("low"), 20)
        tap.equal(stage.watch_pauses(), set(), f"who is paused (memfoldd died: {dies})")
        stage.nothing_owed()
        stage.connection.lookupByName("low").suspend()
        stage.weather.leave(AT_HAND_MIB * 3)
        wait.until("the storm to be over", lambda: "storm" not in stage.host_codes(), 30)
        wait.until("ksmd to go on", lambda: stage.host.get("run") == "1", 30)
        tap.equal(stage.watch_pauses(), {"low"}, f"who is paused by somebody else (memfoldd died: {dies})")
        stage.connection.lookupByName("low").resume()
        stage.calm()


@tap.test
def another_qemu_of_the_same_domain_is_owed_nothing(stage):
    """It was stopped and started, and nobody has told memfoldd."""
    stage.pause_low()
    stage.weather.rest(SCARCE_MIB)
    stage.replace_qemu("low")
    wait.until("that to be forgotten", lambda: "suspended" not in stage.codes("low"), 20, show=stage.daemon.text)
    stage.connection.lookupByName("low").resume()
    stage.calm()


@tap.test
def one_that_somebody_else_paused_is_left_alone(stage):
    stage.configure(horizon=26000, suspend=True)
    stage.begin(1200)
    stage.connection.lookupByName("low").suspend()
    stage.weather.blows = True
    wait.until("a pause of memfold's own", lambda: len(stage.watch_pauses()) > 1, 30, interval_sec=0.02)
    stage.weather.rest(AT_HAND_MIB * 3)
    wait.until("the others to go on", lambda: stage.watch_pauses() == {"low"}, 60)
    wait.until("the storm to be over", lambda: "storm" not in stage.host_codes(), 30)
    stage.nothing_owed()
    stage.connection.lookupByName("low").resume()
    stage.calm()


@tap.test
def a_frozen_libvirtd_does_not_stop_the_guard(stage):
    stage.configure(horizon=26000, suspend=True)
    stage.begin(1500)
    stage.weather.look = None  # it would wait for that libvirtd
    stage.libvirtd.freeze()
    try:
        stage.weather.blows = True
        started = time.monotonic()
        wait.until("ksmd to be stopped", lambda: stage.host.get("run") == "0", 10, interval_sec=0.02)
        wait.until("memory to be reclaimed", lambda: stage.reclaimed("low"), 10, interval_sec=0.02)
        tap.diag(f"both after {int((time.monotonic() - started) * 1000)} ms")
        wait.until("the highest to be asked when the pauses of the others are overdue",
                   lambda: "domain high: running -> paused" in stage.said(), 20)
    finally:
        stage.libvirtd.thaw()
    stage.calm()


@tap.test
def its_end_says_who_is_still_paused(stage):
    stage.pause_low(told=False)
    stage.weather.rest()
    tap.equal(stage.daemon.stop(), 0, "exit status")
    tap.equal(stage.daemon.logged(f"virsh resume {UUID['low']}"), 1, "lines that say how to resume low")
    stage.daemon.start()
    stage.calm()


@tap.test
def its_end_says_whose_balloon_is_filled(stage):
    stage.configure(balloon=True)
    stage.begin()
    stage.weather.blows = True
    wait.until("low to give way", lambda: stage.left_kib("low") < stage.MEMORY_KIB, 30, interval_sec=0.02)
    stage.weather.rest(1)
    tap.equal(stage.daemon.stop(), 0, "exit status")
    tap.equal(stage.daemon.logged(f"or: virsh setmem {UUID['low']} {stage.MEMORY_KIB} --live"), 1,
              "lines that say how to give it back")
    stage.daemon.start()
    stage.calm()
    stage.nothing_owed()


@tap.test
def one_that_goes_while_it_is_paused_is_told(stage):
    """It may have been migrated, and nobody knows there that it is to be resumed."""
    stage.pause_low()
    stage.weather.rest()
    stage.gone("low", "had it paused; .* it stays paused")
    stage.calm()


@tap.test
def one_that_somebody_else_resumes_at_once_is_not_memfolds(stage):
    """What libvirt tells of that comes before its answer about the pause."""
    told = stage.daemon.logged('"low": memfold had paused it, and somebody else has it go on')
    with stage.low_being_paused() as late:
        stage.connection.lookupByName("low").resume()
        stage.priority("high", 301)
        late.unlink()
        stage.daemon.wait_log('"low": memfold had paused it, and somebody else has it go on', told + 1)
        wait.until("that to be told", lambda: "suspended" not in stage.codes("low"), 20)
        stage.nothing_owed()
        stage.priority("high", PRIORITY["high"])
        stage.calm()


@tap.test
def one_that_goes_while_it_is_being_paused_is_told(stage):
    with stage.low_being_paused() as late:
        stage.gone("low", "was pausing it; .* it may stay paused")
        late.unlink()
        stage.calm()
    stage.nothing_owed()


@tap.test
def one_whose_qemu_is_stopped_is_not_asked(stage):
    stage.host.write(f"proc/{PID['low']}/stat", f"{PID['low']} (qemu) T 1{' 0' * 48}\n")
    stage.configure(horizon=26000, suspend=True)
    stage.begin()
    stage.weather.blows = True
    stage.daemon.wait_log('"low": suspend: its QEMU is stopped')
    stage.add_qemu("low")
    stage.calm()


if __name__ == "__main__":
    tap.main(context=surroundings)
