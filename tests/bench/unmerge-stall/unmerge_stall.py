#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How long does QEMU not answer while merged memory is made private again?

Fills a stopped machine's memory with few distinct pages, lets ksmd merge all of it, and switches
merging off.  Meanwhile the test protocol is pinged without a pause: the longest wait for an answer
is the longest time that the main loop, and with it every device that it serves, stood still.  A
second monitor asks `query-status`: QEMU obeys one monitor command at a time, so a command of ours
that waits for its end lets the others wait too, while the guest goes on.  Stock has only the
backend's property, our QEMU the command; both are measured the same way, one after the other.

Prints one JSON object; all times in microseconds.  Hold the machine still for figures to publish:
the ratio is what a busy host can tell.
"""

import argparse
import json
import os
import pathlib
import signal
import sys
import threading
import time

TESTS = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS / "lib"), str(TESTS / "qemu")]

import ksm  # noqa: E402  (found by the line above)
import wait  # noqa: E402
from machine import Machine  # noqa: E402

OURS = "/opt/memfold/bin/qemu-system-x86_64"
STOCK = "/usr/bin/qemu-system-x86_64"
SPARE_MIB = 16
MERGE_SEC = 300


def say(text):
    print(f"unmerge-stall: {text}", file=sys.stderr, flush=True)


def usec(seconds):
    return int(seconds * 1_000_000)


class Pinger(threading.Thread):
    """Makes round trips, one after the other; keeps the time that each took."""

    def __init__(self, round_trip):
        super().__init__(daemon=True)
        self.round_trip = round_trip
        self.times_sec = []
        self.stopping = threading.Event()
        self.start()
        wait.until("pings to flow", lambda: len(self.times_sec) > 100)
        self.before_count = len(self.times_sec)

    def run(self):
        while not self.stopping.is_set():
            started = time.monotonic()
            self.round_trip()
            self.times_sec.append(time.monotonic() - started)

    def stop(self):
        """Ends it; returns the longest times in seconds, before all pings flowed and since."""
        self.stopping.set()
        self.join()
        return max(self.times_sec[:self.before_count]), max(self.times_sec[self.before_count:])


def has_command(machine):
    return any(command["name"] == "set-memory-merge" for command in machine.qmp("query-commands"))


def measure(binary, size_mib):
    """Merges and un-merges size_mib in one QEMU; the caller holds KSM. Returns the figures."""
    wanted = size_mib * 256
    with Machine(binary, "-object", f"memory-backend-ram,id=ram,size={size_mib + SPARE_MIB}M",
                 memory_mib=size_mib + SPARE_MIB, machine="pc,memory-backend=ram",
                 monitors=2) as machine:
        say(f"{binary}: filling and merging {size_mib} MiB")
        machine.fill_merging(size_mib)
        wait.until(f"{wanted} merged pages", lambda: machine.merged_pages() >= wanted, MERGE_SEC,
                   0.5, machine.merged_pages)
        ksm.write("run", 0)
        merged_pages = machine.merged_pages()
        loop = Pinger(machine.ping)
        monitor = Pinger(lambda: machine.monitors[1].execute("query-status"))
        started = time.monotonic()
        if has_command(machine):
            way = "set-memory-merge"
            machine.qmp("set-memory-merge", mode="off")
        else:
            way = "qom-set merge"
            machine.qmp("qom-set", path="/objects/ram", property="merge", value=False)
        total_sec = time.monotonic() - started
        idle_sec, stall_sec = loop.stop()
        _, monitor_sec = monitor.stop()
        ksm.write("run", 1)
        return {
            "binary": binary,
            "way": way,
            "merged_pages": merged_pages,
            "left_pages": sum(a.bytes["KSM"] for a in machine.ram_areas()) // 4096,
            "total_usec": usec(total_sec),
            "stall_usec_max": usec(stall_sec),
            "idle_usec_max": usec(idle_sec),
            "monitor_usec_max": usec(monitor_sec),
            "pings_count": len(loop.times_sec) - loop.before_count,
        }


def compare(ours, stock, size_mib):
    """Measures both; borrows KSM for the time and puts its knobs back."""
    with ksm.borrowed(pages_to_scan=50000, sleep_millisecs=1, smart_scan=0, run=1):
        figures = {"size_mib": size_mib, "stock": measure(stock, size_mib),
                   "ours": measure(ours, size_mib)}
    ratio = figures["stock"]["stall_usec_max"] * 10000 // figures["ours"]["stall_usec_max"]
    figures["stock_to_ours_permyriad"] = ratio
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", default=os.environ.get("MEMFOLD_QEMU", OURS), metavar="PATH")
    parser.add_argument("--stock", default=os.environ.get("MEMFOLD_STOCK_QEMU", STOCK),
                        metavar="PATH")
    parser.add_argument("--gib", type=int, default=6, metavar="N",
                        help="merged memory to make private; needs as much free (default: 6)")
    options = parser.parse_args()
    if options.gib < 1:
        parser.error("--gib needs at least 1")
    # an ordinary exit, which puts KSM's knobs back
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    print(json.dumps(compare(options.ours, options.stock, options.gib * 1024), indent=2))


if __name__ == "__main__":
    main()
