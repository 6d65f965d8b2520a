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
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
import wait  # noqa: E402

INSIDE = "--inside"
URI = "qemu:///system"
NS = "urn:memfold:policy:1"
STATE = ("/run/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt")
QEMU_CONF = """
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
"""
DOMAIN = f"""<domain type='qemu'><name>memfold-hook-test</name><memory unit='MiB'>16</memory>
<metadata><memfold:policy xmlns:memfold="{NS}" merge="off" group="t"/></metadata>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><memballoon model='none'/>
<controller type='usb' model='none'/></devices></domain>"""
NAME = "memfold-hook-test"


def mount(*words):
    subprocess.run(["mount", *words], check=True)


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


class Libvirtd:
    def __init__(self, folder):
        self.folder, self.process = folder, None

    def start(self):
        with open(f"{self.folder}/libvirtd.out", "ab") as output:
            self.process = subprocess.Popen(["/usr/sbin/libvirtd"], stdout=output, stderr=output,
                                            stdin=subprocess.DEVNULL)
        wait.until("libvirtd to answer", lambda: self.virsh("uri", check=False).returncode == 0, 60)

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(timeout=60)
            self.process = None

    def restart(self):
        self.stop()
        self.start()

    @staticmethod
    def virsh(*words, check=True):
        result = subprocess.run(["virsh", "-q", "-c", URI, *words], text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, check=False, timeout=120)
        tap.check(not check or result.returncode == 0, f"virsh {' '.join(words)}: {result.stderr}")
        return result

    def running(self):
        return self.virsh("list", "--name").stdout.split()

    def pid(self):
        return int(pathlib.Path(f"/run/libvirt/qemu/{NAME}.pid").read_text(encoding="ascii"))


class Rig:
    def __init__(self, libvirtd, memfoldd, folder):
        self.libvirtd, self.memfoldd = libvirtd, memfoldd
        self.xml = f"{folder}/domain.xml"
        pathlib.Path(self.xml).write_text(DOMAIN, encoding="utf-8")

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
        pid = self.libvirtd.pid()
        self.libvirtd.restart()
        wait.until("libvirtd to know its domain", lambda: self.libvirtd.running() == [NAME], 30)
        tap.equal(self.libvirtd.pid(), pid, "QEMU's PID after libvirtd's restart")
        os.kill(pid, 0)
        self.libvirtd.virsh("destroy", NAME)
        tap.equal(self.libvirtd.running(), [], "domains at the end")


def own_folder(stack, path):
    """An empty file system over path, which goes again when it was not there."""
    if not os.path.exists(path):
        os.mkdir(path)
        stack.callback(os.rmdir, path)
    mount("-t", "tmpfs", "memfold-test", path)
    stack.callback(subprocess.run, ["umount", "-l", path], check=True)


def prepare_namespace(stack, folder, hook, hookdir, rundir):
    for path in (*STATE, rundir):
        own_folder(stack, path)
    shutil.copytree("/etc/libvirt", f"{folder}/etc", symlinks=True)
    shutil.rmtree(f"{folder}/etc/qemu/networks/autostart", ignore_errors=True)
    with open(f"{folder}/etc/qemu.conf", "a", encoding="utf-8") as conf:
        conf.write(QEMU_CONF)
    mount("--bind", f"{folder}/etc", "/etc/libvirt")
    stack.callback(subprocess.run, ["umount", "-l", "/etc/libvirt"], check=True)
    shutil.rmtree("/etc/libvirt/hooks", ignore_errors=True)
    os.makedirs(hookdir, exist_ok=True)
    shutil.copy(hook, f"{hookdir}/50-memfold")


@contextlib.contextmanager
def surroundings(hook, hookdir, rundir):
    with tempfile.TemporaryDirectory(prefix="memfold-hook-") as folder, contextlib.ExitStack() as stack:
        prepare_namespace(stack, folder, hook, hookdir, rundir)
        libvirtd = Libvirtd(folder)
        stack.callback(libvirtd.stop)
        libvirtd.start()
        stack.callback(libvirtd.virsh, "destroy", NAME, check=False)
        yield Rig(libvirtd, Memfoldd(f"{rundir}/hook.sock"), folder)


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
    if os.geteuid() != 0 or not os.path.exists("/usr/sbin/libvirtd"):
        print("1..0 # SKIP needs root and libvirtd")
        return
    if sys.argv[1] != INSIDE:
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable,
                              os.path.abspath(__file__), INSIDE, os.path.abspath(sys.argv[1]), *sys.argv[2:]])
    _, hook, hookdir, rundir = (sys.argv.pop(1) for _ in range(4))
    tap.main(context=lambda: surroundings(hook, hookdir, rundir))


if __name__ == "__main__":
    main()
