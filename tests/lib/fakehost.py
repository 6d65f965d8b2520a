# SPDX-License-Identifier: GPL-2.0-or-later
"""A host of plain files for memfoldd --root: KSM's directory, /proc as far as memfold reads it.

Plain files do not react: ksmd never merges here. What needs a reaction is tested on the real host.
"""

import os
import shutil
import sys

KSM = {
    "run": 0, "pages_to_scan": 100, "sleep_millisecs": 20, "use_zero_pages": 0, "smart_scan": 1,
    "pages_shared": 0, "pages_sharing": 0, "pages_unshared": 0, "pages_scanned": 0, "full_scans": 0,
    "ksm_zero_pages": 0, "max_page_sharing": 256, "general_profit": 0,
    "advisor_mode": "[none] scan-time",
}
# What only our kernel has, as far as a governor writes to it.
OURS = {"cpu_max_permyriad": 10000, "boost": "", "boost_new_millisecs": 0}
ITEM_BYTES = 64  # of ksmd, for a page that it knows
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
        """As the kernel has it, who reads meanwhile reads what was before or what is now, never a part."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not os.path.isfile(path):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            return
        mode = os.stat(path).st_mode & 0o7777
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(f"{path}.new", mode)
        os.replace(f"{path}.new", path)

    def set(self, name, value):
        """Sets a file of KSM's, as the kernel or somebody else would."""
        self.write(f"sys/kernel/mm/ksm/{name}", f"{value}\n")

    def get(self, name):
        with open(self.path(f"sys/kernel/mm/ksm/{name}"), encoding="utf-8") as file:
            return file.read().strip()

    def knobs(self):
        return {name: self.get(name) for name in KNOBS}

    def be_ours(self):
        """From now on the kernel is ours."""
        for name, value in OURS.items():
            self.set(name, value)

    def add_process(self, pid, comm, command=()):
        self.write(f"proc/{pid}/comm", f"{comm}\n")
        self.write(f"proc/{pid}/stat", f"{pid} ({comm}) S 1" + " 0" * 48 + "\n")
        self.write(f"proc/{pid}/cmdline", "".join(f"{word}\0" for word in command))

    def add_ksmd(self, pid):
        self.add_process(pid, "ksmd")
        self.write(f"proc/{pid}/stat", f"{pid} (ksmd) S 2" + " 0" * 48 + "\n")
        self.write("proc/2/task/2/children", f"{pid} ")

    def remove_process(self, pid):
        for name in os.listdir(self.path(f"proc/{pid}")):
            os.unlink(self.path(f"proc/{pid}/{name}"))
        os.rmdir(self.path(f"proc/{pid}"))

    def add_qemu(self, pid, name, uuid, ksm_kib=0, saved_kib=0, rss_kib=40000, rmap_pages=None, mergeable=True):
        """A QEMU of a domain, with one area of memory and what merging saved of it. ksmd knows all of its pages, or
        rmap_pages of them."""
        self.add_process(pid, "qemu-system-x86", ("qemu-system-x86_64", "-name", name, "-uuid", uuid))
        self.write(f"proc/{pid}/smaps", SMAPS_AREA.format(
            size=65536, rss=rss_kib, pss=rss_kib - saved_kib, ksm=ksm_kib, mg="mg " if mergeable else ""))
        known_pages = rss_kib // 4 if rmap_pages is None else rmap_pages
        self.write(f"proc/{pid}/ksm_stat", KSM_STAT.format(
            rmap=known_pages, pages=ksm_kib // 4, profit=ksm_kib * 1024 - known_pages * ITEM_BYTES))
        self.write(f"proc/{pid}/statm", f"{rss_kib // 2} {rss_kib // 4} 0 0 0 0 0\n")
        self.write(f"run/libvirt/qemu/{name}.pid", f"{pid}\n")

    def add_crowd(self, domains, first_pid):
        """QEMUs of many domains ({name: uuid}), with command lines and maps as long as libvirt's have.
        They are alike, so that one file is that of all but the first one."""
        options = tuple(word for number in range(80)
                        for word in ("-device", f"virtio-something-pci,id=device{number},bus=pci.0,addr=0x{number:x}"))
        area = SMAPS_AREA.format(size=65536, rss=40000, pss=30000, ksm=12000, mg="mg ")
        quiet = "".join(f"7f{number:010x}-7f{number + 1:010x} r--p 00000000 fe:00 {number}  /usr/lib/some.so\n" +
                        SMAPS_AREA.split("\n", 1)[1].format(size=4, rss=4, pss=1, ksm=0, mg="") for number in range(300))
        self.write("alike/smaps", area + quiet)
        self.write("alike/ksm_stat", KSM_STAT.format(
            rmap=10000, pages=3000, profit=3000 * 4096 - 10000 * ITEM_BYTES))
        for pid, (name, uuid) in enumerate(domains.items(), first_pid):
            self.add_process(pid, "qemu-system-x86", ("qemu-system-x86_64", "-name", name, "-uuid", uuid, *options))
            for file in ("smaps", "ksm_stat"):
                (shutil.copy if pid == first_pid else os.link)(self.path(f"alike/{file}"), self.path(f"proc/{pid}/{file}"))
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
