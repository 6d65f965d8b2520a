#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The hook as a real libvirtd runs it: what it tells at each turn, and that no state of memfoldd harms a guest.

A libvirtd of the test's own, in a mount namespace of its own, so that the host's is neither seen nor
disturbed; the daemon's end of the hook's socket is the test's.

Usage: test_hook_libvirt.py HOOK HOOKDIR RUNDIR [TEST...]
"""

import contextlib
import json
import os
import pathlib
import socket
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import ownlibvirtd  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

NS = ownlibvirtd.NS
NAME = "memfold-hook-test"


class Memfoldd:
    """The daemon's end: `mode` is "answer", "hang" or "down"."""

    def __init__(self, path):
        self.path, self.messages, self.held = path, [], []
        self.listener = None

    def become(self, mode):
        if self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None
            os.unlink(self.path)
        self.messages = []
        if mode != "down":
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(self.path)
            self.listener.listen(16)
            threading.Thread(target=self.serve, args=(self.listener, mode), daemon=True).start()

    def serve(self, listener, mode):
        with contextlib.suppress(OSError):  # closed: the mode changes
            while True:
                connection, _ = listener.accept()
                self.messages.append(json.loads(connection.makefile("rb").readline()))
                if mode == "answer":
                    connection.sendall(b'{"ok":true}\n')
                self.held.append(connection)  # a hanging daemon keeps it open

    def operations(self):
        return [message["operation"] for message in self.messages]


class Rig:
    def __init__(self, libvirtd, memfoldd):
        self.libvirtd, self.memfoldd = libvirtd, memfoldd
        self.xml = ownlibvirtd.write_domain(libvirtd.folder, NAME, 16, ownlibvirtd.policy(merge="off", group="t"))

    def told(self, *operations):
        """Waits until exactly these operations were told, in this order."""
        wait.until(f"the operations {operations}", lambda: len(self.memfoldd.messages) >= len(operations), 30,
                   show=self.memfoldd.operations)
        tap.equal(self.memfoldd.operations(), list(operations), "operations")
        return list(self.memfoldd.messages)

    def live_through(self, mode):
        """A whole life of the domain, a restart of libvirtd included, with memfoldd in that mode."""
        self.memfoldd.become(mode)
        self.libvirtd.virsh("create", self.xml)
        pid = self.libvirtd.pid(NAME)
        self.libvirtd.restart()
        wait.until("libvirtd to know its domain", lambda: self.libvirtd.running() == [NAME], 30)
        tap.equal(self.libvirtd.pid(NAME), pid, "QEMU's PID after libvirtd's restart")
        os.kill(pid, 0)
        self.libvirtd.virsh("destroy", NAME)
        tap.equal(self.libvirtd.running(), [], "domains at the end")


@contextlib.contextmanager
def surroundings(hook, hookdir, rundir):
    with ownlibvirtd.running(hook, hookdir, rundir) as libvirtd:
        try:
            yield Rig(libvirtd, Memfoldd(f"{rundir}/hook.sock"))
        finally:
            libvirtd.virsh("destroy", NAME, check=False)


@tap.test
def each_turn_is_told(rig):
    rig.memfoldd.become("answer")
    rig.libvirtd.virsh("create", rig.xml)
    started = rig.told("prepare", "start", "started")
    for message in started:
        tap.equal((message["name"], message["memory"], message["nosharepages"]), (NAME, "anonymous", False), "facts")
        tap.check('merge="off"' in message["policy"] and NS in message["policy"], message["policy"])
    rig.libvirtd.virsh("metadata", NAME, NS, "--key", "memfold", "--set", "<policy merge='on'/>", "--live")
    rig.libvirtd.restart()
    told = rig.told("prepare", "start", "started", "reconnect")
    tap.check('merge="on"' in told[3]["policy"], f"the live policy at reconnect: {told[3]['policy']}")
    rig.libvirtd.virsh("destroy", NAME)
    rig.told("prepare", "start", "started", "reconnect", "stopped", "release")
    tap.equal({message["uuid"] for message in rig.memfoldd.messages}, {started[0]["uuid"]}, "UUIDs")


@tap.test
def without_memfoldd_guests_live(rig):
    rig.live_through("down")


@tap.test
def beside_a_hanging_memfoldd_guests_live(rig):
    rig.live_through("hang")
    rig.told("prepare", "start", "started", "reconnect", "stopped", "release")


def main():
    ownlibvirtd.enter_namespace(__file__)
    hook, hookdir, rundir = (sys.argv.pop(1) for _ in range(3))
    tap.main(context=lambda: surroundings(hook, hookdir, rundir))


if __name__ == "__main__":
    main()
