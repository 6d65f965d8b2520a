# SPDX-License-Identifier: GPL-2.0-or-later
"""Domains of a test: made, looked at and removed again, and nobody else's touched.

    with rig.Rig("memfold-test-") as r:
        g = r.create(r.tiny("a", 64, "seed=1 common_mib=8"))
        layout = g.console.wait_ready()

A name prefix marks the rig's domains. Files that QEMU opens are copied to a folder below /run
that the user libvirt-qemu can reach, and go with the rig.
"""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile

import accel
import guest
import libvirtd
import smaps
import tap
import wait
from domain import Domain

GUEST_FILES = ("tiny.rom", "linux.kernel", "linux.initramfs")


class Running:
    """A domain that the rig started."""

    def __init__(self, spec, handle):
        self.spec = spec
        self.name = spec.name
        self.handle = handle
        self.console = guest.Console(spec.console)

    @property
    def pid(self):
        with open(f"/run/libvirt/qemu/{self.name}.pid", encoding="ascii") as file:
            return int(file.read())

    @property
    def active(self):
        with contextlib.suppress(libvirtd.bindings().libvirtError):
            return bool(self.handle.isActive())
        return False

    def qmp(self, command, **arguments):
        """Runs a QMP command through libvirt and returns its answer; raises what QEMU says."""
        import libvirt_qemu

        message = {"execute": command}
        if arguments:
            message["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        answer = json.loads(libvirt_qemu.qemuMonitorCommand(self.handle, json.dumps(message), 0))
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {command}: {answer['error']['desc']}")
        return answer["return"]

    def ram(self):
        """The area of QEMU's memory that is the guest's RAM."""
        return smaps.guest_ram(self.pid, self.spec.memory_bytes)

    def destroy(self):
        self.console.close()
        with contextlib.suppress(libvirtd.bindings().libvirtError):
            self.handle.destroy()
        with contextlib.suppress(OSError):
            os.unlink(self.spec.console)


def guest_directory():
    """Where build.sh put the guests; a skipped test if it has not run."""
    directory = os.environ.get("MEMFOLD_GUEST", "/var/cache/memfold/guest")
    if not os.path.exists(f"{directory}/tiny.rom"):
        raise tap.Skip("no guests built: run tests/guest/build.sh DIR and set MEMFOLD_GUEST=DIR")
    return directory


def our_qemu():
    """The emulator of the series; a skipped test if it is not built."""
    emulator = os.environ.get("MEMFOLD_QEMU")
    if not emulator or not os.path.exists(emulator):
        raise tap.Skip("no QEMU of ours: set MEMFOLD_QEMU")
    return emulator


class Rig:
    """A libvirtd and the domains that this rig makes in it; for `hook` see libvirtd.Libvirtd."""

    def __init__(self, prefix, emulator=None, hook=None):
        self.prefix = prefix
        self.emulator = accel.find_emulator(emulator)
        self.domains = []
        self.work = None
        self.accel = "tcg"
        self.libvirtd = libvirtd.Libvirtd(hook)

    @property
    def connection(self):
        return self.libvirtd.connection

    def __enter__(self):
        source = guest_directory()
        self.libvirtd.__enter__()
        try:
            self.work = tempfile.mkdtemp(prefix=self.prefix, dir="/run")
            os.chmod(self.work, 0o755)
            for name in GUEST_FILES:
                if os.path.exists(f"{source}/{name}"):
                    shutil.copy(f"{source}/{name}", self.work)
            self.accel = accel.choose(self.emulator, self.work)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        """Removes the rig's domains and files."""
        for running in self.domains:
            running.destroy()
        if self.work:
            shutil.rmtree(self.work, ignore_errors=True)
        self.libvirtd.__exit__()

    def _spec(self, name, memory_mib, args, files, more):
        return Domain(name=self.prefix + name, emulator=more.pop("emulator", self.emulator),
                      console=f"{self.work}/{name}", memory_mib=memory_mib, args=args,
                      accel=self.accel, **files, **more)

    def tiny(self, name, memory_mib, args, **more):
        """A domain of the tiny guest; `more` are further fields of domain.Domain."""
        return self._spec(name, memory_mib, args, {"rom": f"{self.work}/tiny.rom"}, more)

    def linux(self, name, memory_mib, args, **more):
        """A domain of the Linux guest; a skipped test if its kernel was not built."""
        files = {"kernel": f"{self.work}/linux.kernel",
                 "initramfs": f"{self.work}/linux.initramfs"}
        if not all(os.path.exists(path) for path in files.values()):
            raise tap.Skip("the Linux guest is not built: tests/guest/build.sh without --tiny-only")
        return self._spec(name, memory_mib, args, files, more)

    def create(self, spec):
        """Starts a transient domain and returns it, running; its guest may still boot."""
        running = Running(spec, self.connection.createXML(spec.xml(), 0))
        self.domains.append(running)
        return running

    def virsh(self, *arguments):
        """Runs virsh against this libvirtd and returns what it printed."""
        done = subprocess.run(["virsh", "-q", "-c", libvirtd.URI, *arguments], text=True,
                              capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"virsh {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def refuse_strangers(self):
        """To be called before a memfoldd is started, which governs every domain of a libvirt: raises
        RuntimeError when one runs that is not the rig's."""
        names = sorted(d.name() for d in self.connection.listAllDomains()
                       if d.isActive() and not d.name().startswith(self.prefix))
        if names:
            raise RuntimeError(f"other domains run here ({', '.join(names)}), and memfoldd would "
                               "govern them, too; end them first, or use a host without any")

    def power_off(self, running, deadline_sec=30.0):
        """Has the guest power itself off, and waits until the domain is gone."""
        running.console.off()
        wait.until(f"{running.name} to power off", lambda: not running.active, deadline_sec)


def leftovers(connection, prefix):
    """Active domains whose name begins with the prefix: what an earlier run left."""
    return [d for d in connection.listAllDomains() if d.name().startswith(prefix)]
