# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of all runs as a report: medians and spread of each manager, then the goals. Pure.

A record is {"round", "case", "manager", "guest_pages", "steady_sec", "limit_sec", "series"} and more that is not
needed here; a series is a list of figures.Sample as lists.
"""

import statistics
from typing import NamedTuple

import figures
import plan

MET, MISSED, UNKNOWN = "met", "missed", "n/a"
COLUMNS = (("saved", "saved"), ("to_90", "to 90 %"), ("cpu_90", "CPU s/GiB then"), ("looks_90", "looks per page then"),
           ("share", "CPU when converged"), ("cpu", "CPU s of 10 min"), ("cpu_gib", "CPU s/GiB of 10 min"))


class Value(NamedTuple):
    """A figure over all rounds. `beyond`: in half of them or more it was not reached, and median is the limit."""
    median: float
    low: float
    high: float
    beyond: bool = False


class Goal(NamedTuple):
    """What memfold's figure should be at most, as a part of a rival's."""
    words: str
    figure: str
    wanted: float


# "Never worse" has the room that two runs of one manager differ by.
GOALS = (
    Goal("time to 90 %", "to_90", 1 / 3),
    Goal("CPU per GiB at 90 %", "cpu_90", 1 / 2),
    Goal("CPU per GiB of 10 min", "cpu_gib", 1 / 2),
    Goal("CPU when converged, never worse", "share", 1.05),
    Goal("CPU of 10 min, never worse", "cpu", 1.05),
)


class Results:
    """The records of a run, by case and manager."""

    def __init__(self, records):
        self._found, self._limits, self.finals = {}, {}, {}
        series = [[figures.Sample(*sample) for sample in record["series"]] for record in records]
        for record, one in zip(records, series):
            self.finals[record["case"]] = max(self.finals.get(record["case"], 0), figures.final_bytes([one]))
        for record, one in zip(records, series):
            key = record["case"], record["manager"]
            self._limits[key] = record["limit_sec"]
            self._found.setdefault(key, []).append(
                figures.of(one, self.finals[record["case"]], record["guest_pages"], record["steady_sec"]))

    def cases(self):
        return list(dict.fromkeys(case for case, _ in self._found))

    def managers(self, case):
        return [name for name in plan.NAMES if (case, name) in self._found]

    def value(self, case, manager, figure):
        """The Value, or None where nothing is known."""
        if (case, manager) not in self._found:
            return None
        all_rounds = [found[figure] for found in self._found[case, manager]]
        known = sorted(number for number in all_rounds if number is not None)
        if figure == "to_90" and self.finals[case] >= figures.LITTLE_BYTES and len(known) * 2 <= len(all_rounds):
            limit = self._limits[case, manager]
            return Value(limit, min(known, default=limit), limit, beyond=True)
        return Value(statistics.median(known), known[0], known[-1]) if known else None


def number_words(value):
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def one_words(figure, number):
    if figure == "saved":
        return f"{number / (1 << 20):.0f} MiB"
    if figure == "share":
        return f"{number * 100:.2f} %"
    return f"{number_words(number)} s" if figure == "to_90" else number_words(number)


def value_words(figure, value):
    if value is None:
        return "-"
    if value.beyond:
        return f"> {one_words(figure, value.median)}"
    words = one_words(figure, value.median)
    if value.low != value.high:
        words += f" ({one_words(figure, value.low)}..{one_words(figure, value.high)})"
    return words


def judge(results, case, goal, rival):
    """(part, verdict): memfold's figure as a part of the rival's. Of a rival that did not get there, the most that
    it can be; None where one is unknown."""
    ours, theirs = (results.value(case, name, goal.figure) for name in (plan.MEMFOLD, rival))
    if ours is None or theirs is None or not theirs.median:
        return None, UNKNOWN
    part = ours.median / theirs.median
    return part, MISSED if ours.beyond or part > goal.wanted else MET


def aligned(rows):
    """Rows of words as lines of columns."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in rows]


def case_lines(results, case):
    rows = [("manager", *(words for _, words in COLUMNS))]
    for manager in results.managers(case):
        rows.append((manager, *(value_words(figure, results.value(case, manager, figure)) for figure, _ in COLUMNS)))
    return [f"{case}: {plan.case_of(case).words}", *aligned(rows)]


def goal_lines(results):
    rows = [("memfold's part of a rival's", "case", "rival", "wanted", "measured", "")]
    for goal in GOALS:
        for case in results.cases():
            for rival in results.managers(case):
                if rival == plan.MEMFOLD:
                    continue
                part, verdict = judge(results, case, goal, rival)
                if part is not None:
                    rows.append((goal.words, case, rival, f"<= {goal.wanted:.2f}", f"{part:.3f}", verdict))
    return aligned(rows) if len(rows) > 1 else []


def lines(records):
    """The whole report."""
    results = Results(records)
    report = []
    for case in results.cases():
        report += [*case_lines(results, case), ""]
    report += goal_lines(results)
    for record in records:
        if record.get("others_pages", 0) * 50 > record["guest_pages"]:
            report.append(f"round {record['round'] + 1} {record['case']} {record['manager']}: ksmd also looked at "
                          f"{record['others_pages']} pages of other processes")
    return report
