# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of this folder have in common: each runs on our QEMU and on the distribution's.

A property that both must have is one function under @on_both, and two tests.  Where stock is known
to fail, the test that shows it is the control: it proves that the test for ours can fail.
"""

import argparse
import contextlib
import dataclasses
import functools
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

import tap  # noqa: E402  (found by the line above)


@dataclasses.dataclass
class Binaries:
    """Paths of the two QEMUs, and of a stock build of our base if there is one."""

    ours: str
    stock: str
    base: str | None


def on_both(function):
    """Registers function(binary) as two tests, `... on ours` and `... on stock`."""
    for which in ("stock", "ours"):
        @functools.wraps(function)
        def run(binaries, which=which):
            function(getattr(binaries, which))
        del run.__wrapped__
        run.__name__ = f"{function.__name__}_on_{which}"
        tap.test(run)
    return function


def _options():
    parser = argparse.ArgumentParser(description="Compares our QEMU with the distribution's.",
                                     epilog="Further arguments choose tests; --list names them.")
    for name, variable, default, text in (
            ("ours", "MEMFOLD_QEMU", "/opt/memfold/bin/qemu-system-x86_64", "with the series"),
            ("stock", "MEMFOLD_STOCK_QEMU", "/usr/bin/qemu-system-x86_64", "the distribution's"),
            ("base", "MEMFOLD_BASE_QEMU", None, "our base built without the series")):
        parser.add_argument(f"--{name}", metavar="PATH", default=os.environ.get(variable, default),
                            help=f"{text} (default: ${variable}, else %(default)s)")
    options, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    return Binaries(options.ours, options.stock, options.base)


def main(surroundings=contextlib.nullcontext):
    """Runs the file's tests; each gets the Binaries, within the context surroundings()."""
    binaries = _options()

    @contextlib.contextmanager
    def context():
        for path in (binaries.ours, binaries.stock):
            if not os.access(path, os.X_OK):
                raise FileNotFoundError(f"no QEMU at {path}: run `./setup demo` once, or name one "
                                        "by --ours and --stock")
        with surroundings():
            yield binaries

    tap.main(context)
