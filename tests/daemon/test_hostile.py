#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMUs that answer what an attacker would, and domains with names to match: memfoldd writes its own files and the
knobs and nothing else, its log has no lines but its own, and nothing reaches a terminal that is not printable.

Usage: test_hostile.py MEMFOLD PRELOAD [TEST...]
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unicodedata

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakehost  # noqa: E402
import memfoldd  # noqa: E402
import session  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

MEMFOLD, PRELOAD = (os.path.abspath(sys.argv.pop(1)) for _ in range(2))
MERGING = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" merge="on" group="shared"/>'
CALLS = "open,openat,openat2,creat,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,truncate,link,linkat," \
        "symlink,symlinkat,mknod,mknodat,chmod,fchmodat,chown,fchownat"
FORGED = "memfoldd-Message: forged"
NAMES = ("../../../../etc/cron.d/memfold", "%n%s%n", f"a\n{FORGED}", "\x1b[31m\x1b]0;owned\x07", "a\u009b31mred\u009b0m",
         "\u202egnp.exe", "$(touch x);`id`'\"", "b\u00e4r \u4e2d\u6587 \U0001f600", "x" * 3000, "..", "-rf", "--json", "/")
KNOWN = {"return": [{"name": "query-memory-merge"}, {"name": "set-memory-merge"}]}
BLOCK = {"id": "pc.ram", "size": 65536, "page-size": 4096, "mode": "on", "mergeable": True, "blockers": []}


def error(text):
    return {"error": {"class": "GenericError", "desc": text}}


def info(**changes):
    return {"return": {"mode": "on", "modes": ["off", "on"], "blocks": [BLOCK], **changes}}


# For each a QEMU that knows our commands and answers this.
ANSWERS = (
    error("../../../../etc/shadow"), error("%s%n%s%n%d"), error(f"no\r\n{FORGED}\n"), error("\x1b]0;owned\x07\x1b[2J\u009b2J"),
    error("x" * 100000), info(blocks=[{**BLOCK, "id": "../../../../etc/passwd"}]),
    info(blocks=[{**BLOCK, "id": "\x1b[31m"}]), info(blocks=[{**BLOCK, "size": 1 << 63, "page-size": -1}]),
    info(process={"zero": (1 << 63) - 2, "tracked": (1 << 63) - 2, "profit": -(1 << 63)}),
    info(mode="../on"), info(blocks=[{**BLOCK, "blockers": ["a\nb"]}]), info(blocks=[BLOCK] * 5000),
    info(blocks=[{**BLOCK, "id": "%n%n%n", "size": 4096 << 40}]), {"return": None}, {"return": info()}, [], "text",
)


def uuid_of(number):
    return f"{number:08x}-1111-4111-8111-111111111111"


class Scene:
    def __init__(self, folder, environment):
        self.folder, self.environment = folder, environment
        self.host = fakehost.FakeHost(folder)
        self.trace = f"{folder}/trace"
        self.domains = {}
        for number in range(max(len(NAMES), len(ANSWERS))):
            name = NAMES[number] if number < len(NAMES) else f"vm{number}"
            self.domains[name] = uuid_of(number + 1)
            self.prepare(name, uuid_of(number + 1), ANSWERS[number % len(ANSWERS)])

    def prepare(self, name, uuid, answer):
        directory = pathlib.Path(self.folder, "qemu", uuid)
        directory.mkdir(parents=True)
        (directory / "name").write_text(name, encoding="utf-8")
        for command, text in (("query-commands", KNOWN), ("query-memory-merge", answer), ("set-memory-merge", answer)):
            (directory / command).write_text(json.dumps(text), encoding="utf-8")

    def node(self):
        return session.write_node(f"{self.folder}/node.xml", *(session.domain(f"vm{number}", uuid, MERGING)
                                                               for number, uuid in enumerate(self.domains.values())))

    def memfold(self, *words):
        done = subprocess.run([MEMFOLD, *words], env=self.environment, capture_output=True, check=False, timeout=60,
                              stdin=subprocess.DEVNULL)
        return (done.stdout + done.stderr).decode("utf-8")


class Traced(memfoldd.Memfoldd):
    """A memfoldd of which each call that opens, makes or removes a file is written down."""

    def __init__(self, scene, *rest):
        super().__init__(*rest)
        self.scene = scene

    def command(self, *more):
        return ["strace", "-D", "-f", "-y", "-q", "-s", "400", "-o", self.scene.trace, "-e", f"trace={CALLS}", "-E",
                f"LD_PRELOAD={PRELOAD}", "-E", f"HOSTILE_QEMU={self.folder}/qemu", *super().command(*more)]


@contextlib.contextmanager
def surroundings():
    if not shutil.which("strace"):
        tap.skip("strace is not installed")
    with tempfile.TemporaryDirectory(prefix="memfold-hostile-") as folder, bus.private() as environment:
        scene = Scene(folder, environment)
        for number, (name, uuid) in enumerate(scene.domains.items()):
            if "/" not in name and len(name) < 200:
                scene.host.add_qemu(4000 + number, name, uuid)
        with Traced(scene, environment, folder, scene.host.root, scene.node()) as daemon:
            scene.daemon = daemon
            daemon.configure("[merge]\ndefault-group=shared\n[daemon]\ntick-msec=200\naccounting-interval-msec=500\n")
            daemon.start()
            wait.until("the domains", lambda: len(daemon.describe()[2]) == len(scene.domains), 60)
            wait.until("each QEMU to be asked", lambda: asked(scene) == set(daemon_uuids(scene)), 60,
                       show=lambda: set(daemon_uuids(scene)) - asked(scene))
            yield scene


def daemon_uuids(scene):
    return [domain["uuid"] for domain in scene.daemon.describe()[2].values()]


def asked(scene):
    """UUIDs of the QEMUs that were asked for their state, by the files that the answers are in."""
    return set(re.findall(r"/qemu/([0-9a-f-]{36})/query-memory-merge\"", traced(scene)))


def traced(scene):
    return pathlib.Path(scene.trace).read_text(encoding="utf-8", errors="replace")


def whole_calls(text):
    """The trace's lines, with a call that another thread's came between made one again."""
    begun, lines = {}, []
    for line in text.splitlines():
        pid, _, call = line.partition(" ")
        call = call.lstrip()
        if call.endswith(" <unfinished ...>"):
            begun[pid] = call.removesuffix(" <unfinished ...>")
        elif resumed := re.match(r"<\.\.\. \w+ resumed>", call):
            lines.append(f"{pid} {begun.pop(pid, '')}{call[resumed.end():]}")
        else:
            lines.append(line)
    return lines


def unprintable(text):
    return sorted({f"U+{ord(c):04X}" for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Cn", "Co")})


@tap.test
def nothing_unprintable_reaches_a_terminal(scene):
    known = list(scene.daemon.describe()[2])
    tap.check(any("\u009b" in name for name in known) and any("\u202e" in name for name in known), f"names: {known}")
    commands = [["status"], ["plan"], ["report"], ["doctor"], ["top", "--batch", "--count", "1"], ["status", "no\x1b[31msuch"]]
    commands += [["why", "--", name] for name in known] + [["set", "--", name, "merge=on"] for name in known]
    for words in commands:
        text = scene.memfold(*words)
        tap.check(text, f"{words} said nothing")
        if words[0] != "set":  # says what it was given, by the person who sits there
            tap.equal(unprintable(text), [], f"unprintable in the output of {words}")


@tap.test
def a_programs_output_is_json(scene):
    for words in (["status", "--json"], ["plan", "--json"], ["report", "--json"], ["doctor", "--json"]):
        found = json.loads(scene.memfold(*words))
        tap.check(isinstance(found, dict), f"{words}: {found}")


@tap.test
def the_log_has_no_lines_but_its_own(scene):
    lines = scene.daemon.text().splitlines()
    tap.check(any("QEMU says" in line for line in lines), "no QEMU's error was logged")
    tap.equal([line for line in lines if line.startswith(FORGED)], [], "forged lines")
    tap.equal(unprintable("\n".join(lines)), [], "unprintable in the log")


@tap.test
def what_qemu_says_is_not_believed_blindly(scene):
    for name, domain in scene.daemon.describe()[2].items():
        tap.check(domain.get("mode") in (None, "on", "off", "mixed", "unknown"), f"mode of {name}: {domain}")
        tap.check(domain.get("rmap_items_pages", 0) < 1 << 62 or domain["rmap_items_pages"] == (1 << 63) - 2, f"{domain}")


@tap.test
def one_that_never_answers_well_has_touched_its_memory_all_the_same(scene):
    """What it was promised at its start is not kept for it beside what it takes."""
    name, uuid, mib = "vm13", scene.domains["vm13"], 1 << 20
    daemon = scene.daemon
    daemon.configure("[merge]\ndefault-group=shared\nreserve-permyriad=0\n[admission]\nadmission=enforce\n"
                     "refuse-without-daemon=true\n")
    daemon.reload()
    scene.host.set("pages_sharing", 0)
    scene.host.write("proc/meminfo", "".join(f"{figure}: {size * 1024} kB\n" for figure, size in (
        ("MemTotal", 8000), ("MemFree", 1000), ("MemAvailable", 1000), ("SwapTotal", 0), ("SwapFree", 0))))
    scene.host.add_qemu(4013, name, uuid, rss_kib=300 * 1024)

    def answer(*words, mib_count):
        return daemon.hook("prepare", *words, policy=MERGING, memory_bytes=mib_count * mib)

    # On a busy machine the figures may come too late for an answer, and an answer may be under way.
    wait.until("its start", lambda: answer(name, uuid, mib_count=400) == {"ok": True}, 30)
    other = "99999999-1111-4111-8111-111111111111"
    # 400 + 80/4096 of it + 32, less 300.
    wait.until("what it is still owed", lambda: "139.8 MiB promised" in answer("other", other, mib_count=900)["refused"], 20,
               show=lambda: answer("other", other, mib_count=900))


@tap.test
def only_its_own_files_and_the_knobs_are_written(scene):
    pid = scene.daemon.process.pid
    scene.daemon.stop()
    wait.until("the trace's end", lambda: re.search(rf"^{pid} .*exited with", traced(scene), re.MULTILINE), 60)
    root, runtime = scene.host.root, scene.daemon.runtime
    allowed = re.compile(rf"{re.escape(root)}/sys/kernel/mm/ksm/[a-z_]+|{re.escape(runtime)}(/[.a-z]+)?|/dev/null|/memfd:.*")
    written, seen = set(), 0
    for line in whole_calls(traced(scene)):
        found = re.search(r"^\d+\s+(\w+)\((.*)\)\s+= (\d+)(<.*>)?$", line)
        if not found or (found[1].startswith("open") and not re.search(r"O_(WRONLY|RDWR|CREAT|TRUNC)", found[2])):
            continue
        seen += 1
        directory = re.match(r"\w+<([^>]*)>, ", found[2])
        for name in re.findall(r'"((?:[^"\\]|\\.)*)"', found[2]):
            written.add(os.path.normpath(os.path.join(directory[1] if directory else "/", name)))
    tap.diag(f"{seen} calls, {len(written)} paths")
    tap.check(any(path.endswith("/ksm/run") for path in written) and f"{runtime}/journal" in written, f"{sorted(written)}")
    tap.equal(sorted(path for path in written if not allowed.fullmatch(path)), [], "other paths that were written")


if __name__ == "__main__":
    tap.main(context=surroundings)
