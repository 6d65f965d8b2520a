#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares who sets ksmd's rate in hosts of our own: memfold on our kernel, and ksmtuned as packaged and the kernel's
advisor on the stock kernel of the same version; besides these two on our kernel, and memfold on the stock one. The
hosts count instructions, so that figures don't depend on what else this machine does.

    bench_hosted.py --output DIR --kernel DIR --stock DIR --base FILE --payload FILE --ksmtuned DIR [--size quick|full]
"""

import argparse
import json
import pathlib
import signal
import sys
import tempfile
import time

import bench
import hosted
import plan
import plot


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("output", "kernel", "stock", "base", "payload", "ksmtuned"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--size", choices=plan.HOSTED_SIZES, default="full", help="how much is measured (default: full)")
    parser.add_argument("--cases", type=bench.words, help="only these, by comma")
    parser.add_argument("--managers", type=bench.words, help=f"only these, by comma, of {','.join(plan.HOSTED)}")
    parser.add_argument("--rounds", type=int, metavar="N", help="so many in place of those of the size")
    parser.add_argument("--guest-mib", type=int, metavar="MIB", help="memory of a guest, a multiple of 32")
    options = parser.parse_args()
    bench.refuse_unknown(parser, options, plan.HOSTED)
    return options


def measure_all(options, size, save):
    """The records of all turns; all that there are go to `save` when one came."""
    records, began, turns = [], time.monotonic(), plan.turns(size)
    with tempfile.TemporaryDirectory(prefix="memfold-bench.") as folder:
        rivals = hosted.archive(pathlib.Path(folder) / "rivals.cpio", options.ksmtuned)
        for done, (number, case, name) in enumerate(turns, 1):
            kernel = options.kernel if plan.HOSTED[name][0] == plan.OURS else options.stock
            record = hosted.run(kernel / "bzImage", (options.base, options.payload, rivals), case, name, size)
            records.append({"round": number, **record})
            save(records)
            bench.tell(done, len(turns), began, f"{case.name} {name}: {bench.result_words(record)}")
    return records


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench_hosted.py: ended by SIGTERM"))
    options = parse_options()
    size = bench.chosen_size(plan.HOSTED_SIZES[options.size], options)
    options.output.mkdir(parents=True, exist_ok=True)
    document = {"processor": "an emulator's, 10**9 instructions a second", "kernel": options.kernel.name,
                "stock": options.stock.name, "size": size._asdict(), "records": []}

    def save(records):
        document["records"] = records
        (options.output / "results.json").write_text(json.dumps(document) + "\n")

    records = measure_all(options, size, save)
    (options.output / "plot.svg").write_text(plot.draw(records))
    (options.output / "table.txt").write_text(bench.report(records))
    print(f"results.json, plot.svg, table.txt: {options.output}")
    return 1 if any(record["wrong_pages"] for record in records) else 0


if __name__ == "__main__":
    sys.exit(main())
