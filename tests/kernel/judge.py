# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares what cases did on a stock kernel with what they must do there.

A fix is proven by a pair: its case fails without the series and passes with it. So on the stock kernel
a case that is listed as failing passes this judgement by failing, and fails it by passing; the same
holds for what must skip because only the series has it. What is not listed must simply pass. "any" is for
what a stock kernel does now one way and now the other.
"""

import ktap
import table

# What a line of expect-stock may say, and the state of a case that it stands for.
STATES = {"fail": ktap.FAILED, "skip": ktap.SKIPPED, "pass": ktap.PASSED,
          "hang": "hang", "panic": "panic", "warning": "warning", "died": "died", "any": None}


class Judge:
    """Judges cases by their full names, TEST/CASE; remembers which expectations met none."""

    def __init__(self, rows):
        for row in rows:
            if row.state not in STATES:
                raise ValueError(f"{row.pattern}: {row.state!r} is none of {' '.join(STATES)}")
        self._rows, self._met = rows, set()

    def _wanted(self, name):
        """The last matching row decides."""
        found = None
        for row in self._rows:
            if table.matches(row.pattern, name):
                self._met.add(row)
                found = row
        return found

    def judge(self, test, case):
        row = self._wanted(f"{test}/{case.name}")
        if row is None or row.state == "pass":
            return case
        if row.state == "any" or case.state == STATES[row.state]:
            return case._replace(name=f"{case.name} (on stock: {row.state})", state=ktap.PASSED)
        return case._replace(state=ktap.FAILED, detail="\n".join(filter(None, (
            f"on a stock kernel this must {row.state}, but: {case.state}", case.detail))))

    def unmet(self, tests):
        """A case for each row of the tests that ran which met nothing: it would prove nothing."""
        for row in self._rows:
            test = row.pattern.split("/")[0]
            if row not in self._met and any(table.matches(test, name) for name in tests):
                yield ktap.Case(f"expectation {row.pattern}", ktap.FAILED, "no case of this name came")
