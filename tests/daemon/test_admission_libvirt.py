#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What `virsh` shows, and what libvirt does, when memfoldd refuses a start or can't be asked.

A real libvirtd, hook, memfoldd and QEMU; only the host's figures are of files, since they decide.

Usage: test_admission_libvirt.py HOOK HOOKDIR RUNDIR CONFDIR [TEST...]
"""

import contextlib
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakehost  # noqa: E402
import memfoldd  # noqa: E402
import ownlibvirtd  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

NAME = "memfold-admission-test"
MEMORY_MIB = 16
# 16 MiB, 80/4096 of that, and 32 for QEMU.
NEEDS = "48.3 MiB"


class Daemon(memfoldd.Memfoldd):
    """A memfoldd where the installed hook looks for it, with the configuration that the hook reads."""

    def __init__(self, environment, folder, root, rundir, confdir):
        super().__init__(environment, folder, root, ownlibvirtd.URI)
        self.runtime, self.config = rundir, f"{confdir}/memfold.conf"


class Scene:
    def __init__(self, libvirtd, daemon, host):
        self.libvirtd, self.daemon, self.host = libvirtd, daemon, host
        self.xml = ownlibvirtd.write_domain(libvirtd.folder, NAME, MEMORY_MIB)
        self.libvirtd.virsh("define", self.xml)

    def begin(self, available_mib, admission, running=True, refuse="false"):
        """The domain off, that configuration, that much memory, and a memfoldd or none."""
        self.thaw()
        self.libvirtd.virsh("destroy", NAME, check=False)
        self.host.write("proc/meminfo", f"MemTotal: 1000000 kB\nMemFree: 0 kB\n"
                        f"MemAvailable: {available_mib * 1024} kB\nSwapFree: 0 kB\n")
        self.daemon.configure(f"[merge]\nreserve-permyriad=0\n[admission]\nadmission={admission}\n"
                              f"refuse-without-daemon={refuse}\n")
        if self.daemon.process and self.daemon.process.poll() is None:
            self.daemon.stop()
        if running:
            self.daemon.start()

    def thaw(self):
        if self.daemon.process and self.daemon.process.poll() is None:
            self.daemon.process.send_signal(signal.SIGCONT)

    def start(self):
        """`virsh start`: (whether it did, stderr, seconds)."""
        begun = time.monotonic()
        done = self.libvirtd.virsh("start", NAME, check=False)
        took_sec = time.monotonic() - begun
        tap.equal(self.libvirtd.running(), [NAME] if done.returncode == 0 else [], "domains that run")
        return done.returncode == 0, done.stderr, took_sec

    def starts(self):
        started, stderr, _ = self.start()
        tap.check(started, f"virsh start: {stderr}")

    def refused(self, *words):
        """The sentence that virsh shows is one line of its own words, and nothing was started."""
        started, stderr, _ = self.start()
        tap.check(not started, "the domain was started")
        line = next((line for line in stderr.splitlines() if "memfold-hook: " in line), "")
        for word in words:
            tap.check(word in line, f"{word!r} in {stderr!r}")
        return stderr


@contextlib.contextmanager
def surroundings(hook, hookdir, rundir, confdir):
    with ownlibvirtd.running(hook, hookdir, rundir, confdir) as libvirtd, bus.private() as environment:
        host = fakehost.FakeHost(libvirtd.folder)
        with Daemon(environment, libvirtd.folder, host.root, rundir, confdir) as daemon:
            scene = Scene(libvirtd, daemon, host)
            try:
                yield scene
            finally:
                scene.thaw()
                libvirtd.virsh("destroy", NAME, check=False)
                libvirtd.virsh("undefine", NAME, check=False)


@tap.test
def virsh_shows_the_sentence(scene):
    scene.begin(40, "enforce")
    stderr = scene.refused(f'domain "{NAME}" is not started: it needs {NEEDS}, and 40.0 MiB are left',
                           "free 9 MiB, or set admission=warn in memfold.conf")
    tap.equal(stderr.count("is not started"), 1, f"sentences in {stderr!r}")
    tap.diag(stderr)


@tap.test
def what_fits_starts_and_its_promise_ends_with_it(scene):
    scene.begin(60, "enforce")
    for _ in range(2):  # the second would find nothing left if the first were still promised
        scene.starts()
        scene.libvirtd.virsh("destroy", NAME)
        tap.equal(scene.libvirtd.running(), [], "domains that run")


@tap.test
def warn_starts_and_logs(scene):
    scene.begin(40, "warn")
    scene.starts()
    tap.equal(scene.daemon.logged(f'WARNING.*domain "{NAME}" is started uncovered: it needs {NEEDS}'), 1,
              "lines in the log")


@tap.test
def off_is_silent(scene):
    scene.begin(40, "off")
    logged = scene.daemon.logged("uncovered")
    scene.starts()
    tap.equal(scene.daemon.logged("uncovered") - logged, 0, "lines in the log")


@tap.test
def a_bad_policy_does_not_start_under_enforce(scene):
    metadata = ("metadata", NAME, ownlibvirtd.NS, "--config")
    try:
        scene.begin(500, "enforce")
        scene.libvirtd.virsh(*metadata, "--key", "memfold", "--set", "<policy merge='sometimes'/>")
        scene.refused("policy is refused", "sometimes", "correct the policy")
        scene.begin(500, "warn")
        scene.starts()
    finally:
        scene.libvirtd.virsh(*metadata, "--remove", check=False)


@tap.test
def a_killed_daemon_closes_only_where_it_is_to(scene):
    for refuse in ("true", "false"):
        scene.begin(500, "enforce", refuse=refuse)
        scene.daemon.kill()
        if refuse == "true":
            scene.refused("memfoldd is not running", "is not started", "refuse-without-daemon=false")
        else:
            scene.starts()


@tap.test
def a_frozen_daemon_closes_only_where_it_is_to(scene):
    for refuse in ("true", "false"):
        scene.begin(500, "enforce", refuse=refuse)
        scene.daemon.process.send_signal(signal.SIGSTOP)
        started, stderr, took_sec = scene.start()
        tap.equal(started, refuse == "false", f"started with {refuse} ({stderr})")
        tap.check(started or "did not answer in time" in stderr, stderr)
        # Three hooks of half a second at most at a start, and QEMU.
        tap.check(took_sec < 15, f"virsh start took {took_sec:.1f} s beside a frozen memfoldd")


@tap.test
def a_guest_that_runs_is_never_harmed(scene):
    """libvirtd comes again, and the domain goes, with everything set to refuse and nobody there to ask."""
    for state in ("killed", "frozen"):
        scene.begin(500, "enforce", refuse="true")
        scene.starts()
        pid = scene.libvirtd.pid(NAME)
        if state == "killed":
            scene.daemon.kill()
        else:
            scene.daemon.process.send_signal(signal.SIGSTOP)
        scene.libvirtd.restart()
        wait.until("libvirtd to know its domain", lambda: scene.libvirtd.running() == [NAME], 30)
        tap.equal(scene.libvirtd.pid(NAME), pid, f"QEMU's PID after libvirtd's restart, memfoldd {state}")
        os.kill(pid, 0)
        scene.libvirtd.virsh("destroy", NAME)
        tap.equal(scene.libvirtd.running(), [], "domains at the end")


@tap.test
def a_restore_that_is_refused_keeps_its_file(scene):
    """`restore` itself is told of and not judged: `prepare`, which follows, is."""
    saved = f"{scene.libvirtd.folder}/saved"
    scene.begin(500, "enforce")
    scene.starts()
    scene.libvirtd.virsh("save", NAME, saved)
    scene.host.write("proc/meminfo", "MemTotal: 1000000 kB\nMemFree: 0 kB\nMemAvailable: 1024 kB\nSwapFree: 0 kB\n")
    done = scene.libvirtd.virsh("restore", saved, check=False)
    tap.check(done.returncode != 0 and "is not started" in done.stderr, f"virsh restore: {done.stderr}")
    tap.equal((scene.libvirtd.running(), os.path.exists(saved)), ([], True), "domains, and the file")
    scene.begin(500, "enforce")
    scene.libvirtd.virsh("restore", saved)
    tap.equal(scene.libvirtd.running(), [NAME], "domains after another try")


def main():
    ownlibvirtd.enter_namespace(__file__)
    arguments = [sys.argv.pop(1) for _ in range(4)]
    tap.main(context=lambda: surroundings(*arguments))


if __name__ == "__main__":
    main()
