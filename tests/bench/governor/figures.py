# SPDX-License-Identifier: GPL-2.0-or-later
"""From what was seen of a run, sample by sample, to the figures that are compared. Pure.

  to_90      seconds till nine tenths of the final saving were there; None: not within the run
  cpu_90     seconds of CPU till then, ksmd's and the manager's, for each GiB that was saved then
  looks_90   how often ksmd had looked at a page till then. Two is the least: a page is merged when it is found
             unchanged, so that cpu_90 can be no less than what two looks at all pages cost
  share      the part of one CPU that is taken in the end; None while nine tenths are not there, or, where there is
             nothing to merge, while ksmd has not looked twice at each page: it does not know that yet
  cpu        seconds of CPU in HORIZON_SEC; where a run ended earlier, because it had converged, the rest is
             taken to go on as it ended
  cpu_gib    the same for each GiB that is saved in the end; None where a run ended while it still merged
  saved      bytes saved in the end

The final saving is the greatest that any manager reached in the case.
"""

from typing import NamedTuple

GIB = 1 << 30
HORIZON_SEC = 600
NAMES = ("to_90", "cpu_90", "looks_90", "share", "cpu", "cpu_gib", "saved")
LITTLE_BYTES = 16 << 20  # a final saving below that is none to be divided by


class Sample(NamedTuple):
    """What was seen at one moment; seconds and counts are since the run began."""
    sec: float
    saved_bytes: int
    ksmd_sec: float
    manager_sec: float
    scanned_pages: int

    @property
    def cpu_sec(self):
        return self.ksmd_sec + self.manager_sec


def final_bytes(all_series):
    """The greatest saving of all runs of a case: of each run the one in the end."""
    return max((series[-1].saved_bytes for series in all_series if series), default=0)


def reached(series, goal_bytes):
    """The first sample that has saved so much, or None."""
    return next((sample for sample in series if sample.saved_bytes >= goal_bytes), None)


def converged(series, expected_bytes, tail_sec):
    """Whether nine tenths of what can be saved are, and the last tail_sec brought less than 0.5 % of it."""
    last = series[-1]
    before = [sample for sample in series if sample.sec <= last.sec - tail_sec]
    return bool(before) and expected_bytes > 0 and before[-1].saved_bytes * 10 >= expected_bytes * 9 and \
        (last.saved_bytes - before[-1].saved_bytes) * 200 < expected_bytes


def share(series, steady_sec):
    """The part of one CPU that was taken in the last steady_sec; None where there are not so many."""
    last = series[-1]
    before = [sample for sample in series if sample.sec <= last.sec - steady_sec]
    return (last.cpu_sec - before[-1].cpu_sec) / (last.sec - before[-1].sec) if before else None


def knows_all(series, guest_pages):
    """Whether ksmd has looked at all as often as it takes to merge it."""
    return series[-1].scanned_pages >= 2 * guest_pages


def cpu_of_horizon(series, steady_share):
    last = series[-1]
    if last.sec >= HORIZON_SEC:
        return next(sample for sample in series if sample.sec >= HORIZON_SEC).cpu_sec
    return None if steady_share is None else last.cpu_sec + steady_share * (HORIZON_SEC - last.sec)


def of(series, final, guest_pages, steady_sec):
    """{figure: number or None} of one run; `final` as of final_bytes()."""
    found = dict.fromkeys(NAMES)
    found["saved"] = series[-1].saved_bytes
    if final >= LITTLE_BYTES or knows_all(series, guest_pages):
        found["share"] = share(series, steady_sec)
    found["cpu"] = cpu_of_horizon(series, found["share"])
    if final < LITTLE_BYTES:
        return found
    there = reached(series, final * 9 // 10)
    if found["cpu"] is not None and found["saved"] >= LITTLE_BYTES and (there or series[-1].sec >= HORIZON_SEC):
        found["cpu_gib"] = found["cpu"] / (found["saved"] / GIB)
    if there is None:
        found["share"] = None
    else:
        found["to_90"] = there.sec
        found["cpu_90"] = there.cpu_sec / (there.saved_bytes / GIB)
        found["looks_90"] = there.scanned_pages / guest_pages
    return found
