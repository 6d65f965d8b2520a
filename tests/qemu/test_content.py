#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Switching never changes what a guest has in memory, nor what its neighbours have merged.

Two guests share the pages of one seed, and each has duplicates of its own.  One is switched off, on
and off again while both are checked: each guest checks its own contents, the host counts the pages.
"""

import concurrent.futures

import compare

import ksm
import tap
import wait
from machine import Machine

RAM_MIB = 48
TOGGLES = 12
GUEST = "seed=71 common_mib=12 dup_mib=8 unique_mib=8 salt="


def switch_by_command(machine, on):
    machine.qmp("set-memory-merge", mode="on" if on else "off")


def switch_by_property(machine, on):
    """On ours this returns at once and un-merging goes on, so wait for it."""
    machine.qmp("qom-set", path="/objects/ram", property="merge", value=on)
    if not on:
        wait.until("no merged page", lambda: not ram_merged_pages(machine))


def guest(binary, salt):
    return Machine(binary, "-object", f"memory-backend-ram,id=ram,size={RAM_MIB}M",
                   machine="pc,memory-backend=ram", memory_mib=RAM_MIB, guest=f"{GUEST}{salt}")


def ram_merged_pages(machine):
    return sum(area.bytes["KSM"] for area in machine.ram_areas()) // 4096


def wait_merged(machine):
    """Waits until exactly the layout's pages are merged, as many as may be open aside."""
    wanted = machine.layout.merged_pages
    wait.until(f"{wanted} merged pages of RAM", lambda: ram_merged_pages(machine) >= wanted,
               show=lambda: ram_merged_pages(machine))
    tap.within(ram_merged_pages(machine), wanted, wanted + machine.layout.open_pages,
               "merged pages of RAM")


def contents_and_neighbours(binary, switch):
    with guest(binary, 1) as one, guest(binary, 2) as other:
        wait_merged(one)
        wait_merged(other)
        for _ in range(2):
            neighbour = ram_merged_pages(other)
            switch(one, False)
            tap.equal(ram_merged_pages(one), 0, "merged pages of the one switched off")
            tap.equal(ram_merged_pages(other), neighbour, "merged pages of its neighbour")
            tap.equal((one.console.verify(), other.console.verify()), (0, 0), "bad pages, off")
            switch(one, True)
            wait_merged(one)
            tap.equal((one.console.verify(), other.console.verify()), (0, 0), "bad pages, on")
        rewritten = one.console.dirty()
        tap.equal(rewritten, one.layout.common_pages, "rewritten pages")
        switch(one, False)
        tap.equal((one.console.verify(), other.console.verify()), (0, 0), "bad pages, rewritten")
        one.console.restore()
        tap.equal(one.console.verify(), 0, "bad pages, restored")


@tap.test
def contents_survive_the_command_on_ours(binaries):
    contents_and_neighbours(binaries.ours, switch_by_command)


@compare.on_both
def contents_survive_the_property(binary):
    contents_and_neighbours(binary, switch_by_property)


@tap.test
def guests_of_both_kinds_merge_with_each_other(binaries):
    """Ours and stock on one host: the page decides, not who runs it."""
    with guest(binaries.ours, 1) as one, guest(binaries.stock, 2) as other:
        wait_merged(one)
        wait_merged(other)
        tap.equal((one.console.verify(), other.console.verify()), (0, 0), "bad pages")


@tap.test
def a_guest_writes_while_it_is_switched_on_ours(binaries):
    """Un-merging goes in slices beside the guest, which may write where it works just now."""
    with guest(binaries.ours, 1) as one, guest(binaries.ours, 2):
        wait_merged(one)
        with concurrent.futures.ThreadPoolExecutor(1) as writer:
            for count in range(TOGGLES):
                rewriting = writer.submit(one.console.dirty)
                switch_by_command(one, count % 2 == 1)
                rewriting.result()
                tap.equal(one.console.verify(), 0, f"bad pages after switch {count}")
        switch_by_command(one, False)
        tap.equal(ram_merged_pages(one), 0, "merged pages")
        tap.equal(one.console.verify(), 0, "bad pages")


if __name__ == "__main__":
    compare.main(lambda: ksm.borrowed(**ksm.FAST))
