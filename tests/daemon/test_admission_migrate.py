#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Admission of a domain that migrates in: between two libvirt hosts, the target with memfold's hook and a memfoldd.

libvirt, QEMU, hook, guest and memfoldd are real; what memory the target has is told by a file in meminfo's place.

Usage: test_admission_migrate.py HOOK MEMFOLD [TEST...]
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
import domain  # noqa: E402
import guest  # noqa: E402
import rig  # noqa: E402
import tap  # noqa: E402
import virthost  # noqa: E402
import wait  # noqa: E402

HOOK, MEMFOLD = (os.path.abspath(sys.argv.pop(1)) for _ in range(2))
NAME = "mover"
MIB = 64
# 64 MiB, 80/4096 of that, and 32 for QEMU; rounded up.
NEEDS = "97.3 MiB"
ARGS = "seed=11 common_mib=8 dup_mib=4 unique_mib=4"
CONSOLE = "/run/libvirt/mover.console"  # of each host its own
TOTAL_MIB = 1000
CALL = '#!/bin/sh\nexec {hook} --socket {runtime}/hook.sock --config {config} "$@"\n'
CONFIG = "[merge]\ndefault-group=shared\nreserve-permyriad=0\n[admission]\nadmission={admission}\n" \
         "refuse-without-daemon={refuse}\n[ksmd]\ncpu-budget-permyriad=1000\nboost-cpu-budget-permyriad=8000\n"


class Scene:
    def __init__(self, folder, emulator, source, target, daemon):
        self.folder, self.emulator = folder, emulator
        self.source, self.target, self.daemon = source, target, daemon
        self.meminfo = f"{folder}/meminfo"

    def set_up(self):
        pathlib.Path(self.meminfo).touch()
        self.room(0)
        self.target.replace("proc/meminfo", self.meminfo)

    def room(self, available_mib):
        # In place, for memfoldd has this very file mounted; of one length, so that nobody reads a part.
        with open(self.meminfo, "r+", encoding="ascii") as file:
            file.write(f"MemTotal: {TOTAL_MIB << 10:12} kB\nMemAvailable: {available_mib << 10:12} kB\n"
                       f"SwapTotal: {0:12} kB\nSwapFree: {0:12} kB\n")

    def begin(self, available_mib, admission, refuse="false"):
        """The domain runs on the source alone; the target has so much memory, and that configuration."""
        self.target.virsh("destroy", NAME, check=False)
        if self.daemon.process and self.daemon.process.poll() is None:
            self.daemon.process.send_signal(signal.SIGCONT)
            self.daemon.stop()
        self.room(available_mib)
        self.daemon.configure(CONFIG.format(admission=admission, refuse=refuse))
        self.daemon.start()
        self.daemon.wait_log("connected to", self.daemon.logged("ready"))
        if not self.source.running():
            self.create()
        self.pid = self.source.pid(NAME)

    def create(self):
        spec = domain.Domain(NAME, self.emulator, CONSOLE, MIB, ARGS, rom=f"{self.folder}/tiny.rom",
                             policy={"merge": "on", "group": "shared", "priority": "7"})
        self.source.create_xml(NAME, spec.xml())
        self.guest_is_whole(self.source)

    @staticmethod
    def guest_is_whole(host):
        """It answers there, and each of its pages holds what it must."""
        console = guest.Console(host.path(CONSOLE))
        try:
            console.wait_ready(60)
            tap.equal(console.settle(), 0, f"bad pages on {host.name}")
        finally:
            console.close()

    def migrate(self):
        return self.source.virsh("migrate", "--live", NAME, self.target.uri, "--migrateuri",
                                 f"unix://{self.folder}/migration", check=False)

    def arrives(self):
        done = self.migrate()
        tap.equal((done.returncode, done.stderr.strip()), (0, ""), "virsh migrate")
        tap.equal((self.source.running(), self.target.running()), ([], [NAME]), "who runs where")
        self.guest_is_whole(self.target)

    def is_refused(self, *words):
        """virsh shows one sentence, nothing is left on the target, and the guest goes on where it was."""
        done = self.migrate()
        tap.check(done.returncode != 0, "it was migrated")
        lines = [line for line in done.stderr.splitlines() if "memfold-hook: " in line]
        tap.equal(len(lines), 1, f"lines of the hook's in {done.stderr!r}")
        for word in words:
            tap.check(word in lines[0], f"{word!r} in {done.stderr!r}")
        tap.equal((self.source.running(), self.target.running()), ([NAME], []), "who runs where")
        tap.equal(self.source.virsh("domstate", NAME).stdout.strip(), "running", "its state on the source")
        tap.equal(self.source.pid(NAME), self.pid, "its QEMU")
        self.guest_is_whole(self.source)
        return lines[0]

    def cli(self, *words):
        return subprocess.run([MEMFOLD, *words], env=self.daemon.environment, text=True, capture_output=True,
                              check=True, timeout=30).stdout


@contextlib.contextmanager
def surroundings():
    emulator = rig.our_qemu()
    files = rig.guest_directory()
    with tempfile.TemporaryDirectory(prefix="memfold-admit-", dir="/run") as folder, contextlib.ExitStack() as stack:
        pathlib.Path(f"{folder}/tiny.rom").write_bytes(pathlib.Path(f"{files}/tiny.rom").read_bytes())
        call = CALL.format(hook=HOOK, runtime=f"{folder}/target/run", config=f"{folder}/target/memfold.conf")
        source = stack.enter_context(virthost.Host(folder, "source"))
        target = stack.enter_context(virthost.Host(folder, "target", hook=call))
        daemon = stack.enter_context(target.memfoldd(stack.enter_context(bus.private())))
        scene = Scene(folder, emulator, source, target, daemon)
        scene.set_up()
        yield scene


@tap.test
def what_is_not_covered_stays_where_it_is(scene):
    scene.begin(90, "enforce")
    line = scene.is_refused(f'domain "{NAME}" is not started: it needs {NEEDS}, and 90.0 MiB are left',
                            "free 8 MiB, or set admission=warn in memfold.conf; it was to migrate to this host, and "
                            "goes on where it is")
    tap.diag(line)
    tap.check(f'domain "{NAME}" is not started' in scene.cli("status"), "memfold status does not tell it")
    # What was refused was promised nothing, and there is no second domain of the same memory.
    scene.room(98)
    scene.arrives()
    # A start there is no migration.
    scene.target.virsh("destroy", NAME)
    scene.room(90)
    done = scene.target.virsh("create", f"{scene.source.folder}/{NAME}.xml", check=False)
    tap.check("is not started" in done.stderr and "migrate" not in done.stderr, done.stderr)


@tap.test
def what_is_covered_comes_and_is_boosted(scene):
    scene.begin(98, "enforce")
    scene.arrives()
    wait.until("the boost", lambda: any(code == "boost" and NAME in text for code, text, _ in scene.daemon.describe()[1]),
               10, show=lambda: (scene.daemon.describe()[:2], scene.daemon.text()[-1500:]))
    tap.equal(scene.daemon.describe()[0]["ksmd_budget_permyriad"], 8000, "budget on the target")
    tap.equal(scene.daemon.domain(NAME)["priority"], 7, "its policy on the target")


@tap.test
def with_warn_it_comes_and_is_told(scene):
    scene.begin(90, "warn")
    told = scene.daemon.logged(f'WARNING.*domain "{NAME}" is started uncovered: it needs {NEEDS}')
    scene.arrives()
    tap.equal(scene.daemon.logged(f'WARNING.*domain "{NAME}" is started uncovered: it needs {NEEDS}') - told, 1,
              "lines in the log")
    tap.check("is started uncovered" in scene.cli("status"), "memfold status does not tell it")


@tap.test
def without_memfoldd_it_goes_by_the_configuration(scene):
    scene.begin(98, "enforce", refuse="true")
    scene.daemon.process.send_signal(signal.SIGSTOP)
    scene.is_refused("did not answer in time", "is not started", "refuse-without-daemon=false")
    scene.daemon.kill()
    scene.is_refused("memfoldd is not running", "is not started", "refuse-without-daemon=false")
    scene.begin(98, "enforce", refuse="false")
    scene.daemon.kill()
    scene.arrives()


if __name__ == "__main__":
    tap.main(context=surroundings)
