#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The base truth: what stock Linux, QEMU and libvirt merge of guests whose every page is known.

No part of memfold runs here. If these fail, the ground under the other tests is not what they
take it for: another kernel, another QEMU, or a broken test guest.
"""

import contextlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import accel
import ksm
import pagemap
import rig
import smaps
import tap
import wait

MEMORY_MIB = 64
ARGS = "seed=7 common_mib=16 dup_mib=4 zero_mib=4 unique_mib=8"


class World:
    """Two ordinary guests, one with <nosharepages/>, one with shared RAM; ksmd runs fast."""

    def __init__(self, surroundings):
        make = lambda name, **more: surroundings.create(
            surroundings.tiny(name, MEMORY_MIB, ARGS, **more))
        self.rig = surroundings
        self.ordinary = [make("a"), make("b")]
        self.opted_out = make("nosharepages", nosharepages=True)
        self.shared = make("memfd", memfd_shared=True)
        self.all = [*self.ordinary, self.opted_out, self.shared]
        self.layouts = {g.name: g.console.wait_ready() for g in self.all}
        self.layout = self.layouts[self.ordinary[0].name]

    def look(self, running, kind):
        """The pages of one kind of one guest, as the kernel's page tables have them now."""
        first, pages = self.layout.ranges()[kind]
        start = running.ram().start + first * pagemap.PAGE_BYTES
        return pagemap.look(running.pid, start, pages)

    def wait_merged(self):
        """Waits until every page of the ordinary guests that must be merged is."""
        wait.until("the seeded pages to be merged", lambda: all(
            self.look(g, kind).ksm == getattr(self.layout, f"{kind}_pages")
            for g in self.ordinary for kind in ("common", "dup")), 120, show=ksm.counters)
        ksm.wait_full_scans(2)


@contextlib.contextmanager
def world():
    stock = accel.find_stock_emulator()
    if not stock:
        raise tap.Skip("the distribution's QEMU is not installed")
    with ksm.borrowed(**ksm.FAST), rig.Rig("memfold-test-known-", stock) as surroundings:
        yield World(surroundings)


@tap.test
def guests_fill_what_they_were_told(w):
    mib = (1 << 20) // pagemap.PAGE_BYTES
    for name, layout in w.layouts.items():
        found = (layout.common_pages, layout.dup_pages, layout.zero_pages, layout.unique_pages)
        tap.equal(found, (16 * mib, 4 * mib, 4 * mib, 8 * mib), f"pages of each kind in {name}")
        tap.equal(layout.ram_pages, MEMORY_MIB * mib, f"RAM of {name}")
    tap.equal(len({layout.salt for layout in w.layouts.values()}), 4, "different salts")


@tap.test
def exactly_the_common_and_duplicate_pages_merge(w):
    w.wait_merged()
    for running in w.ordinary:
        seen = {kind: w.look(running, kind) for kind in w.layout.ranges()}
        tap.equal(seen["common"].ksm, w.layout.common_pages, f"common pages of {running.name}")
        tap.equal(seen["dup"].ksm, w.layout.dup_pages, f"duplicate pages of {running.name}")
        tap.equal(seen["unique"].ksm, 0, f"merged unique pages of {running.name}")
        tap.equal(seen["zero"].ksm + seen["zero"].zero, w.layout.zero_pages,
                  f"zero pages of {running.name} that share a frame")
        whole = pagemap.look(running.pid, running.ram().start, w.layout.ram_pages)
        tap.within(whole.ksm, w.layout.merged_pages, w.layout.merged_pages + w.layout.open_pages,
                   f"merged pages in all of {running.name}'s RAM")


@tap.test
def equal_pages_share_their_frames_and_no_others(w):
    common = [w.look(running, "common").frames for running in w.ordinary]
    tap.equal(common[0], common[1], "frames of the common pages, page by page")
    tap.equal(len(set(common[0])), w.layout.common_pages, "distinct common frames")
    dup = [set(w.look(running, "dup").frames) for running in w.ordinary]
    for frames in dup:
        tap.equal(len(frames), w.layout.dup_pages // w.layout.dup_copies, "distinct frames of dups")
    tap.equal(dup[0] & dup[1], set(), "frames of dups that two guests have in common")


@tap.test
def smaps_and_the_counters_say_the_same(w):
    low = w.layout.merged_pages
    high = low + w.layout.open_pages + 512  # ROMs and tables of QEMU's are mergeable too
    for running in w.ordinary:
        tap.within(smaps.merging_pages(running.pid), low, high, f"ksm_merging_pages {running.name}")
        said = running.ram().bytes.get("KSM")
        if said is None:
            tap.diag("this kernel's smaps has no KSM line")
        else:
            whole = pagemap.look(running.pid, running.ram().start, w.layout.ram_pages)
            tap.equal(said // pagemap.PAGE_BYTES, whole.ksm, f"KSM line of {running.name}'s RAM")
        # A common page is used by two, a duplicate by four: a half and three quarters are saved.
        saved = w.layout.common_pages // 2 + w.layout.dup_pages * 3 // 4
        tap.within(running.ram().bytes["Rss"] - running.ram().bytes["Pss"],
                   (saved - 64) * pagemap.PAGE_BYTES,
                   (saved + w.layout.open_pages) * pagemap.PAGE_BYTES, f"saved by {running.name}")


@tap.test
def guest_with_nosharepages_has_no_merged_page(w):
    w.wait_merged()
    tap.equal(smaps.merging_pages(w.opted_out.pid), 0, "merged pages")
    tap.check(not w.opted_out.ram().mergeable, "its RAM is marked mergeable")


@tap.test
def guest_with_shared_ram_cannot_merge(w):
    tap.check(not w.shared.ram().mergeable, "shared RAM is marked mergeable")
    seen = w.look(w.shared, "common")
    tap.equal((seen.present, seen.ksm), (w.layout.common_pages, 0), "present and merged pages")


@tap.test
def rewriting_unmerges_only_the_writer(w):
    a, b = w.ordinary
    third = w.rig.create(w.rig.tiny("third", MEMORY_MIB, ARGS))
    third.console.wait_ready()
    wait.until("the third guest to be merged",
               lambda: w.look(third, "common").ksm == w.layout.common_pages, 120)
    tap.equal(a.console.dirty(100), 100, "rewritten pages")
    tap.equal(w.look(a, "common").ksm, w.layout.common_pages - 100, "merged pages of the writer")
    tap.equal(w.look(b, "common").ksm, w.layout.common_pages, "merged pages of another guest")
    tap.equal([g.console.verify() for g in (a, b, third)], [0, 0, 0], "wrong pages")
    a.console.restore()
    w.wait_merged()
    tap.equal(a.console.verify(), 0, "wrong pages after merging again")
    third.destroy()


@tap.test
def switching_the_backend_off_unmerges_one_guest(w):
    a, b = w.ordinary
    a.qmp("qom-set", path="/objects/pc.ram", property="merge", value=False)
    tap.equal(w.look(a, "common").ksm, 0, "merged common pages after switching off")
    tap.equal(w.look(a, "dup").ksm, 0, "merged duplicate pages after switching off")
    tap.equal(a.console.verify(), 0, "wrong pages")
    tap.equal(w.look(b, "dup").ksm, w.layout.dup_pages, "duplicates of the other guest")
    tap.equal(b.console.verify(), 0, "wrong pages of the other guest")
    a.qmp("qom-set", path="/objects/pc.ram", property="merge", value=True)
    w.wait_merged()
    tap.equal(a.console.verify(), 0, "wrong pages after switching on again")


if __name__ == "__main__":
    tap.main(context=world)
