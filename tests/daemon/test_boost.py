#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain with boost="on" that has come is scanned first, and nobody else is."""

import contextlib
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakehost  # noqa: E402
import memfoldd  # noqa: E402
import session  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

UUID = {"plain": "11111111-1111-4111-8111-111111111111", "first": "22222222-2222-4222-8222-222222222222"}
POLICY = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" merge="on" group="shared"{}/>'
QEMU = {"plain": 4711, "first": 4712}
AGAIN_SEC = 5
CONFIG = "[daemon]\ntick-msec=250\n"


@contextlib.contextmanager
def surroundings():
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        host = fakehost.FakeHost(folder)
        host.be_ours()
        host.set("boost_new_millisecs", 7)
        for name, uuid in UUID.items():
            host.add_qemu(QEMU[name], name, uuid)
        uri = session.write_node(f"{folder}/node.xml", *(
            session.domain(name, uuid, POLICY.format(' boost="on"' if name == "first" else ""))
            for name, uuid in UUID.items()))
        with memfoldd.Memfoldd(environment, folder, host.root, uri) as daemon:
            daemon.configure(CONFIG)
            daemon.start()
            yield host


@tap.test
def who_asks_for_it_is_scanned_first(host):
    wait.until("the first request", lambda: host.get("boost") == str(QEMU["first"]), 20, show=lambda: host.get("boost"))
    tap.equal(host.get("cpu_max_permyriad"), "8000", "the limit that it is kept to")
    host.set("boost", "")
    wait.until("another one", lambda: host.get("boost") == str(QEMU["first"]), AGAIN_SEC + 5)
    tap.equal(host.get("boost_new_millisecs"), "7", "what boosts every newcomer")


if __name__ == "__main__":
    tap.main(surroundings)
