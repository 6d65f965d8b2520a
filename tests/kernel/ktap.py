# SPDX-License-Identifier: GPL-2.0-or-later
"""What a program in a test machine reported, as cases; and what became of the machine, as one more.

Kernel self-tests write TAP with liberties: no dash before a name, a skip whose name is its reason,
XFAIL, one name for several results. Here each result gets one name that is stable from run to run.
"""

import re
from typing import NamedTuple

import machine

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
_RESULT = re.compile(r"(?P<ok>ok|not ok)\b\s*(?P<number>\d+)?(\s+-)?\s*(?P<name>.*?)\s*"
                     r"(#\s*(?P<directive>SKIP|XFAIL)\b\s*(?P<reason>.*))?$")
_PLAN = re.compile(r"1\.\.(?P<count>\d+)\s*(#\s*SKIP\b\s*(?P<reason>.*))?$")
_NOTES_MAX = 40
# Exit statuses of kselftest.
_STATUS_SKIP = 4


class Case(NamedTuple):
    """One result: state is PASSED, FAILED or SKIPPED, or for the case "machine" its verdict."""
    name: str
    state: str
    detail: str


def result_name(match):
    """A result's name without what differs from run to run; a nameless skip is called by its reason."""
    name = re.sub(r"\s*#.*", "", match["name"]).strip() or (match["reason"] or "").strip()
    return name or match["number"] or "?"


def is_result(line):
    return bool(_RESULT.match(line))


class _Reader:
    """Reads a program's lines in order."""

    def __init__(self):
        self.cases, self.planned, self.reason, self.bailed = [], None, "", False
        self._notes, self._names = [], {}

    def _unique(self, name):
        count = self._names[name] = self._names.get(name, 0) + 1
        return name if count == 1 else f"{name} ({count})"

    def add(self, name, state, detail):
        self.cases.append(Case(self._unique(name), state, detail))
        self._notes = []

    def notes(self, *more):
        return "\n".join((self._notes + list(more))[-_NOTES_MAX:])

    def _result(self, match):
        directive = match["directive"]
        if directive == "SKIP":
            self.add(result_name(match), SKIPPED, match["reason"] or "")
        elif match["ok"] == "ok" or directive == "XFAIL":
            self.add(result_name(match), PASSED, "")
        else:
            self.add(result_name(match), FAILED, self.notes())

    def line(self, line):
        if match := _PLAN.match(line):
            self.planned, self.reason = int(match["count"]), match["reason"] or ""
        elif match := _RESULT.match(line):
            self._result(match)
        elif line.startswith("Bail out!"):
            self.bailed = True
            self.add("bail out", FAILED, self.notes(line))
        elif line.strip():
            self._explain(line)

    def _explain(self, line):
        """What comes after a failure may belong to it, and to what comes next."""
        self._notes.append(line)
        if self.cases and self.cases[-1].state == FAILED and len(self._notes) <= _NOTES_MAX:
            last = self.cases[-1]
            self.cases[-1] = last._replace(detail=f"{last.detail}\n{line}".strip("\n"))


def _read_tap(ended):
    reader = _Reader()
    for line in ended.output:
        reader.line(line)
    if reader.planned == 0 and not reader.cases:
        reader.add("all", SKIPPED, reader.reason)
        reader.planned = 1
    if ended.verdict == machine.ENDED and not reader.bailed:
        if reader.planned is None or reader.planned != len(reader.cases):
            planned = "no plan" if reader.planned is None else f"{reader.planned} results planned"
            reader.add("plan", FAILED, reader.notes(f"{planned}, {len(reader.cases)} came"))
        elif ended.status not in (0, _STATUS_SKIP) and not any(c.state == FAILED for c in reader.cases):
            reader.add("exit status", FAILED, reader.notes(f"the exit status is {ended.status}"))
    return reader.cases


def _read_status(name, ended):
    """The one case of a program that has nothing but its exit status."""
    if ended.verdict != machine.ENDED:
        return []
    state = {0: PASSED, _STATUS_SKIP: SKIPPED}.get(ended.status, FAILED)
    text = ended.output[-1:] if state == SKIPPED else ended.output[-_NOTES_MAX:] + [ended.reason]
    return [Case(name, state, "" if state == PASSED else "\n".join(text))]


def cases_of(ended, protocol, name):
    """All cases of one run. A machine that did not end well is a case of its own, called "machine"."""
    cases = _read_tap(ended) if protocol == "tap" else _read_status(name, ended)
    if ended.verdict != machine.ENDED:
        last = ended.output[-10:] + ["--- console"] + ended.console[-60:]
        cases.append(Case("machine", ended.verdict, "\n".join([f"{ended.verdict}: {ended.reason}"] + last)))
    return cases


def report(rows, tap, prefix=""):
    """Prints (name, passed, words) rows, and writes them as TAP to the file `tap` if there is one. Whether all passed."""
    lines = ["TAP version 13", f"1..{len(rows)}"]
    for number, (name, passed, words) in enumerate(rows, 1):
        lines += [f"{'ok' if passed else 'not ok'} {number} - {prefix}{name}", f"# {words}"]
        print(f"{'ok' if passed else 'NOT OK'}: {name}: {words}", flush=True)
    if tap:
        tap.write_text("\n".join(lines) + "\n")
    return all(passed for _, passed, _ in rows)
