#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`memfold estimate` of real guests whose memory is too much to be exact, held against the truth: all their
pages, read and compared here.

An interval misses the truth now and then, as it must: that one in twenty does is for the unit test, over many runs.
Here the keys that choose the sample are the same each time (known-random.c), and so is the answer.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import ksm  # noqa: E402
import memfoldd  # noqa: E402
import rig  # noqa: E402
import smaps  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

MEMFOLD = sys.argv.pop(1)
PREFIX = "memfold-test-estimate-"
CONFIG = "[merge]\ndefault-group=shared\n[ksmd]\nmanage=false\n"
PAGE_BYTES = 4096
ZEROES = bytes(PAGE_BYTES)
# Beyond 1 GiB of different pages the answer comes from a sample.
GUESTS = {"a": "tenant-a", "b": "tenant-a", "c": "tenant-b"}
RAM_MIB = 560
LAYOUT = "seed=17 common_mib=96 dup_mib=32 zero_mib=16 unique_mib=400 salt={}"
RUNS = 10
INSIDE_AT_LEAST = 9
WIDTH_PERCENT = 3
RATE_MIB = 2048


class Truth:
    """What merging would save, by a count of all pages."""

    def __init__(self):
        self.pages = 0
        self.contents = set()

    def add(self, digest):
        self.pages += 1
        self.contents.add(digest)

    @property
    def saved_bytes(self):
        return (self.pages - len(self.contents)) * PAGE_BYTES


def guest_pages(pid):
    """The pages that the guest has, but for those of zeroes; they are the same for as long as it idles."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory, open(f"/proc/{pid}/pagemap", "rb") as pagemap:
        for area in smaps.areas(pid):
            if not {"mg", "dc"} & area.flags:
                continue
            pagemap.seek(area.start // PAGE_BYTES * 8)
            entries = memoryview(pagemap.read(area.size_bytes // PAGE_BYTES * 8)).cast("Q")
            for number, entry in enumerate(entries):
                if entry >> 62:
                    page = os.pread(memory.fileno(), PAGE_BYTES, area.start + number * PAGE_BYTES)
                    if page != ZEROES:
                        yield page


def count(guests):
    everything, groups = Truth(), {}
    for name, group in GUESTS.items():
        for page in guest_pages(guests[name].pid):
            digest = hashlib.blake2b(page, digest_size=16).digest()
            everything.add(digest)
            groups.setdefault(group, Truth()).add(digest)
    return {"all": everything, **groups}


@contextlib.contextmanager
def surroundings():
    emulator = rig.our_qemu()
    if not os.access(f"{ksm.DIRECTORY}/run", os.W_OK):
        raise tap.Skip("only root can write KSM's knobs, where there is KSM")
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        with ksm.borrowed(run=0), rig.Rig(PREFIX, emulator) as domains:
            domains.refuse_strangers()
            guests = {name: domains.create(domains.tiny(name, RAM_MIB, LAYOUT.format(number), policy={"group": group}))
                      for number, (name, group) in enumerate(GUESTS.items(), 1)}
            for guest in guests.values():
                guest.console.wait_ready(120)
            known = {**environment, **memfoldd.preload("known-random")}
            with memfoldd.Memfoldd(known, folder, uri="qemu:///system") as daemon:
                daemon.configure(CONFIG)
                daemon.start()
                wait.until("all domains", lambda: len(daemon.describe()[2]) == len(GUESTS), 20)
                yield daemon, guests
                daemon.stop()


def estimate(daemon):
    """{"all" or group: figures}"""
    done = subprocess.run([MEMFOLD, "estimate", "--json", f"--rate={RATE_MIB}"], env=daemon.environment, text=True,
                          capture_output=True, check=True, timeout=300)
    found = json.loads(done.stdout)
    return {"all": found["all"], **{group["group"]: group for group in found["groups"]}}


@tap.test
def the_truth_lies_in_the_interval(scene):
    daemon, guests = scene
    truth = count(guests)
    inside, widest_percent = dict.fromkeys(truth, 0), 0
    for _ in range(RUNS):
        found = estimate(daemon)
        tap.equal(set(found), set(truth), "what is estimated")
        tap.check(found["all"]["sample_shift"] > 0, "the answer is exact: nothing is shown")
        for name, figures in found.items():
            low, high = figures["saved_low_bytes"], figures["saved_high_bytes"]
            inside[name] += low <= truth[name].saved_bytes <= high
            widest_percent = max(widest_percent, (high - low) * 100 / figures["read_bytes"])
    for name, known in truth.items():
        tap.diag(f"{name}: {known.saved_bytes >> 20} of {known.pages * PAGE_BYTES >> 20} MiB are to be saved; "
                 f"{inside[name]} of {RUNS} intervals have that")
        tap.check(inside[name] >= INSIDE_AT_LEAST, f"{name}: only {inside[name]} of {RUNS} intervals have the truth")
    tap.diag(f"the widest has {widest_percent:.2f} % of the memory")
    tap.check(widest_percent <= WIDTH_PERCENT, f"an interval of {widest_percent:.1f} % says nothing")
    for name, guest in guests.items():
        tap.equal(guest.console.verify(), 0, f"bad pages of {name}")


if __name__ == "__main__":
    tap.main(context=surroundings)
