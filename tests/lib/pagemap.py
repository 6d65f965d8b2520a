# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's page tables as the judge of what is merged, page by page.

/proc/PID/pagemap gives each page's frame, /proc/kpageflags what that frame is (the kernel's
Documentation/admin-guide/mm/pagemap.rst). Needs root with CAP_SYS_ADMIN.
"""

import array
import dataclasses
import os

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PRESENT = 1 << 63
_FRAME = (1 << 55) - 1
_KSM = 1 << 21
_THP = 1 << 22
_ZERO = 1 << 24


@dataclasses.dataclass
class Pages:
    """What a range of pages is. `frames` are the frames of its KSM pages, in order."""

    count: int = 0
    present: int = 0
    ksm: int = 0
    zero: int = 0
    huge: int = 0
    frames: list = dataclasses.field(default_factory=list)


def look(pid, address, pages):
    """Looks at `pages` pages from `address` on. Pages that move meanwhile may be miscounted."""
    seen = Pages(count=pages)
    entries = array.array("Q")
    with open(f"/proc/{pid}/pagemap", "rb") as file:
        file.seek(address // PAGE_BYTES * 8)
        entries.frombytes(file.read(pages * 8))
    with open("/proc/kpageflags", "rb", buffering=0) as file:
        for entry in entries:
            if not entry & _PRESENT:
                continue
            seen.present += 1
            frame = entry & _FRAME
            if frame == 0:
                raise PermissionError("frames are hidden: this needs CAP_SYS_ADMIN")
            flags = int.from_bytes(os.pread(file.fileno(), 8, frame * 8), "little")
            seen.huge += bool(flags & _THP)
            seen.zero += bool(flags & _ZERO)
            if flags & _KSM:
                seen.ksm += 1
                seen.frames.append(frame)
    return seen
