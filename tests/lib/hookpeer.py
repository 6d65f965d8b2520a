# SPDX-License-Identifier: GPL-2.0-or-later
"""The other end of the hook's socket, as a test wants it: a memfoldd that answers, hangs or says nonsense.

    with hookpeer.listening(hookpeer.answers(b'{"ok":true}\\n')) as daemon:
        ... run the hook with --socket daemon.path ...
        daemon.received
"""

import contextlib
import os
import socket
import tempfile
import threading

UUID = "c1b2a3d4-0001-4002-8003-123456789abc"
POLICY = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" merge="off" group="tenant-a"/>'


def domain_xml(name="vm1", policy=POLICY, extra="", backing=""):
    return (f"<domain type='qemu'><name>{name}</name><uuid>{UUID}</uuid><memory unit='KiB'>65536</memory>"
            f"<metadata>{policy}</metadata><memoryBacking>{backing}</memoryBacking>"
            f"<os><type>hvm</type></os>{extra}</domain>").encode()


def in_time(call, stderr_of):
    """What call() gives when the hook did not run out of its budget, of ten. The budget goes on while the machine
    has no CPU for the hook, and giving up is right then, so that one call alone proves nothing. Messages of the
    ones before may have come to the peer."""
    for _ in range(10):
        result = call()
        if "out of time" not in stderr_of(result) and "in time" not in stderr_of(result):
            break
    return result


class Daemon:
    """Listens like memfoldd. `serve(connection)` is what it does to each caller."""

    def __init__(self, path, serve, backlog=8):
        self.path, self.serve, self.received = path, serve, []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(backlog)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.loop)
        self.thread.start()

    def loop(self):
        self.listener.settimeout(0.05)
        while not self.over.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = self.listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(5)
                    self.serve(self, connection)

    def line(self, connection):
        """The caller's line, kept in `received`; None when it does not come."""
        data = b""
        while not data.endswith(b"\n"):
            chunk = connection.recv(65536)
            if not chunk:
                return None
            data += chunk
        self.received.append(data)
        return data

    def close(self):
        self.over.set()
        self.thread.join()
        self.listener.close()


def answers(text):
    def serve(daemon, connection):
        if daemon.line(connection):
            connection.sendall(text)
    return serve


SAYS_YES = answers(b'{"ok":true}\n')


@contextlib.contextmanager
def listening(serve=SAYS_YES, backlog=8):
    with tempfile.TemporaryDirectory(prefix="memfold-hook-") as folder:
        daemon = Daemon(os.path.join(folder, "hook.sock"), serve, backlog)
        try:
            yield daemon
        finally:
            daemon.close()
