#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo as a test: what it ends with must be the known answer.

Usage: test_demo.py [--stock] [TEST...]      --stock: with the distribution's QEMU
"""

import contextlib
import glob
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import accel
import libvirtd
import rig
import tap

PREFIX = "memfold-demo-"
STOCK = "--stock" in sys.argv
if STOCK:
    sys.argv.remove("--stock")


class Performed:
    """One run of the demo: its exit status, its story and its JSON object."""

    def __init__(self, *options):
        done = subprocess.run([f"{HERE}/demo.py", "--json", *options], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.status = done.returncode
        self.story = done.stderr
        self.json = json.loads(done.stdout) if done.stdout else {}
        self.domains = {d["name"].removeprefix(PREFIX): d for d in self.json.get("domains", [])}
        if self.status or not self.domains:
            tap.diag(self.story)

    def domain(self, name):
        tap.check(name in self.domains, f"the JSON has no domain {name}")
        return self.domains[name]


@contextlib.contextmanager
def performed():
    options = []
    if STOCK:
        emulator = accel.find_stock_emulator()
        if not emulator:
            raise tap.Skip("the distribution's QEMU is not installed")
        options = ["--emulator", emulator]
    yield Performed(*options)


@tap.test
def demo_succeeds(p):
    tap.equal(p.json.get("error"), None, "error")
    tap.equal(p.status, 0, "exit status")


@tap.test
def every_domain_has_policy_and_figures(p):
    tap.equal(sorted(p.domains), sorted(
        ["web-1", "web-2", "vault", "router", "seeded-1", "seeded-2"]), "domains")
    for name, entry in p.domains.items():
        for key in ("policy", "mergeable", "saved_bytes"):
            tap.check(key in entry, f"{name} has no {key}")
        tap.equal("merged_pages" in entry, p.json["kernel_tells_merged"],
                  f"{name} has merged_pages exactly if the kernel tells")
    tap.check(p.json["host"]["saved_bytes"] > 0, "nothing is saved on the host")


@tap.test
def seeded_guests_are_merged_to_the_page(p):
    for name in ("seeded-1", "seeded-2"):
        entry = p.domain(name)
        tap.equal(entry["expected_pages"], 20 * 256, f"pages of {name} that must be merged")
        tap.equal(entry["found_pages"], entry["expected_pages"], f"merged of these in {name}")
        tap.equal(entry["unique_merged_pages"], 0, f"merged unique pages of {name}")


@tap.test
def real_guests_share_more_than_their_pattern(p):
    for name in ("web-1", "web-2"):
        tap.check(p.domain(name)["counted_merged_pages"] > 24 * 256, f"{name} merged less than its pattern")
        tap.check(p.domain(name)["saved_bytes"] > 0, f"{name} saves nothing")


@tap.test
def nosharepages_wins(p):
    entry = p.domain("vault")
    found = (entry["mergeable"], entry.get("merged_pages", 0), entry["saved_bytes"],
             entry["counted_merged_pages"])
    tap.equal(found, (False, 0, 0, 0), "mergeable, merged, saved and counted of vault")
    tap.check(any("nosharepages" in reason["text"] for reason in entry["reasons"]),
              f"no reason names <nosharepages/>: {entry['reasons']}")


@tap.test
def shared_ram_is_explained(p):
    entry = p.domain("router")
    tap.equal((entry["mergeable"], entry["counted_ram_merged_pages"]), (False, 0),
              "mergeable and merged pages of RAM")
    tap.check(any("shared" in reason["text"] for reason in entry["reasons"]),
              f"no reason names shared memory: {entry['reasons']}")


@tap.test
def figures_are_those_of_the_page_tables(p):
    if not p.json["kernel_tells_merged"]:
        tap.skip("this kernel does not say what is merged now (Linux before 6.7)")
    for name, entry in p.domains.items():
        said, counted = entry["merged_pages"], entry["counted_merged_pages"]
        tap.check(abs(said - counted) * 50 <= counted,
                  f"{name}: memfold says {said} merged pages, the page tables {counted}")


@tap.test
def savings_add_up(p):
    tap.within(p.json["sum_error_permyriad"], 0, 200, "sum error in permyriad")
    said, counted = p.json["host"]["saved_bytes"], p.json["host"]["counted_bytes"]
    tap.check(abs(said - counted) * 50 <= counted,
              f"memfold says the host saves {said} bytes, the page tables {counted}")


@tap.test
def switching_off_reaches_zero_and_spares_others(p):
    off = p.json["switched_off"]
    tap.check(off["merged_pages_before"] > 0, "nothing was merged before")
    tap.equal(off["ram_merged_pages"], 0, "merged pages of RAM afterwards")
    if not STOCK:
        tap.equal(off["merged_pages"], 0, "merged pages of the whole process afterwards")
        tap.equal(off["reported_merged_pages"] or 0, 0, "merged pages that memfold reports afterwards")
    tap.equal(off["bad_pages"], 0, "wrong pages in the guest")
    tap.check(off["others_kept"], "others lost merged pages")


@tap.test
def no_page_was_lost(p):
    tap.equal(p.json["bad_pages"], 0, "wrong pages in all guests")


@tap.test
def qemu_answers(p):
    if STOCK:
        tap.check("query_memory_merge" not in p.json, "a stock QEMU answered query-memory-merge")
        return
    answer = p.json["query_memory_merge"]
    tap.equal((answer["supported"], answer["mode"]), (True, "on"), "supported and mode")
    ram = max(answer["blocks"], key=lambda block: block["size"])
    tap.equal((ram["size"], ram["mergeable"]), (128 << 20, True), "size and mergeable of RAM")


@tap.test
def everything_is_as_before(p):
    tap.check(p.json["knobs_restored"], "KSM knobs are not as before")
    left = [path for path in glob.glob("/run/memfold-demo*")]
    tap.equal(left, [], "files left in /run")
    with libvirtd.Libvirtd() as used:
        names = [d.name() for d in rig.leftovers(used.connection, PREFIX)]
        tap.equal(names, [], "domains left")


if __name__ == "__main__":
    tap.main(context=performed)
