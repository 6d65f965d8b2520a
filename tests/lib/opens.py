# SPDX-License-Identifier: GPL-2.0-or-later
"""Counting how often a file is opened, by inotify(7): what a program does, seen from outside.

    with opens.Opens(path) as ticks:
        ...
        ticks.count()
"""

import ctypes
import os
import struct

IN_CLOSE_NOWRITE = 0x10
IN_OPEN = 0x20
IN_Q_OVERFLOW = 0x4000
HEADER = struct.Struct("iIII")  # watch, mask, cookie, length of the name
libc = ctypes.CDLL(None, use_errno=True)


class Opens:
    def __init__(self, path):
        self._opened = 0
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        # The kernel makes one of equal events that follow each other: closings keep openings apart.
        if self._fd < 0 or libc.inotify_add_watch(self._fd, os.fsencode(path), IN_OPEN | IN_CLOSE_NOWRITE) < 0:
            raise OSError(ctypes.get_errno(), f"inotify: {path}")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        os.close(self._fd)

    def count(self):
        """How often it was opened since this was made. To be called every few thousand openings: the
        kernel does not remember more."""
        while True:
            try:
                events = os.read(self._fd, 65536)
            except BlockingIOError:
                return self._opened
            while events:
                _watch, mask, _cookie, name_bytes = HEADER.unpack_from(events)
                if mask & IN_Q_OVERFLOW:
                    raise RuntimeError("inotify has lost events")
                self._opened += bool(mask & IN_OPEN)
                events = events[HEADER.size + name_bytes:]
