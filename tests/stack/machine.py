# SPDX-License-Identifier: GPL-2.0-or-later
"""The host that the tests of the stack boot: our kernel, libvirt, our QEMU and memfold under an emulator.

    with machine.Host(kernel, parts, folder) as host:
        host.run("virsh list --name")         # output; raises Failed when the status is not 0

Commands go to an agent in the host by a serial port of its own, one after the other.
"""

import base64
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE.parent / "kernel")]
import wait  # noqa: E402

EMULATORS = ("/usr/bin/qemu-system-x86_64", "/opt/memfold/bin/qemu-system-x86_64")
MEMORY_MIB, CPUS = 1536, 2
BOOT_SEC = 240
# For the agent's answer, beyond what the command may take.
GRACE_SEC, COUNTED_GRACE_SEC = 60, 2400
CMDLINE = ("rdinit=/init", "console=ttyS0", "panic=-1", "nokaslr", "mitigations=off",
           "no_timer_check", "tsc=reliable", "loglevel=5", "printk.time=1")


class Failed(AssertionError):
    """A command in the host failed, or took too long."""


class Ended(AssertionError):
    """The host is gone."""


def join(parts, path):
    """Makes the host's root in memory of its parts (image.py)."""
    with open(path, "wb") as out:
        for part in parts:
            with open(part, "rb") as file:
                shutil.copyfileobj(file, out)
    return path


def arguments(kernel, root, memory_mib=MEMORY_MIB, cpus=CPUS, cmdline=(), counted=False):
    """QEMU's command line but for the ports. Nothing is mergeable, so that this machine's own ksmd leaves the host
    alone. Counted: a nanosecond of the host's is an instruction, whatever else runs here, and time in which it has
    nothing to do is passed over; that wants one processor."""
    emulator = next((path for path in EMULATORS if os.access(path, os.X_OK)), None)
    if emulator is None:
        raise RuntimeError(f"no QEMU: none of {', '.join(EMULATORS)}")
    accel = ["tcg,thread=single", "-icount", "shift=0,sleep=off"] if counted else ["tcg,thread=multi"]
    words = [emulator, "-accel", *accel, "-machine", "q35,mem-merge=off", "-cpu", "max",
             "-m", str(memory_mib), "-smp", str(cpus), "-nodefaults", "-display", "none", "-no-reboot",
             "-kernel", str(kernel), "-initrd", str(root)]
    return words + ["-append", " ".join((*CMDLINE, *cmdline))]


class Host:
    """One host; `folder` takes its console's text, its sockets and its disk (/dev/vda, empty). Sizes are MiB. The
    seconds of a host that is counted are its own: how long they take here depends on what it does in them."""

    def __init__(self, kernel, parts, folder, memory_mib=MEMORY_MIB, cpus=CPUS, counted=False, disk_mib=0):
        self.folder = pathlib.Path(folder)
        self.console = self.folder / "console"
        self._words = arguments(kernel, join(parts, self.folder / "root"), memory_mib, cpus, counted=counted)
        self._grace_sec = COUNTED_GRACE_SEC if counted else GRACE_SEC
        if disk_mib:
            path = self.folder / "disk"
            with open(path, "wb") as disk:
                disk.truncate(disk_mib << 20)
            self._words += ["-drive", f"if=none,id=disk,file={path},format=raw,cache=unsafe",
                            "-device", "virtio-blk-pci,drive=disk"]
        self._process = self._port = None
        self._rest, self._number = b"", 0

    def __enter__(self):
        path = self.folder / "agent"
        words = [*self._words, "-chardev", f"file,id=console,path={self.console}", "-serial", "chardev:console",
                 "-chardev", f"socket,id=agent,path={path},server=on,wait=off", "-serial", "chardev:agent"]
        with open(self.folder / "machine.log", "wb") as log:
            self._process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *words], stdin=subprocess.DEVNULL,
                                             stdout=log, stderr=log, start_new_session=True)
        try:
            wait.until("the emulator to listen", lambda: path.exists() or self._ended(), 30)
            self._port = socket.socket(socket.AF_UNIX)
            self._port.connect(str(path))
            self._line(time.monotonic() + BOOT_SEC, "the host to boot")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._port:
            self._port.close()

    def _ended(self):
        if self._process.poll() is not None:
            raise Ended(f"the host's emulator ended ({self._process.returncode})\n{self.said()}")
        return False

    def said(self):
        """The end of the console's text and of what the emulator said."""
        text = ""
        for path in (self.folder / "machine.log", self.console):
            with contextlib.suppress(FileNotFoundError):
                text += path.read_text(errors="replace")[-4000:]
        return text

    def _line(self, end_sec, what):
        while b"\n" not in self._rest:
            left_sec = end_sec - time.monotonic()
            if left_sec <= 0:
                raise Failed(f"waited for {what}, in vain\n{self.said()}")
            self._port.settimeout(min(left_sec, 1))
            with contextlib.suppress(TimeoutError):
                got = self._port.recv(65536)
                if not got:
                    raise Ended(f"the host is gone\n{self.said()}")
                self._rest += got
        line, self._rest = self._rest.split(b"\n", 1)
        return line.decode("ascii", "replace").strip()

    def status(self, command, limit_sec=60):
        """(status, output) of a shell command in the host. Status 137: it took longer than the limit."""
        self._number += 1
        code = base64.b64encode(command.encode()).decode()
        self._port.settimeout(30)
        self._port.sendall(f"{self._number} {limit_sec} {code}\n".encode())
        answer = self._line(time.monotonic() + limit_sec + self._grace_sec, f"the agent's answer to: {command}").split(" ")
        if answer[0] != str(self._number):
            raise Ended(f"the agent answered {answer[0]!r} to {self._number}")
        output = base64.b64decode(answer[2]).decode(errors="replace") if len(answer) > 2 else ""
        return int(answer[1]), output

    def run(self, command, limit_sec=60):
        """The output of a command; raises Failed when it fails."""
        status, output = self.status(command, limit_sec)
        if status:
            raise Failed(f"{command}: status {status}\n{output[-3000:]}")
        return output

    def write(self, path, text):
        """Makes a file in the host."""
        code = base64.b64encode(text.encode()).decode()
        self.run(f"echo {code} | base64 -d >'{path}'")
