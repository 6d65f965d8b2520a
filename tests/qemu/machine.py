# SPDX-License-Identifier: GPL-2.0-or-later
"""One real QEMU, driven and looked at from the outside.

A machine runs one of two ways.  Without a guest its processor is stopped and memory is written
through QEMU's test protocol (`-qtest`), so it holds exactly what fill() wrote and nothing moves.
With a guest it runs the tiny guest of tests/guest, which writes a seeded layout, rewrites it on
command and checks it by itself.  What is merged or may be is read from /proc/PID, and asked of
QEMU only where a test compares the two.
"""

import ctypes
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile

import guest as guests
import qmp
import smaps
import tap
import wait

TESTS = pathlib.Path(__file__).resolve().parent.parent
MIB = 1 << 20
ANSWER_SEC = 30
PR_SET_PDEATHSIG = 1
CRASHES = (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)
# hw/i386/pc_piix.c of QEMU: RAM below 4 GiB, when all of it fits there and when not
PC_LOW_MAX_BYTES = 0xe0000000
PC_LOW_BYTES = 0xc0000000


class MachineError(Exception):
    """QEMU ended; the text has what it wrote to stderr."""


def die_with_parent():
    """Runs in the child before exec: no QEMU outlives a test, however the test ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def may_dump():
    """Like die_with_parent(); a crash leaves a core in the current folder, where the kernel is set so."""
    die_with_parent()
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


def tell_crash(binary, folder):
    """Where a QEMU crashed that left a core: nobody sees it twice."""
    core = next(iter(folder.glob("core*")), None)
    if core is None or shutil.which("gdb") is None:
        tap.diag("QEMU crashed, and left no core that could be read")
        return
    done = subprocess.run(["gdb", "-batch", "-ex", "thread apply all backtrace 12", str(binary), str(core)],
                          check=False, timeout=60, capture_output=True, text=True)
    for line in done.stdout.splitlines()[-80:]:
        tap.diag(line)


def tiny_rom(folder):
    """Path of the tiny guest: the one that setup built, else one built into `folder`."""
    built = os.environ.get("MEMFOLD_GUEST")
    if not built:
        built = folder
        subprocess.run([TESTS / "guest/build.sh", "--tiny-only", built], check=True,
                       stdout=subprocess.DEVNULL)
    return pathlib.Path(built) / "tiny.rom"


def run_once(binary, *arguments, timeout_sec=ANSWER_SEC):
    """Runs a QEMU that is expected to end by itself; returns (exit status, stderr)."""
    done = subprocess.run([binary, "-nodefaults", "-display", "none", *arguments], check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, timeout=timeout_sec,
                          preexec_fn=die_with_parent)
    return done.returncode, done.stderr.strip()


class Machine:
    """A running QEMU; leaving the context kills it and removes its sockets.

    `guest` holds the tiny guest's arguments; it is ready when this returns, unless its state
    comes from the URI `incoming`.  `prefix` is a command that runs QEMU.  `monitors` holds as
    many QMP connections as asked for; qmp() is a command to the first.
    """

    def __init__(self, binary, *arguments, memory_mib=64, machine="pc", guest=None, monitors=1,
                 prefix=(), incoming=None):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="memfold-qemu-"))
        self.memory_bytes = memory_mib * MIB
        self.monitors = []
        self.console = None
        self.layout = None
        self._qtest = None
        command = [*prefix, binary, "-nodefaults", "-display", "none", "-accel", "tcg",
                   "-machine", machine, "-m", str(memory_mib), "-bios", str(tiny_rom(self.work))]
        for index in range(monitors):
            command += ["-qmp", f"unix:{self.work}/qmp{index},server=on,wait=off"]
        if guest is None:
            command += ["-S", "-qtest", f"unix:{self.work}/qtest,server=on,wait=off",
                        "-qtest-log", "none"]
        else:
            command += ["-fw_cfg", f"name=opt/memfold/args,string={guest}",
                        "-chardev", f"socket,id=con,path={self.work}/con,server=on,wait=off",
                        "-serial", "chardev:con"]
        if incoming:
            command += ["-incoming", incoming]
        self.binary = binary
        with open(self.work / "stderr", "wb") as stderr:
            self.process = subprocess.Popen([*command, *arguments], stdin=subprocess.DEVNULL,
                                            stdout=stderr, stderr=stderr, cwd=self.work,
                                            preexec_fn=may_dump)
        try:
            for index in range(monitors):
                self.monitors.append(self.reach(f"qmp{index}", lambda path: qmp.Qmp(
                    path, timeout_sec=ANSWER_SEC)))
            if guest is None:
                self._qtest = self.reach("qtest", connect)
            else:
                self.console = guests.Console(str(self.work / "con"))
                self.layout = None if incoming else self.console.wait_ready()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Kills QEMU and forgets everything about it."""
        if self.process.poll() in CRASHES:
            tell_crash(self.binary, self.work)
        self.process.kill()
        self.process.wait()
        for end in (*self.monitors, self.console, self._qtest):
            if end:
                end.close()
        shutil.rmtree(self.work, ignore_errors=True)

    def reach(self, name, opener):
        """Opens a socket of QEMU's as soon as it listens; MachineError if QEMU ends instead.

        A QEMU that refuses its arguments may listen before it ends: a connection that it takes
        along (reset, or closed before the greeting) is tried again, and its end is seen then.
        """
        def opened():
            if self.process.poll() is not None:
                raise MachineError(f"QEMU ended with {self.process.returncode}: {self.stderr()}")
            try:
                return opener(str(self.work / name))
            except (FileNotFoundError, ConnectionError, BlockingIOError):
                return None
        return wait.until(f"QEMU to listen at {name}", opened, ANSWER_SEC, 0.02, self.stderr)

    @property
    def pid(self):
        return self.process.pid

    def stderr(self):
        return (self.work / "stderr").read_text(errors="replace").strip()

    def alive(self):
        return self.process.poll() is None

    def qmp(self, command, **arguments):
        return self.monitors[0].execute(command, **arguments)

    def hmp(self, line):
        """What the human monitor answers."""
        return self.qmp("human-monitor-command", command_line=line).replace("\r", "")

    # --- memory of a machine without a guest ---

    def _qtest_command(self, line):
        self._qtest.sendall(line.encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            data = self._qtest.recv(1 << 20)
            if not data:
                raise MachineError(f"QEMU is gone: {self.stderr()}")
            answer += data
        if not answer.startswith(b"OK"):
            raise MachineError(f"{line!r}: {answer!r}")
        return answer[3:].strip().decode()

    def ping(self):
        """A round trip through QEMU's main loop that no monitor command can hold up."""
        self._qtest_command("endianness")

    def _guest_address(self, offset_bytes):
        """Where the guest sees this part of its RAM: `pc` leaves a hole for devices below 4 GiB."""
        low_bytes = self.memory_bytes if self.memory_bytes < PC_LOW_MAX_BYTES else PC_LOW_BYTES
        return offset_bytes if offset_bytes < low_bytes else offset_bytes - low_bytes + (1 << 32)

    def fill(self, offset_bytes, size_bytes, value):
        """Sets a part of RAM that does not cross the hole to one byte value."""
        first = self._guest_address(offset_bytes)
        self._qtest_command(f"memset {first:#x} {size_bytes:#x} {value:#x}")

    def fill_merging(self, size_mib, first_mib=1):
        """Fills whole MiB with 31 distinct pages, none of them zero, so that all can merge."""
        for mib in range(first_mib, first_mib + size_mib):
            self.fill(mib * MIB, MIB, 1 + mib % 31)

    def holds_merging(self, size_mib, first_mib=1):
        """Whether fill_merging()'s contents are all there."""
        return all(self._qtest_command(f"read {self._guest_address(mib * MIB):#x} {MIB:#x}")
                   == "0x" + f"{1 + mib % 31:02x}" * MIB
                   for mib in range(first_mib, first_mib + size_mib))

    # --- what the host says of it ---

    def areas(self):
        return smaps.areas(self.pid)

    def ram_areas(self):
        """The areas of the first RAM block, which are several once a part was treated alone."""
        first = int(re.search(r"is (0x[0-9a-f]+)", self.hmp("gpa2hva 0"))[1], 16)
        return areas_within(self.areas(), first, self.memory_bytes)

    def sized_areas(self, size_bytes):
        """Areas of exactly this size: how to find a block of an odd size in any QEMU."""
        return [area for area in self.areas() if area.size_bytes == size_bytes]

    def merged_pages(self):
        """KSM pages of the whole process, from smaps, which is exact (ksm_stat is not)."""
        return smaps.ksm_bytes(self.pid) // 4096

    def marked(self):
        """Areas that ksmd may scan."""
        return [area for area in self.areas() if area.mergeable]


def connect(path):
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(ANSWER_SEC)
    try:
        stream.connect(path)
    except OSError:
        stream.close()
        raise
    return stream


def areas_within(areas, first, size_bytes):
    return [area for area in areas if area.start < first + size_bytes and area.end > first]
