# SPDX-License-Identifier: GPL-2.0-or-later
"""A systemd of a test's own, as PID 1 of namespaces that go with it, so that a unit is what it says it is.

    with ownsystemd.Systemd(script, "--scene", ...) as systemd:      # outside, as root
        systemd.wait(240)

    ownsystemd.boot(units, service)                                 # in the script, given INSIDE: never returns

/run is empty there, libvirt's state too, and there are no units but those that are given. The kernel, and with it
KSM, is the machine's.
"""

import os
import pathlib
import shutil
import signal
import subprocess

import tap

INSIDE = "--inside"
PROGRAMS = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
UNITS = "/run/memfold-test/units"
EMPTY = ("/run", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt")
# What units depend on unless they say that they do not.
TARGETS = ("sysinit.target", "basic.target", "shutdown.target", "multi-user.target")
SCENE = "memfold-scene.service"


def program():
    return next((path for path in PROGRAMS if os.access(path, os.X_OK)), None)


class Systemd:
    """Runs `script INSIDE arguments...` in new namespaces, where it is to call boot()."""

    def __init__(self, script, *arguments):
        if os.geteuid() != 0:
            raise tap.Skip("only root can make namespaces for a systemd")
        if not program() or not shutil.which("systemctl"):
            raise tap.Skip("systemd is not installed")
        self.command = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--propagation", "private", "--ipc",
                        "--uts", "--cgroup", "--mount-proc", "/usr/bin/python3", os.path.abspath(script), INSIDE, *arguments]
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def boot(units, scene, output):
    """Makes the namespaces a host and becomes its systemd, which runs the command `scene`, unconfined, with what it
    prints in the file `output`. units: {name: text}."""
    for path in EMPTY:
        os.makedirs(path, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "memfold-test", path], check=True)
    for path in (UNITS, "/run/lock", "/run/dbus"):
        os.makedirs(path)
    for name in TARGETS:
        pathlib.Path(UNITS, name).write_text("[Unit]\nDefaultDependencies=no\n", encoding="utf-8")
    for name, text in units.items():
        pathlib.Path(UNITS, name).write_text(text, encoding="utf-8")
    pathlib.Path(UNITS, SCENE).write_text(
        "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nTimeoutStartSec=infinity\n"
        f"PassEnvironment=MEMFOLD_BUILD MEMFOLD_QEMU MEMFOLD_GUEST\nExecStart={' '.join(scene)}\n"
        f"StandardOutput=file:{output}\nStandardError=file:{output}\n", encoding="utf-8")
    os.environ.update(container="other", SYSTEMD_UNIT_PATH=UNITS)
    os.execv(program(), ["systemd", "--system", f"--unit={SCENE}", "--log-target=null", "--show-status=no"])


def show(unit, name):
    """A property of a unit, as text."""
    return subprocess.run(["systemctl", "show", "--value", "--property", name, unit], text=True, check=True,
                          capture_output=True, timeout=30).stdout.strip()


def systemctl(*words):
    done = subprocess.run(["systemctl", *words], text=True, capture_output=True, check=False, timeout=120)
    if done.returncode:
        raise RuntimeError(f"systemctl {' '.join(words)}: {done.stderr.strip()}")
