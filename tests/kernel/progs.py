# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiles our own test programs, statically, against the headers and helpers of the kernel that was built.

A file of progs/ without a main function is a helper of all that have one.
"""

import os
import pathlib
import re
import subprocess

import table

FLAGS = ("-O2", "-static", "-std=gnu17", "-Wall", "-Wextra", "-Werror")
SELFTESTS = pathlib.Path("tools/testing/selftests/mm")


def _helpers(folder):
    return [path for path in sorted(folder.glob("*.c"))
            if not re.search(r"^main\(|\bint main\(", path.read_text(), re.MULTILINE)]


def compile_sources(sources, includes, tree, target):
    """Compiles `sources` to the program `target`; raises CalledProcessError with the compiler's words in it."""
    words = [os.environ.get("CC", "gcc"), *FLAGS, *(word for path in includes for word in ("-I", str(path))),
             "-isystem", str(tree / "usr/include"), "-o", str(target), *map(str, sources), "-lpthread"]
    subprocess.run(words, check=True, capture_output=True, text=True)
    return target


def compile_program(source, tree, out):
    """Compiles `source`, the helpers beside it and those of `tree` to the folder `out`."""
    shared = [tree / SELFTESTS / name for name in ("ksm_util.c", "vm_util.c")]
    return compile_sources([source, *_helpers(source.parent), *(path for path in shared if path.exists())],
                           [source.parent, tree / SELFTESTS, tree / "tools/testing/selftests"], tree, out / source.stem)


def files_of(test, selftests, tree, out):
    """What the test's machine needs: {name there: path here}."""
    if test.source is None:
        return {test.program: selftests / test.program}
    if test.source.suffix == ".sh":
        return {test.source.name: test.source}
    return {test.name: compile_program(test.source, tree, out)}


def command_of(test):
    """The shell's line that runs it."""
    name = f"sh ./{test.source.name}" if test.source and test.source.suffix == ".sh" else f"./{test.program}"
    return " ".join((name, *test.args))


def all_tests(selftests):
    return [*table.selftests(selftests), *table.own_tests()]
