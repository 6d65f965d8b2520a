# SPDX-License-Identifier: GPL-2.0-or-later
"""One run: guests of a case, started anew, and one manager; what was seen of it as a record."""

import contextlib
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lib"))

import figures
import ksm
import managers
import plan
import watch

LOCK_SEC = 3600
READY_SEC = 120
REWRITE_SEC = 1.0
POLICY = {"merge": "on", "group": "shared"}


class Guests:
    """The guests of a case in a rig."""

    def __init__(self, surroundings, case, size):
        self._rig, self._case, self._size = surroundings, case, size
        self._running = []

    def start(self):
        """Starts all of them and waits until they have filled their memory."""
        for number in range(self._size.guests):
            spec = self._rig.tiny(f"{number}", self._size.guest_mib, plan.guest_args(self._case, self._size), policy=POLICY)
            self._running.append(self._rig.create(spec))
        for running in self._running:
            running.console.wait_ready(READY_SEC)

    def rewrite(self):
        pages = plan.rewritten_pages(self._case, self._size)
        for running in self._running[:self._case.rewriters]:
            running.console.dirty(pages)

    def tracked_pages(self):
        """Pages of theirs that ksmd has an eye on; None where the kernel does not say."""
        total = 0
        for running in self._running:
            words = pathlib.Path(f"/proc/{running.pid}/ksm_stat").read_text().split()
            total += int(words[words.index("ksm_rmap_items") + 1])
        return total

    def verify(self):
        """How many pages do not hold what they must."""
        return sum(running.console.verify() for running in self._running)

    def end(self):
        for running in self._running:
            running.destroy()
            self._rig.domains.remove(running)
        self._running = []


@contextlib.contextmanager
def _ksm_alone(waiting):
    """KSM for one run, un-merged, with the kernel's defaults; then as it was."""
    with ksm.lock(LOCK_SEC, waiting):
        saved = ksm.knobs()
        try:
            managers.clean()
            yield
        finally:
            ksm.restore(saved)


def _follow(guests, seen, case, size):
    """Waits for the end: converged, or the limit."""
    limit_sec, expected = plan.limit_sec(case, size), plan.expected_bytes(case, size)
    rewrites = 0
    while True:
        time.sleep(watch.INTERVAL_SEC)
        last_sec = seen.series[-1].sec if seen.series else 0
        if case.rewriters and last_sec >= rewrites * REWRITE_SEC:
            guests.rewrite()
            rewrites += 1
        if last_sec >= limit_sec or (seen.series and figures.converged(seen.series, expected, size.tail_sec)):
            return


def _others_pages(guests):
    """Pages of other processes that ksmd has an eye on."""
    counts = ksm.counters()
    all_pages = sum(counts[name] for name in ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile"))
    try:
        return max(all_pages - guests.tracked_pages(), 0)
    except (FileNotFoundError, ValueError):
        return 0


def _measure(surroundings, case, manager, size, ksmtuned):
    guests, seen, ready_sec = Guests(surroundings, case, size), watch.Watch(), 0
    try:
        if not case.started:
            guests.start()
        seen.begin()
        with managers.start(manager, ksmtuned) as session:
            seen.manager(session)
            if case.started:
                guests.start()
                ready_sec = seen.series[-1].sec
            _follow(guests, seen, case, size)
            seen.end()
            others = _others_pages(guests)
        wrong = guests.verify()
    finally:
        seen.end()
        guests.end()
    return {"others_pages": others, "wrong_pages": wrong, "ready_sec": ready_sec, "series": [list(sample) for sample in seen.series]}


def run(surroundings, case, manager, size, ksmtuned, waiting):
    """The record of a run. waiting() is called when another has KSM."""
    with _ksm_alone(waiting):
        surroundings.refuse_strangers()
        found = _measure(surroundings, case, manager, size, ksmtuned)
    return {"case": case.name, "manager": manager, "guest_pages": plan.guest_pages(case, size),
            "steady_sec": size.steady_sec, "limit_sec": plan.limit_sec(case, size), **found}
