#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Live migration between two libvirt hosts with a memfoldd each: the policy travels with the domain, the
host that it comes to boosts it, and the one that it leaves forgets it.

Usage: test_migrate.py [--stock] [TEST...]
"""

import contextlib
import os
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import smaps  # noqa: E402
import tap  # noqa: E402
import virthost  # noqa: E402
import wait  # noqa: E402

STOCK = "--stock" in sys.argv
if STOCK:
    sys.argv.remove("--stock")
MIB = 32
CONFIG = "[ksmd]\ncpu-budget-permyriad=1000\nboost-cpu-budget-permyriad=8000\n"
LIVE_SEC = 2.0


class End:
    """One host and its memfoldd."""

    def __init__(self, host, daemon):
        self.host, self.daemon = host, daemon

    def find(self, name):
        return self.daemon.describe()[2].get(name, {})

    def wait_mode(self, name, mode, deadline_sec=30.0):
        wait.until(f"{name} to be {mode} on {self.host.name}", lambda: self.find(name).get("mode") == mode, deadline_sec,
                   interval_sec=0.02, show=lambda: (self.find(name), self.daemon.text()[-2000:]))

    def ram(self, name):
        return smaps.guest_ram(self.host.pid(name), MIB << 20)

    def policy(self, name):
        found = self.find(name)
        return {key: found.get(key) for key in ("merge", "group", "priority", "boost")}


class Scene:
    def __init__(self, folder, emulator, alpha, beta):
        self.folder, self.emulator, self.alpha, self.beta = folder, emulator, alpha, beta

    def create(self, name, attributes):
        self.alpha.host.create(name, self.emulator, attributes, mib=MIB)

    def migrate(self, name):
        """Seconds that it took."""
        started = time.monotonic()
        self.alpha.host.virsh("migrate", "--live", name, self.beta.host.uri, "--migrateuri",
                              f"unix://{self.folder}/{name}.migration")
        return time.monotonic() - started


@contextlib.contextmanager
def surroundings():
    emulator = os.environ.get("MEMFOLD_STOCK_QEMU" if STOCK else "MEMFOLD_QEMU")
    if not emulator or not os.path.exists(emulator):
        raise tap.Skip("no QEMU to test with: MEMFOLD_QEMU or MEMFOLD_STOCK_QEMU")
    with tempfile.TemporaryDirectory(prefix="memfold-migrate-", dir="/run") as folder, contextlib.ExitStack() as stack:
        ends = []
        for name in ("alpha", "beta"):
            host = stack.enter_context(virthost.Host(folder, name))
            daemon = stack.enter_context(host.memfoldd(stack.enter_context(bus.private())))
            daemon.configure(CONFIG)
            daemon.start()
            daemon.wait_log("connected to")
            ends.append(End(host, daemon))
        yield Scene(folder, emulator, *ends)


def lasting(domain):
    """Of a domain, what a migration of another one must not change; how far ksmd is with it changes by itself."""
    reasons = [reason for reason in domain["reasons"] if reason[0] != "not-scanned"]
    return {"pid": domain["pid"], "mode": domain["mode"], "reasons": reasons}


@tap.test
def the_policy_travels_and_the_newcomer_is_boosted(scene):
    alpha, beta = scene.alpha, scene.beta
    scene.create("mover", "merge='on' group='shared' priority='7'")
    scene.create("stayer", "group='shared'")
    alpha.wait_mode("mover", "on")
    alpha.wait_mode("stayer", "on")
    # What travels is what holds now, and not what it started with.
    alpha.host.set_policy("mover", "merge='on' group='shared' priority='42' boost='on'")
    wait.until("the new priority", lambda: alpha.policy("mover")["priority"] == 42, LIVE_SEC)
    wanted, pid, stayer = alpha.policy("mover"), alpha.host.pid("mover"), alpha.find("stayer")
    tap.equal(beta.daemon.describe()[2], {}, "domains of the target before")
    tap.equal(beta.host.files.get("run"), "0", "ksmd of the target before")
    tap.diag(f"the migration took {scene.migrate('mover'):.1f} s")
    started = time.monotonic()
    beta.wait_mode("mover", "on")
    tap.diag(f"known and on {int((time.monotonic() - started) * 1000)} ms after it")
    tap.equal(beta.policy("mover"), wanted, "its policy on the target")
    tap.check(beta.ram("mover").mergeable, "its RAM is not marked on the target")
    tap.check(beta.find("mover")["pid"] not in (0, pid), "its PID is the source's")
    wait.until("the boost", lambda: beta.host.files.get("run") == "1", 10,
               show=lambda: (beta.daemon.describe()[:2], beta.daemon.text()[-1500:]))
    figures, reasons, _ = beta.daemon.describe()
    tap.equal(figures["ksmd_budget_permyriad"], 8000, "budget on the target")
    tap.check(any(code == "boost" and "mover" in text for code, text, _ in reasons), f"reasons: {reasons}")
    wait.until("the source to forget it", lambda: not alpha.find("mover"), 10)
    tap.equal(set(alpha.daemon.describe()[2]), {"stayer"}, "domains of the source")
    tap.equal(lasting(alpha.find("stayer")), lasting(stayer), "who stayed")


@tap.test
def a_refuser_stays_one(scene):
    """Its memory must not be marked on the target, where QEMU starts it marked."""
    alpha, beta = scene.alpha, scene.beta
    scene.create("refuser", "merge='off' group='shared'")
    alpha.wait_mode("refuser", "off")
    scene.migrate("refuser")
    started = time.monotonic()
    wait.until("its RAM on the target to be unmarked", lambda: not beta.ram("refuser").mergeable, 10, interval_sec=0.02,
               show=lambda: (beta.find("refuser"), beta.daemon.text()[-2000:]))
    msec = int((time.monotonic() - started) * 1000)
    tap.diag(f"off {msec} ms after the migration")
    tap.check(msec < LIVE_SEC * 1000, f"off only {msec} ms after the migration")
    beta.wait_mode("refuser", "off")


@tap.test
def each_process_is_counted_once(scene):
    """While it moves both QEMUs are there, and one host's /proc shows them both."""
    alpha, beta = scene.alpha, scene.beta
    pids = {beta.find(name)["pid"] for name in ("mover", "refuser")} | {alpha.find("stayer")["pid"]}
    tap.equal(len(pids), 3, "processes of three domains")
    for end in (alpha, beta):
        figures, _, domains = end.daemon.describe()
        tap.equal(len({d["pid"] for d in domains.values()}), len(domains), f"PIDs of {end.host.name}'s domains")
        tap.check("other_saved_bytes" in figures, "what others save is not known")


@tap.test
def it_may_come_back(scene):
    scene.alpha, scene.beta = scene.beta, scene.alpha
    wanted = scene.alpha.policy("mover")
    scene.migrate("mover")
    scene.beta.wait_mode("mover", "on")
    tap.equal(scene.beta.policy("mover"), wanted, "its policy, back home")
    wait.until("the other side to forget it", lambda: not scene.alpha.find("mover"), 10)


if __name__ == "__main__":
    tap.main(context=surroundings)
