#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares what two kernels spend on the same things, in instructions, with every new knob at its default.

    cost.py --stock DIR --patched DIR [--programs DIR] [--tap FILE]

DIR is what kernel/build.sh installs with `--config bench`. A case fails where the patched kernel spends
more than the stock one and its allowance, which is a line of the file cost-allowed or one in a hundred.
Each kernel is booted three times, and the least counts: some of what is measured, as exec, depends on hash
seeds and addresses that are drawn when the machine starts.
"""

import argparse
import concurrent.futures
import pathlib
import re
import sys
import tempfile

import ktap
import machine
import progs
import table

HERE = pathlib.Path(__file__).resolve().parent
USUAL_PERMYRIAD = 100
BOOTS = 3
_LINE = re.compile(r"cost (?P<name>.+) (?P<value>[0-9.]+)$")


class Broken(Exception):
    """A machine that did not measure; the text says what it said."""


def allowances(path=HERE / "cost-allowed"):
    """{name: permyriad} of what may be dearer than usual."""
    rows = (line.rpartition(":") for line in table.lines_of(path))
    return {name.strip(): int(value) for name, _, value in rows}


def measure(test, kernel, programs):
    """{name: instructions} of one kernel."""
    with tempfile.TemporaryDirectory(prefix="memfold-prog.") as out:
        files = progs.files_of(test, programs / "selftests", programs / "tree", pathlib.Path(out))
        ended = machine.run(kernel / "bzImage", test.spec, progs.command_of(test), files)
    found = {m["name"]: float(m["value"]) for m in map(_LINE.match, ended.output) if m}
    if ended.verdict != machine.ENDED or ended.status != 0 or not found:
        raise Broken("\n".join([f"{kernel}: {ended.verdict}: {ended.reason}", *ended.output[-20:], *ended.console[-20:]]))
    return found


def least(boots):
    """Of several boots of one kernel; what one of them lacks is not there."""
    boots = list(boots)
    return {name: min(boot[name] for boot in boots) for name in boots[0] if all(name in boot for boot in boots)}


def compare(stock, patched, allowed):
    """Yields (name, passed, words): one for each thing that either kernel measured, and for each
    allowance that nothing needs the name of."""
    for name in dict.fromkeys((*stock, *patched)):
        if name not in stock or name not in patched:
            yield name, False, "only one of the kernels measured it"
            continue
        permyriad = (patched[name] - stock[name]) * 10000 / stock[name]
        limit = allowed.get(name, USUAL_PERMYRIAD)
        yield name, permyriad <= limit, (f"stock {stock[name]:.2f}, patched {patched[name]:.2f} instructions: "
                                         f"{permyriad / 100:+.2f} %, allowed {limit / 100:+.2f} %")
    for name in allowed.keys() - stock.keys():
        yield name, False, "cost-allowed has a line for it, and nobody measures it"


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stock", type=pathlib.Path, required=True, help="folder with the kernel to compare with")
    parser.add_argument("--patched", type=pathlib.Path, required=True, help="folder with our kernel")
    parser.add_argument("--programs", type=pathlib.Path, help="folder with tree/ (default: --patched's)")
    parser.add_argument("--tap", type=pathlib.Path, help="write TAP to this file as well")
    options = parser.parse_args()
    options.programs = options.programs or options.patched
    return options


def main():
    options = parse_options()
    test = next(test for test in progs.all_tests(options.programs / "selftests") if test.name == "cost")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [[pool.submit(measure, test, kernel, options.programs) for _ in range(BOOTS)]
                for kernel in (options.stock, options.patched)]
        try:
            stock, patched = (least(job.result() for job in boots) for boots in jobs)
        except BaseException:
            machine.stop()
            raise
    rows = list(compare(stock, patched, allowances()))
    return 0 if ktap.report(rows, options.tap, "cost/") else 1


if __name__ == "__main__":
    sys.exit(main())
