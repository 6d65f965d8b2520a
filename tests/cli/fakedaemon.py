# SPDX-License-Identifier: GPL-2.0-or-later
"""A fake_memfoldd of a test, on a bus of its own.

    with bus.private() as environment, fakedaemon.running(environment, scenario) as fake:
        json.loads(fake.stdout.readline())  # the next changing call
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

import tap

PROGRAM = pathlib.Path(__file__).resolve().parent / "fake_memfoldd.py"


@contextlib.contextmanager
def running(environment, scenario):
    """With the answers of a scenario (see fake_memfoldd.py) until the end of the block; gives its process."""
    with subprocess.Popen([sys.executable, PROGRAM], env=environment, text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as fake:
        try:
            fake.stdin.write(json.dumps(scenario))
            fake.stdin.close()
            tap.equal(fake.stdout.readline(), "ready\n", "the fake daemon's first line")
            yield fake
        finally:
            fake.terminate()


class Host:
    """A bus, and the answers that a daemon on it gives unless a test changes some."""

    def __init__(self, environment, scenario):
        self.environment = environment
        self.scenario = scenario

    def daemon(self, **changes):
        return running(self.environment, {**self.scenario, **changes})


def until_closed(leader):
    """What is written on a pseudo-terminal until its other end is closed; and closes this one."""
    output = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while chunk := os.read(leader, 4096):
            output += chunk
    os.close(leader)
    return output.decode()
