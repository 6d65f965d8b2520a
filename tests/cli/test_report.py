#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`memfold report` as text, as JSON and as a page, against an org.memfold1 whose history is known.

Usage: test_report.py MEMFOLD [TEST...]
"""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakedaemon  # noqa: E402
import tap  # noqa: E402

MEMFOLD = sys.argv.pop(1)
OK, FAILED, USAGE = range(3)
MIB = 1024 * 1024
HOUR_MSEC = 3600 * 1000
EVIL = "<i>&\"'\x1b[J\u00e9"
SHOWN = EVIL.replace("\x1b", "?")

REPORT = {
    "host": {"period_sec": 3600, "step_sec": 20, "unrecorded_count": 0, "points_count": 3, "saved_bytes": 900 * MIB,
             "saved_average_bytes": 600 * MIB, "saved_max_bytes": 950 * MIB, "cow_breaks_count": 450,
             "cow_breaks_per_1000_sec": 125, "swap_in_copies_count": 4, "scan_cpu_usec": 12345678,
             "scan_cpu_estimated": False, "saved_trend_bytes_per_hour": -3 * MIB // 2,
             "gain_bytes_per_cpu_sec": 25 * MIB},
    "series": {"saved_bytes": [[HOUR_MSEC - 1, 0], [HOUR_MSEC // 2, 450 * MIB], [0, 900 * MIB]],
               "scan_cpu_usec_per_sec": [[20000, 500000], [0, 250000]]},
    "domains": [
        {"name": EVIL, "uuid": "11111111-1111-4111-8111-111111111111", "gone": False, "ago_msec": 10, "points_count": 3,
         "saved_bytes": 300 * MIB, "saved_average_bytes": 200 * MIB, "saved_max_bytes": 301 * MIB,
         "saved_trend_bytes_per_hour": 7 * MIB, "scan_cpu_usec": 2000000, "scan_cpu_estimated": True,
         "gain_bytes_per_cpu_sec": 0, "series": {"saved_bytes": [[HOUR_MSEC // 2, 100 * MIB], [0, 300 * MIB]],
                                                 "merged_bytes": [[0, 400 * MIB]]}},
        {"name": "vm2", "uuid": "22222222-1111-4111-8111-111111111111", "gone": True, "ago_msec": 90000,
         "points_count": 1, "saved_max_bytes": 5 * MIB, "series": {}},
    ],
}


class Host:
    def __init__(self, environment, folder):
        self.environment, self.folder = environment, folder

    def run(self, *words, locale="C.UTF-8", term="xterm", stdout=subprocess.PIPE, **options):
        environment = {**self.environment, "LC_ALL": locale, "TERM": term, "TZ": "UTC"}
        return subprocess.run([MEMFOLD, "report", *words], env=environment, timeout=30, check=False, encoding="utf-8",
                              stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, **options)

    @contextlib.contextmanager
    def daemon(self, **changes):
        """The fake daemon; gives a function that returns the calls so far."""
        scenario = {"host": {}, "reasons": [], "domains": [], "actions": [], "report": {**REPORT, **changes.pop("report", {})},
                    **changes}
        with fakedaemon.running(self.environment, scenario) as fake:
            yield lambda: json.loads(fake.stdout.readline())

    def report(self, *words, **options):
        with self.daemon():
            result = self.run(*words, **options)
        tap.equal((result.returncode, result.stderr), (OK, ""), f"report {words}")
        return result.stdout


@contextlib.contextmanager
def surroundings():
    with bus.private() as environment, tempfile.TemporaryDirectory(prefix="memfold-report-") as folder:
        yield Host(environment, folder)


@tap.test
def text_tells_of_the_host_and_each_domain(host):
    head, table = host.report("--period", "1h").split("\n\n")
    lines = head.splitlines()
    tap.check(re.fullmatch(r"period  1h until \d{4}-\d\d-\d\d \d\d:\d\d", lines[0]), lines[0])
    tap.equal(lines[1:4], [
        "saved   900.0 MiB on this host; average 600.0 MiB, at most 950.0 MiB, trend -1.5 MiB an hour",
        "ksmd    12.35 s of CPU time; gain +25.0 MiB for each second of it",
        "writes  0.125 merged pages a second; 4 came back from swap as copies"], "the host")
    tap.equal(lines[4].strip(), "\u2581           \u2584          \u2588", "the host's line over time")
    rows = [re.split(r"  +", line.strip()) for line in table.splitlines()]
    tap.equal(rows[0], ["NAME", "SAVED", "AVERAGE", "MAX", "TREND/H", "COW/S", "SCAN CPU", "GAIN/CPU-S", "OVER TIME"],
              "titles")
    tap.equal(rows[1], [SHOWN, "300.0 MiB", "200.0 MiB", "301.0 MiB", "+7.0 MiB", "-", "~2.00 s", "0.0 MiB",
                        "\u2583", "\u2588"], "a domain that runs")
    tap.equal(rows[2], ["vm2 (gone)", "-", "-", "5.0 MiB", "-", "-", "-", "-"], "a domain that is gone")


@tap.test
def a_dumb_terminal_gets_ascii(host):
    for options in ({"locale": "C"}, {"term": "dumb"}):
        text = host.report("--period=1h", **options)
        tap.equal(text.splitlines()[4].strip(), "_           -          #", f"the host's line with {options}")
        tap.check(not re.search("[\u2580-\u259f]", text), f"blocks with {options}")


@tap.test
def json_has_what_is_known(host):
    found = json.loads(host.report("--json"))
    wanted = {key: value for key, value in REPORT["host"].items()}
    series = found["host"].pop("series")
    tap.equal(found["host"], wanted, "host")
    tap.equal(series["saved_bytes"], {"ago_msec": [HOUR_MSEC - 1, HOUR_MSEC // 2, 0],
                                      "saved_bytes": [0, 450 * MIB, 900 * MIB]}, "saved of the host")
    tap.equal(sorted(series), ["saved_bytes", "scan_cpu_usec_per_sec"], "series of the host")
    first, second = found["domains"]
    tap.equal((first["name"], first["saved_trend_bytes_per_hour"]), (EVIL, 7 * MIB), "the first domain")
    tap.equal(second, {key: value for key, value in REPORT["domains"][1].items()}, "the second")
    tap.check(found["until_unix_msec"] > 1.6e12, found["until_unix_msec"])


def page_of(text):
    """The page as a tree: it is XML but for its doctype."""
    tap.check(text.startswith("<!DOCTYPE html>\n"), text[:40])
    return xml.etree.ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n"))


@tap.test
def the_page_is_well_formed_and_stands_alone(host):
    text = host.report("--html", "-", "--period=1h")
    page = page_of(text)
    tap.check(not re.search(r"https?:|//|url\(|@import|<script|<link|<img|\bsrc=|\bon\w+=", text),
              "something from outside")
    tap.check("\x1b" not in text, "an escape sequence")
    heads = ["".join(head.itertext()) for head in page.iter("h2")]
    tap.equal(heads, ["The host", SHOWN, "vm2 (gone)"], "headings")
    rows = [["".join(cell.itertext()) for cell in row] for row in page.iter("tr")]
    tap.equal([row[:2] for row in rows], [["Domain", "Saved"], ["the host", "900.0 MiB"],
                                          [SHOWN, "300.0 MiB"], ["vm2 (gone)", "-"]], "rows")
    titles = ["".join(caption.itertext()) for caption in page.iter("figcaption")]
    tap.equal(titles, ["Memory", "CPU time of scanning, of one CPU", "Memory"], "plots")
    tap.check("prefers-color-scheme: dark" in text, "no dark colours")


@tap.test
def the_plots_show_the_values(host):
    page = page_of(host.report("--html", "-", "--period=1h"))
    plots = list(page.iter("svg"))
    left, right, top, bottom = 90, 710, 26, 156
    saved = [p.get("d") for p in plots[0].iter("path") if p.get("class") == "line-0"]
    tap.equal(saved[-1].split(), [f"M{left},{bottom}h0", f"L{(left + right) // 2},{(top + bottom) // 2}", f"L{right},{top}"],
              "the host's saving")
    labels = ["".join(text.itertext()) for text in plots[1].iter("text")]
    tap.equal(labels[:2], ["50.00 %", "0.00 %"], "scale of the CPU time")


@tap.test
def a_file_gets_the_page_or_an_error(host):
    path = pathlib.Path(host.folder, "report.html")
    tap.equal(host.report("--html", str(path)), "", "stdout")
    page_of(path.read_text(encoding="utf-8"))
    with host.daemon():
        result = host.run("--html", f"{host.folder}/missing/report.html")
    tap.equal(result.returncode, FAILED, "exit code")
    tap.check("missing" in result.stderr and result.stderr.count("\n") == 1, result.stderr)


@tap.test
def a_file_stays_what_it_is(host):
    """Nobody's link, mode or device is replaced by what is written."""
    real, link = (pathlib.Path(host.folder, name) for name in ("real.html", "link.html"))
    real.touch(mode=0o600)
    link.symlink_to(real)
    host.report("--html", str(link))
    tap.check(link.is_symlink() and real.stat().st_mode & 0o777 == 0o600, "the link or its file was replaced")
    page_of(real.read_text(encoding="utf-8"))
    host.report("--html", "/dev/null")
    tap.check(pathlib.Path("/dev/null").is_char_device(), "/dev/null was replaced")


@tap.test
def a_full_disk_is_a_failure(host):
    with host.daemon(), open("/dev/full", "w", encoding="utf-8") as full:
        result = host.run("--html", "-", stdout=full)
    tap.equal(result.returncode, FAILED, "exit code")
    tap.check("stdout" in result.stderr, result.stderr)


@tap.test
def a_name_that_is_no_text_is_refused(host):
    with host.daemon():
        result = host.run(b"\xff")
    tap.equal((result.returncode, "argument 1 is not UTF-8" in result.stderr), (FAILED, True), result.stderr)


@tap.test
def the_period_and_the_names_are_asked_for(host):
    for words, names, period_sec in (((), [], 86400), (("--period=1h", "vm2"), ["vm2"], 3600),
                                     (("--period", "7d", "vm2", "vm1"), ["vm2", "vm1"], 604800)):
        with host.daemon() as call:
            tap.equal(host.run(*words).returncode, OK, f"exit code of {words}")
            tap.equal(call(), ["Report", names, {"period_sec": period_sec}], f"call of {words}")


@tap.test
def nothing_recorded_is_said(host):
    empty = {"host": {"period_sec": 86400, "step_sec": 600, "unrecorded_count": 3, "points_count": 0}, "series": {},
             "domains": []}
    with host.daemon(report=empty):
        text, page = host.run(), host.run("--html", "-")
    tap.check("saved   - on this host; average -, at most -, trend - an hour" in text.stdout, text.stdout)
    tap.check("no room to record 3 domains" in text.stdout, text.stdout)
    tap.check(text.stdout.endswith("\nno domain was recorded in this time\n"), text.stdout)
    tap.equal(list(page_of(page.stdout).iter("svg")), [], "plots of nothing")


@tap.test
def wrong_words_are_refused(host):
    for words in (("--period=2h",), ("--period=",), ("--json", "--html", "-"), ("--colour",), ("--html",)):
        result = host.run(*words)
        tap.equal((result.returncode, result.stdout), (USAGE, ""), f"report {words}")
        tap.check(result.stderr, f"{words} says nothing")
    with host.daemon(errors={"Report": ["org.memfold1.Error.NoDomain", "nothing is recorded of a domain \"x\""]}):
        result = host.run("x")
    tap.equal((result.returncode, result.stdout), (FAILED, ""), "of nobody")
    tap.check('"x"' in result.stderr and "GDBus" not in result.stderr, result.stderr)


if __name__ == "__main__":
    os.umask(0o022)
    tap.main(context=surroundings)
