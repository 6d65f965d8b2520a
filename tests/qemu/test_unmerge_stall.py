#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Un-merging must not stop the machine: tests/bench/unmerge-stall with 1 GiB, as a test.

A time would be a matter of the host's load, so the bound is a ratio: the main loop of stock stands
still at least four times as long.
"""

import pathlib
import sys

import compare

import tap

sys.path.insert(0, str(pathlib.Path(compare.__file__).resolve().parent.parent
                       / "bench/unmerge-stall"))

import unmerge_stall  # noqa: E402  (found by the line above)

SIZE_MIB = 1024
TRIES = 4


@tap.test
def the_main_loop_stalls_a_quarter_of_stock_at_most(binaries):
    for _ in range(TRIES):
        figures = unmerge_stall.compare(binaries.ours, binaries.stock, SIZE_MIB)
        for name in ("ours", "stock"):
            found = figures[name]
            tap.diag(f"{name}: worst stall {found['stall_usec_max']} us, all in "
                     f"{found['total_usec']} us; monitor {found['monitor_usec_max']} us; "
                     f"{found['pings_count']} pings, {found['idle_usec_max']} us before")
            tap.check(found["merged_pages"] >= SIZE_MIB * 256, f"too little was merged: {found}")
            tap.equal(found["left_pages"], 0, f"pages still merged afterwards by {name}")
        if figures["stock_to_ours_permyriad"] >= 40000:
            return
    tap.check(False, f"stock/ours is {figures['stock_to_ours_permyriad']} permyriad, not 40000")


if __name__ == "__main__":
    compare.main()
