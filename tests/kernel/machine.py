# SPDX-License-Identifier: GPL-2.0-or-later
"""One test machine: a kernel under QEMU's emulator, a root of busybox in memory, and one program.

    ended = machine.run(kernel, Spec(memory=512), "./prog -x", {"prog": path}, on_line=print)

The program's output comes through a serial port of its own, the kernel's messages through the console.
`ended.verdict` tells what happened to the machine: ENDED (and `ended.status`, the program's), HANG,
PANIC, WARNING, DIED. A machine outlives neither run() nor this process.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
# The distribution's emulator comes first: the tier then needs no build of our own, and runs on what
# kernel developers have. Ours serves where it is the one that is installed.
EMULATORS = ("/usr/bin/qemu-system-x86_64", "/opt/memfold/bin/qemu-system-x86_64")
BUSYBOX = os.environ.get("MEMFOLD_BUSYBOX", "/bin/busybox")
CMDLINE = ("oops=panic", "panic_on_warn=1", "hung_task_panic=1", "softlockup_panic=1",
           "watchdog_thresh=60", "rcupdate.rcu_cpu_stall_timeout=100", "sysctl.kernel.panic_on_rcu_stall=1",
           "sysctl.kernel.hung_task_timeout_secs=100", "loglevel=5", "printk.time=1")
ENDED, HANG, PANIC, WARNING, DIED = "ended", "hang", "panic", "warning", "died"

_PANIC = re.compile(r"Kernel panic - not syncing: (?P<what>.*)")
_HANG = re.compile(r"hung_task|softlockup|soft lockup|hard LOCKUP|RCU Stall", re.IGNORECASE)
# What the kernel complains of without a panic: lockdep, mostly.
_COMPLAINT = re.compile(r"\b(WARNING: |BUG: |INFO: (possible|trying|task|rcu_)|possible recursive locking|Oops:)")
_STARTED, _END = "@@started", re.compile(r"@@ended (\d+)")
_GRACE_SEC = 60
_stopping = threading.Event()


class Stopped(Exception):
    """stop() was called while a machine ran."""


def stop():
    """Ends all machines, also those that are yet to be started: their run() raises Stopped."""
    _stopping.set()


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a test asks of its machine. Sizes are MiB, the timeout is seconds."""
    memory: int = 512
    cpus: int = 2
    nodes: int = 1
    zram: int = 0
    disk: int = 0
    swap: bool = False
    timeout: int = 120
    icount: bool = False
    cmdline: tuple = ()
    needs: tuple = ()
    # NAME=VALUE: files of KSM that are written to before the program starts
    knobs: tuple = ()


@dataclasses.dataclass
class Ended:
    """How a machine ended: verdict, reason in words, the program's status, both outputs as lines."""
    verdict: str
    reason: str
    status: int
    output: list
    console: list


def emulator():
    """The emulator that is there; None when none is."""
    return next((path for path in EMULATORS if os.access(path, os.X_OK)), None)


def _settings(spec):
    return (f"ZRAM_MIB={spec.zram or ''}\nSWAP={'yes' if spec.swap else 'no'}\n"
            f"NEEDS='{' '.join(spec.needs)}'\nKNOBS='{' '.join(spec.knobs)}'\n")


def pack(folder, settings, command, files):
    """Makes folder/initrd of busybox, the init, and the test's files in /test; returns its path."""
    root = folder / "root"
    for name in ("bin", "proc", "sys", "dev", "tmp", "test", "etc"):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    shutil.copy(HERE / "init.sh", root / "init")
    (root / "test/settings").write_text(settings)
    (root / "test/command").write_text(command + "\n")
    for name, path in files.items():
        shutil.copy(path, root / "test" / name)
    initrd = folder / "initrd"
    names = "\0".join(sorted(str(p.relative_to(root)) for p in root.rglob("*"))) + "\0"
    with open(initrd, "wb") as out:
        subprocess.run(["cpio", "-o", "-0", "-H", "newc", "--quiet"], input=names.encode(), stdout=out,
                       cwd=root, check=True)
    return initrd


def _numa(spec):
    if spec.nodes < 2:
        return []
    words = []
    for node in range(spec.nodes):
        words += ["-object", f"memory-backend-ram,id=m{node},size={spec.memory // spec.nodes}M",
                  "-numa", f"node,nodeid={node},memdev=m{node}" + (f",cpus={node}" if node < spec.cpus else "")]
    words += ["-numa", "dist,src=0,dst=1,val=20"]
    return words


def arguments(kernel, initrd, folder, spec):
    """QEMU's command line. A core is a socket, so that each node has its own; nothing is mergeable, so
    that the host's own ksmd leaves the machine alone."""
    memory = spec.memory // spec.nodes * spec.nodes
    # With icount a nanosecond of the machine is an instruction, whatever the host is doing.
    accel = ["tcg,thread=single", "-icount", "shift=0,sleep=off"] if spec.icount else ["tcg,thread=multi"]
    words = [emulator(), "-accel", *accel, "-machine", "pc,mem-merge=off", "-cpu", "max",
             "-m", str(memory), "-smp", f"{spec.cpus},sockets={spec.cpus},cores=1,threads=1", *_numa(spec),
             "-nodefaults", "-display", "none", "-no-reboot", "-kernel", str(kernel), "-initrd", str(initrd)]
    for port in ("console", "output"):
        words += ["-chardev", f"file,id={port},path={folder / port}", "-serial", f"chardev:{port}"]
    if spec.disk:
        disk = folder / "disk"
        with open(disk, "wb") as file:
            file.truncate(spec.disk << 20)
        words += ["-drive", f"file={disk},format=raw,if=virtio,cache=unsafe"]
    return words + ["-append", " ".join(("console=ttyS0", "panic=-1", "nokaslr", *CMDLINE, *spec.cmdline))]


class _Follower:
    """The complete lines that a growing file gained since the last look."""

    def __init__(self, path):
        self._path, self._offset, self._rest, self.lines = path, 0, b"", []

    def look(self, last=False):
        with contextlib.suppress(FileNotFoundError), open(self._path, "rb") as file:
            file.seek(self._offset)
            data = file.read()
            self._offset += len(data)
            self._rest += data
        *whole, self._rest = self._rest.split(b"\n")
        if last and self._rest:
            whole, self._rest = whole + [self._rest], b""
        new = [line.decode(errors="replace").rstrip("\r") for line in whole]
        self.lines += new
        return new


def _judge(output, console, timed_out, timeout):
    """(verdict, reason, status) of a machine that is gone, from what it said."""
    panic = next((m["what"].strip() for m in map(_PANIC.search, console) if m), None)
    complaint = next((line for line in console if _COMPLAINT.search(line)), None)
    end = next((int(m.group(1)) for m in map(_END.search, reversed(output)) if m), None)
    if panic and "panic_on_warn" in panic:
        return WARNING, complaint or panic, 0
    if panic:
        return (HANG if _HANG.search(panic) else PANIC), f"{panic} ({complaint})" if complaint else panic, 0
    if timed_out:
        what = f"no end within {timeout} s" if end is None else "the test ended, the machine did not"
        return HANG, what, 0
    if complaint:
        return WARNING, complaint, end or 0
    if end is not None:
        return ENDED, f"exit status {end}", end
    if _STARTED not in output:
        return DIED, "the machine ended before its test began", 0
    return DIED, "the machine ended before its test did", 0


@contextlib.contextmanager
def _process(words, folder):
    with open(folder / "machine.log", "wb") as log:
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *words],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run(kernel, spec, command, files, on_line=lambda line: None):
    """Boots `kernel`, runs `command` by the shell in /test, where `files` (name: path) are, and returns
    how it ended. `on_line` gets the program's lines as they come. Blocks for at most the timeout and
    some seconds; raises OSError when QEMU can't be started, and Stopped."""
    with tempfile.TemporaryDirectory(prefix="memfold-vm.") as name:
        folder = pathlib.Path(name)
        initrd = pack(folder, _settings(spec), command, files)
        words = arguments(kernel, initrd, folder, spec)
        output, console = _Follower(folder / "output"), _Follower(folder / "console")
        with _process(words, folder) as process:
            timed_out = _follow(process, spec.timeout, output, console, on_line)
        for line in output.look(last=True):
            on_line(line)
        console.look(last=True)
        console.lines += [f"machine: {line}" for line in (folder / "machine.log").read_text().splitlines()]
    verdict, reason, status = _judge(output.lines, console.lines, timed_out, spec.timeout)
    own = [line for line in output.lines if not line.startswith("@@")]
    return Ended(verdict, reason, status, own, console.lines)


def _follow(process, timeout, output, console, on_line):
    """Waits for the machine's end, its program's end, or the timeout; true when it was the timeout."""
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        pidfd = os.pidfd_open(process.pid)
        selector.register(pidfd, selectors.EVENT_READ)
        try:
            while not selector.select(0.3):
                for line in output.look():
                    on_line(line)
                    if _END.search(line):
                        deadline = min(deadline, time.monotonic() + _GRACE_SEC)
                console.look()
                if _stopping.is_set():
                    raise Stopped
                if time.monotonic() > deadline:
                    return True
        finally:
            os.close(pidfd)
    return False
