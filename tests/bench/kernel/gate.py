#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Judges what ksmd spends per page, in instructions, and what it merges: the part of the benchmark that is a test.

    gate.py --stock DIR --patched DIR [--programs DIR] [--tap FILE] [--record]

DIR is what kernel/build.sh installs with `--config bench`. The file `gates` has what each variant spent when it
was recorded. A variant fails where it spends more than that by one in a hundred, and by 10; how much stock's
figure moved since, as it does with another compiler, is taken off first. It also fails where it merges other
than stock, or where a page loses its content. --record writes the file anew.
"""

import argparse
import concurrent.futures
import os
import pathlib
import sys
import tempfile

import measure
import plan

import ktap
import machine
import table

HERE = pathlib.Path(__file__).resolve().parent
GATES = HERE / "gates"
LIMIT_PERMYRIAD = 100
# What is next to nothing varies by more: which pages' turn it is to be looked at is decided by a boot's seed.
LEAST_INSTRUCTIONS = 10
# What is gated of a case, as far as it has it.
FIGURES = ("first", "second", "late", "fresh")
HEAD = """\
# What ksmd spends per page, in instructions: "CASE VARIANT FIGURE: NUMBER". Written by gate.py --record; a change
# of more than one in a hundred belongs to a commit that says why.
"""


def recorded(path=GATES):
    """{(case, variant, figure): instructions}."""
    rows = (line.rpartition(":") for line in table.lines_of(path)) if path.exists() else ()
    return {tuple(name.split()): float(value) for name, _, value in rows}


def measured(records):
    """The same of records."""
    return {(record["case"], record["variant"], figure): record["figures"][figure]
            for record in records for figure in FIGURES if figure in record.get("figures", {})}


def compare(found, gates):
    """(name, passed, words) of each figure, and of each gate that nothing was measured for."""
    for (case, variant, figure), value in found.items():
        name = f"{case}/{variant}/{figure}"
        if variant == plan.STOCK:
            continue
        wanted = gates.get((case, variant, figure))
        if wanted is None:
            yield name, False, f"{value:.1f} instructions, and no gate is recorded (gate.py --record)"
            continue
        stock, then = found.get((case, plan.STOCK, figure)), gates.get((case, plan.STOCK, figure))
        expected = wanted * stock / then if stock and then else wanted
        permyriad = (value - expected) * 10000 / expected
        passed = permyriad <= LIMIT_PERMYRIAD or value - expected <= LEAST_INSTRUCTIONS
        yield name, passed, f"{value:.1f} instructions, recorded {expected:.1f}: {permyriad / 100:+.2f} %"
    for key in gates.keys() - found.keys():
        yield "/".join(key), False, "a gate is recorded, and nothing was measured"


def merged(records):
    """(name, passed, words) of what each variant merged, and of what pages contain."""
    stock = {record["case"]: record["counts"] for record in records
             if record["variant"] == plan.STOCK and record.get("counts")}
    for record in records:
        name = f"{record['case']}/{record['variant']}"
        if record["variant"] != plan.STOCK and record.get("counts"):
            found, wanted = record["counts"], stock.get(record["case"], {})
            same = all(found.get(key) == wanted.get(key) for key in ("shared", "sharing", "zero"))
            yield f"{name}/merged", same, f"{found}, stock {wanted}"
        if "wrong" in record:
            yield f"{name}/contents", record["wrong"] == 0, f"{record['wrong']} pages changed their content"


def _round(options, program):
    kernels = {"stock": options.stock, "patched": options.patched}
    jobs = list(plan.jobs("gate", (plan.TCG,), options.cases))
    with concurrent.futures.ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(measure.run, job, kernels[job.variant.kernel], program) for job in jobs]
        try:
            for job, future in zip(jobs, futures):
                record = future.result()
                print(f"{job.case.name} {job.variant.name}: {record.get('figures') or record.get('absent')}", flush=True)
                yield record
        except BaseException:
            machine.stop()
            raise


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stock", type=pathlib.Path, required=True, help="folder with the kernel to compare with")
    parser.add_argument("--patched", type=pathlib.Path, required=True, help="folder with our kernel")
    parser.add_argument("--programs", type=pathlib.Path, help="folder with tree/ (default: --patched's)")
    parser.add_argument("--tap", type=pathlib.Path, help="write TAP to this file as well")
    parser.add_argument("--record", action="store_true", help="write the file gates anew")
    parser.add_argument("--cases", type=lambda text: text.split(","), default=(), help="only these, by comma")
    options = parser.parse_args()
    options.programs = options.programs or options.patched
    return options


def main():
    options = parse_options()
    with tempfile.TemporaryDirectory(prefix="memfold-prog.") as folder:
        try:
            records = list(_round(options, measure.compile_program(options.programs / "tree", folder)))
        except measure.Broken as failure:
            sys.exit(f"gate.py: {failure}")
    found, gates = measured(records), recorded()
    if options.record:
        kept = {key: value for key, value in gates.items() if options.cases and key[0] not in options.cases}
        GATES.write_text(HEAD + "".join(f"{' '.join(key)}: {value:.1f}\n" for key, value in (kept | found).items()))
        gates = kept | found
    if options.cases:
        gates = {key: value for key, value in gates.items() if key[0] in options.cases}
    rows = [*compare(found, gates), *merged(records)]
    return 0 if ktap.report(rows, options.tap) else 1


if __name__ == "__main__":
    sys.exit(main())
