#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A host with too little memory for all of its guests' memory, which rewrite what they share at once.

    run.py --kernel DIR --memfoldd FILE [--tap FILE] [control] [guarded]

The host is a machine of its own (tests/kernel/machine.py): a real kernel with its ksmd, OOM killer, control groups
and swap. Guests are processes that look like QEMUs to memfoldd, with libvirt's test driver in libvirt's place, so
that one emulator is enough. Without memfoldd (control) the kernel kills a guest; with it (guarded) none is lost, and
each ends what it began.
"""

import argparse
import contextlib
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE.parent / "kernel")]
import machine  # noqa: E402
import session  # noqa: E402

# What one guest may write has room, and what all of them may has not. SHARED_MIB is guest.c's, too.
GUESTS, SHARED_MIB = 4, 64
HOST_MIB, SWAP_MIB, LEAVE_MIB = 512, 32, 104
SECONDS = 600
MIB_PAGES = 256
POLICY = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" merge="on" group="shared" priority="{}"/>'
CONFIG = """[merge]
default-group=shared
# What merging saves is used by others here: that is what a storm needs.
coverage-permyriad=0
reserve-permyriad=100
[ksmd]
cpu-budget-permyriad=5000
[storm]
suspend=true
[daemon]
tick-msec=500
accounting-interval-msec=1000
"""


def libraries(program):
    """What the loader would map for it, itself included."""
    done = subprocess.run(["ldd", program], text=True, capture_output=True, check=False)
    return re.findall(r"(/\S+)", done.stdout)


def make_root(work, memfoldd):
    """The tar of what memfoldd needs beyond itself."""
    root = work / "root"
    for path in libraries(memfoldd):
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (root / "usr/sbin").mkdir(parents=True, exist_ok=True)
    subprocess.run(["strip", "-o", root / "usr/sbin/memfoldd", memfoldd], check=True)
    with tarfile.open(work / "root.tar", "w") as tar:
        for path in sorted(root.iterdir()):
            tar.add(path, path.name)
    shutil.rmtree(root)
    return work / "root.tar"


def compile_program(work, name, *flags):
    words = ["gcc", "-O2", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", *flags, "-o", work / name,
             HERE / f"{pathlib.Path(name).stem}.c"]
    subprocess.run(words, check=True)
    return work / name


def files_of(work, memfoldd):
    """What is put into the machine: {name there: path here}, and the guests' names."""
    names = [f"g{number}" for number in range(1, GUESTS + 1)]
    (work / "memfold.conf").write_text(CONFIG)
    session.write_node(work / "node.xml", *(
        session.domain(name, f"{number}1111111-1111-4111-8111-111111111111", POLICY.format(100 * number))
        for number, name in enumerate(names, 1)))
    files = {name: compile_program(work, name, "-static") for name in ("director", "guest")}
    files["pauser.so"] = compile_program(work, "pauser.so", "-shared", "-fPIC")
    return files | {"root.tar": make_root(work, memfoldd), "host.sh": HERE / "host.sh",
                    "memfold.conf": work / "memfold.conf", "node.xml": work / "node.xml"}, names


def run_host(mode, options, files, names):
    """({name: value} of the director's results, how the machine ended)."""
    merged_pages = SHARED_MIB * MIB_PAGES * (GUESTS - 1) * 9 // 10
    spec = machine.Spec(memory=HOST_MIB, disk=SWAP_MIB, swap=True, timeout=SECONDS + 180)
    command = f"sh ./host.sh {mode} {SECONDS} {merged_pages} {LEAVE_MIB} {' '.join(names)}"
    ended = machine.run(options.kernel / "bzImage", spec, command, files,
                        lambda line: print(f"# {mode}: {line}", flush=True))
    found = dict(line[7:].split("=", 1) for line in ended.output if line.startswith("RESULT "))
    return {name: int(value) for name, value in found.items()}, ended


def judge(mode, results, ended):
    """(text, whether it is so) of each thing that is to be shown."""
    kills = [line for line in ended.console if "Out of memory: Killed process" in line]
    yield f"{mode}: the host runs to its end", ended.verdict == machine.ENDED and ended.status == 0
    if mode == "control":
        yield "control: without memfoldd the kernel kills", bool(kills) and results.get("oom_kills", 0) > 0
        yield "control: guests are lost", results.get("lost", 0) > 0
        return
    said = "\n".join(line for line in ended.output if line.startswith("log: "))
    yield "guarded: the kernel kills nobody", not kills and results.get("oom_kills") == 0
    yield "guarded: no guest is lost", results.get("lost") == 0
    yield "guarded: every guest ends its rewriting", results.get("rewritten") == GUESTS
    yield "guarded: every page of every guest is right", results.get("verified") == GUESTS
    yield "guarded: memfoldd names who writes", re.search(r"storm: merged memory .*most of it by g\d", said) is not None
    yield "guarded: the lowest priority is paused first", re.search(r"domain (g\d): running -> paused", said) is not None \
        and re.search(r"domain (g\d): running -> paused", said).group(1) == "g1"
    yield "guarded: who was paused goes on", said.count("paused -> running") > 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kernel", type=pathlib.Path, required=True)
    parser.add_argument("--memfoldd", required=True)
    parser.add_argument("--tap", type=pathlib.Path)
    parser.add_argument("modes", nargs="*", default=["control", "guarded"])
    options = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory(prefix="memfold-storm.") as name:
        files, names = files_of(pathlib.Path(name), options.memfoldd)
        for mode in options.modes:
            results, ended = run_host(mode, options, files, names)
            for text, good in judge(mode, results, ended):
                number = sum(not line.startswith("#") for line in lines) + 1
                lines.append(f"{'ok' if good else 'not ok'} {number} - {text}")
                print(lines[-1], flush=True)
                if not good:
                    lines += [f"# {line}" for line in (*ended.output[-40:], *ended.console[-30:])]
    failed = sum(line.startswith("not ok") for line in lines)
    lines.append(f"1..{sum(not line.startswith('#') for line in lines)}")
    with contextlib.ExitStack() as stack:
        if options.tap:
            stack.enter_context(open(options.tap, "w", encoding="utf-8")).write("\n".join(["TAP version 13", *lines]) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
