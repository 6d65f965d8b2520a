#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A dry run says what the next tick does, and does nothing itself."""

import contextlib
import json
import pathlib
import subprocess
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

MEMFOLD = sys.argv.pop(1)
UUID = "11111111-1111-4111-8111-111111111111"
MERGING = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" merge="on" group="shared"/>'
# No tick comes by itself while a test looks.
SLOW = "[daemon]\ntick-msec=60000\n"
KSMTUNED = 99
PLANS_MAX = 4  # at a time
DESCRIBES_MAX = 64
KSMD = 20


@contextlib.contextmanager
def surroundings():
    """A memfoldd that has started ksmd for its one domain, and its host."""
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        host = fakehost.FakeHost(folder)
        host.add_qemu(4711, "vm1", UUID)
        uri = session.write_node(f"{folder}/node.xml", session.domain("vm1", UUID, MERGING))
        with memfoldd.Memfoldd(environment, folder, host.root, uri) as daemon:
            daemon.configure(SLOW)
            daemon.start()
            wait.until("ksmd to be started", lambda: host.get("run") == "1", 20)
            # The first answer of vm1's QEMU has a tick come early, as a reload has: they are over when these are.
            daemon.wait_log('domain "vm1": QEMU: ')
            for sleep_msec in (21, 20):
                reload(daemon, f"sleep-msec={sleep_msec}\n")
                wait.until("the reload's tick", lambda want=str(sleep_msec): host.get("sleep_millisecs") == want, 20)
            wait.until("nothing to be left to do", lambda: not plan(daemon)["actions"], 20)
            yield daemon, host


# ksmd is boosted: sweeps do not end here, and so none can tell that nothing is left.
HOST = ("the host\n  - 1 domain can merge\n"
        "  - ksmd gets 80.00 % of one CPU: vm1 has come to merge\n")


def memfold(daemon, *words):
    done = subprocess.run([MEMFOLD, *words], env=daemon.environment, text=True, capture_output=True,
                          check=False, timeout=30)
    tap.equal((done.returncode, done.stderr), (0, ""), f"memfold {words}")
    return done.stdout


def plan(daemon):
    return json.loads(memfold(daemon, "plan", "--json"))


def host_codes(found):
    return [reason["code"] for reason in found["host"]["reasons"]]


def reload(daemon, ksmd=""):
    daemon.configure(f"{SLOW}[ksmd]\n{ksmd}")
    daemon.reload()


@tap.test
def nothing_to_do_is_said_with_the_reason(context):
    daemon, _host = context
    tap.equal(memfold(daemon, "plan"), f"nothing to do\n{HOST}", "stdout")


@tap.test
def what_a_tick_would_write_is_told_and_not_written(context):
    daemon, host = context
    host.set("sleep_millisecs", 77)
    found = plan(daemon)
    tap.equal(found["actions"],
              [{"kind": "knob", "knob": "sleep_millisecs", "from": "77", "to": "20",
                "reason": {"code": "config", "text": "sleep-msec=20 in memfold.conf"}}], "actions")
    tap.equal(found["host"]["sleep_msec"], 77, "what it was decided on")
    tap.equal(memfold(daemon, "plan"), "ksm sleep_millisecs: 77 -> 20\n  - sleep-msec=20 in memfold.conf\n"
              f"\n{HOST}", "stdout")
    tap.equal(host.get("sleep_millisecs"), "77", "sleep_millisecs after three dry runs")
    before = daemon.logged("sleep_millisecs")
    reload(daemon)
    wait.until("a tick to write it", lambda: host.get("sleep_millisecs") == "20", 20)
    daemon.wait_log("sleep_millisecs", before + 1)
    wait.until("nothing to be left to do", lambda: not plan(daemon)["actions"], 20)


@tap.test
def a_dry_run_forgets_what_it_measured(context):
    """ksmd uses nothing of its budget, so that each measurement of a second or more doubles the rate. Had the first
    dry run kept its measurement, the next would come too soon after it to want anything."""
    daemon, host = context
    host.write(f"proc/{KSMD}/comm", "ksmd\n")
    host.write(f"proc/{KSMD}/stat", f"{KSMD} (ksmd) S 2" + " 0" * 48 + "\n")
    reload(daemon)
    found = wait.until("a measurement", lambda: plan(daemon)["actions"], 20)
    tap.equal([(a["knob"], a["reason"]["code"]) for a in found], [("pages_to_scan", "budget")], "actions")
    tap.equal(int(found[0]["to"]), 2 * int(found[0]["from"]), "the wanted rate")
    for number in range(3):
        tap.equal(plan(daemon)["actions"], found, f"dry run {number} after that")
    tap.equal(host.get("pages_to_scan"), found[0]["from"], "pages_to_scan")
    host.remove_process(KSMD)
    reload(daemon)
    wait.until("nothing to be left to do", lambda: not plan(daemon)["actions"], 20)


@tap.test
def no_domain_to_merge_stops_ksmd_in_the_plan_first(context):
    daemon, host = context
    daemon.set_policy("vm1", "merge", "off")
    wait.until("ksmd to rest", lambda: host.get("run") == "0", 20)
    host.set("run", 1)
    found = plan(daemon)
    tap.equal([(a["knob"], a["from"], a["to"], a["reason"]["code"]) for a in found["actions"]],
              [("run", "1", "0", "no-domains")], "actions")
    tap.equal(host.get("run"), "1", "run")
    daemon.set_policy("vm1", "merge", "on")
    wait.until("nothing to be left to do", lambda: not plan(daemon)["actions"], 20)


@tap.test
def beside_another_manager_it_says_why_it_does_nothing(context):
    daemon, host = context
    host.add_process(KSMTUNED, "ksmtuned")
    host.set("sleep_millisecs", 77)
    found = plan(daemon)
    tap.equal((found["actions"], host_codes(found)), ([], ["other-manager"]), "actions and reasons")
    tap.check("ksmtuned" in found["host"]["reasons"][0]["remedy"], f"remedy: {found['host']['reasons']}")
    host.remove_process(KSMTUNED)
    tap.equal([a["knob"] for a in plan(daemon)["actions"]], ["sleep_millisecs"], "actions without it")


@tap.test
def unmanaged_it_says_why_it_does_nothing(context):
    daemon, host = context
    reload(daemon, "manage=false\n")
    wait.until("the knobs to be put back", lambda: host.get("run") == "0", 20)
    text = memfold(daemon, "plan")
    tap.check(text.startswith("nothing to do\nthe host\n  - manage=false"), text)
    tap.equal((plan(daemon)["actions"], host_codes(plan(daemon))), ([], ["unmanaged", "ksm-off"]),
              "actions and reasons")
    tap.equal(host.get("run"), "0", "run")


@tap.test
def plans_that_wait_are_few(_context):
    """Nobody may have memfoldd wait with as many threads as he likes."""
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        host = fakehost.FakeHost(folder)
        uri = session.write_node(f"{folder}/node.xml", session.domain("vm1", UUID, MERGING))
        late = pathlib.Path(folder, "late")
        slow = {**environment, **memfoldd.preload("slow-file"), "SLOW_FILE": str(late)}
        with memfoldd.Memfoldd(slow, folder, host.root, uri) as daemon, contextlib.ExitStack() as stack:
            daemon.configure(SLOW)
            daemon.start()
            late.write_text("/meminfo", encoding="ascii")
            plans = [stack.enter_context(subprocess.Popen([MEMFOLD, "plan"], env=environment, text=True,
                                                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
                     for _ in range(PLANS_MAX + 3)]
            wait.until("three to be refused", lambda: sum(one.poll() is not None for one in plans) == 3, 20)
            late.unlink()
            for one in plans:
                _, said = one.communicate(timeout=30)
                tap.check(one.returncode == 0 or "other plans are being made" in said, f"{one.returncode}: {said}")
            tap.equal(sum(one.returncode == 0 for one in plans), PLANS_MAX, "plans that were made")


def takes_long(daemon):
    started = time.monotonic()
    daemon.describe()
    return time.monotonic() - started > 3


@tap.test
def so_many_wait_for_accounts_and_no_more(context):
    _daemon, host = context
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        late = pathlib.Path(folder, "late")
        slow = {**environment, **memfoldd.preload("slow-file"), "SLOW_FILE": str(late)}
        with memfoldd.Memfoldd(slow, folder, host.root) as daemon:
            daemon.configure(SLOW)
            daemon.start()
            daemon.describe()
            late.write_text("/meminfo", encoding="ascii")
            wait.until("the accounts to be too old", lambda: takes_long(daemon), 60)  # and new ones do not come
            found = daemon.describe_at_once(DESCRIBES_MAX + 6)
            late.unlink()
            tap.equal((found.count(None), found.count("Busy")), (DESCRIBES_MAX, 6), "answers, and who was turned away")
            tap.equal(daemon.describe_at_once(1), [None], "the next one")


if __name__ == "__main__":
    tap.main(context=surroundings)
