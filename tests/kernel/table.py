# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests there are, each with what it asks of its machine, and what a stock kernel does to them.

A declaration is words of the form KEY=VALUE. A program in progs/ has it in its first comment, after
"harness:"; the kernel's own self-tests have it in the file `selftests`, after the test's name and a
colon. Keys:

  memory cpus nodes zram disk timeout   numbers; MiB (an M may follow), and seconds
  icount=yes      its clock counts instructions: one processor, and slow
  swap=yes        the zram and the disk are swap areas already when the program starts
  cmdline=A,B     more words for the kernel's command line
  knobs=A=1,B=2   what is written to files of KSM before it starts
  needs=P,Q       paths without which the test is skipped
  program=NAME    when it is not the test's name
  args=A,B        the program's arguments
  long=A,B        its arguments in the tier "long", where it has more time
  long_timeout=S  how much, in seconds (usually 1200)
  protocol=exit   the program has no TAP, but an exit status
  tiers=A,B       where it runs; see TIERS
"""

import dataclasses
import fnmatch
import pathlib
import re
from typing import NamedTuple

import machine

HERE = pathlib.Path(__file__).resolve().parent
# The first are those of a test that does not say.
TIERS_USUAL = ("stock", "patched", "kasan", "long")
TIERS = (*TIERS_USUAL, "cost")
LONG_TIMEOUT_SEC = 1200
_NUMBERS = ("memory", "cpus", "nodes", "zram", "disk", "timeout")
_WORDS = ("cmdline", "needs", "knobs")
_OWN = re.compile(r"^\W*harness:[ \t]*(.*)$", re.MULTILINE)


class Test(NamedTuple):
    """One test: program and arguments are what runs, source is None for the kernel's self-tests."""
    name: str
    program: str
    args: tuple
    long_args: tuple
    long_timeout: int
    protocol: str
    tiers: tuple
    spec: machine.Spec
    source: pathlib.Path


class Expectation(NamedTuple):
    """A line of expect-stock: what the cases that match `pattern` do there."""
    pattern: str
    state: str


def for_long(test):
    """The test as the tier "long" runs it."""
    if not test.long_args:
        return test
    return test._replace(args=test.long_args, spec=dataclasses.replace(test.spec, timeout=test.long_timeout))


def parse(name, words, source=None):
    """The Test that a declaration makes; ValueError names what is wrong."""
    given = {"program": name, "args": "", "long": "", "long_timeout": str(LONG_TIMEOUT_SEC), "protocol": "tap", "tiers": ",".join(TIERS_USUAL),
             "swap": "no", "icount": "no"}
    for word in words.split():
        key, separator, value = word.partition("=")
        if not separator or key not in (*given, *_NUMBERS, *_WORDS):
            raise ValueError(f"{name}: what is {word!r}?")
        given[key] = value
    spec = {key: int(given[key].rstrip("M")) for key in _NUMBERS if key in given}
    spec |= {key: tuple(given[key].split(",")) for key in _WORDS if key in given}
    tiers = tuple(given["tiers"].split(","))
    if unknown := set(tiers) - set(TIERS):
        raise ValueError(f"{name}: no tier is called {min(unknown)!r}")
    args, long_args = (tuple(filter(None, given[key].split(","))) for key in ("args", "long"))
    return Test(name, given["program"], args, long_args, int(given["long_timeout"]), given["protocol"], tiers,
                machine.Spec(swap=given["swap"] == "yes", icount=given["icount"] == "yes", **spec), source)


def lines_of(path):
    """The lines of a table, without comments and blank lines."""
    for line in path.read_text().splitlines():
        if line := line.split("#")[0].strip():
            yield line


def own_tests(folder=HERE / "progs"):
    """The programs in progs/: C with a main function, and shell."""
    for path in sorted(folder.iterdir()):
        text = path.read_text() if path.suffix in (".c", ".sh") else ""
        if path.suffix == ".sh" or re.search(r"^main\(|\bint main\(", text, re.MULTILINE):
            match = _OWN.search(text)
            yield parse(path.stem, match.group(1) if match else "", path)


def selftests(folder, path=HERE / "selftests"):
    """The kernel's self-tests: those of the table, and what else `folder` has. The line of the name *
    is what all have that do not say otherwise."""
    lines = dict([part.strip() for part in line.partition(":")[::2]] for line in lines_of(path))
    common = lines.pop("*", "")
    declared = [parse(name, f"{common} {words}") for name, words in lines.items()]
    known = {test.program for test in declared}
    others = [parse(entry.name, common) for entry in sorted(folder.iterdir()) if entry.name not in known]
    return declared + others


def expectations(path=HERE / "expect-stock"):
    rows = []
    for line in lines_of(path):
        pattern, _, state = (part.strip() for part in line.rpartition(":"))
        rows.append(Expectation(pattern, state))
    return rows


def matches(pattern, name):
    """fnmatch without its brackets, which names of cases have in plain use."""
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))
