#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""For how long does ksmd keep others from running? Traces it while it scans, on a stock kernel and on ours with
its knobs, and prints the longest of each kind, in instructions, with the ratio to stock.

    locks.py --stock DIR --patched DIR [--programs DIR] [--output DIR]

DIR is what kernel/build.sh installs with `--config bench --config trace`. Kinds:

  off    preemption or interrupts are off
  hold   an mmap_lock is held
  wait   an mmap_lock is held that somebody wants: from there to its release; with a contender only

An instruction counts where ksmd executes it, not in interrupts nor in others that run meanwhile. Each event that is
traced costs some hundred itself, on every kernel the same. What the cheapest one costs is taken off; the rest is left,
so the figures are upper bounds. There are no memory cgroups. Which pages `unwritten` looks at in a scan differs from
boot to boot, and so does for how long it holds a lock that nobody wants.
"""

import argparse
import json
import pathlib
import signal
import sys
import tempfile
from typing import NamedTuple

import measure
import plan

KINDS = ("off", "hold", "wait")
# What the ring buffer takes.
BUFFER_MIB = 64
# An event of a lock has the name of a memory cgroup; to make it takes longer than many a hold. And a clock that is
# to be watched for a while first has no timers that are finer than a tick.
CMDLINE = ("cgroup_disable=memory", "tsc=reliable")
# Two page tables; of "fresh", what the plan says.
PAGES = 1024
PLACES = 3
# A figure that is so much larger than stock's gets its places listed.
NOTABLE_PERCENT = 110


class Setting(NamedTuple):
    """A case of the plan, and what else the program is asked for in its environment."""
    case: str
    words: tuple = ()

    @property
    def name(self):
        return "+".join((self.case, *self.words))


SETTINGS = (
    Setting("unique", ("contend",)), Setting("pairs", ("contend",)), Setting("written-10", ("contend",)),
    Setting("unique"), Setting("pairs"), Setting("written-10"),
    Setting("unique", ("huge", "contend")), Setting("pairs", ("huge", "contend")),
    Setting("unique", ("huge",)), Setting("pairs", ("huge",)),
    Setting("fresh"),
)


def places(lines):
    """{kind: [(longest, count, where)]}, the longest first."""
    found = {}
    for line in lines:
        if line.startswith("at "):
            _, kind, longest, count, where = (*line.split(maxsplit=4), "")[:5]
            found.setdefault(kind, []).append((int(longest), int(count), where))
    return found


def run(setting, job, kernel, files):
    """The record of one machine."""
    environment = " ".join(f"KSMBENCH_{word.upper()}=1" for word in setting.words)
    command = " ".join([environment, "./ksmlocks", *measure.command_of(job)])
    output, trouble = measure.in_tcg(kernel, plan.memory_mib(job) + BUFFER_MIB, command, files, CMDLINE)
    record = {"setting": setting.name, "variant": job.variant.name, "pages": job.pages}
    if absent := measure.absent_knob(output):
        return record | {"absent": absent}
    measure.check(job, output, trouble)
    found = measure.parse(output)
    if found["lost"][0]["count"] != 0:
        raise measure.Broken(f"{setting.name} {job.variant.name}: {found['lost'][0]['count']} events were lost")
    figures = {kind: found[kind][0] for kind in KINDS if found[kind][0]["count"] > 0}
    return record | {"figures": figures, "places": places(output), "lines": output}


def measure_all(options, save):
    kernels = {"stock": options.stock, "patched": options.patched}
    tree, records = options.programs / "tree", []
    with tempfile.TemporaryDirectory(prefix="memfold-prog.") as folder:
        files = {"ksmbench": measure.compile_program(tree, folder),
                 "ksmlocks": measure.compile_program(tree, folder, "locks", "ksmlocks")}
        for setting in SETTINGS:
            if options.cases and setting.name not in options.cases:
                continue
            pages = options.pages or (() if setting.case == "fresh" else (PAGES,))
            for job in plan.jobs("gate", (plan.TCG,), (setting.case,), options.variants, pages):
                records.append(run(setting, job, kernels[job.variant.kernel], files))
                save(records)
                print(f"{setting.name} {job.variant.name}: {records[-1].get('figures') or records[-1].get('absent')}",
                      file=sys.stderr, flush=True)
    return records


def ratio(value, stock):
    return f"{value / stock:6.2f}" if stock else "   n/a"


def rows(records):
    """(setting, kind, {variant: figure}) of all that was measured."""
    settings = {}
    for record in records:
        settings.setdefault(record["setting"], {})[record["variant"]] = record.get("figures", {})
    for setting, variants in settings.items():
        for kind in KINDS:
            figures = {variant: values[kind] for variant, values in variants.items() if kind in values}
            if figures:
                yield setting, kind, figures


def table(records):
    """The lines of the table: stock's longest and its 99th in a hundred; others as ratios to that."""
    names = [variant.name for variant in plan.VARIANTS if variant.name != plan.STOCK]
    yield "max (p99) in instructions; others: their max, ratio to stock's (that of p99)"
    yield f"{'case':24}{'kind':6}{'stock':>20}" + "".join(f"{name:>26}" for name in names)
    for setting, kind, figures in rows(records):
        stock = figures.get(plan.STOCK, {"max": 0, "p99": 0})
        words = f"{stock['max']} ({stock['p99']})"
        line = f"{setting:24}{kind:6}{words:>20}"
        for name in names:
            one = figures.get(name)
            words = one and f"{one['max']}{ratio(one['max'], stock['max'])} ({ratio(one['p99'], stock['p99']).strip()})"
            line += f"{words or 'n/a':>26}"
        yield line


def longer(records):
    """Lines: where that happens which is longer than on the stock kernel."""
    figures = {(setting, kind): one for setting, kind, one in rows(records)}
    for record in records:
        for kind, one in record.get("figures", {}).items():
            stock = figures[record["setting"], kind].get(plan.STOCK)
            if not stock or one["max"] * 100 <= stock["max"] * NOTABLE_PERCENT:
                continue
            yield f"{record['setting']} {kind}, {record['variant']}:"
            for longest, count, where in record["places"].get(kind, [])[:PLACES]:
                yield f"  {longest} ({count} times): {where}"


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stock", type=pathlib.Path, metavar="DIR", help="folder with the kernel to compare with")
    parser.add_argument("--patched", type=pathlib.Path, metavar="DIR", help="folder with our kernel")
    parser.add_argument("--programs", type=pathlib.Path, metavar="DIR", help="folder with tree/ (default: --patched's)")
    parser.add_argument("--output", type=pathlib.Path, metavar="DIR", help="folder for locks.json and locks.txt")
    plan.add_choices(parser, f"only these, by comma, of {', '.join(one.name for one in SETTINGS)}")
    options = parser.parse_args()
    if not options.table and not (options.stock and options.patched):
        parser.error("--stock and --patched are needed")
    options.programs = options.programs or options.patched
    return options


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("locks.py: ended by SIGTERM"))
    options = parse_options()

    def save(records):
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
            (options.output / "locks.json").write_text(json.dumps(records, indent=1) + "\n")

    try:
        records = json.loads(options.table.read_text()) if options.table else measure_all(options, save)
    except measure.Broken as failure:
        sys.exit(f"locks.py: {failure}")
    text = "".join(f"{line}\n" for line in (*table(records), "", *longer(records)))
    print(text, end="")
    if options.output:
        (options.output / "locks.txt").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
