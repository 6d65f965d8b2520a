#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares who sets ksmd's rate: memfold, ksmtuned as packaged, the kernel's advisor, and its defaults; on the same
real guests and this machine's own ksmd, one after the other. Writes what it saw as JSON and as a plot, and prints
what each saved, when, and for how much CPU, and whether the goals hold.

    bench.py --output DIR --ksmtuned DIR [--size quick|full]

The folder of --ksmtuned is the unpacked package.
"""

import argparse
import json
import pathlib
import platform
import signal
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "lib"))

import plan
import plot
import rig
import run
import summary
import watch

PREFIX = "memfold-bench-"


def words(text):
    return tuple(text.split(","))


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, metavar="DIR", help="folder for results.json, plot.svg, table.txt")
    parser.add_argument("--ksmtuned", type=pathlib.Path, metavar="DIR", help="the unpacked package ksmtuned")
    parser.add_argument("--size", choices=plan.SIZES, default="full", help="how much is measured (default: full)")
    parser.add_argument("--cases", type=words, help="only these, by comma")
    parser.add_argument("--managers", type=words, help="only these, by comma")
    parser.add_argument("--rounds", type=int, metavar="N", help="so many in place of those of the size")
    parser.add_argument("--guest-mib", type=int, metavar="MIB", help="memory of a guest, a multiple of 32")
    parser.add_argument("--table", type=pathlib.Path, metavar="JSON", help="measure nothing: print the table of that file")
    options = parser.parse_args()
    if not options.table and not options.output:
        parser.error("--output is needed")
    refuse_unknown(parser, options, plan.MANAGERS)
    return options


def refuse_unknown(parser, options, managers):
    """Ends with an error where a case or a manager is named that there is not."""
    for name in options.cases or ():
        if name not in {case.name for case in plan.CASES}:
            parser.error(f"there is no case {name}")
    for name in options.managers or ():
        if name not in managers:
            parser.error(f"there is no manager {name}")


def chosen_size(size, options):
    """That Size, but for what the options say."""
    chosen = {"cases": options.cases, "managers": options.managers, "rounds": options.rounds, "guest_mib": options.guest_mib}
    return size._replace(**{name: value for name, value in chosen.items() if value})


def size_of(options):
    """The Size that the options ask for."""
    size = chosen_size(plan.SIZES[options.size], options)
    if "ksmtuned" in size.managers and not options.ksmtuned:
        sys.exit("bench.py: --ksmtuned is needed, or --managers without it")
    return size


def processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def tell(done, total, began, what):
    print(f"[{done}/{total}] {int(time.monotonic() - began)} s {what}", flush=True)


def result_words(record):
    sec, saved_bytes, ksmd_sec, manager_sec, _ = record["series"][-1]
    ready = f"guests ready after {record['ready_sec']:.0f} s, " if record["ready_sec"] else ""
    return (f"{ready}{saved_bytes / (1 << 20):.0f} MiB saved after {sec:.0f} s, {ksmd_sec:.1f} s of ksmd's CPU and "
            f"{manager_sec:.1f} s of the manager's")


def measure_all(options, size, save):
    """The records of all turns; all that there are go to `save` when one came."""
    records, began = [], time.monotonic()
    turns = plan.turns(size)
    with rig.Rig(PREFIX) as surroundings:
        for done, (number, case, manager) in enumerate(turns):
            def waiting():
                tell(done, len(turns), began, "waits for KSM, which another has")

            record = run.run(surroundings, case, manager, size, options.ksmtuned, waiting)
            records.append({"round": number, **record})
            save(records)
            tell(done + 1, len(turns), began, f"{case.name} {manager}: {result_words(record)}")
    return records


def report(records):
    text = "\n".join(summary.lines(records)) + "\n"
    print(text, end="", flush=True)
    return text


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench.py: ended by SIGTERM"))
    options = parse_options()
    if options.table:
        report(json.loads(options.table.read_text())["records"])
        return 0
    size = size_of(options)
    options.output.mkdir(parents=True, exist_ok=True)
    document = {"processor": processor(), "kernel": platform.release(), "size": size._asdict(), "records": []}

    def save(records):
        document["records"] = records
        (options.output / "results.json").write_text(json.dumps(document) + "\n")

    try:
        records = measure_all(options, size, save)
    except (watch.NoKsmd, RuntimeError) as failure:
        sys.exit(f"bench.py: {failure}")
    (options.output / "plot.svg").write_text(plot.draw(records))
    (options.output / "table.txt").write_text(report(records))
    print(f"results.json, plot.svg, table.txt: {options.output}")
    return 1 if any(record["wrong_pages"] for record in records) else 0


if __name__ == "__main__":
    sys.exit(main())
