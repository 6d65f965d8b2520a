# SPDX-License-Identifier: GPL-2.0-or-later
"""What the cases do with the host: guests of tenants, memfoldd, and the judge of who shares pages with whom.

A guest's memory is known to the page (tests/guest/tiny). All of one seed have their common pages in common.
"""

import re
import shlex
import sys
import pathlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import domain  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

QEMU = "/opt/memfold/bin/qemu-system-x86_64"
KSM = "/sys/kernel/mm/ksm"
CONSOLES = "/run/memfold-guest"
TINY = {"rom": "/memfold/guest/tiny.rom"}
LINUX = {"kernel": "/memfold/guest/linux.kernel", "initramfs": "/memfold/guest/linux.initramfs"}
MEMORY_MIB = 32
COMMON_MIB, DUP_MIB, ZERO_MIB, UNIQUE_MIB = 8, 1, 1, 2
MIB_PAGES = 256
COMMON_PAGES, DUP_PAGES, DUP_COPIES = COMMON_MIB * MIB_PAGES, DUP_MIB * MIB_PAGES, 4
ARGS = f"seed=7 common_mib={COMMON_MIB} dup_mib={DUP_MIB} zero_mib={ZERO_MIB} unique_mib={UNIQUE_MIB}"
# The host is slow, and small: ksmd's usual share of a CPU is little, and a sweep over all there is is soon made.
CONFIG = """[ksmd]
cpu-budget-permyriad=3000
rest-cpu-budget-permyriad=500
min-pages-to-scan=2000
[daemon]
tick-msec=500
accounting-interval-msec=1000
"""
FAST = {"pages_to_scan": 4000, "sleep_millisecs": 200, "smart_scan": 0, "run": 1}


class Pages:
    """Who has which pages, at one moment: ksm and zero {name: pages}, common {(name, name): pages}, and frames, one
    of these."""

    def __init__(self, text, names):
        self.ksm, self.zero, self.common, self.frames = {}, {}, {}, {}
        for line in text.splitlines():
            if found := re.match(r"(\d+) ksm=(\d+) .* zero=(\d+)", line):
                self.ksm[names[found[1]]], self.zero[names[found[1]]] = int(found[2]), int(found[3])
            elif found := re.match(r"(\d+) (\d+) common=(\d+) first=(\w+)", line):
                pair = tuple(sorted((names[found[1]], names[found[2]])))
                self.common[pair], self.frames[pair] = int(found[3]), found[4]

    def __str__(self):
        return f"merged {self.ksm}, zero {self.zero}, in common {self.common}"


class Scene:
    """The host, as a case works with it."""

    def __init__(self, host):
        self.host = host
        self.timeout_sec = 120

    # guests

    def xml(self, name, policy=None, memory_mib=MEMORY_MIB, args=ARGS, boot=TINY, **more):
        """Path of a guest's XML; policy: attributes of the element, None for no element."""
        spec = domain.Domain(name=name, emulator=QEMU, console=f"{CONSOLES}/{name}", memory_mib=memory_mib, args=args,
                             policy=policy, **boot, **more)
        self.host.write(f"/run/{name}.xml", spec.xml())
        return f"/run/{name}.xml"

    def create(self, name, policy=None, how="create", **more):
        """Starts a guest, as xml() has it. Does not wait for the guest."""
        self.virsh(how, self.xml(name, policy, **more))

    def ask(self, name, word, command, limit_sec=60):
        return self.host.run(f"ask {CONSOLES}/{name} {limit_sec} {word} {shlex.quote(command)}", limit_sec + 5)

    def wait_ready(self, *names, limit_sec=60):
        for name in names:
            self.ask(name, "READY", "info", limit_sec)

    def verify(self, *names):
        """Each guest's pages hold what they must."""
        for name in names:
            answer = self.ask(name, "VERIFY", "verify")
            tap.check(" bad=0" in answer, f"{name}: {answer}")

    def virsh(self, *words, limit_sec=90):
        return self.host.run("virsh -q " + " ".join(map(shlex.quote, words)), limit_sec)

    def running(self):
        return self.virsh("list", "--name").split()

    def destroy(self, *names):
        for name in names:
            self.virsh("destroy", name)

    def pid(self, name):
        return self.host.run(f"cat /run/libvirt/qemu/{name}.pid").strip()

    def set_policy(self, name, **attributes):
        """As an operator would, by libvirt alone."""
        self.virsh("metadata", name, domain.POLICY_NAMESPACE, "--key", "memfold", "--set",
                   domain.policy_xml(**attributes), "--live")

    # memfoldd

    def capabilities(self):
        """Those that its unit leaves it, as setpriv wants them (the real one: the shell's own knows less)."""
        unit = self.host.run("grep CapabilityBoundingSet= /usr/lib/systemd/system/memfoldd.service")
        return ",".join(f"+{word.removeprefix('CAP_').lower()}" for word in unit.split("=", 1)[1].split())

    def start(self, config=CONFIG):
        """Starts memfoldd as its unit would, but for systemd, and waits until it answers."""
        self.host.write("/run/memfold.conf", config)
        self.host.run(f"/usr/bin/setpriv --bounding-set=-all,{self.capabilities()} memfoldd --config /run/memfold.conf "
                      ">>/var/log/memfoldd.log 2>&1 &")
        wait.until("memfoldd to answer", lambda: self.host.status("memfold status")[0] == 0, self.timeout_sec, 0.5,
                   show=self.log)

    def memfoldd(self):
        return self.host.status("pidof memfoldd")[1].strip()

    def stop(self, signal="TERM"):
        """Ends memfoldd and waits until it is gone; the knobs are put back by it, or not, as the signal lets it."""
        self.host.status(f"killall -{signal} memfoldd")
        wait.until("memfoldd to end", lambda: not self.memfoldd(), self.timeout_sec)

    def memfold(self, *words):
        return self.host.run("memfold " + " ".join(map(shlex.quote, words)))

    def why(self, name):
        return self.memfold("why", name)

    def log(self):
        return self.host.run("cat /var/log/memfoldd.log")

    # the kernel

    def knob(self, name):
        text = self.host.run(f"cat {KSM}/{name}").strip()
        found = re.search(r"\[(\S+)\]", text)
        return found[1] if found else text

    def set_knobs(self, **knobs):
        for name, value in knobs.items():
            self.host.run(f"echo {value} >{KSM}/{name}")

    def wait_scans(self, count=3):
        """Waits until ksmd went through everything that often from now."""
        first = int(self.knob("full_scans"))
        wait.until(f"{count} whole scans", lambda: int(self.knob("full_scans")) > first + count, self.timeout_sec)

    def groups(self, *names):
        """{name: the kernel's number of the merge group of its QEMU, or "unused"; "absent" on a stock kernel}"""
        said = self.host.run("; ".join(
            f"cat /proc/$(cat /run/libvirt/qemu/{name}.pid)/ksm_group 2>/dev/null || echo absent" for name in names))
        return dict(zip(names, said.split(), strict=True))

    def group(self, name):
        return self.groups(name)[name]

    def pages(self, *names):
        """Who has which pages: counted in the page tables, without any counter of KSM's."""
        files = " ".join(f"/run/libvirt/qemu/{name}.pid" for name in names)
        said = self.host.run(f"for f in {files}; do pids=\"$pids $(cat $f)\"; done; echo $pids; pages $pids")
        pids, _, found = said.partition("\n")
        return Pages(found, dict(zip(pids.split(), names, strict=True)))

    def wait_pages(self, what, holds, *names):
        """Waits until holds(Pages) is true; returns those."""
        seen = {}

        def look():
            seen["pages"] = self.pages(*names)
            return holds(seen["pages"])

        wait.until(what, look, self.timeout_sec, 0.5, show=lambda: f"{seen['pages']}; groups "
                   f"{self.groups(*names)}; {self.why(names[0]) if self.memfoldd() else ''}")
        return seen["pages"]


def apart(pages, *pairs):
    """No page is in common to these."""
    return not any(tuple(sorted(pair)) in pages.common for pair in pairs)
