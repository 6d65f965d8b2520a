#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What breaks around memfoldd, or memfoldd itself at the worst moment: afterwards every knob is as it was
before memfold, or as memfold wants it, and the log names what happened. With hosts of files; what needs a
libvirtd and QEMU is test_faults_libvirt.py's, and docs/testing.md has the list of all faults.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakehost  # noqa: E402
import memfoldd  # noqa: E402
import session  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

UUID = "11111111-1111-4111-8111-111111111111"
MERGING = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" merge="on" group="shared"/>'
# None of these is what memfold wants, so that it writes each.
BEFORE = {"run": "0", "pages_to_scan": "777", "sleep_millisecs": "33", "use_zero_pages": "1", "smart_scan": "1"}
CONFIG = "[ksmd]\nsleep-msec={}\nuse-zero-pages=off\n[daemon]\ntick-msec=100\n"
STEPS_MIN, STEPS_MAX = 20, 200
DISK_BYTES = 64 * 1024
# $1: the folder to be small or not to be written; the rest: the command.
ON_A_FULL_DISK = """
mount -t tmpfs -o size={size},mode=755 memfold-test "$1" &&
! dd if=/dev/zero of="$1/ballast" bs=4096 2>/dev/null && shift && exec "$@"
"""
BEHIND_A_LOCK = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'


class Inside(memfoldd.Memfoldd):
    """A memfoldd in a mount namespace that a script sets up before it."""

    script, folder_of_script = None, None

    def command(self, *more):
        command = super().command(*more)
        if not self.script:
            return command
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", self.script, "sh",
                self.folder_of_script, *command]

    def seen(self, path):
        """A path as this memfoldd sees it."""
        return f"/proc/{self.process.pid}/root{path}"


@contextlib.contextmanager
def surroundings():
    """(environment of a private bus, a host that is as an operator left it, a memfoldd to be started)"""
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        host = fakehost.FakeHost(folder)
        for name, value in BEFORE.items():
            host.set(name, value)
        host.add_qemu(4711, "vm1", UUID)
        uri = session.write_node(f"{folder}/node.xml", session.domain("vm1", UUID, MERGING))
        with Inside(environment, folder, host.root, uri) as daemon:
            daemon.configure(CONFIG.format(21))
            yield environment, host, daemon


def is_governed(host):
    """Whether every knob is changed, `run` as the last."""
    now = host.knobs()
    return now["run"] == "1" and all(now[name] != BEFORE[name] for name in BEFORE)


def die_at(daemon, host, environment, step):
    """Starts memfoldd, has it write a knob a second time, ends it, and has it die at that step of all this.
    Whether it did."""
    def wait_for(what, predicate):
        wait.until(f"it to die or {what}", lambda: daemon.process.poll() is not None or predicate(), 30,
                   interval_sec=0.01, show=lambda: (step, host.knobs(), daemon.text()[-2000:]))

    daemon.configure(CONFIG.format(21))
    daemon.environment = {**environment, **memfoldd.preload("die-at-write"), "DIE_AT_STEP": str(step)}
    daemon.start(ready=False)
    daemon.environment = environment
    wait_for("to govern", lambda: is_governed(host))
    daemon.configure(CONFIG.format(22))
    daemon.reload_signal()
    wait_for("to write a knob again", lambda: host.get("sleep_millisecs") == "22")
    daemon.process.send_signal(signal.SIGTERM)
    status = daemon.process.wait(30)
    tap.check(status in (0, -signal.SIGKILL), f"exit status {status} at step {step}: {daemon.text()[-2000:]}")
    return status != 0


@tap.test
def a_death_at_each_step_of_a_plan_leaves_what_restore_needs():
    step, deaths = 1, 0
    with surroundings() as (environment, host, daemon):
        while die_at(daemon, host, environment, step):
            deaths += host.knobs() != BEFORE
            status, text = daemon.restore()
            tap.equal((status, host.knobs()), (0, BEFORE), f"after a death at step {step} ({text})")
            tap.equal(os.path.exists(f"{daemon.runtime}/journal"), False, f"a journal after step {step}")
            step += 1
            tap.check(step < STEPS_MAX, "it never comes to its end")
        tap.equal(host.knobs(), BEFORE, "after a clean end")
    tap.diag(f"{step - 1} steps, and after {deaths} of them a knob stood changed")
    tap.check(step > STEPS_MIN and deaths > STEPS_MIN // 2, f"{step - 1} steps, {deaths} with something changed")


@tap.test
def the_next_one_goes_on_after_a_death_at_each_step():
    """Its own stop then puts back what was before the first one; every third step is enough here."""
    for step in range(1, STEPS_MAX, 3):
        with surroundings() as (environment, host, daemon):
            if not die_at(daemon, host, environment, step):
                break
            left = os.path.exists(f"{daemon.runtime}/journal")
            daemon.start()
            wait.until("the next one to govern", lambda h=host: is_governed(h), 30, show=host.knobs)
            tap.equal(daemon.describe()[2]["vm1"]["pid"], 4711, f"what is known of vm1 after step {step}")
            tap.equal(daemon.logged("ended without putting KSM's knobs back"), int(left), f"lines after step {step}")
            tap.equal((daemon.stop(), host.knobs()), (0, BEFORE), f"after step {step}")
    tap.check(step > STEPS_MIN, f"it came to its end at step {step}")


@tap.test
def a_bus_that_is_killed_is_found_again_and_nothing_stops():
    """The knobs need no bus, so that memfoldd goes on as it does without one, and connects when it can."""
    with surroundings() as (environment, host, daemon), tempfile.TemporaryDirectory() as folder:
        def address(of):
            return of["DBUS_SYSTEM_BUS_ADDRESS"].removeprefix("unix:path=").partition(",")[0]

        link = f"{folder}/bus"
        with bus.private() as first:
            os.symlink(address(first), link)
            daemon.environment = {**environment, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={link}"}
            daemon.start()
            wait.until("it to govern", lambda: is_governed(host), 20, show=host.knobs)
            tap.check("vm1" in daemon.describe()[2], "vm1 is not known")
        daemon.wait_log("D-Bus: the bus has gone")
        host.set("run", 0)
        wait.until("a tick without a bus", lambda: host.get("run") == "1", 20)
        os.unlink(link)
        os.symlink(address(environment), link)
        daemon.wait_log("org.memfold1 is owned now")
        daemon._bus = None
        figures, _, domains = daemon.describe()
        tap.equal((figures["ksm_run"], domains["vm1"]["pid"]), (1, 4711), "what it tells on the new bus")
        tap.equal(daemon.logged("D-Bus: the bus has gone"), 1, "lines about the bus")
        tap.equal((daemon.stop(), host.knobs()), (0, BEFORE), "exit status and knobs")


@tap.test
def a_bus_that_is_gone_for_good_holds_up_no_end():
    with surroundings() as (environment, host, daemon):
        with bus.private() as other:
            daemon.environment = {**environment, "DBUS_SYSTEM_BUS_ADDRESS": other["DBUS_SYSTEM_BUS_ADDRESS"]}
            daemon.start()
            wait.until("it to govern", lambda: is_governed(host), 20, show=host.knobs)
        daemon.wait_log("D-Bus: the bus has gone")
        tap.equal((daemon.stop(), host.knobs()), (0, BEFORE), "exit status and knobs")


def codes(daemon):
    return [code for code, *_ in daemon.describe()[1]]


def wait_failures(daemon):
    """What is told of knobs that can't be written, once it is told of `run`, the last of a plan."""
    def told():
        texts = [text for code, text, _ in daemon.describe()[1] if code == "knob-failed"]
        return texts if any("ksm run can't be set" in text for text in texts) else None

    return wait.until("the reasons to be told", told, 20, show=daemon.text)


@tap.test
def on_a_full_disk_no_knob_is_changed_until_there_is_room():
    """What could not be noted could not be put back."""
    with surroundings() as (_environment, host, daemon):
        os.mkdir(daemon.runtime)
        daemon.script, daemon.folder_of_script = ON_A_FULL_DISK.format(size=DISK_BYTES), daemon.runtime
        daemon.start()
        told = wait_failures(daemon)
        tap.check(all("journal: " in text and "No space left on device" in text for text in told), told)
        tap.equal(host.knobs(), BEFORE, "knobs")
        wait.until("vm1 to be known all the same", lambda: "vm1" in daemon.describe()[2], 20)
        lines = daemon.logged("No space left on device")
        tap.equal(lines, len(told), "lines about it, one a knob")
        os.unlink(daemon.seen(f"{daemon.runtime}/ballast"))
        wait.until("it to govern", lambda: is_governed(host), 20, show=daemon.text)
        wait.until("the reason to go", lambda: "knob-failed" not in codes(daemon), 20)
        tap.equal((daemon.stop(), host.knobs()), (0, BEFORE), "exit status and knobs")
        tap.equal(daemon.logged("No space left on device"), lines, "lines at the end")


@tap.test
def knobs_that_can_not_be_written_are_told_and_break_nothing_else():
    with surroundings() as (_environment, host, daemon):
        daemon.script, daemon.folder_of_script = BEHIND_A_LOCK, host.path("sys")
        daemon.start()
        told = wait_failures(daemon)
        tap.check(all("Read-only file system" in text for text in told), told)
        done = subprocess.run([f"{os.environ['MEMFOLD_BUILD']}/src/cli/memfold", "status"], env=daemon.environment,
                              text=True, capture_output=True, check=False, timeout=30)
        tap.check(done.returncode == 0 and "ksm run can't be set" in done.stdout, done.stdout + done.stderr)
        wait.until("vm1 to be known", lambda: daemon.describe()[2].get("vm1", {}).get("pid") == 4711, 20)
        tap.equal(daemon.hook("started", "vm1", UUID), {"ok": True}, "answer to the hook")
        tap.equal(daemon.logged("Read-only file system"), len(told), "lines about it, one a knob")
        tap.equal((daemon.stop(), host.knobs()), (0, BEFORE), "exit status and knobs")


if __name__ == "__main__":
    tap.main()
