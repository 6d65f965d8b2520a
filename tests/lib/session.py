# SPDX-License-Identifier: GPL-2.0-or-later
"""A libvirtd of a test's own, to stop, kill and freeze at will.

It runs as the user nobody in session mode, beside any libvirtd of the host, and is used through its
test driver: real processes, sockets and events, domains of air. A new one knows one domain, "test".
"""

import os
import pwd
import shutil
import signal
import subprocess

import libvirtd
import tap
import wait

PROGRAM = "/usr/sbin/libvirtd"
DOMAINS = """<node>{domains}</node>
"""
# What libvirt's test driver takes for a domain.
DOMAIN = """<domain type='test'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory>
<metadata>{policy}</metadata><memoryBacking>{backing}</memoryBacking><os><type>hvm</type></os>{more}</domain>
"""


def domain(name, uuid, policy="", backing="", more=""):
    return DOMAIN.format(name=name, uuid=uuid, policy=policy, backing=backing, more=more)


def write_node(path, *domains):
    """Writes a file for test:///PATH; returns the URI."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(DOMAINS.format(domains="".join(domains)))
    os.chmod(path, 0o644)
    return f"test://{path}"


class Libvirtd:
    def __init__(self, folder):
        if os.geteuid() != 0:
            raise tap.Skip("only root can start a libvirtd as another user")
        if not os.path.exists(PROGRAM):
            raise tap.Skip("libvirtd is not installed")
        self.folder = f"{folder}/session"
        self.user = pwd.getpwnam("nobody")
        self.socket = f"{self.folder}/libvirt/libvirt-sock"
        self.uri = f"test+unix:///default?socket={self.socket}"
        self.process = None
        os.chmod(folder, 0o755)
        os.makedirs(self.folder, exist_ok=True)
        shutil.chown(self.folder, self.user.pw_uid, self.user.pw_gid)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self.kill()

    def start(self):
        environment = {**os.environ, "XDG_RUNTIME_DIR": self.folder, "HOME": self.folder,
                       "XDG_CONFIG_HOME": self.folder, "XDG_CACHE_HOME": self.folder}
        for name in ("libvirt-sock", "libvirtd.pid"):
            if os.path.exists(f"{self.folder}/libvirt/{name}"):
                os.unlink(f"{self.folder}/libvirt/{name}")
        with open(f"{self.folder}.log", "ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "--timeout", "0"], env=environment, cwd="/", stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, user=self.user.pw_uid, group=self.user.pw_gid, extra_groups=[])
        wait.until("a libvirtd of our own", self.answers, 60)

    def answers(self):
        try:
            libvirtd.bindings().open(self.uri).close()
        except libvirtd.bindings().libvirtError:
            if self.process.poll() is not None:
                raise RuntimeError(f"libvirtd ended ({self.process.returncode})") from None
            return False
        return True

    def freeze(self):
        """Stops it where it is; returns when all of it stands."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def open(self):
        """A connection; what it does is seen by every other one as long as one is open."""
        return libvirtd.bindings().open(self.uri)
