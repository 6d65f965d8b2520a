# SPDX-License-Identifier: GPL-2.0-or-later
"""Looks at ksmd and its manager four times a second, in a thread, and keeps what it saw as samples."""

import os
import pathlib
import threading
import time

import figures
import managers

INTERVAL_SEC = 0.25
TICKS_SEC = os.sysconf("SC_CLK_TCK")
KSM = pathlib.Path("/sys/kernel/mm/ksm")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
LOOK_FOR_MEMBERS = 20  # samples from one look for the manager's processes to the next


class NoKsmd(Exception):
    """ksmd's CPU time can't be read here."""


def find_ksmd():
    for path in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text().strip() == "ksmd":
                return int(path.parent.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    raise NoKsmd("there is no ksmd among the processes: its CPU time can't be measured in a PID namespace of its own")


def count(name):
    path = KSM / name
    return int(path.read_text()) if path.exists() else 0


def cpu_sec(pid, with_children):
    """User and system time; with that of children that it has waited for."""
    words = managers.stat_words(pid)
    return sum(map(int, words[11:15 if with_children else 13])) / TICKS_SEC


class Watch:
    """From begin() on; all figures count from there."""

    def __init__(self):
        self._ksmd = find_ksmd()
        self._session, self._members = None, []
        self._stop, self._thread, self._zero = threading.Event(), None, None
        self._began, self._looks = 0.0, 0
        self.series = []

    def begin(self):
        self._began = time.monotonic()
        self._zero = self._look()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def manager(self, session):
        """The session whose CPU time is the manager's, from its start."""
        self._session, self._looks = session, 0

    def end(self):
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _manager_sec(self):
        if self._session is None:
            return 0.0
        if self._looks % LOOK_FOR_MEMBERS == 0:
            self._members = managers.members(self._session)
        self._looks += 1
        return sum(cpu_sec(pid, True) for pid in self._members)

    def _look(self):
        saved_pages = count("pages_sharing") + count("ksm_zero_pages")
        return figures.Sample(time.monotonic() - self._began, saved_pages * PAGE_BYTES, cpu_sec(self._ksmd, False),
                              self._manager_sec(), count("pages_scanned"))

    def _run(self):
        while not self._stop.is_set():
            now, zero = self._look(), self._zero
            self.series.append(figures.Sample(round(now.sec, 3), now.saved_bytes - zero.saved_bytes,
                                              round(now.ksmd_sec - zero.ksmd_sec, 3), now.manager_sec,
                                              now.scanned_pages - zero.scanned_pages))
            self._stop.wait(INTERVAL_SEC)
