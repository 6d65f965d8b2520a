#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark's arithmetic, on records whose answers are known: reading a program's lines, medians and spread,
verdicts on targets, what the gate lets through; and that the plan asks for nothing that does not exist."""

import pathlib
import re
import sys
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "lib")]

import gate
import locks
import measure
import plan
import plot
import summary
import tap

LINES = ["pass nsec 1000 scanned 10 shared 0 sharing 0 unshared 0 zero -1 unwritten -1",
         "some words of the kernel",
         "pass nsec 4000 scanned 10 shared 5 sharing 5 unshared 0 zero -1 unwritten -1",
         "pass nsec 300 scanned 10 shared 5 sharing 5 unshared 0 zero -1 unwritten -1",
         "pass nsec 100 scanned 10 shared 5 sharing 5 unshared 0 zero -1 unwritten -1",
         "pass nsec 120 scanned 10 shared 5 sharing 5 unshared 0 zero -1 unwritten -1",
         "memory used_kib 1", "done"]


def record(case, variant, pages, figures, platform=plan.UML, **more):
    return {"platform": platform, "case": case, "variant": variant, "pages": pages, "figures": figures, **more}


def target(name):
    return next(one for one in summary.TARGETS if one.name == name)


@tap.test
def lines_become_figures():
    found = measure.figures(measure.parse(LINES), 10)
    tap.equal(found, {"first": 100, "second": 400, "late": 11, "merge": 400, "to_merged": 500, "used": 102.4}, "figures")
    tap.equal(measure.counts(measure.parse(LINES)), {"shared": 5, "sharing": 5, "unshared": 0, "zero": -1}, "counts")


@tap.test
def fresh_process_counts_by_its_own_pages():
    found = measure.parse([f"fresh nsec {measure.KNOWN_PAGES * 7} scanned 1 shared 1 sharing 2 unshared 0 zero 0"])
    tap.equal(measure.figures(found, 1), {"fresh": 7}, "figures")


@tap.test
def locks_are_compared_with_stock():
    figures = {"off": {"count": 3, "max": 100, "p99": 50}}
    found = [{"setting": "unique", "variant": "stock", "figures": figures, "places": {}},
             {"setting": "unique", "variant": "default", "figures": {"off": {"count": 3, "max": 150, "p99": 40}},
              "places": locks.places(["at off 150 2 a+0x1 b+0x2 to c+0x3", "at off 20 1", "done"])}]
    tap.equal(list(locks.table(found))[2].split(), ["unique", "off", "100", "(50)", "150", "1.50", "(0.80)", "n/a", "n/a"],
              "row")
    tap.equal(list(locks.longer(found)), ["unique off, default:", "  150 (2 times): a+0x1 b+0x2 to c+0x3",
                                          "  20 (1 times): "], "places")


@tap.test
def median_and_spread():
    results = summary.Results([record("unique", "stock", 16, {"late": number}) for number in (9, 1, 5)])
    tap.equal(results.value(plan.UML, "unique", 16, "stock", "late"), (5, 1, 9), "value")
    tap.equal(results.value(plan.UML, "unique", 16, "default", "late"), None, "what was not measured")


@tap.test
def ratio_meets_or_misses():
    size = 512 * plan.K
    wanted = target("unique, scattered, steady")
    records = [record("scattered", "stock", size, {"late": 1000})]
    tap.equal(summary.judge(summary.Results(records), wanted).verdict, summary.UNKNOWN, "without the variant")
    for nsec, verdict in ((199, summary.MET), (201, summary.MISSED)):
        row = summary.judge(summary.Results([*records, record("scattered", "checksum", size, {"late": nsec})]), wanted)
        tap.equal((row.verdict, row.variant), (verdict, "checksum"), f"{nsec} ns")


@tap.test
def best_variant_counts_but_for_regressions():
    records = [record("pairs", "stock", 16, {"merge": 300}), record("pairs", "checksum", 16, {"merge": 100}),
               record("pairs", "unwritten", 16, {"merge": 200})]
    row = summary.judge(summary.Results(records), target("merge pass, pairs"))
    tap.equal((row.value, row.variant, row.verdict), (3, "checksum", summary.MET), "the best")
    records = [record("written-100", name, 16, {"late": nsec})
               for name, nsec in (("stock", 100), ("default", 100), ("checksum", 50), ("unwritten", 110))]
    row = summary.judge(summary.Results(records), target("all written before each pass"))
    tap.equal((row.variant, row.verdict), ("unwritten", summary.MISSED), "the worst")


@tap.test
def flatness_and_bytes():
    records = [record("unique", "checksum", pages, {"late": nsec}) for pages, nsec in ((16 * plan.K, 10), (1024 * plan.K, 15))]
    row = summary.judge(summary.Results(records), target("unique, steady: 1M over 16k"))
    tap.equal((row.value, row.verdict), (1.5, summary.MISSED), "flat")
    records = [record("unique", name, 16, {"used": used}) for name, used in (("stock", 70), ("checksum", 80))]
    row = summary.judge(summary.Results(records), target("memory of the index, bytes per page"))
    tap.equal((row.value, row.verdict), (10, summary.MET), "bytes")


@tap.test
def other_merges_are_told():
    counts = {"shared": 1, "sharing": 2, "unshared": 3, "zero": 0}
    records = [record("pairs", "stock", 16, {}, counts=counts),
               record("pairs", "default", 16, {}, counts={**counts, "unshared": 9}),
               record("pairs", "checksum", 16, {}, counts={**counts, "sharing": 1}),
               record("verify", "default", 16, {}, wrong=2)]
    tap.equal(len(list(summary.unequal(records))), 2, "lines")
    tap.equal([passed for _, passed, _ in gate.merged(records)], [True, False, False], "the gate")


@tap.test
def gate_lets_one_in_a_hundred_through():
    gates = {("unique", "stock", "late"): 1000, ("unique", "default", "late"): 1000}
    for value, passed in ((1009, True), (1011, False), (500, True)):
        found = {("unique", "stock", "late"): 1000, ("unique", "default", "late"): value}
        tap.equal([one for _, one, _ in gate.compare(found, gates)], [passed], f"{value} instructions")
    found = {("unique", "stock", "late"): 1100, ("unique", "default", "late"): 1105}
    tap.equal([one for _, one, _ in gate.compare(found, gates)], [True], "another compiler")


@tap.test
def gate_wants_all_it_knows_and_no_more():
    found = {("unique", "stock", "late"): 1000, ("unique", "default", "late"): 1000}
    tap.equal([one for _, one, _ in gate.compare(found, {})], [False], "nothing recorded")
    tap.equal([one for _, one, _ in gate.compare({}, found)], [False, False], "nothing measured")


@tap.test
def report_and_plot_of_much_and_of_nothing():
    records = [record("unique", variant.name, pages, {"late": 100 + number, "first": 5}, counts={"sharing": 0})
               for number, variant in enumerate(plan.VARIANTS) for pages in (16 * plan.K, 64 * plan.K)]
    text = "\n".join(summary.lines(records, 1e10))
    tap.check(re.search(r"unique +64k +late +100 +101 0\.99x", text), f"a row of figures in:\n{text}")
    tap.check(summary.MISSED in text and "GB/s" in text, "verdicts and speeds")
    for some in (records, records[:1], []):
        xml.etree.ElementTree.fromstring(plot.draw(some))
    tap.check("n/a" in "\n".join(summary.lines([], None)), "a table of nothing")


@tap.test
def plan_asks_for_what_there_is():
    source = (HERE / "prog/ksmbench.c").read_text()
    known = set(re.findall(r'^ *\{"([a-z0-9-]+)", CONTENT_', source, re.MULTILINE))
    tap.equal({case.program for case in plan.CASES}, known, "cases of the program")
    names = {case.name for case in plan.CASES}
    figures = {one.figure for one in summary.TARGETS}
    tap.check({one.case for one in summary.TARGETS} <= names, "targets are of cases")
    tap.check(figures <= set(measure.FIGURES), "targets are of figures")
    full = {(job.case.name, job.pages) for job in plan.jobs("full", (plan.UML,))}
    for one in summary.TARGETS:
        for pages in filter(None, (one.pages, one.base)):
            tap.check((one.case, pages) in full, f"{one.case} of {pages} pages is planned")
    known = int(re.search(r"CONTENT_KNOWN_PAGES = (\d+)", (HERE / "prog/content.h").read_text()).group(1))
    tap.equal(measure.KNOWN_PAGES, known, "known pages")


if __name__ == "__main__":
    tap.main()
