#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may start, as memfoldd says it to the hook: by the host's figures of that moment and what was promised.

Usage: test_admission.py MEMFOLD HOOKDIR [TEST...]
"""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakehost  # noqa: E402
import memfoldd  # noqa: E402
import session  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

MEMFOLD, HOOKDIR = (sys.argv.pop(1) for _ in range(2))
FIRST = "11111111-1111-4111-8111-111111111111"
A, B, C = (f"{letter * 8}-2222-4222-8222-222222222222" for letter in "abc")
MERGING = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" merge="on" group="shared"/>'
BAD = MERGING.replace('"on"', '"sometimes"')
MIB = 1 << 20
ENOUGH = {"ok": True}
LATE = "did not come in"


def memory(host, available_mib, swap_mib=0, total_mib=8000):
    host.write("proc/meminfo", "".join(f"{name}: {mib * 1024} kB\n" for name, mib in (
        ("MemTotal", total_mib), ("MemFree", available_mib), ("MemAvailable", available_mib),
        ("SwapTotal", swap_mib), ("SwapFree", swap_mib))))


class Scene:
    """A memfoldd on a host of files, and what a test does to both."""

    def __init__(self, daemon, host, sign):
        self.daemon, self.host, self.sign = daemon, host, sign

    def slow(self):
        """The host's figures come late, until the sign is taken away."""
        self.sign.write_text("/meminfo", encoding="ascii")

    def begin(self, admission, available_mib=1000, more="", reserve=0):
        """Nothing promised, no domain of an earlier test, and that much memory."""
        for name, uuid in (("a", A), ("b", B), ("c", C)):
            self.daemon.hook("stopped", name, uuid)
        self.host.set("pages_sharing", 0)
        memory(self.host, available_mib)
        self.daemon.configure(f"[merge]\nreserve-permyriad={reserve}\n[admission]\nadmission={admission}\n{more}\n"
                              "[daemon]\ntick-msec=200\n")
        self.daemon.reload()

    def ask(self, name, uuid, mib):
        return self.daemon.hook("prepare", name, uuid, memory_bytes=mib * MIB, policy=MERGING)

    def prepare(self, name, uuid, mib):
        """An answer that was judged."""
        return self.daemon.prepare(name, uuid, memory_bytes=mib * MIB, policy=MERGING)

    def refused(self, name, uuid, mib):
        """The sentence of a refusal."""
        answer = self.prepare(name, uuid, mib)
        tap.equal((answer["ok"], "refused" in answer), (False, True), f"answer {answer}")
        return answer["refused"]

    def said(self):
        """What the host's reasons tell of starts, latest first: (text, remedy)."""
        return [(text, remedy) for code, text, remedy in self.daemon.describe()[1] if code == "admission"]

    def ageless(self):
        """The same, without how long ago that was."""
        return [(re.sub(r"^\d+ min ago: ", "", text), remedy) for text, remedy in self.said()]

    def memfold(self, *words, status=0):
        done = subprocess.run([MEMFOLD, *words], env=self.daemon.environment, text=True, capture_output=True,
                              check=False, timeout=30)
        tap.equal((done.returncode, done.stderr), (status, ""), f"memfold {words}")
        return done.stdout


@contextlib.contextmanager
def surroundings():
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        host = fakehost.FakeHost(folder)
        host.add_qemu(4711, "vm1", FIRST)
        uri = session.write_node(f"{folder}/node.xml", session.domain("vm1", FIRST, MERGING))
        sign = pathlib.Path(folder, "slow")
        slow = {**environment, **memfoldd.preload("slow-file"), "SLOW_FILE": str(sign)}
        with memfoldd.Memfoldd(slow, folder, host.root, uri) as daemon:
            daemon.configure("")
            daemon.start()
            daemon.environment = environment  # of what is run beside it
            try:
                yield Scene(daemon, host, sign)
            finally:
                sign.unlink(missing_ok=True)


@tap.test
def enforce_refuses_with_figures_and_remedy(scene):
    scene.begin("enforce")
    # 980 + 80/4096 of it + 32 are 1031.1 MiB.
    text = scene.refused("a", A, 980)
    for words in ('domain "a" is not started', "needs 1.0 GiB", "1000.0 MiB are left", "free 32 MiB",
                  "admission=warn in memfold.conf"):
        tap.check(words in text, f"{words!r} in {text!r}")
    tap.equal(scene.daemon.logged("WARNING.*domain \"a\" is not started"), 1, "lines in the log")
    memory(scene.host, 1032)
    tap.equal(scene.prepare("a", A, 980), ENOUGH, "answer with 32 MiB more, at once")


@tap.test
def each_part_of_the_balance_counts(scene):
    scene.begin("enforce")
    tap.equal(scene.prepare("a", A, 900), ENOUGH, "answer")
    scene.begin("enforce")
    scene.host.set("pages_sharing", 100 * 256)
    tap.check("100.0 MiB that merged memory may take back" in scene.refused("a", A, 900), "storm")
    scene.begin("enforce", reserve=200)
    tap.check("160.0 MiB of reserve" in scene.refused("a", A, 900), "reserve")
    memory(scene.host, 900, swap_mib=260)
    tap.equal(scene.prepare("a", A, 900), ENOUGH, "answer with swap")


@tap.test
def warn_starts_and_tells(scene):
    scene.begin("warn")
    logged = scene.daemon.logged("started uncovered")
    tap.equal(scene.prepare("a", A, 2000), ENOUGH, "answer")
    tap.equal(scene.daemon.logged("started uncovered") - logged, 1, "lines in the log")
    tap.check('domain "a" is started uncovered' in scene.said()[0][0], f"said: {scene.said()}")
    tap.equal(scene.prepare("a", A, 100), ENOUGH, "answer to a small one")
    tap.check(not [text for text, _ in scene.said() if '"a"' in text], f"said of what holds no more: {scene.said()}")


@tap.test
def off_is_silent(scene):
    scene.begin("off")
    before, said = scene.daemon.text(), scene.ageless()
    tap.equal(scene.prepare("b", B, 99999), ENOUGH, "answer")
    tap.equal(scene.daemon.hook("prepare", "c", C, policy=BAD), ENOUGH, "answer to a bad policy")
    lines = [line for line in scene.daemon.text()[len(before):].splitlines() if '"b"' in line or '"c"' in line]
    tap.equal((lines, scene.ageless()), ([], said), "log and reasons")


@tap.test
def a_promise_stands_until_memory_shows(scene):
    scene.begin("enforce")
    tap.equal(scene.prepare("a", A, 400), ENOUGH, "first")
    tap.equal(scene.prepare("b", B, 400), ENOUGH, "second")
    text = scene.refused("c", C, 400)
    tap.check("879.6 MiB promised" in text and "free 320 MiB" in text, text)
    # It has touched 300 MiB: the host has so much less, and it is owed so much less.
    scene.host.add_qemu(4720, "a", A, rss_kib=300 * 1024)
    memory(scene.host, 700)
    wait.until("its QEMU to be found", lambda: scene.daemon.known_by_hook("a", A).get("pid") == 4720, 20)
    text = scene.refused("c", C, 400)
    tap.check("579.6 MiB promised" in text and "free 320 MiB" in text, text)
    # All of it, and more: the promise is over.
    scene.host.add_qemu(4720, "a", A, rss_kib=500 * 1024)
    memory(scene.host, 500)
    tap.check("439.8 MiB promised" in scene.refused("c", C, 400), "what b is owed")
    scene.host.remove_process(4720)


@tap.test
def a_promise_ends_with_its_domain(scene):
    for operation in ("stopped", "release"):
        scene.begin("enforce")
        tap.equal(scene.prepare("a", A, 800), ENOUGH, "a")
        scene.refused("b", B, 400)
        scene.daemon.hook(operation, "a", A)
        tap.equal(scene.prepare("b", B, 400), ENOUGH, f"b after {operation} of a")


@tap.test
def a_domain_is_not_its_own_rival(scene):
    """A start that failed before libvirt told of its end, and is tried again."""
    scene.begin("enforce")
    for _ in range(3):
        tap.equal(scene.prepare("a", A, 800), ENOUGH, "answer")


@tap.test
def of_many_at_once_as_many_start_as_fit(scene):
    """On a busy machine figures may come late; then, too, none may start that is not counted."""
    scene.begin("enforce", more="refuse-without-daemon=true")
    answers = []
    uuids = [f"{number:08x}-3333-4333-8333-333333333333" for number in range(16)]
    # 200 MiB and what they take besides: four fit.
    threads = [threading.Thread(target=lambda u=uuid: answers.append(scene.ask(f"many-{u[:8]}", u, 200)))
               for uuid in uuids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for uuid in uuids:
        scene.daemon.hook("release", "many", uuid)
    started = [answer["ok"] for answer in answers].count(True)
    late = [answer for answer in answers if LATE in answer.get("refused", "")]
    tap.equal(len(answers), len(uuids), "answers")
    tap.check(started == 4 or (late and started < 4), f"{started} started, {len(late)} judged late: {answers}")


@tap.test
def a_bad_policy_starts_unless_it_is_enforced(scene):
    scene.begin("warn")
    tap.equal(scene.daemon.hook("prepare", "a", A, policy=BAD, memory_bytes=MIB), ENOUGH, "answer under warn")
    scene.begin("enforce")
    answer = scene.daemon.prepare("a", A, policy=BAD, memory_bytes=MIB)
    for words in ('domain "a" is not started', "policy is refused", "sometimes", "correct the policy"):
        tap.check(words in answer.get("refused", ""), f"{words!r} in {answer}")


@tap.test
def what_is_not_known_starts_and_is_said(scene):
    scene.begin("enforce")
    tap.equal(scene.daemon.prepare("a", A, policy=MERGING), ENOUGH, "answer without memory_bytes")
    tap.check("told no <memory>" in scene.said()[0][0], f"said: {scene.said()}")
    scene.host.write("proc/meminfo", "nonsense\n")
    tap.equal(scene.prepare("b", B, 9999), ENOUGH, "answer without figures of the host")
    tap.check("available memory and free swap could not be read" in scene.said()[0][0], f"said: {scene.said()}")


@tap.test
def memory_that_is_no_size_is_refused(scene):
    scene.begin("enforce")
    for bad in (-1, "5", None, 1.5, [1]):
        answer = scene.daemon.hook("prepare", "a", A, memory_bytes=bad)
        tap.equal((answer["ok"], "error" in answer), (False, True), f"answer to {bad!r}: {answer}")


@tap.test
def a_refused_domain_stops_no_ksmd(scene):
    scene.begin("enforce")
    off = MERGING.replace('"on"', '"off"')
    asked = {"policy": off, "ready": lambda: scene.host.get("run") == "1"}
    answer = scene.daemon.prepare("a", A, memory_bytes=9999 * MIB, **asked)
    codes = [reason["code"] for reason in json.loads(scene.memfold("plan", "--json"))["host"]["reasons"]]
    tap.equal((answer["ok"], "start-hold" in codes, scene.host.get("run")), (False, False, "1"),
              "answer, a hold, and run")
    answer = scene.daemon.prepare("a", A, memory_bytes=MIB, **asked)
    tap.equal((answer, scene.host.get("run")), (ENOUGH, "0"), "answer to one that fits, and run")
    scene.daemon.hook("release", "a", A)


@tap.test
def status_and_plan_show_the_last_ones(scene):
    scene.begin("enforce")
    for number in range(6):
        scene.refused(f"big{number}", f"{number}{A[1:]}", 5000)
    names = [text.split('"')[1] for text, _ in scene.said()]
    tap.equal(names, ["big5", "big4", "big3", "big2"], "domains that are told of")
    tap.check(scene.said()[0][0].startswith("0 min ago: "), f"{scene.said()[0]}")
    for command in ("status", "plan"):
        found = json.loads(scene.memfold(command, "--json"))["host"]
        reasons = [reason for reason in found["reasons"] if reason["code"] == "admission"]
        tap.equal(len(reasons), 4, f"reasons in {command} --json")
        tap.equal(found["admission"], "enforce", f"admission in {command} --json")
        text = scene.memfold(command)
        tap.check('"big5" is not started' in text and "admission=warn" in text, text)
    scene.begin("off")
    tap.equal(scene.prepare("big5", f"5{A[1:]}", 5000), ENOUGH, "answer")
    tap.equal([text.split('"')[1] for text, _ in scene.said()], ["big4", "big3", "big2"], "domains after it started")


@tap.test
def figures_that_come_late_are_as_no_daemon(scene):
    for more, ok in (("refuse-without-daemon=true", False), ("refuse-without-daemon=false", True)):
        scene.begin("enforce", more=more)
        late = scene.daemon.logged(LATE)
        scene.slow()
        answer = scene.ask("a\x7f", A, 10)  # which C escapes otherwise than JSON
        scene.sign.unlink()
        tap.equal(answer["ok"], ok, f"answer with {more}: {answer}")
        tap.check(ok or "did not come in 350 ms; try again" in answer["refused"], f"{answer}")
        tap.equal(scene.daemon.logged(LATE) - late, 1, "lines in the log")
        wait.until("an answer again", lambda: scene.prepare("a", A, 10) == ENOUGH, 20)


@tap.test
def one_that_starts_unchecked_is_counted(scene):
    scene.begin("enforce", more="refuse-without-daemon=false")
    scene.slow()
    tap.equal(scene.ask("a", A, 800), ENOUGH, "answer without figures")
    scene.sign.unlink()
    # 800 + 80/4096 of it + 32.
    text = scene.refused("b", B, 400)
    tap.check("847.6 MiB promised" in text, text)
    scene.daemon.hook("stopped", "a", A)
    tap.equal(scene.prepare("b", B, 400), ENOUGH, "answer after a has stopped")


@tap.test
def one_whose_start_failed_before_the_figures_came_holds_nothing(scene):
    """They are those of a start that is over, so that nobody would end the hold."""
    scene.begin("warn")
    wait.until("ksmd to run", lambda: scene.host.get("run") == "1", 20)
    late = scene.daemon.logged(LATE)
    scene.slow()
    tap.equal(scene.daemon.hook("prepare", "a", A, memory_bytes=MIB, policy=MERGING.replace('"on"', '"off"')), ENOUGH,
              "answer without figures")
    tap.equal(scene.daemon.logged(LATE) - late, 1, "lines in the log")
    scene.daemon.hook("release", "a", A)
    scene.sign.unlink()
    # Figures that are asked for later come later, but for a worker that is held up.
    for _ in range(3):
        tap.equal(scene.prepare("b", B, 10), ENOUGH, "answer to a later one")
    codes = [code for code, *_ in scene.daemon.describe()[1]]
    tap.equal(("start-hold" in codes, scene.host.get("run")), (False, "1"), "a hold, and run")


@tap.test
def one_whose_hook_did_not_wait_for_the_refusal_is_counted(scene):
    scene.begin("enforce", more="refuse-without-daemon=false")
    counted = scene.daemon.logged("nobody waited for the answer|started unchecked")
    with scene.daemon.connect_hook() as connection:
        connection.sendall(scene.daemon.hook_line("prepare", "a", A, memory_bytes=2000 * MIB, policy=MERGING))
    scene.daemon.wait_log("nobody waited for the answer|started unchecked", counted + 1)
    text = scene.refused("b", B, 100)
    tap.check("2.0 GiB promised" in text, text)


@tap.test
def doctor_says_when_nobody_asks(scene):
    with tempfile.TemporaryDirectory() as folder:
        hook = pathlib.Path(folder, HOOKDIR.lstrip("/"), "50-memfold")
        hook.parent.mkdir(parents=True)
        for admission, installed, state in (("enforce", False, "warn"), ("warn", False, "warn"), ("off", False, "ok"),
                                            ("enforce", True, "ok")):
            scene.begin(admission)
            if installed:
                hook.touch()
                os.chmod(hook, 0o755)
            checks = json.loads(scene.memfold("doctor", "--json", "--root", folder, status=1))["checks"]
            found = [check for check in checks if check["check"] == "admission"]
            tap.equal([check["state"] for check in found], [state], f"{admission}, hook {installed}: {found}")
            tap.check(state == "ok" or "no start is checked" in found[0]["finding"], f"{found}")


if __name__ == "__main__":
    tap.main(context=surroundings)
