# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's KSM: its lock among tests, its knobs saved and put back, its counters.

KSM is one for the whole host, so whoever writes a knob or asserts on a counter holds lock().
Files: Documentation/admin-guide/mm/ksm.rst of the kernel.
"""

import contextlib
import fcntl
import os
import re
import signal

import lockfile
import wait

DIRECTORY = "/sys/kernel/mm/ksm"
LOCK = "/run/memfold-ksm.lock"
# It makes huge pages, with copies, of KSM pages that nobody shares any longer: a guest loses merged pages
# some time after the last of its neighbours has been un-merged.
KHUGEPAGED_SLEEP = "/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs"
HOUR_MSEC = 3600000


def read(name):
    """The text of a file of KSM's; of a choice file ("[none] scan-time") the chosen word."""
    with open(f"{DIRECTORY}/{name}", encoding="ascii") as file:
        text = file.read().strip()
    chosen = re.search(r"\[([^]]+)\]", text)
    return chosen.group(1) if chosen else text


def write(name, value):
    with open(f"{DIRECTORY}/{name}", "w", encoding="ascii") as file:
        file.write(str(value))


def knobs():
    """All writable files as {name: text}: what has to be the same afterwards."""
    names = sorted(os.listdir(DIRECTORY))
    return {n: read(n) for n in names if os.stat(f"{DIRECTORY}/{n}").st_mode & 0o200}


def counters():
    """All read-only files as {name: integer}."""
    names = sorted(os.listdir(DIRECTORY))
    return {n: int(read(n)) for n in names if not os.stat(f"{DIRECTORY}/{n}").st_mode & 0o200}


def restore(saved):
    """Puts knobs back. The advisor refuses changes while it drives, so it is first and last."""
    now = knobs()
    if now.get("advisor_mode", "none") != "none":
        write("advisor_mode", "none")
    for name, value in saved.items():
        if name not in ("advisor_mode", "run") and read(name) != value:
            write(name, value)
    for name in ("advisor_mode", "run"):
        if name in saved and read(name) != saved[name]:
            write(name, saved[name])


def _flock_until(file, deadline_sec):
    """Waits in the kernel's queue, where nobody starves; main thread only."""
    def ring(*_):
        raise wait.Timeout(f"KSM is in use: {LOCK} is held by another")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, deadline_sec)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def lock(deadline_sec=600.0, waiting=None):
    """Holds the lock that says who may use KSM. Not to be nested. Calls waiting() if another
    has it. Who is not root can set no knob, and holds up nobody who can."""
    if os.geteuid() != 0:
        yield
        return
    with lockfile.open_private(LOCK) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                waiting()
            _flock_until(file, deadline_sec)
        yield


def khugepaged_msec():
    """How long khugepaged sleeps; None: this kernel has none."""
    if not os.path.exists(KHUGEPAGED_SLEEP):
        return None
    with open(KHUGEPAGED_SLEEP, encoding="ascii") as file:
        return int(file.read())


def set_khugepaged(sleep_msec):
    if sleep_msec is not None:
        with open(KHUGEPAGED_SLEEP, "w", encoding="ascii") as file:
            file.write(str(sleep_msec))


@contextlib.contextmanager
def without_khugepaged():
    """Has it sleep. Who may be killed meanwhile makes a note of khugepaged_msec() first."""
    before = khugepaged_msec()
    set_khugepaged(HOUR_MSEC if before is not None else None)
    try:
        yield
    finally:
        set_khugepaged(before)


@contextlib.contextmanager
def borrowed(**settings):
    """Holds the lock, sets knobs, and puts all knobs back at the end. Yields what they were."""
    with lock(), without_khugepaged():
        saved = knobs()
        try:
            set_knobs(**settings)
            yield saved
        finally:
            restore(saved)


def set_knobs(**settings):
    """Writes knobs; those that this kernel lacks are left out. `run` comes last."""
    for name in sorted(settings, key=lambda n: n == "run"):
        if os.path.exists(f"{DIRECTORY}/{name}"):
            write(name, settings[name])


# Scans a few hundred MiB in a second or two: for guests of known, small size.
FAST = {"pages_to_scan": 20000, "sleep_millisecs": 10, "smart_scan": 0, "run": 1}


def wait_until(what, predicate, deadline_sec=60.0):
    """Waits until predicate(counters) is true; returns those counters."""
    seen = {}

    def holds():
        seen.update(counters())
        return predicate(seen)

    wait.until(what, holds, deadline_sec, show=lambda: seen)
    return seen


def wait_full_scans(count=2, deadline_sec=60.0):
    """Waits until ksmd went through everything `count` times from now.

    A page is merged with one already stable in the first whole pass, and pages new to each
    other in the third at the latest: the checksum has to hold still once.
    """
    first = int(read("full_scans"))
    wait_until(f"{count} full scans", lambda c: c["full_scans"] > first + count, deadline_sec)
