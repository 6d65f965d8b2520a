#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Adds up the results of a test run.

Reads a folder of results, `*.tap` (TAP) and `*.json` (meson's test log, a JSON object a line, with the
test's own output in it), shows each failure with its output, and ends with the one line that people and
programs look for: `N passed, N failed, N skipped`.  A skip that tests/skips.allowed does not name is a
failure, and so are a test that reports nothing, fewer results than planned, and an empty run.
"""

import argparse
import fnmatch
import json
import pathlib
import re
import sys
from typing import NamedTuple

LINE = re.compile(r"(?P<ok>ok|not ok)\b\s*(?P<number>\d+)?(\s*-)?\s*(?P<name>[^#]*?)\s*"
                  r"(#\s*(?P<directive>SKIP)\S*\s*(?P<reason>.*))?$", re.IGNORECASE)
PLAN = re.compile(r"1\.\.(?P<count>\d+)\s*(#\s*SKIP\S*\s*(?P<reason>.*))?$", re.IGNORECASE)
OUTPUT_LINES = 40


class Result(NamedTuple):
    """One test: name is TIER/PROGRAM/CASE, state is passed, failed or skipped."""
    name: str
    state: str
    detail: str


def parse_case(name, match, notes):
    """One TAP result line, with the diagnostics that came before it."""
    case = f"{name}/{match['name'].lstrip('/') or match['number'] or '?'}"
    directive = (match["directive"] or "").upper()
    if directive == "SKIP":
        return Result(case, "skipped", match["reason"] or "")
    if match["ok"].lower() == "ok":
        return Result(case, "passed", "")
    return Result(case, "failed", "\n".join(notes[-OUTPUT_LINES:]))


def explain(results, notes):
    """Adds what a test said after its result to that result, when it failed."""
    if results and results[-1].state == "failed" and notes:
        detail = "\n".join([results[-1].detail] + notes[-OUTPUT_LINES:]).strip("\n")
        results[-1] = results[-1]._replace(detail=detail)
        notes.clear()


def parse_tap(name, text):
    """The results in one TAP stream; what breaks the protocol is a failure of its own."""
    results, planned, reason, notes, bailed = [], None, None, [], False
    for line in text.splitlines():
        if match := PLAN.match(line):
            planned, reason = int(match["count"]), match["reason"]
        elif match := LINE.match(line):
            explain(results, notes)
            results.append(parse_case(name, match, notes))
            notes = []
        elif line.lower().startswith("bail out!"):
            results.append(Result(f"{name}/bail out", "failed", "\n".join(notes[-OUTPUT_LINES:] + [line])))
            notes, bailed = [], True
        else:
            notes.append(line)
    explain(results, notes)
    if planned == 0 and not results:
        return [Result(name, "skipped", reason or "")]
    if not bailed and (planned is None or len(results) < planned):
        results.append(Result(f"{name}/plan", "failed",
                              f"{planned} results were planned, {len(results)} came\n"
                              + "\n".join(text.splitlines()[-OUTPUT_LINES:])))
    return results


def parse_meson_test(tier, entry):
    """One line of meson's log: TAP results when the test speaks TAP, else one by its exit status."""
    name = f"{tier}/{entry['name'].split(' / ')[-1]}"
    output = entry.get("stdout") or ""
    failed = entry["result"] not in ("OK", "SKIP", "EXPECTEDFAIL")
    if re.search(r"^(1\.\.\d|ok\b|not ok\b)", output, re.MULTILINE):
        results = parse_tap(name, output)
    elif entry["result"] == "SKIP":
        lines = output.strip().splitlines()
        results = [Result(name, "skipped", lines[-1] if lines else "")]
    else:
        results = [] if failed else [Result(name, "passed", "")]
    if failed and not any(result.state == "failed" for result in results):
        results.append(Result(f"{name}/{entry['result'].lower()}", "failed",
                              "\n".join(output.splitlines()[-OUTPUT_LINES:])))
    if failed and (errors := (entry.get("stderr") or "").strip()):
        tail = "\n".join(errors.splitlines()[-OUTPUT_LINES:])
        results[-1] = results[-1]._replace(detail=f"{results[-1].detail}\n--- stderr\n{tail}")
    return results


def load(path):
    """All results in one file."""
    text = path.read_text(errors="replace")
    if path.suffix == ".tap":
        return parse_tap(path.stem, text)
    tier = path.stem
    results = []
    for line in text.splitlines():
        results += parse_meson_test(tier, json.loads(line))
    return results or [Result(tier, "failed", "no test of this suite ran")]


def load_allowed(path):
    """The skips that are no failure, as (test pattern, reason pattern)."""
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return [tuple(part.strip() for part in line.split(":", 1)) for line in lines if line]


def judge_skip(result, allowed):
    """A skip stays one only when it is listed."""
    for test, reason in allowed:
        if fnmatch.fnmatchcase(result.name, test) and fnmatch.fnmatchcase(result.detail, reason):
            return result
    return result._replace(state="failed", detail=f"skipped, which tests/skips.allowed does not list: {result.detail}")


def show(results):
    """Each failure with its output, each skip with its reason, then the line with the sums."""
    for result in results:
        if result.state == "failed":
            print(f"FAILED  {result.name}")
            for line in result.detail.splitlines():
                print(f"        {line}")
    for result in results:
        if result.state == "skipped":
            print(f"skipped {result.name}: {result.detail}")
    counts = [sum(result.state == state for result in results) for state in ("passed", "failed", "skipped")]
    print("{} passed, {} failed, {} skipped".format(*counts))
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="where the *.tap and *.json files are")
    parser.add_argument("--allowed", type=pathlib.Path, required=True, help="the list of allowed skips")
    options = parser.parse_args()
    allowed = load_allowed(options.allowed)
    results = []
    for path in sorted(options.folder.iterdir()):
        if path.suffix in (".tap", ".json"):
            results += load(path)
    results = [judge_skip(r, allowed) if r.state == "skipped" else r for r in results]
    passed, failed, _ = show(results)
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
