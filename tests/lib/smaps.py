# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/PID/smaps: what merging does to a process, by area (proc_pid_smaps(5)).

Rss counts a merged page in full, Pss divides it by its users: over the areas marked mergeable
(VmFlags `mg`) the difference, added up over all processes, is what merging saves.
"""

import dataclasses
import re

_HEAD = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)$")
_SIZE = re.compile(r"^(\w+): +(\d+) kB$")


@dataclasses.dataclass
class Area:
    """One area. `bytes` has each size line by name, such as bytes["Rss"]."""

    start: int
    end: int
    mode: str
    name: str
    flags: set
    bytes: dict

    @property
    def size_bytes(self):
        return self.end - self.start

    @property
    def mergeable(self):
        return "mg" in self.flags


def areas(pid):
    """All areas of a process, in order of address."""
    found = []
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as file:
        for line in file:
            head = _HEAD.match(line)
            if head:
                start, end, mode, name = head.groups()
                found.append(Area(int(start, 16), int(end, 16), mode, name, set(), {}))
                continue
            size = _SIZE.match(line)
            if size:
                found[-1].bytes[size.group(1)] = int(size.group(2)) * 1024
            elif line.startswith("VmFlags:"):
                found[-1].flags = set(line.split()[1:])
    return found


def saved_bytes(pid):
    """This process's part of what merging saves."""
    return sum(a.bytes["Rss"] - a.bytes["Pss"] for a in areas(pid) if a.mergeable)


def ksm_bytes(pid):
    """Bytes that are KSM pages now, or None where the kernel does not say (before 6.7)."""
    parts = [a.bytes.get("KSM") for a in areas(pid)]
    return None if all(p is None for p in parts) else sum(p or 0 for p in parts)


def merging_pages(pid):
    """/proc/PID/ksm_merging_pages: KSM's own count, stale until ksmd next comes by."""
    with open(f"/proc/{pid}/ksm_merging_pages", encoding="ascii") as file:
        return int(file.read())


def guest_ram(pid, size_bytes):
    """The one area of QEMU's that is the guest's RAM: the only one of exactly that size."""
    found = [a for a in areas(pid) if a.size_bytes == size_bytes and a.mode.startswith("rw")]
    if len(found) != 1:
        raise LookupError(f"process {pid} has {len(found)} areas of {size_bytes} bytes, not one")
    return found[0]
