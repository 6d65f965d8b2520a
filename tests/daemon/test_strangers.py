#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes of anybody's hold up nobody: one that holds its memory lock has those wait who read its figures."""

import contextlib
import os
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakehost  # noqa: E402
import memfoldd  # noqa: E402
import session  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

UUID = "11111111-1111-4111-8111-111111111111"
MERGING = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" merge="on" group="shared"/>'
STRANGER = 300
IN_THE_WAY = rf"other processes that merge: process {STRANGER} \(bash\) keeps waiting"
OF_A_USER = "Name:\tbash\nUid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\n"
CONFIG = "[daemon]\ntick-msec=100\naccounting-interval-msec=500\n"
LATE_TICK = "a tick has not ended for"
# A stop that waits for nothing but workers that hang takes two seconds.
STOP_SEC = 5


class Scene:
    def __init__(self, daemon, host, sign):
        self.daemon, self.host, self.sign = daemon, host, sign

    def slow(self, end):
        """Reading files whose paths end so takes until fast()."""
        self.sign.write_text(end, encoding="ascii")

    def fast(self):
        self.sign.unlink()

    def figures(self):
        return self.daemon.describe()[0]

    def another_round(self):
        """Accounts that are younger than those that there were."""
        begun = time.monotonic()
        wait.until("another round", lambda: self.daemon.domain("vm1")["age_msec"] < (time.monotonic() - begun) * 1000, 60)

    def ticks_go_on(self):
        """A knob is written that is wanted."""
        want = "21" if self.host.get("sleep_millisecs") == "20" else "20"
        self.daemon.configure(f"{CONFIG}[ksmd]\nsleep-msec={want}\n")
        self.daemon.reload()
        wait.until("a knob to be written", lambda: self.host.get("sleep_millisecs") == want, 20)

    def stop(self):
        begun = time.monotonic()
        tap.equal(self.daemon.stop(), 0, "exit status")
        tap.check(time.monotonic() - begun < STOP_SEC, f"the stop took {time.monotonic() - begun:.1f} s")
        tap.equal(self.host.knobs(), {k: str(fakehost.KSM[k]) for k in fakehost.KNOBS}, "knobs")


@contextlib.contextmanager
def surroundings():
    """A memfoldd that has started ksmd for its one domain, and a process that merges."""
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        host = fakehost.FakeHost(folder)
        host.add_qemu(4711, "vm1", UUID)
        host.add_qemu(STRANGER, "chrome", "no-domain", ksm_kib=400, saved_kib=200)
        host.add_process(STRANGER, "bash", ("bash", "/usr/sbin/ksmtuned"))
        host.write(f"proc/{STRANGER}/status", OF_A_USER)
        uri = session.write_node(f"{folder}/node.xml", session.domain("vm1", UUID, MERGING))
        sign = pathlib.Path(folder, "slow")
        slow = {**environment, **memfoldd.preload("slow-file"), "SLOW_FILE": str(sign)}
        with memfoldd.Memfoldd(slow, folder, host.root, uri) as daemon:
            daemon.configure(CONFIG)
            daemon.start()
            wait.until("ksmd to be started", lambda: host.get("run") == "1", 20)
            wait.until("the process to be accounted",
                       lambda: daemon.describe()[0].get("other_saved_bytes") == 200 * 1024, 20)
            try:
                yield Scene(daemon, host, sign)
            finally:
                sign.unlink(missing_ok=True)


@tap.test
def who_can_not_be_read_is_not_waited_for():
    with surroundings() as scene:
        for file in ("ksm_stat", "smaps"):
            told = scene.daemon.logged(IN_THE_WAY)
            scene.slow(f"proc/{STRANGER}/{file}")
            scene.daemon.wait_log(IN_THE_WAY, told + 1)
            wait.until("what others save to be absent", lambda: "other_saved_bytes" not in scene.figures(), 20)
            tap.check("saved_bytes" in scene.daemon.domain("vm1"), "nor is the domain accounted")
            scene.ticks_go_on()
            # Rounds follow, each of which finds the worker of the first one.
            threads = len(os.listdir(f"/proc/{scene.daemon.process.pid}/task"))
            for _ in range(2):
                scene.another_round()
            tap.check(len(os.listdir(f"/proc/{scene.daemon.process.pid}/task")) <= threads + 1, "threads pile up")
            tap.equal(scene.daemon.logged(IN_THE_WAY), told + 1, "how often it is told")
            scene.fast()
            wait.until("what others save to be known", lambda: "other_saved_bytes" in scene.figures(), 20)
        scene.slow(f"proc/{STRANGER}/ksm_stat")
        wait.until("what others save to be absent", lambda: "other_saved_bytes" not in scene.figures(), 20)
        scene.stop()


@tap.test
def who_takes_the_kernel_long_is_waited_for():
    """Large ones: the worker works, where it hangs with others. The domains' accounts do not come the less often."""
    with surroundings() as scene:
        before_sec = scene.daemon.cpu_sec()
        scene.slow(f"!proc/{STRANGER}/smaps")
        wait.until("a worker to work", lambda: scene.daemon.cpu_sec() - before_sec > 3, 60)
        scene.fast()
        for _ in range(2):
            scene.another_round()
        tap.equal(scene.daemon.logged(IN_THE_WAY), 0, "how often one is told to be in the way")
        tap.equal(scene.figures().get("other_saved_bytes"), 200 * 1024, "what others save")
        scene.stop()


@tap.test
def nobodys_shell_is_asked_what_it_runs():
    with surroundings() as scene:
        scene.slow(f"proc/{STRANGER}/cmdline")
        for _ in range(3):
            scene.ticks_go_on()
        tap.check("other_manager" not in scene.figures(), "a user's shell is a manager")
        scene.stop()


@tap.test
def a_tick_that_hangs_is_told_once():
    with surroundings() as scene:
        scene.slow("/meminfo")
        scene.daemon.wait_log(LATE_TICK)
        time.sleep(0.5)
        scene.fast()
        scene.ticks_go_on()
        tap.equal(scene.daemon.logged(LATE_TICK), 1, "how often it is told")


if __name__ == "__main__":
    tap.main()
