#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`memfold audit` as text and as JSON, and how it ends, against an org.memfold1 whose answers are known.

Usage: test_cli_audit.py MEMFOLD [TEST...]
"""

import contextlib
import json
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakedaemon  # noqa: E402
import tap  # noqa: E402

MEMFOLD = sys.argv.pop(1)
OK, FAILED = range(2)


class Host:
    def __init__(self, environment):
        self.environment = environment

    def run(self, *words):
        return subprocess.run([MEMFOLD, "audit", *words], env=self.environment, timeout=30, check=False, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True)

    @contextlib.contextmanager
    def daemon(self, answer, **more):
        """The fake daemon; gives a function that returns the next call."""
        scenario = {"host": {}, "reasons": [], "domains": [], "actions": [], "audit": answer, **more}
        with fakedaemon.running(self.environment, scenario) as fake:
            yield lambda: json.loads(fake.stdout.readline())


@contextlib.contextmanager
def surroundings():
    with bus.private() as environment:
        yield Host(environment)


AUDIT = {
    "host": {"verdict": "clean", "domains_count": 2, "failed_count": 0, "looked_pages": 1000, "within_pages": 30,
             "violation_pages": 0, "unexplained_pages": 0, "zero_violation_pages": 0, "page_size_bytes": 4096},
    "reasons": [],
    "domains": [{"name": "vm1", "group": "tenant-a", "looked_pages": 600, "merged_pages": 256, "swapped_pages": 0,
                 "violation_pages": 0, "reasons": []},
                {"name": "vm2", "group": "tenant-b", "looked_pages": 400, "merged_pages": 30, "swapped_pages": 1,
                 "violation_pages": 0, "reasons": []}],
    "violations": [],
}


def audit(more=(), **host):
    return {**AUDIT, "host": {**AUDIT["host"], **host}, **dict(more)}


@tap.test
def audit_has_a_verdict_and_an_exit_code(host):
    between = [{"name": "vm1", "group": "tenant-a", "pid": 1, "other_name": "vm2", "other_group": "tenant-b",
                "other_pid": 2, "violation_pages": 7},
               {"name": "vm2", "group": "tenant-b", "pid": 2, "other_name": "tool", "other_pid": 99, "violation_pages": 2}]
    away = [["libvirt-away", "memfoldd is not connected", "start it"]]
    failed = [{**AUDIT["domains"][0], "reasons": [["audit-failed", "it could not be looked at", "see the log"]]}]
    for answer, code, wanted, unwanted in (
            (audit(), OK, ["proven: no page is shared across groups (2 domains, 1000 pages", "30 merged"], ["not proven"]),
            (audit({"violations": between}, verdict="violated", violation_pages=9), FAILED,
             ["VIOLATED: 9 pages", '"vm1" (tenant-a) and "vm2" (tenant-b): 7 pages',
              '"vm2" (tenant-b) and "tool" (process 99, no domain): 2 pages'], ["proven"]),
            (audit(verdict="violated", zero_violation_pages=5), FAILED, ["zero page is mapped 5 times"], ["proven"]),
            (audit(verdict="not-proven", unexplained_pages=3), FAILED, ["not proven: ", "3 pages are mapped by somebody"],
             ["VIOLATED"]),
            (audit({"domains": failed}, verdict="not-proven", failed_count=1), FAILED,
             ["not proven: ", "1 domains could not be", "vm1: it could not be looked at; see the log\n"], ["VIOLATED"]),
            (audit({"reasons": away}, verdict="not-proven"), FAILED, ["not proven: ", "memfoldd is not connected; start it\n"],
             ["VIOLATED"]),
            (audit({"violations": between * 32}, verdict="violated", violation_pages=999), FAILED,
             ["  - and perhaps more: the 64 largest are shown\n"], ["proven"]),
            (audit({"violations": between * 31}, verdict="violated", violation_pages=999), FAILED, ["VIOLATED"], ["more"]),
            (audit(verdict="of a later version"), FAILED, ["not proven: "], ["VIOLATED"])):
        with host.daemon(answer) as calls:
            text, data = host.run(), host.run("--json", "vm1")
            tap.equal([calls(), calls()], [["Audit", []], ["Audit", ["vm1"]]], "calls")
        for result in (text, data):
            tap.equal((result.returncode, result.stderr), (code, ""), f"end with {answer['host']}")
        for word in wanted:
            tap.check(word in text.stdout, text.stdout)
        for word in unwanted:
            tap.check(word not in text.stdout, text.stdout)
        found = json.loads(data.stdout)
        tap.equal(found["host"]["verdict"], answer["host"]["verdict"], "verdict")
        tap.equal([v["violation_pages"] for v in found["violations"]],
                  [v["violation_pages"] for v in answer["violations"]], "violations")
    row = re.split(r"  +", text.stdout.splitlines()[1].strip())
    tap.equal(row, ["vm1", "tenant-a", "2.3 MiB", "1.0 MiB", "0 B", "0 B"], "a row")


@tap.test
def a_refusal_is_told_in_words(host):
    for name, text in (("Denied", "permission denied: not here"), ("Busy", "not here"), ("Unsupported", "not here")):
        with host.daemon(AUDIT, errors={"Audit": [f"org.memfold1.Error.{name}", "not here"]}):
            result = host.run()
        tap.equal((result.returncode, result.stdout), (FAILED, ""), f"end with {name}")
        tap.check(text in result.stderr and "GDBus" not in result.stderr, result.stderr)


if __name__ == "__main__":
    tap.main(context=surroundings)
