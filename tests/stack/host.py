#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A shell in the host that the tests of the stack boot.

    host.py --kernel DIR --base FILE --payload FILE

The host's console is this terminal. It ends when the shell does, or the host is turned off; Ctrl-A X ends it at once.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import machine  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    for name in ("kernel", "base", "payload"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memfold-host.") as name:
        root = machine.join((options.base, options.payload), pathlib.Path(name) / "root")
        words = machine.arguments(options.kernel / "bzImage", root, cmdline=("memfold.shell", "quiet"))
        # The agent's port is there, and nobody speaks on it.
        words += ["-serial", "mon:stdio", "-serial", "null"]
        print("the host boots; Ctrl-A X ends it at once", file=sys.stderr)
        return subprocess.run(words, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
