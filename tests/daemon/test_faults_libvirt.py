#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults that take a libvirtd and QEMUs: one of them is killed at the worst moment, memfoldd hangs while a
domain starts, a migration is called off half way. Afterwards knobs and domains are as they should be, and
memfoldd knows it; what memfoldd tells is read anew each time.

Usage: test_faults_libvirt.py HOOK [TEST...]
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import rig  # noqa: E402
import smaps  # noqa: E402
import tap  # noqa: E402
import virthost  # noqa: E402
import wait  # noqa: E402

HOOK = sys.argv.pop(1)
MIB = 32
CONFIG = "[daemon]\ntick-msec=200\n"
# memfold's hook, and then it hangs as a slow one of somebody else's would, where a test asks for that.
SCRIPT = """#!/bin/sh
{hook} --socket {folder}/run/hook.sock --config {folder}/memfold.conf "$@" || exit
if [ "$2" = start ] && [ -e {folder}/hang ]; then
    echo $$ > {folder}/hanging.new && mv {folder}/hanging.new {folder}/hanging && exec sleep 1000
fi
"""
MERGING = "merge='on' group='shared'"
KSMD_SEC = 40  # a hold ends by itself after 30
# How long a start may take beside a memfoldd that does not answer: three calls of half a second, and libvirt's own.
START_SEC = 20
MOVER = "seed=5 unique_mib=20"


class End:
    """One host and its memfoldd."""

    def __init__(self, host, daemon):
        self.host, self.daemon = host, daemon

    def find(self, name):
        return self.daemon.describe()[2].get(name, {})

    def show(self):
        return self.daemon.describe()[2], self.daemon.text()[-3000:]

    def wait_mode(self, name, mode, deadline_sec=30.0):
        wait.until(f"{name} to be {mode}", lambda: self.find(name).get("mode") == mode, deadline_sec, show=self.show)

    def wait_run(self, value, deadline_sec=20.0):
        wait.until(f"run to be {value}", lambda: self.host.files.get("run") == value, deadline_sec, show=self.show)

    def wait_names(self, *names):
        wait.until(f"{names} to be what is known", lambda: sorted(self.daemon.describe()[2]) == sorted(names), 30,
                   show=self.show)


class Scene:
    def __init__(self, folder, emulator, alpha, beta):
        self.folder, self.emulator, self.alpha, self.beta = folder, emulator, alpha, beta

    @contextlib.contextmanager
    def domains(self, **attributes):
        """Domains on alpha, each with its policy; gone at the end."""
        try:
            for name, policy in attributes.items():
                self.alpha.host.create(name, self.emulator, policy, mib=MIB)
            yield
        finally:
            for name in self.alpha.host.running():
                self.alpha.host.virsh("destroy", name, check=False)
            self.alpha.wait_names()


@contextlib.contextmanager
def surroundings():
    emulator = rig.our_qemu()
    with tempfile.TemporaryDirectory(prefix="memfold-faults-", dir="/run") as folder, contextlib.ExitStack() as stack:
        shutil.copy(f"{rig.guest_directory()}/tiny.rom", folder)
        ends = []
        for name in ("alpha", "beta"):
            script = SCRIPT.format(hook=os.path.abspath(HOOK), folder=f"{folder}/{name}")
            host = stack.enter_context(virthost.Host(folder, name, hook=script))
            daemon = stack.enter_context(host.memfoldd(stack.enter_context(bus.private())))
            daemon.configure(CONFIG)
            daemon.start()
            ends.append(End(host, daemon))
        yield Scene(folder, emulator, *ends)


@tap.test
def a_qemu_that_is_killed_while_it_un_merges(scene):
    """It is stopped first, so that the command is under way for certain when it dies."""
    alpha = scene.alpha
    alpha.daemon.configure(CONFIG + "[merge]\ndefault-group=shared\n")
    alpha.daemon.reload()
    with scene.domains(victim="merge='on'", other=MERGING):
        alpha.wait_mode("victim", "on")
        alpha.wait_mode("other", "on")
        alpha.wait_run("1")
        pid, other_pid = alpha.host.pid("victim"), alpha.host.pid("other")
        os.kill(pid, signal.SIGSTOP)
        # virsh would wait for the stopped one's monitor.
        alpha.daemon.configure(CONFIG)
        alpha.daemon.reload()
        wait.until("the silence to be told", lambda: "switch-failed" in [
            code for code, *_ in alpha.find("victim")["reasons"]], 30, show=alpha.show)
        os.kill(pid, signal.SIGKILL)
        alpha.wait_names("other")
        tap.equal((alpha.find("other")["pid"], alpha.find("other")["mode"]), (other_pid, "on"), "who lives")
        tap.equal(alpha.host.files.get("run"), "1", "run")
        # That the command failed is told too, unless libvirt's word of the end comes first.
        tap.equal(alpha.daemon.logged("domain victim: on -> off"), 1, "lines about what was under way")
        alpha.host.set_policy("other", "merge='off' group='shared'")
        alpha.wait_mode("other", "off")
        tap.equal(smaps.guest_ram(other_pid, MIB << 20).mergeable, False, "whether the other's RAM is marked")
        alpha.wait_run("0")


@tap.test
def a_libvirtd_that_is_killed_during_a_start(scene):
    """ksmd stands still for a domain that must not merge, and the start never ends."""
    alpha = scene.alpha
    with scene.domains(stayer=MERGING):
        alpha.wait_mode("stayer", "on")
        alpha.wait_run("1")
        pid = alpha.host.pid("stayer")
        pathlib.Path(f"{alpha.host.folder}/hang").touch()
        with open(f"{alpha.host.folder}/victim.xml", "w", encoding="utf-8") as xml:
            xml.write(virthost.domain("victim", scene.emulator, "merge='off'", mib=MIB))
        with subprocess.Popen(["virsh", "-q", "-c", alpha.host.uri, "create", xml.name], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as starting:
            hanging = pathlib.Path(f"{alpha.host.folder}/hanging")
            wait.until("the hook to hang", hanging.exists, 30, show=alpha.show)
            tap.equal(alpha.host.files.get("run"), "0", "run while it starts")
            alpha.host.kill_libvirtd()
            os.kill(int(hanging.read_text(encoding="ascii")), signal.SIGKILL)
            starting.wait(30)
        os.unlink(f"{alpha.host.folder}/hang")
        hanging.unlink()
        wait.until("it to be told", lambda: "libvirt-away" in [code for code, *_ in alpha.daemon.describe()[1]], 30,
                   show=alpha.show)
        alpha.wait_run("1", KSMD_SEC)
        alpha.host.start_libvirtd()
        alpha.wait_names("stayer")
        alpha.wait_mode("stayer", "on")
        tap.equal((alpha.host.running(), alpha.host.pid("stayer")), (["stayer"], pid), "who runs")
        wait.until("libvirt to be back", lambda: alpha.daemon.describe()[0]["libvirt_connected"], 30)
        tap.check(alpha.daemon.logged("libvirt.*connection") > 0, "the log does not say it")
        tap.equal(alpha.host.files.get("run"), "1", "run at the end")


@tap.test
def a_memfoldd_that_hangs_while_a_domain_starts(scene):
    """The start goes on, and what it missed is known when it goes on itself; or it is refused, where that is
    what the configuration says."""
    alpha = scene.alpha
    with scene.domains():
        alpha.daemon.process.send_signal(signal.SIGSTOP)
        try:
            begun = time.monotonic()
            alpha.host.create("late", scene.emulator, "merge='off'", mib=MIB)
            took_sec = time.monotonic() - begun
            alpha.daemon.configure(CONFIG + "[admission]\nadmission=enforce\nrefuse-without-daemon=true\n")
            alpha.host.virsh("destroy", "late")
            refused = alpha.host.virsh("create", f"{alpha.host.folder}/late.xml", check=False)
            alpha.daemon.configure(CONFIG)
            alpha.host.virsh("create", f"{alpha.host.folder}/late.xml")
        finally:
            alpha.daemon.configure(CONFIG)
            alpha.daemon.process.send_signal(signal.SIGCONT)
        tap.diag(f"the start took {took_sec:.1f} s")
        tap.check(took_sec < START_SEC, f"the start took {took_sec:.1f} s")
        tap.check(refused.returncode != 0 and "memfoldd" in refused.stderr, f"{refused}")
        alpha.wait_mode("late", "off")
        tap.equal(smaps.guest_ram(alpha.host.pid("late"), MIB << 20).mergeable, False, "whether its RAM is marked")
        tap.equal(alpha.host.files.get("run"), "0", "run, with nobody to merge")
        # The first one's end and the second one's start, as they lie there when memfoldd goes on.
        uuid = alpha.find("late")["uuid"]
        alpha.daemon.hook("stopped", "late", uuid)
        alpha.daemon.hook("started", "late", uuid,
                          policy="<memfold:policy xmlns:memfold='urn:memfold:policy:1' merge='off'/>")
        alpha.wait_mode("late", "off")


@tap.test
def a_migration_that_is_called_off_half_way(scene):
    alpha, beta = scene.alpha, scene.beta
    with scene.domains():
        alpha.host.create("mover", scene.emulator, MERGING, mib=MIB, guest=(f"{scene.folder}/tiny.rom", MOVER))
        alpha.wait_mode("mover", "on")
        alpha.wait_run("1")
        before, pid = alpha.find("mover"), alpha.host.pid("mover")
        wait.until("the guest to have filled its memory", lambda: smaps.guest_ram(
            pid, MIB << 20).bytes["Rss"] >= 20 << 20, 60)
        with subprocess.Popen(["virsh", "-q", "-c", alpha.host.uri, "migrate", "--live", "--bandwidth", "1", "mover",
                               beta.host.uri, "--migrateuri", f"unix://{scene.folder}/mover.migration"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              text=True) as moving:
            wait.until("some of it to have moved", lambda: half_way(alpha), 60, show=alpha.show)
            target = beta.host.pid("mover")
            alpha.host.virsh("domjobabort", "mover")
            _, said = moving.communicate(timeout=60)
        tap.check(moving.returncode != 0, "it went through")
        tap.diag(f"virsh said: {said.strip()}")
        wait.until("the target's QEMU to end", lambda: not os.path.exists(f"/proc/{target}"), 30)
        beta.wait_names()
        beta.wait_run("0")
        tap.equal(beta.host.running(), [], "domains of the target")
        alpha.wait_names("mover")
        alpha.wait_mode("mover", "on")
        after = alpha.find("mover")
        tap.equal({key: after.get(key) for key in ("pid", "merge", "group", "mode", "switch")},
                  {key: before.get(key) for key in ("pid", "merge", "group", "mode", "switch")}, "the source")
        tap.equal((alpha.host.pid("mover"), smaps.guest_ram(pid, MIB << 20).mergeable), (pid, True), "its process and RAM")
        tap.equal(alpha.host.files.get("run"), "1", "run of the source")
        tap.check("other_saved_bytes" in alpha.daemon.describe()[0], "what others save is not known")


def half_way(end):
    """Whether a part of the domain has been sent, and not all."""
    told = end.host.virsh("domjobinfo", "mover", check=False).stdout
    sent = [line.split()[2] for line in told.splitlines() if line.startswith("Memory processed:")]
    return bool(sent) and float(sent[0]) > 0 and "Unbounded" in told


if __name__ == "__main__":
    tap.main(context=surroundings)
