# SPDX-License-Identifier: GPL-2.0-or-later
"""A libvirtd for qemu:///system: the one that runs, or one of our own for as long as needed.

Rigs share: whoever comes first and finds none starts virtlogd and libvirtd and leaves a note of
their process ids, and the last rig to leave stops them, unless domains still run. A libvirtd
without that note is somebody else's and is never touched.
"""

import contextlib
import fcntl
import grp
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess

import lockfile
import tap
import wait

URI = "qemu:///system"
STATE = "/run/memfold-rig"
HOOK = "/etc/libvirt/hooks/qemu.d/50-memfold"
NOTE = f"{STATE}/libvirtd.json"
LOCK = "/run/memfold-libvirtd.lock"
VIRTLOGD_SOCKET = "/run/libvirt/virtlogd-sock"
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
               "HOME": "/root", "LC_ALL": "C.UTF-8"}

REAPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "reaper.py")

# Gives libvirtd's own view of /dev the node that udev makes elsewhere. Where no udev runs the
# group kvm has no access, QEMU's probe (which has root's capabilities) says KVM works, libvirt
# says it does not, throws the probe away, and probes ten times for each domain.
OWN_KVM_NODE = """
mount -t tmpfs -o mode=0700 memfold "$1" && mknod -m 0660 "$1/kvm" c 10 232 &&
    chgrp kvm "$1/kvm" && mount --bind "$1/kvm" /dev/kvm
shift
exec "$@"
"""


class Unavailable(Exception):
    """There is no libvirtd and none can be started; the text says why and what to do."""


def bindings():
    """python3-libvirt, or a skipped test that says what to install."""
    try:
        import libvirt
    except ImportError:
        raise tap.Skip("python3-libvirt is not installed") from None
    libvirt.registerErrorHandler(lambda *_: None, None)
    return libvirt


def _connect():
    libvirt = bindings()
    try:
        return libvirt.open(URI)
    except libvirt.libvirtError:
        return None


def _answers(path):
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def _kvm_node_is_closed():
    """True if /dev/kvm is there and the user that libvirt runs QEMU as may not open it."""
    try:
        node = os.stat("/dev/kvm")
        user = pwd.getpwnam("libvirt-qemu")
        groups = {user.pw_gid} | {g.gr_gid for g in grp.getgrall() if user.pw_name in g.gr_mem}
    except (FileNotFoundError, KeyError):
        return False
    return not (node.st_mode & stat.S_IRWXO or node.st_gid in groups and node.st_mode & 0o060)


def _spawn(command, log):
    with open(log, "ab") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                env=ENVIRONMENT, cwd="/", start_new_session=True)


def _tail(log):
    with open(log, encoding="utf-8", errors="replace") as file:
        return "".join(file.readlines()[-8:]).strip() or "it said nothing"


def _start_process(name, command, ready):
    """Starts one daemon and waits until ready() is true; returns (process id, that value)."""
    log = f"{STATE}/{name}.log"
    process = _spawn(command, log)
    value = wait.until(f"{name} to answer", lambda: ready() or process.poll() is not None, 60)
    if process.poll() is not None:
        raise Unavailable(f"{name} ended at once (status {process.returncode}): {_tail(log)}")
    return process.pid, value


def _place_hook(program):
    """Puts a hook where libvirtd looks when it starts; returns its path, None if it was there."""
    if not program or os.path.exists(HOOK):
        return None
    os.makedirs(os.path.dirname(HOOK), exist_ok=True)
    shutil.copy(program, HOOK)
    return HOOK


def _start(hook):
    for program in ("libvirtd", "virtlogd"):
        if not shutil.which(program, path=ENVIRONMENT["PATH"]):
            raise Unavailable(f"{program} is not installed: apt-get install libvirt-daemon-system")
    if os.geteuid() != 0:
        raise Unavailable("no libvirtd answers, and only root can start one")
    os.makedirs(STATE, mode=0o755, exist_ok=True)
    pids = []
    if not _answers(VIRTLOGD_SOCKET):
        pid, _ = _start_process("virtlogd", ["virtlogd"], lambda: _answers(VIRTLOGD_SOCKET))
        pids.append(pid)
    command = [REAPER, "libvirtd"]
    if _kvm_node_is_closed():
        os.makedirs(f"{STATE}/dev", exist_ok=True)
        command = ["unshare", "--mount", "sh", "-c", OWN_KVM_NODE, "sh", f"{STATE}/dev", *command]
    placed = _place_hook(hook)
    try:
        pid, connection = _start_process("libvirtd", command, _connect)
    except (Unavailable, wait.Timeout):
        _end(pids, placed)
        raise
    pids.append(pid)
    with open(NOTE, "w", encoding="ascii") as file:
        json.dump({"pids": pids, "hook": placed}, file)
    return connection


def _end(pids, hook):
    """Ends daemons in the opposite order of their start, waits until each is gone, and takes
    the hook away."""
    for pid in reversed(pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            wait.until(f"process {pid} to end", lambda: _ended(pid), 30)
    if hook:
        with contextlib.suppress(OSError):
            os.unlink(hook)
            os.rmdir(os.path.dirname(hook))


def _ended(pid):
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return not os.path.exists(f"/proc/{pid}")


def _is_daemon(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii") as file:
            return file.read().strip() in ("libvirtd", "virtlogd", "reaper.py")
    except FileNotFoundError:
        return False


def _note():
    """What rigs started: ([process ids that still are], path of the hook or None)."""
    try:
        with open(NOTE, encoding="ascii") as file:
            note = json.load(file)
    except FileNotFoundError:
        return [], None
    return [pid for pid in note["pids"] if _is_daemon(pid)], note["hook"]


class Libvirtd:
    """Use of a libvirtd. `connection` is python3-libvirt's; `own` says that a rig started it.

    `hook` is a program to be installed as memfold's hook, if this starts the libvirtd and none
    is there; libvirtd looks for hooks when it starts, so a running one is left as it is.
    """

    def __init__(self, hook=None):
        self.hook = hook
        self.connection = None
        self.own = False
        self._lock = None

    def __enter__(self):
        self._lock = lockfile.open_private(LOCK)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            self.connection = _connect() or _start(self.hook)
        except BaseException:
            self._lock.close()
            raise
        self.own = bool(_note()[0])
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        return self

    def __exit__(self, *exception):
        """Leaves; the last one out stops a libvirtd that a rig started."""
        libvirt = bindings()
        idle = False
        with contextlib.suppress(libvirt.libvirtError):
            idle = self.connection.numOfDomains() == 0
        with contextlib.suppress(libvirt.libvirtError):
            self.connection.close()
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            pids, hook = _note()
            if idle and pids:
                _end(pids, hook)
                os.unlink(NOTE)
        except BlockingIOError:
            pass
        finally:
            self._lock.close()
