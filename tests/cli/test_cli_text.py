#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""That `memfold` leaves out nothing that matters and says nothing that is not so, with long names, many domains,
old figures and readers that go, against an org.memfold1 whose answers are known.

Usage: test_cli_text.py MEMFOLD [TEST...]
"""

import contextlib
import json
import os
import pathlib
import pty
import re
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


class Host(fakedaemon.Host):
    def run(self, *words):
        return subprocess.run([MEMFOLD, *words], env=self.environment, text=True, timeout=30, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True)

    def on_terminal(self, columns, *words):
        """What it writes on a terminal of that width, as lines."""
        leader, follower = pty.openpty()
        subprocess.run(["stty", "cols", str(columns)], stdin=follower, check=True)
        with subprocess.Popen([MEMFOLD, *words], env=self.environment, stdin=subprocess.DEVNULL, stdout=follower,
                              stderr=follower) as program:
            os.close(follower)
            output = fakedaemon.until_closed(leader)
            program.wait()
        return output.replace("\r\n", "\n").splitlines()


@contextlib.contextmanager
def surroundings():
    with bus.private() as environment:
        yield Host(environment, SCENARIO)


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


@tap.test
def numbers_are_never_cut(host):
    saves = {"read_bytes": 40 * 1024 * MIB, "zero_bytes": 1024 * MIB, "saved_bytes": 12345 * MIB,
             "saved_low_bytes": 12000 * MIB, "saved_high_bytes": 12987 * MIB}
    estimate = {"all": {**saves, "domains_count": 1, "saved_now_bytes": 0}, "groups": [{"group": "tenant-a", **saves}],
                "domains": [{"name": "web-frontend-production-01", "uuid": "1", "group": "customer-4711-prod", **saves,
                             "reasons": []}]}
    audit = {"host": {"verdict": "clean", "page_size_bytes": 4096}, "reasons": [], "violations": [],
             "domains": [{"name": "web-frontend-production-01", "group": "customer-4711-prod", "looked_pages": 9 << 18,
                          "merged_pages": 4 << 18, "swapped_pages": 2 << 18, "violation_pages": 1 << 18, "reasons": []}]}
    huge = domain(1, "n" * 40, saved_bytes=1 << 62, merged_bytes=1 << 61)
    with host.daemon(estimate=estimate, audit=audit, domains=[huge]):
        for columns in (80, 100):
            lines = host.on_terminal(columns, "estimate")[:4]
            tap.check(max(map(len, lines)) <= max(columns, 90), f"a line that is too long in {lines}")
            tap.check(all("12345.0 MiB  12000.0 MiB  12987.0 MiB" in line for line in lines[1:]), lines)
            tap.check(lines[1].startswith("web-f") and "..." in lines[1], lines)
            lines = host.on_terminal(columns, "audit")
            tap.check("9.0 GiB  4.0 GiB  2.0 GiB        1.0 GiB" in " ".join(lines), lines)
            lines = host.on_terminal(columns, "status")
            tap.check("2199023255552.0 MiB  4398046511104.0 MiB" in " ".join(lines), lines)


@tap.test
def an_estimate_of_nothing_is_no_zero(host):
    def failed(name):
        return {"name": name, "uuid": name, "group": "isolated",
                "reasons": [["estimate-failed", "its memory could not be read", "see the log"]]}

    read = {"name": "vm2", "uuid": "2", "group": "isolated", "read_bytes": MIB, "reasons": []}
    shared = {**failed("vm3"), "reasons": [["memory-shared", "its RAM is shared: not read", ""]]}
    for domains, count, row, codes in (([failed("vm1")], 0, "(none could be read)", (FAILED, FAILED)),
                                       ([shared], 0, "(none could be read)", (FAILED, FAILED)),
                                       ([failed("vm1"), read], 1, "(the one that was read)", (OK, FAILED)),
                                       ([shared, read, read], 2, "(the 2 that were read)", (OK, OK)),
                                       ([read], 1, "(all of them)", (OK, OK)), ([], 0, None, (OK, OK))):
        answer = {"all": {"domains_count": count, "saved_now_bytes": 0}, "groups": [], "domains": domains}
        with host.daemon(estimate=answer):
            text, named = host.run("estimate"), host.run("estimate", "--json", *(d["name"] for d in domains))
        tap.equal((text.returncode, named.returncode), codes, f"exit codes with {domains}")
        rows = [line for line in text.stdout.splitlines() if line.startswith("(")]
        tap.equal([re.split("  +", line)[:3] for line in rows], [[row, "-", "-"]] if row else [], "the last row")
        if failed("vm1") in domains:
            tap.check("\nvm1: its memory could not be read; see the log\n" in text.stdout, text.stdout)


@tap.test
def reasons_have_room_on_a_narrow_terminal(host):
    with host.daemon(domains=many(2)):
        narrow, wide = (host.on_terminal(columns, "status")[4:] for columns in (80, 120))
        plain = host.run("status").stdout.splitlines()[4:]
    tap.check(max(map(len, narrow)) <= 80, narrow)
    tap.equal([line.split()[0] for line in narrow],
              ["NAME", "REASON", "instance-00000000", "its", "instance-00000001", "its"], "lines")
    tap.equal(narrow[3], "  its policy asks for group tenant-a, which this kernel can't keep apart", "the reason")
    for lines in (wide, plain):
        tap.equal([re.split("  +", line)[-1][:10] for line in lines], ["REASON", "its policy", "its policy"], "last cells")


@tap.test
def figures_say_how_old_they_are(host):
    with host.daemon(domains=[domain(1, "vm1", age_msec=9999), domain(2, "vm2", age_msec=100000), domain(3, "vm3")]):
        tap.check("\nfigures  100 s old\n" in host.run("status").stdout, "the oldest of all in status")
        tap.check("\nfigures 100 s old\n" in host.run("why", "vm2").stdout, "in why")
        for words in (["status", "vm1", "vm3"], ["why", "vm1"], ["why", "vm3"]):
            tap.check("old" not in (text := host.run(*words).stdout), text)


@tap.test
def json_can_not_drive_a_terminal(host):
    name = "b\x9b31m\x1f\x7f\u202ez\U000e0001\x1b[2J\n\t\u00fc\u865a"
    with host.daemon(domains=[domain(1, name, saved_bytes=(1 << 63) - 1, merged_bytes=1 << 63)]):
        for words in (["status", "--json"], ["why", "--json", "00000001-2222-3333-4444-555555555555"]):
            text = host.run(*words).stdout
            tap.check(all(c == "\n" or c.isprintable() for c in text), f"a character that drives: {text!a}")
            found = json.loads(text)
            found = found["domains"][0] if "domains" in found else found
            tap.equal(found["name"], name, "the name")
            tap.check("\u00fc\u865a" in text and "\\udb40\\udc01" in text, text)
            tap.equal((found["saved_bytes"], "merged_bytes" in found), ((1 << 63) - 1, False), "large figures")


@tap.test
def a_wrong_name_does_not_list_a_whole_cloud(host):
    for count, listed in ((8, ", ".join(f"instance-{n:08d}" for n in range(8))),
                          (500, ", ".join(f"instance-{n:08d}" for n in range(8)) +
                           " and 492 more; memfold status lists them")):
        with host.daemon(domains=many(count)):
            tap.equal(host.run("why", "nope").stderr, f'memfold: no running domain "nope"; running: {listed}\n', "stderr")


@tap.test
def the_help_of_set_knows_what_is_acted_on(host):
    text = host.run("set", "--help").stdout
    tap.check("not acted on" not in text and "in a storm" in text and "where the kernel can" in text, text)


@tap.test
def config_check_says_where_no_file_is(host):
    path = re.search(r"installed one: (\S+)\.\s", host.run("config", "--help").stdout).group(1)
    result = host.run("config", "check")
    if pathlib.Path(path).exists():
        tap.check("is not there" not in result.stdout, result.stdout)
    else:
        tap.equal((result.returncode, result.stdout),
                  (OK, f"{path} is not there: the defaults apply, and {path}.d/*.conf: ok\n"), "config check")


if __name__ == "__main__":
    tap.main(context=surroundings)
