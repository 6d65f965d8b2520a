# SPDX-License-Identifier: GPL-2.0-or-later
"""What the demo prints: a story for people, with one table that is redrawn in place."""

import shutil
import sys
import time

QUIET_SEC = 5.0  # between two tables where nothing can be redrawn


class Screen:
    """Writes to `stream`; on a terminal a table replaces the one before it."""

    def __init__(self, stream=sys.stdout):
        self.stream = stream
        self.live = stream.isatty()
        self._lines = 0
        self._shown = ""
        self._shown_at = 0.0
        self._started = time.monotonic()

    def _write(self, text):
        self.stream.write(text)
        self.stream.flush()

    def step(self, text):
        """Begins a part of the story."""
        self._lines = 0
        self._write(f"\n[{time.monotonic() - self._started:5.1f} s] {text}\n")

    def say(self, text=""):
        self._lines = 0
        for line in text.splitlines() or [""]:
            self._write(f"    {line}".rstrip() + "\n")

    def table(self, text, final=False):
        """Shows a table that is still changing, or its last state."""
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            lines = [f"    {line}"[:width] for line in text.splitlines()]
            back = f"\x1b[{self._lines}F\x1b[J" if self._lines else ""
            self._write(back + "\n".join(lines) + "\n")
            self._lines = 0 if final else len(lines)
            return
        due = time.monotonic() - self._shown_at >= QUIET_SEC
        if text != self._shown and (due or final):
            self._write("\n" + "".join(f"    {line}".rstrip() + "\n" for line in text.splitlines()))
            self._shown, self._shown_at = text, time.monotonic()


def mib(count_bytes):
    return f"{count_bytes / (1 << 20):.1f} MiB"
