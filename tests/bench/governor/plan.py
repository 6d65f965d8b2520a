# SPDX-License-Identifier: GPL-2.0-or-later
"""What is compared: cases, managers and sizes; and in which order.

The managers take turns on one case, so that what else happens on the machine meets all of them, and each
round begins with another one.
"""

from typing import NamedTuple

MEMFOLD = "memfold"
# Whoever sets ksmd's rate: us; the packaged script; the kernel's scan-time advisor; nobody (the kernel's defaults).
MANAGERS = (MEMFOLD, "ksmtuned", "advisor", "stock")
RIVALS = MANAGERS[1:]
# In a host of our own (hosted.py): (kernel, manager) of each name. memfold has our kernel there, its rivals the stock
# one of the same version; the others separate what the kernel does from what the manager does.
OURS, STOCK = "ours", "stock"
HOSTED = {MEMFOLD: (OURS, MEMFOLD), "ksmtuned": (STOCK, "ksmtuned"), "advisor": (STOCK, "advisor"),
          "ours+ksmtuned": (OURS, "ksmtuned"), "ours+advisor": (OURS, "advisor"), "stock+memfold": (STOCK, MEMFOLD)}
NAMES = tuple(dict.fromkeys((*MANAGERS, *HOSTED)))

PAGE_BYTES = 4096
MIB_PAGES = (1 << 20) // PAGE_BYTES
DUP_COPIES = 4  # of each page of the kind dup, see tests/guest/pattern.h


class Case(NamedTuple):
    """A situation. The shares are of a guest's memory, in 1/32; what is left is never touched."""
    name: str
    words: str
    common: int
    dup: int
    zero: int
    unique: int
    started: bool = False  # the manager is there before the guests are
    rewriters: int = 0     # so many guests write all the time ...
    rewritten: int = 0     # ... to so much of their common memory
    equal: bool = True     # there is something to merge, and so to wait for


class Size(NamedTuple):
    """How much is measured. A run has converged when its saving has not grown for tail_sec, and what it costs
    then is measured over the last steady_sec of that."""
    guests: int
    guest_mib: int
    rounds: int
    limit_sec: int
    unequal_sec: int  # the limit where nothing is to be merged
    tail_sec: int
    steady_sec: int
    cases: tuple
    managers: tuple


CASES = (
    Case("late", "the guests run, then the manager starts", 16, 2, 4, 8),
    Case("start", "the guests start under the manager", 16, 2, 4, 8, started=True),
    Case("volatile", "as late, and half of the guests rewrite a part of their memory every second", 16, 2, 4, 8,
         rewriters=2, rewritten=1),
    Case("private", "there is nothing to merge", 0, 0, 0, 30, equal=False),
)

SIZES = {
    "quick": Size(guests=4, guest_mib=128, rounds=1, limit_sec=140, unequal_sec=75, tail_sec=40, steady_sec=15,
                  cases=("late", "private"), managers=MANAGERS[:3]),
    "full": Size(guests=4, guest_mib=768, rounds=3, limit_sec=600, unequal_sec=300, tail_sec=90, steady_sec=60,
                 cases=tuple(case.name for case in CASES), managers=MANAGERS),
}
# In a host of our own time is the host's, and a run goes on to its limit. Its memory is small, for the guests are
# emulated in an emulator.
HOSTED_SIZES = {
    "quick": Size(guests=4, guest_mib=64, rounds=2, limit_sec=150, unequal_sec=120, tail_sec=40, steady_sec=40,
                  cases=("late", "private"), managers=tuple(HOSTED)[:3]),
    "full": Size(guests=4, guest_mib=96, rounds=3, limit_sec=600, unequal_sec=600, tail_sec=120, steady_sec=120,
                 cases=tuple(case.name for case in CASES), managers=tuple(HOSTED)),
}


def case_of(name):
    return next(case for case in CASES if case.name == name)


def limit_sec(case, size):
    """When a run of the case ends, converged or not."""
    return size.limit_sec if case.equal else size.unequal_sec


def share_mib(size, share):
    return size.guest_mib * share // 32


def guest_args(case, size):
    """What a seeded guest of the case is told; tests/guest/layout.h."""
    words = {"common_mib": case.common, "dup_mib": case.dup, "zero_mib": case.zero, "unique_mib": case.unique}
    return " ".join(["seed=31", *(f"{name}={share_mib(size, share)}" for name, share in words.items() if share)])


def rewritten_pages(case, size):
    return share_mib(size, case.rewritten) * MIB_PAGES


def guest_pages(case, size):
    """Pages that the guests have filled, all together."""
    return sum(share_mib(size, share) for share in case[2:6]) * MIB_PAGES * size.guests


def expected_bytes(case, size):
    """What merging saves at the least when it has done all. What is rewritten all the time is not equal; and of
    zeroes the kernel takes some for its own zero page, when it splits a huge page, which nobody counts as merged."""
    def pages(share):
        return share_mib(size, share) * MIB_PAGES
    written = rewritten_pages(case, size)
    equal = (size.guests - 1) * (pages(case.common) - written)
    if written:
        equal += max(size.guests - case.rewriters - 1, 0) * written
    dup = size.guests * pages(case.dup) * (DUP_COPIES - 1) // DUP_COPIES
    return (equal + dup) * PAGE_BYTES


def turns(size):
    """[(round, case, manager)] in the order in which they run."""
    order = []
    for number in range(size.rounds):
        first = number % len(size.managers)
        for name in size.cases:
            order += [(number, case_of(name), manager)
                      for manager in (*size.managers[first:], *size.managers[:first])]
    return order
