#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""While ksmd rests the accounts of the domains may be old, and no longer when it is at work again."""

import contextlib
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakehost  # noqa: E402
import memfoldd  # noqa: E402
import opens  # noqa: E402
import session  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

UUID = "11111111-1111-4111-8111-111111111111"
MERGING = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" merge="on" group="shared"/>'
QEMU = 4711
ACCOUNTS_SEC = 15  # twice that at rest
CONFIG = f"[daemon]\ntick-msec=250\naccounting-interval-msec={ACCOUNTS_SEC * 1000}\n"
LITTLE_MEMORY = fakehost.MEMINFO.replace("MemAvailable:   12000000", "MemAvailable:    2900000")


class Scene:
    def __init__(self, host, daemon):
        self.host, self.daemon = host, daemon
        self._sweeps = 0

    def pace(self):
        """The code of the second of the host's reasons, while sweeps go on that gain nothing."""
        self._sweeps += 1
        self.host.set("full_scans", self._sweeps)
        return self.daemon.describe()[1][1][0]

    def rounds(self):
        return opens.Opens(self.host.path(f"proc/{QEMU}/smaps"))


@contextlib.contextmanager
def surroundings():
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        host = fakehost.FakeHost(folder)
        host.add_qemu(QEMU, "vm1", UUID)
        uri = session.write_node(f"{folder}/node.xml", session.domain("vm1", UUID, MERGING))
        with memfoldd.Memfoldd(environment, folder, host.root, uri) as daemon:
            daemon.configure(CONFIG)
            daemon.start()
            wait.until("ksmd to be started", lambda: host.get("run") == "1", 20)
            yield Scene(host, daemon)


@tap.test
def accounts_come_soon_when_ksmd_wakes(scene):
    wait.until("ksmd to rest", lambda: scene.pace() == "resting", 60, 0.25, show=scene.pace)
    with scene.rounds() as rounds:
        wait.until("a round at rest", lambda: rounds.count() > 0, ACCOUNTS_SEC * 2 + 10)
        tap.equal(scene.pace(), "resting", "the pace then")
        before = rounds.count()
        scene.host.write("proc/meminfo", LITTLE_MEMORY)
        wait.until("ksmd to be boosted", lambda: scene.pace() == "boost", 5, show=scene.pace)
        # Without that the round would come when it was due.
        wait.until("a round soon", lambda: rounds.count() > before, ACCOUNTS_SEC / 2)


if __name__ == "__main__":
    tap.main(surroundings)
