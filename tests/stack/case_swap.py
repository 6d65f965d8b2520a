# SPDX-License-Identifier: GPL-2.0-or-later
"""Merged guests that go to swap and come back."""

import re

from scene import ARGS, COMMON_PAGES, DUP_PAGES
from suite import case
import tap
import wait

NAMES = ("s1", "s2", "s3")
SWAP_MIB = 256
# The kernel reclaims what it can of a process's control group; it says so when that is less.
RECLAIM = """group=/sys/fs/cgroup$(sed 's/^0:://' /proc/$1/cgroup)
while [ ! -e "$group/memory.reclaim" ]; do
    group=${group%/*}
done
echo 64M >"$group/memory.reclaim" || true
"""


def swapped_kib(scene, name):
    return int(re.search(r"VmSwap:\s+(\d+)", scene.host.run(f"cat /proc/{scene.pid(name)}/status"))[1])


def swapped_and_back(scene, device):
    """What was one page goes to swap and comes back with the right contents, in every guest that had it."""
    scene.start()
    for number, name in enumerate(NAMES):
        scene.create(name, {"merge": "on", "group": "shared"}, args=f"{ARGS} salt={number}")
    scene.wait_ready(*NAMES)
    pairs = [("s1", "s2"), ("s1", "s3"), ("s2", "s3")]
    merged = scene.wait_pages("them to be merged", lambda p: all(
        p.common.get(pair, 0) >= COMMON_PAGES for pair in pairs), *NAMES)
    scene.stop()
    scene.host.run(f"mkswap {device} >/dev/null && swapon {device} && echo 100 >/proc/sys/vm/swappiness")
    scene.host.write("/run/reclaim.sh", RECLAIM)

    def is_out(pages):
        for name in NAMES:
            scene.host.run(f"sh /run/reclaim.sh {scene.pid(name)}", 120)
        return all(pages.ksm.get(name, 0) < merged.ksm[name] // 2 for name in NAMES)

    out = scene.wait_pages("most of what was merged to be in swap", is_out, *NAMES)
    tap.diag(f"in swap, KiB: { {name: swapped_kib(scene, name) for name in NAMES} }; {out}")
    scene.verify(*NAMES)
    tap.check(device in scene.host.run("cat /proc/swaps"), f"{device} is what they went to")
    scene.host.run(f"swapoff {device}", 300)
    scene.verify(*NAMES)
    scene.start()
    scene.wait_pages("them to be merged again", lambda p: all(
        p.common.get(pair, 0) >= COMMON_PAGES for pair in pairs) and all(
            p.ksm[name] >= COMMON_PAGES + DUP_PAGES for name in NAMES), *NAMES)
    scene.verify(*NAMES)
    wait.until("memfoldd to know it", lambda: "nothing is wrong" in scene.why("s1"), 120, 2, show=lambda: scene.why("s1"))


@case(memory_mib=1152, cpus=2, limit_sec=900, long=True)
def merged_guests_swapped_and_back(scene):
    """To memory that is compressed."""
    scene.host.run(f"echo 1 >/sys/block/zram0/reset; echo {SWAP_MIB}M >/sys/block/zram0/disksize")
    swapped_and_back(scene, "/dev/zram0")
    scene.host.run("echo 1 >/sys/block/zram0/reset")


@case(memory_mib=1152, cpus=2, limit_sec=1200, long=True, disk_mib=SWAP_MIB)
def merged_guests_swapped_to_disk_and_back(scene):
    """To a disk, which answers late and is read ahead of what is asked for."""
    swapped_and_back(scene, "/dev/vda")
