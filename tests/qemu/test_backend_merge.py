#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Which memory of a QEMU ksmd may scan: VmFlags `mg` in /proc/PID/smaps, seen from outside.

Most cases must hold on both binaries; where stock ignores what was asked, its own test is the
control that shows that ours can fail.
"""

import contextlib
import pathlib
import tempfile

import compare

import ksm
import qmp
import tap
import wait
from machine import MIB, Machine, run_once

RAM_MIB = 32
# sizes that nothing else in the process has, so that a block's area can be told by its size
PLUGGED_BYTES = 38 * MIB
VGA_BYTES = 16 * MIB
FLASH_BYTES = 1 * MIB + 512 * 1024
CODE_BYTES = 256 * 1024
HUGE_PAGES = 8
HUGE_PAGES_KNOB = pathlib.Path("/proc/sys/vm/nr_hugepages")
HUGE_PAGES_FREE = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")


def backend(kind, **properties):
    """Options that make the machine's RAM a backend of this kind."""
    words = "".join(f",{name.replace('_', '-')}={value}" for name, value in properties.items())
    return ["-object", f"memory-backend-{kind},id=ram,size={RAM_MIB}M{words}"]


def ram_is_marked(binary, arguments, machine="pc,memory-backend=ram"):
    """Whether the machine's RAM is marked."""
    with Machine(binary, *arguments, memory_mib=RAM_MIB, machine=machine) as started:
        marks = {area.mergeable for area in started.ram_areas()}
        tap.equal(len(marks), 1, "ways in which parts of RAM are marked")
        return marks.pop()


@tap.test
def ram_backend_with_merge_off_is_marked_on_stock(binaries):
    """The control: the tenant asked for no merging, and is merged."""
    tap.equal(ram_is_marked(binaries.stock, backend("ram", merge="off")), True, "marked")


@tap.test
def ram_backend_with_merge_off_is_not_marked_on_ours(binaries):
    tap.equal(ram_is_marked(binaries.ours, backend("ram", merge="off")), False, "marked")


@compare.on_both
def ram_backend_is_marked_when_asked_or_not_told(binary):
    tap.equal(ram_is_marked(binary, backend("ram", merge="on")), True, "marked by merge=on")
    tap.equal(ram_is_marked(binary, backend("ram")), True, "marked by default")


@compare.on_both
def ram_backend_follows_the_machine(binary):
    marked = ram_is_marked(binary, backend("ram"), "pc,memory-backend=ram,mem-merge=off")
    tap.equal(marked, False, "marked")


@compare.on_both
def ram_backend_with_merge_on_outranks_the_machine(binary):
    marked = ram_is_marked(binary, backend("ram", merge="on"),
                           "pc,memory-backend=ram,mem-merge=off")
    tap.equal(marked, True, "marked")


@compare.on_both
def shared_memory_is_never_marked(binary):
    tap.equal(ram_is_marked(binary, backend("ram", share="on")), False, "ram,share=on marked")
    tap.equal(ram_is_marked(binary, backend("memfd", share="on")), False, "memfd marked")


@compare.on_both
def file_backend_is_marked_when_private(binary):
    with tempfile.NamedTemporaryFile(prefix="memfold-ram-") as file:
        file.truncate(RAM_MIB * MIB)
        for properties, wanted in (({"share": "off"}, True),
                                   ({"share": "off", "merge": "off"}, False),
                                   ({"share": "on"}, False)):
            marked = ram_is_marked(binary, backend("file", mem_path=file.name, **properties))
            tap.equal(marked, wanted, f"marked by {properties}")


@compare.on_both
def machine_marks_ram_and_roms_and_vga(binary):
    with Machine(binary, "-device", f"VGA,vgamem_mb={VGA_BYTES // MIB}",
                 memory_mib=RAM_MIB) as machine:
        tap.check(all(area.mergeable for area in machine.ram_areas()), "RAM is not marked")
        video = machine.sized_areas(VGA_BYTES)
        tap.equal([area.mergeable for area in video], [True], "VGA RAM marked")
        marked_bytes = sum(area.size_bytes for area in machine.marked())
        tap.check(marked_bytes > RAM_MIB * MIB + VGA_BYTES, "no ROM is marked")


@compare.on_both
def machine_with_mem_merge_off_marks_nothing(binary):
    with Machine(binary, "-device", f"VGA,vgamem_mb={VGA_BYTES // MIB}", memory_mib=RAM_MIB,
                 machine="pc,mem-merge=off") as machine:
        tap.equal(machine.marked(), [], "marked areas")


def plug(machine, ident, kind="ram", **properties):
    """Makes a backend and a DIMM of it while QEMU runs; returns its area."""
    before = {area.start for area in machine.sized_areas(PLUGGED_BYTES)}
    machine.qmp("object-add", qom_type=f"memory-backend-{kind}", id=ident, size=PLUGGED_BYTES,
                **properties)
    machine.qmp("device_add", driver="pc-dimm", id=f"dimm-{ident}", memdev=ident)
    new = [area for area in machine.sized_areas(PLUGGED_BYTES) if area.start not in before]
    tap.equal(len(new), 1, f"new areas of {PLUGGED_BYTES} bytes for {ident}")
    return new[0]


def slots_machine(binary, machine="pc"):
    return Machine(binary, "-m", f"{RAM_MIB}M,slots=4,maxmem=1G", memory_mib=RAM_MIB,
                   machine=machine)


@tap.test
def plugged_backend_with_merge_off_is_marked_on_stock(binaries):
    with slots_machine(binaries.stock) as machine:
        tap.equal(plug(machine, "a", merge=False).mergeable, True, "marked")


@tap.test
def plugged_backend_with_merge_off_is_not_marked_on_ours(binaries):
    with slots_machine(binaries.ours) as machine:
        tap.equal(plug(machine, "a", merge=False).mergeable, False, "marked")


@compare.on_both
def plugged_backends_follow_the_machine(binary):
    with slots_machine(binary) as machine:
        tap.equal(plug(machine, "a").mergeable, True, "marked")
        tap.equal(plug(machine, "b", kind="memfd", share=True).mergeable, False, "memfd marked")
    with slots_machine(binary, "pc,mem-merge=off") as machine:
        tap.equal(plug(machine, "a").mergeable, False, "marked under mem-merge=off")


@contextlib.contextmanager
def huge_pages(count):
    """Reserves huge pages for the time; skips where the host has no room for them."""
    if not HUGE_PAGES_FREE.exists():
        tap.skip("this kernel has no huge pages of 2 MiB")
    saved = HUGE_PAGES_KNOB.read_text()
    HUGE_PAGES_KNOB.write_text(str(int(saved) + count))
    try:
        if int(HUGE_PAGES_FREE.read_text()) < count:
            tap.skip("the host cannot spare huge pages")
        yield
    finally:
        HUGE_PAGES_KNOB.write_text(saved)


@compare.on_both
def huge_pages_are_never_marked(binary):
    size_mib = HUGE_PAGES * 2
    with huge_pages(HUGE_PAGES), \
            Machine(binary, "-object",
                    f"memory-backend-memfd,id=huge,size={size_mib}M,hugetlb=on,share=off",
                    memory_mib=RAM_MIB) as machine:
        marks = [area.mergeable for area in machine.areas() if "ht" in area.flags]
        tap.equal(marks, [False], "marked areas of huge pages")


@contextlib.contextmanager
def flash_machine(binary, machine="pc"):
    """A machine with firmware code and firmware variables in flash."""
    with tempfile.NamedTemporaryFile(prefix="memfold-code-") as code, \
            tempfile.NamedTemporaryFile(prefix="memfold-variables-") as variables:
        code.truncate(CODE_BYTES)
        variables.truncate(FLASH_BYTES)
        with Machine(binary, "-blockdev",
                     f"driver=file,node-name=code,read-only=on,filename={code.name}",
                     "-blockdev", f"driver=file,node-name=vars,filename={variables.name}",
                     memory_mib=RAM_MIB, machine=f"{machine},pflash0=code,pflash1=vars") as started:
            yield started


@tap.test
def firmware_variables_are_marked_on_stock(binaries):
    """The control.  They hold secrets: a merged page tells its neighbours what it holds."""
    with flash_machine(binaries.stock) as machine:
        marks = [area.mergeable for area in machine.sized_areas(FLASH_BYTES)]
        tap.equal(marks, [True], "marked")


@tap.test
def firmware_variables_are_not_marked_on_ours(binaries):
    with flash_machine(binaries.ours) as machine:
        def marks():
            return [area.mergeable for area in machine.sized_areas(FLASH_BYTES)]
        tap.equal(marks(), [False], "marked")
        machine.qmp("set-memory-merge", mode="off")
        machine.qmp("set-memory-merge", mode="on")
        tap.equal(marks(), [False], "marked after all was set off and on")


def switch(machine, on):
    """Sets the backend's property, and waits until the page tables follow.

    Stock returns when all is done, and serves nobody until then; ours un-merges in the background.
    """
    machine.qmp("qom-set", path="/objects/ram", property="merge", value=on)
    wait.until(f"RAM to be {'' if on else 'un'}marked",
               lambda: {area.mergeable for area in machine.ram_areas()} == {on}, 10)


def find_block(machine, memdev):
    """What our QEMU says of the block that a backend made."""
    blocks = machine.qmp("query-memory-merge")["blocks"]
    found = [block for block in blocks if block.get("memdev") == memdev]
    tap.equal(len(found), 1, f"blocks of {memdev}")
    return found[0]


@tap.test
def ours_says_why_a_block_is_not_merged(binaries):
    """The blockers of section 3 of the manual, one machine for each."""
    cases = [(backend("memfd", share="on"), "shared"),
             (backend("ram", share="on"), "shared"),
             (backend("ram", merge="off"), "policy")]
    for arguments, blocker in cases:
        with Machine(binaries.ours, *arguments, memory_mib=RAM_MIB,
                     machine="pc,memory-backend=ram") as machine:
            block = find_block(machine, "/objects/ram")
            tap.equal(block.get("mergeable"), False, f"mergeable of {arguments}, {block}")
            tap.equal(block["blockers"], [blocker], f"blockers of {arguments}")
    with Machine(binaries.ours, *backend("ram"), memory_mib=RAM_MIB,
                 machine="pc,memory-backend=ram") as machine:
        block = find_block(machine, "/objects/ram")
        tap.equal((block["mergeable"], block["blockers"], block["mode"]), (True, [], "on"), "block")


@tap.test
def ours_says_huge_pages(binaries):
    with huge_pages(HUGE_PAGES), \
            Machine(binaries.ours, "-object",
                    f"memory-backend-memfd,id=huge,size={HUGE_PAGES * 2}M,hugetlb=on,share=off",
                    memory_mib=RAM_MIB) as machine:
        block = find_block(machine, "/objects/huge")
        tap.check("huge-pages" in block["blockers"], f"no blocker 'huge-pages': {block}")
        tap.equal(block["page-size"], 2 * MIB, "page size")


@tap.test
def ours_tells_the_truth_by_the_property(binaries):
    """The property, query-memdev and the page tables say the same, also after a switch."""
    with Machine(binaries.ours, *backend("ram", merge="off"), memory_mib=RAM_MIB,
                 machine="pc,memory-backend=ram") as machine:
        for wanted in (False, True, False):
            switch(machine, wanted)
            tap.equal(machine.qmp("qom-get", path="/objects/ram", property="merge"), wanted,
                      "property")
            tap.equal(machine.qmp("query-memdev")[0]["merge"], wanted, "query-memdev")
            tap.equal(find_block(machine, "/objects/ram")["mode"], "on" if wanted else "off",
                      "mode")


@compare.on_both
def property_switches_a_running_machine(binary):
    with Machine(binary, *backend("ram"), memory_mib=RAM_MIB,
                 machine="pc,memory-backend=ram") as machine:
        for wanted in (False, True, False):
            switch(machine, wanted)


@compare.on_both
def a_value_that_is_no_boolean_is_refused(binary):
    status, error = run_once(binary, "-machine", "none", *backend("ram", merge="maybe"))
    tap.equal(status, 1, "exit status")
    tap.check("merge" in error, f"the error does not name the property: {error}")
    with Machine(binary, *backend("ram"), memory_mib=RAM_MIB,
                 machine="pc,memory-backend=ram") as machine:
        try:
            machine.qmp("qom-set", path="/objects/ram", property="merge", value="maybe")
        except qmp.QmpError as refused:
            tap.check("boolean" in str(refused), f"unclear: {refused}")
        else:
            tap.check(False, "the property took 'maybe'")
        tap.equal({area.mergeable for area in machine.ram_areas()}, {True}, "marked afterwards")


if __name__ == "__main__":
    # no counter is read here, but huge pages are the host's, as KSM is
    compare.main(ksm.lock)
