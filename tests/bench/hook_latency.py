#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How long libvirt waits for one call of the hook, process start included: with a daemon that answers, with
none, and, for comparison, for a program that does nothing.

Usage: hook_latency.py HOOK [CALLS]
"""

import os
import socketserver
import statistics
import subprocess
import sys
import tempfile
import threading
import time

XML = (b"<domain type='kvm'><name>vm1</name><uuid>c1b2a3d4-0001-4002-8003-123456789abc</uuid><metadata>"
       b'<memfold:policy xmlns:memfold="urn:memfold:policy:1" merge="on"/></metadata><devices>' +
       b"<disk type='file' device='disk'><source file='/var/lib/images/a.qcow2'/></disk>" * 100 +
       b"</devices></domain>")


class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        if self.rfile.readline():
            self.wfile.write(b'{"ok":true}\n')


def one(command):
    started = time.perf_counter()
    subprocess.run(command, input=XML, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - started) * 1000


def measure(what, command, calls):
    times = sorted(one(command) for _ in range(calls))
    print(f"{what:24} median {statistics.median(times):6.2f} ms, 99th percentile "
          f"{times[min(calls - 1, calls * 99 // 100)]:6.2f} ms, {calls} calls")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    hook, calls = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "hook.sock")
        words = ["vm1", "started", "begin", "-"]
        with socketserver.ThreadingUnixStreamServer(path, Answer) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            measure("daemon answers", [hook, "--socket", path, *words], calls)
            server.shutdown()
        measure("daemon is down", [hook, "--socket", path, *words], calls)
        measure("operation not told", [hook, "vm1", "attach", "begin", "-"], calls)
        measure("/bin/true", ["/bin/true"], calls)


if __name__ == "__main__":
    main()
