# SPDX-License-Identifier: GPL-2.0-or-later
"""Talking to a test guest on its console (tests/guest/protocol.h), and its known answer."""

import dataclasses
import os
import socket
import time

import wait


class GuestError(Exception):
    """The guest said ERROR, or something that is not in the protocol."""


@dataclasses.dataclass
class Layout:
    """What the guest's READY line says. Pages count from `first_page` in the order of `kinds`."""

    kind: str
    ram_pages: int
    common_pages: int
    dup_pages: int
    dup_copies: int
    zero_pages: int
    unique_pages: int
    dirty_pages: int
    seed: int
    salt: int
    release: str = ""
    available_pages: int = 0
    first_page: int = 0
    filler_pages: int = 0
    hole_pages: int = 0

    def ranges(self):
        """{kind: (first page, pages)} in the guest's RAM; only the tiny guest's are known."""
        at, found = self.first_page, {}
        for kind in ("common", "dup", "zero", "unique"):
            found[kind] = (at, getattr(self, f"{kind}_pages"))
            at += found[kind][1]
        return found

    @property
    def merged_pages(self):
        """How many of its RAM pages KSM must merge when a second guest has the same seed.

        Zero pages may come on top, up to zero_pages + hole_pages: whether KSM merges them or
        the kernel maps its own zero page when it splits a huge page is not the guest's to say.
        """
        return self.common_pages - self.dirty_pages + self.dup_pages

    @property
    def open_pages(self):
        """How many pages beyond merged_pages may be merged or not."""
        return self.zero_pages + self.hole_pages


def parse_ready(line):
    words = dict(word.split("=", 1) for word in line.split()[1:])
    known = {field.name: field.type for field in dataclasses.fields(Layout)}
    return Layout(**{n: known[n](v) for n, v in words.items() if n in known})


class Console:
    """The guest's serial port behind a unix socket that QEMU listens on."""

    def __init__(self, path):
        self.path = path
        self._socket = None
        self._rest = b""

    def _connect(self):
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(self.path)
        except OSError:
            connection.close()
            raise
        self._socket, self._rest = connection, b""

    def _forget_pending(self):
        """Drops what the guest said unasked, or twice since it was asked twice while booting."""
        self._socket.setblocking(False)
        try:
            while self._socket.recv(4096):
                pass
        except BlockingIOError:
            pass
        self._rest = b""

    def _line(self, end):
        while b"\n" not in self._rest:
            left = end - time.monotonic()
            if left <= 0:
                raise wait.Timeout(f"the guest at {os.path.basename(self.path)} does not answer")
            self._socket.settimeout(left)
            try:
                got = self._socket.recv(4096)
            except TimeoutError:
                continue
            if not got:
                raise GuestError(f"the guest at {os.path.basename(self.path)} is gone")
            self._rest += got
        line, self._rest = self._rest.split(b"\n", 1)
        return line.decode("utf-8", "replace").strip("\r")

    def command(self, line, answer, timeout_sec=30.0):
        """Sends a line and returns the answer's fields; `answer` is its first word.

        Other lines, such as a kernel's messages, are passed over.
        """
        if self._socket is None:
            self._connect()
        self._forget_pending()
        self._socket.sendall(line.encode() + b"\n")
        end = time.monotonic() + timeout_sec
        while True:
            got = self._line(end)
            if got.startswith("ERROR"):
                raise GuestError(got)
            if got.split(" ", 1)[0] == answer:
                return got

    def wait_ready(self, deadline_sec=60.0, alive=lambda: True):
        """Asks until the guest is ready, however long it booted before; returns its Layout.

        alive() tells whether there is still something to wait for.
        """
        end = time.monotonic() + deadline_sec
        patience_sec = 0.1
        while True:
            try:
                return parse_ready(self.command("info", "READY", timeout_sec=patience_sec))
            except (wait.Timeout, OSError, GuestError) as failure:
                # what came while the guest set its serial port up may have lost its beginning
                if isinstance(failure, GuestError) and "unknown command" not in str(failure):
                    raise
                patience_sec = min(patience_sec * 2, 2.0)
                if time.monotonic() >= end or not alive():
                    raise wait.Timeout(f"the guest at {os.path.basename(self.path)} was not "
                                       f"ready within {deadline_sec:g} s") from None
                time.sleep(0.05)

    def _number(self, line, field):
        return int(dict(w.split("=", 1) for w in line.split()[1:])[field])

    def info(self):
        """The Layout as it is now; of the Linux guest also what memory it has."""
        return parse_ready(self.command("info", "READY"))

    def verify(self):
        """Returns how many pages do not hold what they must."""
        return self._number(self.command("verify", "VERIFY"), "bad")

    def settle(self, deadline_sec=60.0):
        """Waits until all that was asked while the guest booted is answered, be it not as it was meant;
        returns what verify() does. Answers come in their order, and nothing else asks that."""
        end = time.monotonic() + deadline_sec
        while True:
            try:
                return self.verify()
            except GuestError as failure:
                if "unknown command" not in str(failure) or time.monotonic() >= end:
                    raise

    def dirty(self, pages=None):
        line = "dirty" if pages is None else f"dirty {pages}"
        return self._number(self.command(line, "DIRTY"), "pages")

    def restore(self):
        return self._number(self.command("restore", "RESTORED"), "pages")

    def touch(self, mib):
        """Has the Linux guest write so many MiB, and free them."""
        return self._number(self.command(f"touch {mib}", "TOUCHED"), "mib")

    def off(self):
        self.command("off", "OFF")
        self.close()

    def close(self):
        if self._socket is not None:
            self._socket.close()
            self._socket = None
