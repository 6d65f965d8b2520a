#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""That `memfold` leaves out nothing that matters and says nothing that is not so, with long names, many domains,
old figures and readers that go, against an org.memfold1 whose answers are known.

Usage: test_cli_text.py MEMFOLD [TEST...]
"""

import contextlib
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakedaemon  # noqa: E402
import tap  # noqa: E402

MEMFOLD = sys.argv.pop(1)
OK, FAILED = range(2)
MIB = 1024 * 1024


def domain(number, name, **values):
    return {"uuid": f"{number:08d}-2222-3333-4444-555555555555", "name": name, "merge": "auto", "mode": "on",
            "mergeable": True, "merged_bytes": 1234 * MIB, "saved_bytes": 1000 * MIB, "group": "tenant-a",
            "reasons": [["group-unenforced", "its policy asks for group tenant-a, which this kernel can't keep apart",
                         "use a kernel with groups"]], **values}


SCENARIO = {"host": {"saved_bytes": 5 * MIB, "ksm_run": 1}, "reasons": [["domains", "1 domain can merge", ""]],
            "domains": [domain(1, "vm1")], "actions": []}


class Host:
    def __init__(self, environment):
        self.environment = environment

    def daemon(self, **changes):
        return fakedaemon.running(self.environment, {**SCENARIO, **changes})

    def run(self, *words):
        return subprocess.run([MEMFOLD, *words], env=self.environment, text=True, timeout=30, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True)


@contextlib.contextmanager
def surroundings():
    with bus.private() as environment:
        yield Host(environment)


def many(count):
    return [domain(number, f"instance-{number:08d}") for number in range(count)]


@tap.test
def a_reader_that_goes_ends_it_without_a_word(host):
    with host.daemon(domains=many(1500)):
        for words in (["status"], ["status", "--json"]):
            with subprocess.Popen([MEMFOLD, *words], env=host.environment, text=True, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
                program.stdout.readline()
                program.stdout.close()
                program.wait(timeout=30)
                tap.equal((program.returncode, program.stderr.read()), (-signal.SIGPIPE, ""), f"end of {words}")


if __name__ == "__main__":
    tap.main(context=surroundings)
