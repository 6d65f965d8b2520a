#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""query-memory-merge and set-memory-merge on real, merged memory, judged by /proc from outside.

ksmd is stopped wherever two readings are compared, so that they must be equal to the byte.  Stock
knows none of these names; it shows here that a caller can tell, and the way that is left.
"""

import contextlib
import re

import compare

import ksm
import qmp
import smaps
import tap
import wait
from machine import MIB, Machine, areas_within

RAM_MIB = 64
MERGING_MIB = 24
MERGING_PAGES = MERGING_MIB * 256
PLUGGED_BYTES = 38 * MIB
COMMANDS = {"query-memory-merge", "set-memory-merge"}
USAGE = {"resident": "Rss", "proportional": "Pss", "merged": "KSM", "huge": "AnonHugePages",
         "swapped": "Swap"}


@contextlib.contextmanager
def merged_machine(binary, *arguments, **options):
    """A machine with MERGING_MIB of merged memory; ksmd is stopped again."""
    ksm.write("run", 1)
    with Machine(binary, *arguments, memory_mib=RAM_MIB, **options) as machine:
        machine.fill_merging(MERGING_MIB)
        wait.until(f"{MERGING_PAGES} merged pages",
                   lambda: machine.merged_pages() >= MERGING_PAGES, show=machine.merged_pages)
        ksm.write("run", 0)
        yield machine


def blocks_by_id(machine, **arguments):
    blocks = machine.qmp("query-memory-merge", **arguments)["blocks"]
    found = {block["id"]: block for block in blocks}
    tap.equal(len(found), len(blocks), "distinct ids")
    return found


def host_addresses(machine):
    """{block: (address, bytes used, bytes mapped)} by `info ramblock`."""
    rows = (line.split() for line in machine.hmp("info ramblock").splitlines()[1:])
    return {row[0]: (int(row[-2], 16), int(row[4], 16), int(row[5], 16)) for row in rows if row}


def refused(machine, command, **arguments):
    """The text of the error that a command must give."""
    try:
        answer = machine.qmp(command, **arguments)
    except qmp.QmpError as error:
        return str(error)
    raise tap.Failed(f"{command} {arguments} was not refused: {answer}")


def changes(machine):
    """The MEMORY_MERGE_CHANGE events that came so far, oldest first."""
    machine.qmp("query-status")
    events = machine.monitors[0].events
    found = [event["data"] for event in events if event["event"] == "MEMORY_MERGE_CHANGE"]
    events.clear()
    return found


@tap.test
def stock_says_that_it_lacks_the_commands(binaries):
    with Machine(binaries.stock) as machine:
        known = {command["name"] for command in machine.qmp("query-commands")}
        tap.equal(known & COMMANDS, set(), "commands of ours")
        for command in COMMANDS:
            tap.check("not been found" in refused(machine, command), "another error")


@tap.test
def ours_has_the_commands_and_marks_them_unstable(binaries):
    with Machine(binaries.ours) as machine:
        schema = {entity["name"]: entity for entity in machine.qmp("query-qmp-schema")}
        for name in (*COMMANDS, "MEMORY_MERGE_CHANGE"):
            tap.check(name in schema, f"{name} is not in the schema")
            tap.check("unstable" in schema[name].get("features", []), f"{name} is not unstable")


@compare.on_both
def the_property_of_a_backend_unmerges(binary):
    """The way that stock has; ours keeps it."""
    with merged_machine(binary, "-object", f"memory-backend-ram,id=ram,size={RAM_MIB}M",
                        machine="pc,memory-backend=ram") as machine:
        machine.qmp("qom-set", path="/objects/ram", property="merge", value=False)
        wait.until("no merged page in RAM",
                   lambda: not any(area.bytes["KSM"] for area in machine.ram_areas()))
        tap.check(machine.holds_merging(MERGING_MIB), "contents differ")


@tap.test
def usage_equals_smaps(binaries):
    with merged_machine(binaries.ours) as machine:
        addresses = host_addresses(machine)
        before = machine.areas()
        blocks = blocks_by_id(machine, usage=True)
        tap.equal(set(blocks), set(addresses), "ids and those of `info ramblock`")
        for name, (address, used_bytes, mapped_bytes) in addresses.items():
            block, areas = blocks[name], areas_within(before, address, mapped_bytes)
            tap.equal(block["size"], used_bytes, f"size of {name}")
            tap.equal(block.get("max-size", used_bytes), mapped_bytes, f"max-size of {name}")
            tap.equal(block["mergeable"], all(area.mergeable for area in areas), f"mark of {name}")
            for key, field in USAGE.items():
                tap.equal(block["usage"][key], sum(area.bytes[field] for area in areas),
                          f"{key} of {name}")
        ram = blocks["pc.ram"]
        tap.check(ram["usage"]["merged"] >= MERGING_MIB * MIB, f"too little is merged: {ram}")
        tap.equal((ram["mode"], ram["mergeable"], ram["blockers"], ram["page-size"]),
                  ("on", True, [], 4096), "pc.ram")


@tap.test
def answer_without_usage_has_the_marks_but_no_usage(binaries):
    with Machine(binaries.ours) as machine:
        for arguments in ({}, {"usage": False}):
            for name, block in blocks_by_id(machine, **arguments).items():
                tap.check("usage" not in block, f"{name} has usage")
                tap.equal(block["mergeable"], True, f"mark of {name}")


@tap.test
def process_counters_equal_proc(binaries):
    with merged_machine(binaries.ours) as machine:
        answer = machine.qmp("query-memory-merge")
        tap.equal(answer["supported"], True, "supported")
        tap.equal(answer["active"], False, "active while ksmd stands")
        process = answer["process"]
        tap.equal(process["merged"], smaps.merging_pages(machine.pid) * 4096, "merged")
        with open(f"/proc/{machine.pid}/ksm_stat", encoding="ascii") as file:
            stat = dict(re.findall(r"^(\w+) (-?\d+)$", file.read(), re.MULTILINE))
        for key, field in (("tracked", "ksm_rmap_items"), ("profit", "ksm_process_profit")):
            tap.equal(process.get(key), int(stat[field]), key)
        tap.equal(process.get("zero"), int(stat["ksm_zero_pages"]) * 4096, "zero")
        ksm.write("run", 1)
        tap.equal(machine.qmp("query-memory-merge")["active"], True, "active while ksmd runs")


@tap.test
def off_unmerges_all_and_on_merges_again(binaries):
    with merged_machine(binaries.ours) as machine:
        ids = set(blocks_by_id(machine))
        changes(machine)
        machine.qmp("set-memory-merge", mode="off")
        tap.equal(machine.merged_pages(), 0, "merged pages after off")
        tap.equal(machine.marked(), [], "marked areas after off")
        answer = machine.qmp("query-memory-merge", usage=True)
        tap.equal(answer["mode"], "off", "mode")
        for block in answer["blocks"]:
            tap.equal((block["mode"], block["mergeable"], block["usage"]["merged"]),
                      ("off", False, 0), f"{block['id']} after off")
            tap.equal(block["blockers"], ["policy"], f"blockers of {block['id']}")
        events = changes(machine)
        tap.equal({event["id"] for event in events}, ids, "blocks that events name")
        tap.equal({event["mode"] for event in events}, {"off"}, "modes that events name")
        tap.equal(len(events), len(ids), "events")
        machine.qmp("set-memory-merge", mode="on")
        tap.equal({event["id"] for event in changes(machine)}, ids, "blocks of events of `on`")
        ksm.write("run", 1)
        wait.until("pages to merge again", lambda: machine.merged_pages() >= MERGING_PAGES,
                   show=machine.merged_pages)
        tap.check(machine.holds_merging(MERGING_MIB), "contents differ")


@tap.test
def the_same_mode_again_changes_nothing_and_says_nothing(binaries):
    with Machine(binaries.ours) as machine:
        machine.qmp("set-memory-merge", mode="off")
        changes(machine)
        machine.qmp("set-memory-merge", mode="off")
        tap.equal(changes(machine), [], "events")


@tap.test
def one_block_is_switched_alone(binaries):
    with merged_machine(binaries.ours) as machine:
        changes(machine)
        machine.qmp("set-memory-merge", mode="off", id="pc.ram")
        tap.equal([area.mergeable for area in machine.ram_areas()].count(True), 0, "marked RAM")
        tap.equal(sum(area.bytes["KSM"] for area in machine.ram_areas()), 0, "merged RAM")
        tap.equal(changes(machine), [{"id": "pc.ram", "mode": "off"}], "events")
        for name, block in blocks_by_id(machine).items():
            wanted = ("off", False) if name == "pc.ram" else ("on", True)
            tap.equal((block["mode"], block["mergeable"]), wanted, name)
        machine.qmp("set-memory-merge", mode="on", id="pc.ram")
        tap.check(all(area.mergeable for area in machine.ram_areas()), "RAM is not marked again")


@tap.test
def wrong_requests_are_refused_and_change_nothing(binaries):
    with Machine(binaries.ours, "-object", "memory-backend-memfd,id=shared,size=16M,share=on",
                 "-object", "memory-backend-ram,id=own,size=8M", machine="pc") as machine:
        before = machine.qmp("query-memory-merge")
        shared = next(b["id"] for b in before["blocks"] if b.get("memdev") == "/objects/shared")
        for arguments, text in (
                ({"mode": "off", "id": "nosuch"}, "memory block 'nosuch' not found"),
                ({"mode": "off", "id": ""}, "memory block '' not found"),
                ({"mode": "on", "id": shared}, f"memory block '{shared}' cannot be merged"),
                ({"mode": "frozen"}, "not supported by this host"),
                ({"mode": "frozen", "id": "pc.ram"}, "not supported by this host"),
                ({"mode": "sometimes"}, "sometimes"),
                ({"mode": 1}, "mode"),
                ({}, "mode"),
                ({"mode": "off", "idd": "pc.ram"}, "idd")):
            said = refused(machine, "set-memory-merge", **arguments)
            tap.check(text in said, f"{arguments}: {said!r} lacks {text!r}")
        tap.equal(machine.qmp("query-memory-merge"), before, "state after refused requests")
        tap.check("usage" in refused(machine, "query-memory-merge", usage="much"), "unclear")
        tap.equal(changes(machine), [], "events")


@tap.test
def set_on_outranks_mem_merge_off(binaries):
    """Without an id the machine's own switch moves too, so that plugged memory follows."""
    with Machine(binaries.ours, "-m", f"{RAM_MIB}M,slots=2,maxmem=1G", memory_mib=RAM_MIB,
                 machine="pc,mem-merge=off") as machine:
        tap.equal(machine.marked(), [], "marked areas at start")
        tap.equal(machine.qmp("query-memory-merge")["mode"], "off", "mode at start")
        machine.qmp("set-memory-merge", mode="on")
        tap.check(all(area.mergeable for area in machine.ram_areas()), "RAM is not marked")
        tap.equal(machine.qmp("qom-get", path="/machine", property="mem-merge"), True, "property")
        machine.qmp("object-add", qom_type="memory-backend-ram", id="a", size=PLUGGED_BYTES)
        tap.equal([a.mergeable for a in machine.sized_areas(PLUGGED_BYTES)], [True], "plugged")


@tap.test
def plugged_memory_follows_set_off(binaries):
    with Machine(binaries.ours, "-m", f"{RAM_MIB}M,slots=2,maxmem=1G",
                 memory_mib=RAM_MIB) as machine:
        machine.qmp("set-memory-merge", mode="off")
        machine.qmp("object-add", qom_type="memory-backend-ram", id="a", size=PLUGGED_BYTES)
        machine.qmp("device_add", driver="pc-dimm", id="dimm", memdev="a")
        tap.equal([a.mergeable for a in machine.sized_areas(PLUGGED_BYTES)], [False], "plugged")
        tap.equal(machine.marked(), [], "marked areas")
        machine.qmp("set-memory-merge", mode="on")
        tap.equal([a.mergeable for a in machine.sized_areas(PLUGGED_BYTES)], [True], "set on")


@tap.test
def human_monitor_shows_each_block(binaries):
    with merged_machine(binaries.ours) as machine:
        for line in ("info memory-merge", "info memory-merge -u"):
            text = machine.hmp(line)
            for name in blocks_by_id(machine):
                tap.check(name in text, f"{name} is missing in\n{text}")
            tap.check("rror" not in text, text)
        tap.check(f"merged {MERGING_MIB} MiB" in text, f"no {MERGING_MIB} MiB merged in\n{text}")


@tap.test
def statistics_have_the_process_counters(binaries):
    with merged_machine(binaries.ours) as machine:
        answer = machine.qmp("query-stats", target="vm", providers=[{"provider": "ksm"}])
        tap.equal([part["provider"] for part in answer], ["ksm"], "providers")
        stats = {stat["name"]: stat["value"] for stat in answer[0]["stats"]}
        process = machine.qmp("query-memory-merge")["process"]
        schemas = machine.qmp("query-stats-schemas", provider="ksm")
        described = {stat["name"] for schema in schemas for stat in schema["stats"]}
        tap.equal(set(stats), described, "names, given and described")
        tap.check(process["merged"] in stats.values(), f"no {process['merged']} in {stats}")


@tap.test
def a_group_is_refused_at_start_where_the_kernel_has_none(binaries):
    """Fails closed: without its group this machine would be merged with all others."""
    try:
        with Machine(binaries.ours, machine="pc,mem-merge-group=own") as machine:
            group = machine.qmp("query-memory-merge").get("group")
            tap.check(group is not None, "no group although it started")
            tap.diag("this kernel has groups")
            return
    except Exception as error:  # the text is what is under test
        tap.check("memory merge groups are not supported by this host" in str(error), str(error))
        tap.check("mem-merge=off" in str(error), f"no remedy in: {error}")
    with Machine(binaries.ours, machine="pc,mem-merge-group=inherit") as machine:
        tap.check("group" not in machine.qmp("query-memory-merge"), "a group without any")


if __name__ == "__main__":
    compare.main(lambda: ksm.borrowed(pages_to_scan=20000, sleep_millisecs=2, smart_scan=0, run=0))
