# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting for a fact with a deadline, instead of sleeping and hoping."""

import time


class Timeout(AssertionError):
    """The fact did not come true in time; the text has the last thing seen."""


def until(what, predicate, deadline_sec=60.0, interval_sec=0.1, show=None):
    """Calls predicate() until it returns something true, and returns that.

    `what` completes "waited for ..."; show() gives what is known at the end, for the error.
    """
    end = time.monotonic() + deadline_sec
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= end:
            seen = f"; at the end: {show()}" if show else ""
            raise Timeout(f"waited {deadline_sec:g} s for {what}, in vain{seen}")
        time.sleep(interval_sec)
