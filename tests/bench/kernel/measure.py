# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one job in a machine of its own, and makes figures of what the program said there.

A figure is per page of the case: nanoseconds of ksmd's CPU on UML, instructions under TCG. Figures:

  first      the first pass, which only reads
  second     the second, which searches and inserts
  late       the median of the passes from the fourth on: nothing new
  merge      the pass in which most was merged
  to_merged  all passes up to that one
  fresh      till a new process was merged, per page of that process
  used       bytes of memory that the kernel took during the passes
"""

import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "kernel"))

import machine
import plan
import progs
import uml

LATE_FROM = 3
KNOWN_PAGES = 8192
FIGURES = ("first", "second", "late", "merge", "to_merged", "fresh", "used")
COUNTS = ("shared", "sharing", "unshared", "zero")
TIMEOUT_SEC = 1800


class Broken(Exception):
    """A machine that did not measure; the text says what it said."""


def parse(lines):
    """{word: [{key: number}]} of the program's lines; a line that is none of its is left out."""
    found = {}
    for line in lines:
        word, *rest = line.split() or [""]
        try:
            found.setdefault(word, []).append(dict(zip(rest[::2], map(int, rest[1::2]))))
        except ValueError:
            continue
    return found


def figures(found, pages):
    """{figure: number} of a run's lines."""
    values = {}
    passes = found.get("pass", [])
    if passes:
        nsec = [one["nsec"] / pages for one in passes]
        values["first"] = nsec[0]
        if len(nsec) > 1:
            values["second"] = nsec[1]
        values["late"] = statistics.median(nsec[LATE_FROM:] or nsec[-1:])
        sharing = [one["sharing"] for one in passes]
        growth = [now - before for before, now in zip([0, *sharing], sharing)]
        if max(growth) > 0:
            most = growth.index(max(growth))
            values["merge"], values["to_merged"] = nsec[most], sum(nsec[:most + 1])
    if "fresh" in found:
        values["fresh"] = found["fresh"][0]["nsec"] / KNOWN_PAGES
    if "memory" in found:
        values["used"] = found["memory"][0]["used_kib"] * 1024 / pages
    return values


def counts(found):
    """What was merged in the end; {} where the case does not tell the same on every kernel."""
    passes = found.get("pass") or found.get("settled")
    return {key: passes[-1][key] for key in COUNTS if key in passes[-1]} if passes else {}


def command_of(job):
    passes = plan.passes_of(job.case, job.variant)
    return ["./ksmbench", job.case.program, str(job.pages), str(passes), *plan.knobs_of(job.case, job.variant)]


def in_tcg(kernel, memory_mib, command, files, cmdline=()):
    """(lines, trouble) of the shell's line `command` on one CPU that counts instructions."""
    spec = machine.Spec(memory=memory_mib, cpus=1, icount=True, timeout=TIMEOUT_SEC, cmdline=cmdline)
    ended = machine.run(kernel / "bzImage", spec, command, files)
    trouble = "" if ended.verdict == machine.ENDED else "\n".join([ended.reason, *ended.console[-20:]])
    return ended.output, trouble


def absent_knob(output):
    """The knob that the kernel does not have; None where it has all."""
    return next((line.split()[1] for line in output if line.startswith("absent ")), None)


def check(job, output, trouble):
    """Raises Broken where the program did not come to its end."""
    if trouble or "done" not in output:
        raise Broken("\n".join([f"{job.platform} {job.case.name} {job.variant.name} {job.pages}", trouble, *output[-20:]]))


def run(job, kernel, program):
    """The record of one job: figures, counts, and the lines they are made of; with "absent" instead where
    the kernel does not have a knob."""
    record = {"platform": job.platform, "case": job.case.name, "variant": job.variant.name, "pages": job.pages}
    if job.platform == plan.TCG:
        output, trouble = in_tcg(kernel, plan.memory_mib(job), " ".join(command_of(job)), {"ksmbench": program})
    else:
        output, trouble = uml.run(kernel / "linux", plan.memory_mib(job), command_of(job), {"ksmbench": program}, TIMEOUT_SEC)
    if absent := absent_knob(output):
        return record | {"absent": absent}
    check(job, output, trouble)
    found = parse(output)
    record |= {"figures": figures(found, job.pages), "counts": counts(found), "lines": output}
    if "verify" in found:
        record["wrong"] = found["verify"][0]["wrong"]
    return record


def compile_program(tree, out, folder="prog", name="ksmbench"):
    """Compiles the program of `folder` into the folder `out` against `tree`, as kernel/build.sh installs it."""
    selftests = tree / progs.SELFTESTS
    sources = [*sorted((HERE / folder).glob("*.c")), HERE.parents[1] / "kernel/progs/host.c", selftests / "ksm_util.c"]
    includes = [HERE / folder, HERE.parents[1] / "kernel/progs", selftests, tree / "tools/testing/selftests"]
    try:
        return progs.compile_sources(sources, includes, tree, pathlib.Path(out) / name)
    except subprocess.CalledProcessError as failure:
        raise Broken(f"the program does not compile: {failure.stderr}") from failure
