#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`memfold estimate`: guests whose pages are known, who may not be read, and ends before the end."""

import contextlib
import json
import os
import pathlib
import pty
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

NAMES = ("one", "two", "apart", "hidden", "large", "lost")
UUID = {name: f"{number}1111111-1111-4111-8111-111111111111" for number, name in enumerate(NAMES, 1)}
PID = {name: number for number, name in enumerate(NAMES, 4711)}
ELEMENT = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" merge="off" group="{}"/>'
PAGE = os.sysconf("SC_PAGESIZE")
MIB = 1 << 20


def contents(word, count):
    return [f"{word} {number}".encode() for number in range(count)]


COMMON = contents("common", 100)
# 100 pages that others have, 50 pairs, 20 of zeroes, some that are absent; 49 MiB take 49 seconds at the least rate.
MEMORY = {
    "one": COMMON + contents("pair", 50) * 2 + [b""] * 20 + [None] * 300 + contents("one", 30),
    "two": COMMON + [None] * 77 + contents("two", 30),
    "apart": COMMON + contents("apart", 10),
    "large": [b"large"] * (49 * MIB // PAGE),
}


@contextlib.contextmanager
def running(daemon, **options):
    """An estimate that takes a minute, and is under way."""
    begun = daemon.logged("reads the memory of")
    with begin(daemon, "--rate", "1", "large", **options) as program:
        try:
            daemon.wait_log("reads the memory of", begun + 1)
            yield program
        finally:
            program.kill()


@contextlib.contextmanager
def surroundings():
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        host = fakehost.FakeHost(folder)
        for name in NAMES:
            host.add_qemu(PID[name], name, UUID[name])
        for name, pages in MEMORY.items():
            host.set_memory(PID[name], pages)
        groups = {"one": "tenant-a", "two": "tenant-a", "lost": "shared"}
        uri = session.write_node(f"{folder}/node.xml", *(session.domain(
            name, UUID[name], ELEMENT.format(groups.get(name, "isolated")),
            "<source type='memfd'/><access mode='shared'/>" if name == "hidden" else "") for name in NAMES))
        os.chmod(folder, 0o755)
        with memfoldd.Memfoldd(environment, folder, host.root, uri) as daemon:
            daemon.start()
            wait.until("all domains", lambda: set(daemon.describe()[2]) == set(NAMES), 20)
            yield daemon


def begin(daemon, *words, **options):
    return subprocess.Popen([f"{os.environ['MEMFOLD_BUILD']}/src/cli/memfold", "estimate", *words],
                            env=daemon.environment, stdin=subprocess.DEVNULL, text=True, **options)


def run(daemon, *words):
    with begin(daemon, *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        out, err = program.communicate(timeout=30)
    return program.returncode, out, err


def estimate(daemon, *words, code=0):
    """(all, {group: figures}, {domain: figures})"""
    ended, out, err = run(daemon, "--json", *words)
    tap.equal((ended, err), (code, ""), f"estimate {words}")
    found = json.loads(out)
    return (found["all"], {g["group"]: g for g in found["groups"]}, {d["name"]: d for d in found["domains"]})


def pages(figures, *keys):
    return [figures[f"{key}_bytes"] // PAGE for key in keys]


@tap.test
def the_answer_is_the_known_one(daemon):
    everything, groups, domains = estimate(daemon, "two", "apart", "one", UUID["one"].upper())
    keys = ("read", "zero", "saved_low", "saved", "saved_high")
    tap.equal(list(domains), ["apart", "one", "two"], "domains, by group and name")
    tap.equal(pages(domains["one"], *keys), [250, 20, 50, 50, 50], "one alone")
    tap.equal(pages(domains["two"], *keys), [130, 0, 0, 0, 0], "two alone")
    tap.equal(pages(groups["tenant-a"], *keys), [380, 20, 150, 150, 150], "inside the group")
    tap.equal(pages(everything, *keys), [490, 20, 250, 250, 250], "all")
    tap.equal((list(groups), groups["tenant-a"]["domains_count"], everything["domains_count"]),
              (["tenant-a"], 2, 3), "groups")
    tap.equal((everything["page_size_bytes"], everything["sample_shift"], domains["one"]["merged_now_bytes"]),
              (PAGE, 0, 0), "page size, sample, merged now")


@tap.test
def who_can_not_be_read_is_told_why(daemon):
    everything, groups, domains = estimate(daemon, "hidden", "lost", "two", code=1)
    tap.equal([r["code"] for r in domains["hidden"]["reasons"]], ["memory-shared"], "hidden")
    tap.equal([r["code"] for r in domains["lost"]["reasons"]], ["estimate-failed"], "lost")
    tap.equal(["saved_bytes" in domains[name] for name in ("hidden", "lost", "two")], [False, False, True], "figures")
    tap.equal((everything["domains_count"], list(groups)), (1, ["tenant-a"]), "what was read")
    tap.equal(estimate(daemon, "hidden", "two")[0]["domains_count"], 1, "read beside what can't merge")
    for name in ("hidden", "lost"):
        everything, groups, domains = estimate(daemon, name, code=1)
        tap.equal((everything["domains_count"], groups), (0, {}), f"read of {name}")
        tap.equal([key for key in everything if key.startswith(("read", "zero", "saved_", "sample"))
                   and key != "saved_now_bytes"], [], f"figures of nothing, of {name}")


@tap.test
def words_that_are_wrong_are_refused(daemon):
    code, out, err = run(daemon, "one", "nobody")
    tap.equal((code, out), (1, ""), "exit code and stdout")
    tap.check('no running domain "nobody"' in err, err)
    _, GLib = memfoldd._gio()
    for options in ({"speed": GLib.Variant("t", 1)}, {"rate_bytes": GLib.Variant("u", MIB)},
                    {"rate_bytes": GLib.Variant("t", MIB - 1)}, {"rate_bytes": GLib.Variant("t", 1 << 41)}):
        try:
            daemon.call("/org/memfold1", "Host", "Estimate", GLib.Variant("(asa{sv})", (["one"], options)))
        except memfoldd.Refused as refused:
            tap.equal(refused.name, "Invalid", f"{options}")
        else:
            raise tap.Failed(f"{options} went well")


@tap.test
def one_at_a_time_until_the_caller_leaves(daemon):
    with running(daemon) as first:
        code, _, err = run(daemon, "one")
        tap.check(code == 1 and "another estimate is under way" in err, f"exit code {code}: {err}")
        tap.equal(first.poll(), None, "the first one goes on")
    wait.until("an estimate after the caller has left", lambda: run(daemon, "one")[0] == 0, 10)


@tap.test
def a_person_who_waits_sees_how_far_it_is(daemon):
    leader, follower = pty.openpty()
    with begin(daemon, "--rate", "12", "large", stderr=follower, stdout=subprocess.PIPE) as program:
        os.close(follower)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while chunk := os.read(leader, 4096):
                shown += chunk
        tap.equal(program.wait(), 0, "exit code")
    os.close(leader)
    tap.check(b"reading memory: " in shown and shown.endswith(b"\r"), f"{shown}")


@tap.test
def a_stop_does_not_wait_for_it(daemon):
    with running(daemon, stderr=subprocess.DEVNULL) as program:
        begun = time.monotonic()
        tap.equal(daemon.stop(), 0, "exit status of memfoldd")
        tap.check(time.monotonic() - begun < 10, "memfoldd waited for the estimate")
        tap.equal(program.wait(10), 1, "exit code of memfold")


if __name__ == "__main__":
    tap.main(context=surroundings)
