#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""One fuzz target: its corpus is clean and comes to what the target is for, and a few seconds find nothing.

Of the target "planted" the opposite is wanted: it has a mistake, and must be found out.

Usage: test_target.py NAME PROGRAM [TEST...]
"""

import base64
import contextlib
import os
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]
import libfuzzer  # noqa: E402
import tap  # noqa: E402

NAME, PROGRAM = sys.argv.pop(1), sys.argv.pop(1)
SECONDS = int(os.environ.get("MEMFOLD_FUZZ_SEC", "6"))
PLANTED = NAME == "planted"
PLANTED_SEC = 60
SEEDS_MIN = 3


@contextlib.contextmanager
def scratch():
    with tempfile.TemporaryDirectory(prefix="memfold-fuzz-", dir=libfuzzer.SCRATCH) as folder:
        yield folder


def show(run):
    """What is needed to have it again elsewhere."""
    for path in run.inputs:
        data = pathlib.Path(path).read_bytes()
        tap.diag(f"{os.path.basename(path)}: {base64.b64encode(data[:4096]).decode()}")
    tap.diag(run.tail())


@tap.test
def the_corpus_is_clean(folder):
    seeds = list(libfuzzer.corpus(NAME).iterdir())
    tap.check(PLANTED or len(seeds) >= SEEDS_MIN, f"{len(seeds)} inputs in the corpus")
    run = libfuzzer.replay(NAME, PROGRAM, folder)
    if run.crashed:
        show(run)
    tap.check(not run.crashed, f"exit status {run.status}")


@tap.test
def it_comes_to_what_it_is_for(folder):
    if not libfuzzer.can_name_functions():
        tap.skip("llvm-symbolizer is not installed")
    run = libfuzzer.replay(NAME, PROGRAM, folder, "-print_coverage=1")
    missed = [name for name in libfuzzer.REACHES[NAME] if name not in run.functions]
    tap.equal(missed, [], f"functions that were not reached, of {len(run.functions)} that were")


@tap.test
def a_short_hunt_ends_as_it_should(folder):
    # The same each time, as far as the clock allows: chance is hunt.py's.
    run = libfuzzer.hunt(NAME, PROGRAM, PLANTED_SEC if PLANTED else SECONDS, folder, "-seed=1")
    tap.diag(f"{run.execs} inputs, cov {run.seeds_cov} -> {run.cov}, {run.new_inputs} new")
    if PLANTED:
        tap.check(run.crashed and "heap-buffer-overflow" in run.log, f"not found out: {run.tail(5)}")
        return
    if run.crashed:
        show(run)
    tap.check(not run.crashed, f"exit status {run.status}, {len(run.inputs)} inputs kept")
    tap.check(run.execs > 0 and run.cov >= run.seeds_cov > 0, f"nothing was tried: {run.tail(5)}")


if __name__ == "__main__":
    tap.main(context=scratch)
