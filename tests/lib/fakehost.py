# SPDX-License-Identifier: GPL-2.0-or-later
"""A host of plain files for memfoldd --root: KSM's directory, /proc as far as memfold reads it.

Plain files do not react: ksmd never merges here. What needs a reaction is tested on the real host.
"""

import os
import sys

KSM = {
    "run": 0, "pages_to_scan": 100, "sleep_millisecs": 20, "use_zero_pages": 0, "smart_scan": 1,
    "pages_shared": 0, "pages_sharing": 0, "pages_unshared": 0, "pages_scanned": 0, "full_scans": 0,
    "ksm_zero_pages": 0, "max_page_sharing": 256, "general_profit": 0,
    "advisor_mode": "[none] scan-time",
}
KNOBS = ("run", "pages_to_scan", "sleep_millisecs", "use_zero_pages", "smart_scan")
BOOT_ID = "6f0c0c1e-0000-4000-8000-000000000001"
MEMINFO = "MemTotal:       16000000 kB\nMemFree:         8000000 kB\nMemAvailable:   12000000 kB\n" \
          "SwapTotal:       1000000 kB\nSwapFree:        1000000 kB\n"
SMAPS_AREA = """7f0000000000-7f0004000000 rw-p 00000000 00:00 0
Size:              {size} kB
KernelPageSize:        4 kB
MMUPageSize:           4 kB
Rss:               {rss} kB
Pss:               {pss} kB
KSM:               {ksm} kB
VmFlags: rd wr mr mw me ac {mg}sd
"""
KSM_STAT = """ksm_rmap_items {rmap}
ksm_zero_pages 0
ksm_merging_pages {pages}
ksm_process_profit {profit}
"""


class FakeHost:
    def __init__(self, folder):
        self.root = f"{folder}/host"
        self.write("proc/sys/kernel/random/boot_id", f"{BOOT_ID}\n")
        self.write("proc/meminfo", MEMINFO)
        for name, value in KSM.items():
            self.set(name, value)

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def set(self, name, value):
        """Sets a file of KSM's, as the kernel or somebody else would."""
        self.write(f"sys/kernel/mm/ksm/{name}", f"{value}\n")

    def get(self, name):
        with open(self.path(f"sys/kernel/mm/ksm/{name}"), encoding="utf-8") as file:
            return file.read().strip()

    def knobs(self):
        return {name: self.get(name) for name in KNOBS}

    def add_process(self, pid, comm, command=()):
        self.write(f"proc/{pid}/comm", f"{comm}\n")
        self.write(f"proc/{pid}/stat", f"{pid} ({comm}) S 1" + " 0" * 48 + "\n")
        self.write(f"proc/{pid}/cmdline", "".join(f"{word}\0" for word in command))

    def remove_process(self, pid):
        for name in os.listdir(self.path(f"proc/{pid}")):
            os.unlink(self.path(f"proc/{pid}/{name}"))
        os.rmdir(self.path(f"proc/{pid}"))

    def add_qemu(self, pid, name, uuid, ksm_kib=0, saved_kib=0, rss_kib=40000, mergeable=True):
        """A QEMU of a domain, with one area of memory and what merging saved of it."""
        self.add_process(pid, "qemu-system-x86", ("qemu-system-x86_64", "-name", name, "-uuid", uuid))
        self.write(f"proc/{pid}/smaps", SMAPS_AREA.format(
            size=65536, rss=rss_kib, pss=rss_kib - saved_kib, ksm=ksm_kib, mg="mg " if mergeable else ""))
        self.write(f"proc/{pid}/ksm_stat", KSM_STAT.format(
            rmap=rss_kib // 4, pages=ksm_kib // 4, profit=ksm_kib * 1024))
        self.write(f"run/libvirt/qemu/{name}.pid", f"{pid}\n")

    def set_memory(self, pid, pages):
        """The guest memory of a QEMU, not marked mergeable: a content for each page, None where there is none."""
        page, start = os.sysconf("SC_PAGESIZE"), 0x100000
        self.write(f"proc/{pid}/smaps", f"{start:x}-{start + len(pages) * page:x} rw-p 00000000 00:00 0\n"
                   "Size: 0 kB\nRss: 0 kB\nPss: 0 kB\nKSM: 0 kB\nVmFlags: rd wr mr mw me dc ac sd\n")
        with open(self.path(f"proc/{pid}/pagemap"), "wb") as pagemap, open(self.path(f"proc/{pid}/mem"), "wb") as memory:
            pagemap.seek(start // page * 8)
            for number, content in enumerate(pages):
                pagemap.write((0 if content is None else 1 << 63).to_bytes(8, sys.byteorder))
                memory.seek(start + number * page)
                memory.write((b"old" if content is None else content).ljust(page, b"\0"))
