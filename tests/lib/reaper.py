#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""reaper.py COMMAND...: runs a daemon and reaps what its descendants leave behind.

libvirtd's guests are orphans by design, and it takes one for alive until its parent has reaped
it. Where process 1 is no init system that may take seconds or for ever; here it is at once
(prctl(2), PR_SET_CHILD_SUBREAPER). Ends with the daemon, and ends it on SIGTERM.
"""

import ctypes
import os
import signal
import sys

PR_SET_CHILD_SUBREAPER = 36


def main(command):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit(f"reaper.py: {os.strerror(ctypes.get_errno())}")
    daemon = os.spawnvp(os.P_NOWAIT, command[0], command)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(daemon, signal.SIGTERM))
    while True:
        pid, status = os.wait()
        if pid == daemon:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
