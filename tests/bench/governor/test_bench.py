#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison's arithmetic, on series whose answers are known: figures of a run, medians, goals, the end of a
run; that the plan asks for what guests can hold; and that the packaged script is changed in nothing else."""

import pathlib
import re
import sys
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "lib")]

import figures
import guest
import hosted
import managers
import plan
import plot
import summary
import tap

GIB = figures.GIB


def series(*points, cpu_per_sec=0.1):
    """Samples at (second, GiB saved); ksmd takes so much of a CPU, and looks at 100 pages a second."""
    return [figures.Sample(sec, int(gib * GIB), sec * cpu_per_sec, 0.0, int(sec * 100)) for sec, gib in points]


def record(case, manager, samples, number=0, **more):
    return {"round": number, "case": case, "manager": manager, "guest_pages": 1000, "steady_sec": 10, "limit_sec": 100,
            "series": [list(sample) for sample in samples], **more}


@tap.test
def figures_of_a_run():
    one = series((0, 0), (10, 0.5), (20, 0.9), (30, 1), (100, 1))
    found = figures.of(one, GIB, 1000, 10)
    tap.equal(found["to_90"], 20, "time to 90 %")
    tap.equal(round(found["cpu_90"], 3), 2.222, "CPU per GiB then")
    tap.equal(found["looks_90"], 2, "looks per page")
    tap.equal(round(found["share"], 6), 0.1, "share in the end")
    tap.equal(round(found["cpu"], 6), 60, "of ten minutes")
    tap.equal(round(found["cpu_gib"], 6), 60, "per GiB of ten minutes")
    tap.equal(found["saved"], GIB, "saved")


@tap.test
def what_is_not_reached_is_unknown():
    found = figures.of(series((0, 0), (50, 0.89)), GIB, 1000, 10)
    tap.equal((found["to_90"], found["cpu_90"], found["looks_90"]), (None, None, None), "at 90 %")
    tap.equal((found["share"], found["cpu_gib"]), (None, None), "of one that still merges")
    tap.equal(round(figures.of(series((0, 0), (600, 0.5)), GIB, 1000, 10)["cpu_gib"], 6), 120, "after ten minutes")
    found = figures.of(series((0, 0), (5, 0)), 0, 1000, 10)
    tap.equal((found["to_90"], found["share"], found["cpu"], found["cpu_gib"]), (None, None, None, None), "too short")


@tap.test
def beyond_the_horizon_nothing_is_assumed():
    one = series((0, 0), (300, 1), (600, 1), (900, 1))
    tap.equal(round(figures.of(one, GIB, 1, 100)["cpu"], 6), 60, "CPU of ten minutes")


@tap.test
def who_has_not_looked_has_not_converged():
    for scanned, known in ((1999, None), (2000, 0.1)):
        one = [*series((0, 0), (90, 0)), figures.Sample(100, 0, 10.0, 0.0, scanned)]
        found = figures.of(one, 0, 1000, 10)
        tap.equal(found["share"] if known is None else round(found["share"], 6), known, f"share after {scanned} looks")
        tap.equal(found["cpu"] if known is None else round(found["cpu"], 6), known and 60, "and of ten minutes")


@tap.test
def manager_counts_too():
    one = [figures.Sample(0, 0, 0, 0, 0), figures.Sample(10, GIB, 1, 2, 5)]
    tap.equal(figures.of(one, GIB, 1, 5)["cpu_90"], 3, "CPU per GiB")
    tap.equal(figures.of(one, GIB, 1, 5)["share"], 0.3, "share")


@tap.test
def a_run_has_converged_when_nothing_comes():
    flat = series((0, 0), (10, 0.95), (49, 0.951))
    tap.check(not figures.converged(flat, GIB, 40), "the tail is too short")
    tap.check(figures.converged([*flat, *series((50, 0.951))], GIB, 40), "all is there")
    tap.check(not figures.converged(series((0, 0), (10, 0.95), (50, 0.96)), GIB, 40), "it still grows")
    tap.check(not figures.converged(series((0, 0), (10, 0.5), (50, 0.5)), GIB, 40), "half is missing")
    tap.check(not figures.converged(series((0, 0), (50, 0)), 0, 40), "nothing is to be saved")


@tap.test
def medians_and_who_did_not_get_there():
    records = [record("late", "memfold", series((0, 0), (sec, 1), (60, 1)), number)
               for number, sec in enumerate((4, 2, 9))]
    records += [record("late", "stock", series((0, 0), (100, 0.3))), record("late", "stock", series((0, 0), (80, 1)), 1)]
    results = summary.Results(records)
    tap.equal(results.value("late", "memfold", "to_90"), (4, 2, 9, False), "median and spread")
    tap.equal(results.value("late", "stock", "to_90"), (100, 80, 100, True), "in half of the rounds only")
    tap.equal(summary.value_words("to_90", results.value("late", "stock", "to_90")), "> 100 s", "words")
    tap.equal(results.value("late", "advisor", "to_90"), None, "not measured")


@tap.test
def goals_are_met_or_missed():
    for sec, verdict in ((19, summary.MET), (31, summary.MISSED)):
        results = summary.Results([record("late", "memfold", series((0, 0), (sec, 1), (60, 1))),
                                   record("late", "advisor", series((0, 0), (60, 1), (90, 1)))])
        tap.equal(summary.judge(results, "late", summary.GOALS[0], "advisor")[1], verdict, f"{sec} s")
    results = summary.Results([record("late", "memfold", series((0, 0), (60, 0.1))),
                               record("late", "advisor", series((0, 0), (60, 1)))])
    tap.equal(summary.judge(results, "late", summary.GOALS[0], "advisor")[1], summary.MISSED, "memfold did not get there")
    tap.equal(summary.judge(results, "late", summary.GOALS[0], "stock"), (None, summary.UNKNOWN), "no rival")


@tap.test
def the_final_saving_is_the_best_ones():
    results = summary.Results([record("late", "memfold", series((0, 0), (10, 0.5), (60, 0.5))),
                               record("late", "advisor", series((0, 0), (60, 1)))])
    tap.check(results.value("late", "memfold", "to_90").beyond, "half of it is not nine tenths")
    tap.equal(results.value("late", "advisor", "to_90").median, 60, "the best one's time")


@tap.test
def expected_saving_is_that_of_the_layout():
    size = plan.SIZES["quick"]
    # 64 MiB common and 8 of duplicates in each of four guests.
    pages = 3 * 64 * 256 + 4 * 8 * 256 * 3 // 4
    tap.equal(plan.expected_bytes(plan.case_of("late"), size), pages * 4096, "late")
    # Two guests rewrite 4 MiB: of these the other two still have one copy too many.
    tap.equal(plan.expected_bytes(plan.case_of("volatile"), size), (pages - 2 * 4 * 256) * 4096, "volatile")
    tap.equal(plan.expected_bytes(plan.case_of("private"), size), 0, "private")
    tap.equal(plan.guest_pages(plan.case_of("private"), size), 4 * 120 * 256, "pages of the guests")


@tap.test
def guests_can_hold_what_is_asked():
    pattern = (HERE.parents[1] / "guest/pattern.h").read_text()
    tap.equal(plan.DUP_COPIES, int(re.search(r"PATTERN_DUP_COPIES (\d+)u", pattern).group(1)), "copies")
    for size in plan.SIZES.values():
        tap.check(size.guests * size.guest_mib <= 8192 and size.guest_mib % 32 == 0, "memory of the guests")
        for case in plan.CASES:
            asked = sum(int(number) for number in re.findall(r"_mib=(\d+)", plan.guest_args(case, size)))
            # 2 MiB are the guest's own.
            tap.check(0 < asked <= size.guest_mib - 2, f"{case.name}: {asked} of {size.guest_mib} MiB")
            tap.check(plan.limit_sec(case, size) > size.steady_sec, f"{case.name}: room for the steady time")
            tap.equal(case.equal, plan.expected_bytes(case, size) > 0, f"{case.name}: something to merge")
            tap.check(case.rewriters <= size.guests and plan.rewritten_pages(case, size) <= 1 << 16, "rewriters")
        tap.check(size.tail_sec >= size.steady_sec, "the steady time is in the tail")
    ready = guest.parse_ready("READY kind=tiny ram_pages=1 common_pages=1 dup_pages=4 dup_copies=4 zero_pages=0 "
                              "unique_pages=0 dirty_pages=0 seed=1 salt=2")
    tap.equal(ready.dup_copies, plan.DUP_COPIES, "the guest's word for it")


@tap.test
def managers_take_turns():
    size = plan.SIZES["full"]
    order = plan.turns(size)
    tap.equal(len(order), size.rounds * len(size.cases) * len(size.managers), "runs")
    first = {number: [manager for where, case, manager in order if (where, case.name) == (number, "late")][0]
             for number in range(size.rounds)}
    tap.equal(len(set(first.values())), size.rounds, "each round begins with another one")
    tap.equal({case.name for _, case, _ in order}, {case.name for case in plan.CASES}, "all cases")


@tap.test
def ksmtuned_is_changed_in_its_paths_only():
    script = "if [ -f /etc/ksmtuned.conf ]; then\n . /etc/ksmtuned.conf\nfi\nPIDFILE=/var/run/ksmtune.pid\nloop &\n"
    tap.equal(managers.ksmtuned_words(script, "/x/c"),
              "if [ -f /x/c ]; then\n . /x/c\nfi\nPIDFILE=/x/c.pid\nloop &\n", "script")
    try:
        managers.ksmtuned_words("loop &\n", "/x/c")
    except RuntimeError:
        return
    tap.check(False, "a script that reads no configuration is taken")


@tap.test
def what_the_host_saw_counts_from_its_first_look():
    found = hosted.samples("0 5 1000000000 0 70\n252 5 1500000000 3 90\n501 12 1500000001 130 95\n")
    tap.equal([tuple(sample) for sample in found], [(0.0, 0, 0.0, 0.0, 0), (0.252, 0, 0.5, 0.03, 20),
                                                    (0.501, 7 * 4096, 0.5, 1.3, 25)], "samples")
    tap.equal(hosted.samples(""), [], "of nothing")


@tap.test
def a_run_in_the_host_is_one_script():
    size = plan.HOSTED_SIZES["full"]
    late = hosted.script(plan.case_of("late"), "advisor", size, "+kill").splitlines()
    tap.equal(late[1:], [f"ksmwatch 600 {hosted.SESSION} >{hosted.SERIES} &", "watch=$!",
                         "echo scan-time >/sys/kernel/mm/ksm/advisor_mode", "echo 1 >/sys/kernel/mm/ksm/run", "wait $watch"],
              "late, advisor")
    start = hosted.script(plan.case_of("start"), plan.MEMFOLD, size, "+kill")
    places = [start.index(words) for words in ("ksmwatch", "bounding-set=-all,+kill memfoldd", "create /run/g0.xml",
                                               "create /run/g3.xml", "g3 120 READY", "wait $watch")]
    tap.equal(places, sorted(places), "start: the manager, then the guests")
    volatile = plan.case_of("volatile")
    script = hosted.script(volatile, "ksmtuned", size, "")
    tap.equal(script.count("DIRTY"), volatile.rewriters, "guests that rewrite")
    tap.check(script.index("DIRTY") < script.index("wait $watch") < script.index("kill $rewriting"), "while it is watched")
    tap.check(f"dirty {plan.rewritten_pages(volatile, size)}'" in script, "so many pages")


@tap.test
def hosted_guests_fit_into_the_host():
    tap.equal({kernel for kernel, _ in plan.HOSTED.values()}, {plan.OURS, plan.STOCK}, "kernels")
    for name, (_, manager) in plan.HOSTED.items():
        tap.check(hosted.start_lines(manager, ""), f"{name} can be started")
    for size in plan.HOSTED_SIZES.values():
        tap.check(size.guests * size.guest_mib * 2 <= hosted.MEMORY_MIB and size.guest_mib % 32 == 0, "memory of the guests")
        tap.check(set(size.managers) <= set(plan.HOSTED) and size.managers[0] == plan.MEMFOLD, "managers")
        tap.check(min(size.limit_sec, size.unequal_sec) > size.steady_sec, "room for the steady time")


@tap.test
def report_and_plot_of_much_and_of_nothing():
    records = [record(case.name, manager, series((0, 0), (7, 1), (60, 1)), number, others_pages=30)
               for case in plan.CASES for manager in plan.MANAGERS for number in range(2)]
    text = "\n".join(summary.lines(records))
    tap.check(re.search(r"memfold +1024 MiB +7\.00 s +0\.70 +0\.70 +10\.00 %", text), f"a row of figures in:\n{text}")
    tap.check(summary.MET in text and summary.MISSED in text and "30 pages of other" in text, "verdicts")
    for some in (records, records[:1], [record("late", "stock", series((0, 0)))], []):
        xml.etree.ElementTree.fromstring(plot.draw(some))
    tap.equal(plot.draw(records).count("<polyline"), 2 * len(records), "lines of the plot")
    tap.equal(set(plot.COLOURS), {*plan.MANAGERS, *plan.HOSTED}, "colours")
    tap.equal(summary.lines([]), [], "a table of nothing")


if __name__ == "__main__":
    tap.main()
