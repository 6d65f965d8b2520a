# SPDX-License-Identifier: GPL-2.0-or-later
"""All guests write what they share at once, on a host that has no room for it: without memfoldd, and with it."""

import re

import scene as stage
from suite import case
import tap
import wait

HOST_MIB = 1024
GUEST_MIB, SHARED_MIB = 80, 48
SHARED_PAGES = SHARED_MIB * stage.MIB_PAGES
ARGS = f"seed=11 common_mib={SHARED_MIB} unique_mib=2"
LEAVE_MIB, SWAP_MIB = 84, 16
PRIORITIES = {"g1": 100, "g2": 200, "g3": 300, "g4": 400}
CONFIG = stage.CONFIG.replace("[daemon]", """[merge]
# What merging saves is used by others here: that is what a storm needs.
coverage-permyriad=0
reserve-permyriad=100
[storm]
suspend=true
[daemon]""")
# Writes, has the guest check all of its pages, and ends it: that is room for who waits.
WRITER = f"""console={stage.CONSOLES}/$1
ask "$console" 900 DIRTY "dirty {SHARED_PAGES}" && ask "$console" 900 VERIFY verify && virsh -q destroy "$1" && echo done
"""


def crowd(scene):
    """The guests, one after the other, each merged before the next one needs room."""
    for number, (name, priority) in enumerate(PRIORITIES.items()):
        scene.create(name, {"merge": "on", "group": "shared", "priority": str(priority)}, memory_mib=GUEST_MIB,
                     args=f"{ARGS} salt={number}")
        scene.wait_ready(name)
        if number:
            scene.wait_pages(f"{name} to be merged", lambda p, pair=("g1", name): p.common.get(pair, 0) >=
                             SHARED_PAGES * 9 // 10, "g1", name)


def available_mib(scene):
    return int(re.search(r"MemAvailable: +(\d+)", scene.host.run("cat /proc/meminfo"))[1]) // 1024


def fill(scene):
    """Takes the host's memory but for a rest, and gives it a little swap."""
    scene.host.run(f"echo {SWAP_MIB}M >/sys/block/zram0/disksize && mkswap /dev/zram0 >/dev/null && swapon /dev/zram0")
    scene.host.run("mount -o remount,size=95% /dev/shm")
    scene.host.run(f"dd if=/dev/urandom of=/dev/shm/ballast bs=1M count={available_mib(scene) - LEAVE_MIB}", 120)
    tap.check(available_mib(scene) <= LEAVE_MIB + 20, f"{available_mib(scene)} MiB are left")


def write_all(scene):
    scene.host.write("/run/writer.sh", WRITER)
    for name in PRIORITIES:
        scene.host.run(f"sh /run/writer.sh {name} >/run/{name}.writer 2>&1 &")


def said(scene, name):
    return scene.host.run(f"cat /run/{name}.writer")


def kills(scene):
    return [line for line in scene.host.run("dmesg").splitlines() if "Out of memory: Killed process" in line]


def clean(scene):
    for name in PRIORITIES:  # whose writer may end it at this moment
        scene.host.status(f"virsh -q destroy {name}", 90)
    wait.until("all guests to end", lambda: not scene.running(), 60, 1)
    if scene.memfoldd():
        scene.stop()
    scene.set_knobs(run=0)
    scene.host.run("rm -f /dev/shm/ballast; swapoff /dev/zram0; echo 1 >/sys/block/zram0/reset")


@case(memory_mib=HOST_MIB, cpus=2, limit_sec=1800, long=True)
def a_storm_without_memfoldd_kills(scene):
    """The control: the same guests and the same ksmd, and nobody who looks."""
    scene.set_knobs(**stage.FAST)
    crowd(scene)
    fill(scene)
    write_all(scene)
    killed_before = kills(scene)
    found = wait.until("the kernel to kill", lambda: kills(scene)[len(killed_before):], 600, 1,
                       show=lambda: [said(scene, name) for name in PRIORITIES])
    tap.diag(found[0])
    wait.until("a guest to be lost", lambda: len(scene.running()) < len(PRIORITIES), 60, 1)
    scene.host.status("killall ask")
    clean(scene)


@case(memory_mib=HOST_MIB, cpus=2, limit_sec=1800, long=True)
def a_storm_with_memfoldd_kills_nobody(scene):
    """The lowest are paused, and go on when there is room: each guest writes all, and all of it is right."""
    killed_before = kills(scene)  # by the control, in this host
    scene.start(CONFIG)
    crowd(scene)
    fill(scene)
    write_all(scene)
    wait.until("each guest to end what it began", lambda: all("done" in said(scene, name) for name in PRIORITIES), 800, 1,
               show=lambda: ({name: said(scene, name) for name in PRIORITIES}, scene.virsh("list", "--all"),
                             scene.memfold("status")))
    for name in PRIORITIES:
        tap.check(" bad=0" in said(scene, name), f"{name}: {said(scene, name)}")
    tap.equal(kills(scene), killed_before, "who was killed")
    log = scene.log()
    paused = re.findall(r"domain (g\d): running -> paused", log)
    tap.check(paused and paused[0] == "g1", f"the lowest is paused first: {paused}")
    tap.check("paused -> running" in log, "who was paused goes on")
    clean(scene)
