# SPDX-License-Identifier: GPL-2.0-or-later
"""A libvirt host of a test's own, or several that can migrate to each other.

    with virthost.Host(folder, "alpha") as alpha:
        alpha.create("a", emulator, "merge='on'")

Each has a mount namespace (libvirt's state is its own), a UTS namespace (libvirt takes equal names for
one host) and a libvirtd, so that neither the machine's libvirtd nor another test's is seen or disturbed.
Processes, network and the kernel's KSM are the machine's; memfoldd() governs files in KSM's place, which
do not react.
"""

import contextlib
import os
import shutil
import subprocess
import uuid

import fakehost
import libvirtd
import memfoldd
import tap
import wait

PROGRAM = "/usr/sbin/libvirtd"
STATE = ("/run/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt")
NAMESPACE = "urn:memfold:policy:1"
LIBVIRTD_CONF = """
unix_sock_dir = "{folder}/sock"
auth_unix_rw = "none"
host_uuid = "{uuid}"
"""
QEMU_CONF = """
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
"""
DOMAIN = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>{mib}</memory>
<metadata>{policy}</metadata>{more}<os><type arch='x86_64' machine='pc'>hvm</type>{loader}</os><features><acpi/></features>
<devices><emulator>{emulator}</emulator><memballoon model='none'/><controller type='usb' model='none'/>
</devices></domain>"""
# $1: the host's name; $2: its folder; the rest: folders that are its own.
SET_UP = """
hostname "$1"; folder=$2; shift 2
for own; do mount -t tmpfs memfold-test "$own" || exit; done
mount --bind "$folder/etc" /etc/libvirt &&
mount --bind /proc "$folder/host/proc" && mount --bind /run/libvirt "$folder/host/run/libvirt" &&
echo ready && exec sleep infinity >&-
"""


GUEST = "<sysinfo type='fwcfg'><entry name='opt/memfold/args'>{args}</entry></sysinfo>"
LOADER = "<loader readonly='yes' type='rom'>{rom}</loader>"


def domain(name, emulator, attributes=None, mib=32, identity=None, guest=None):
    """XML of a transient domain without disk; attributes: of its policy, None for none; guest: path of the
    tiny guest's ROM, and its arguments."""
    rom, args = guest or ("", "")
    policy = "" if attributes is None else f'<memfold:policy xmlns:memfold="{NAMESPACE}" {attributes}/>'
    return DOMAIN.format(name=name, uuid=identity or uuid.uuid4(), mib=mib, policy=policy, emulator=emulator,
                         more=GUEST.format(args=args) if guest else "", loader=LOADER.format(rom=rom) if guest else "")


class _Inside(memfoldd.Memfoldd):
    """A memfoldd in a host's namespaces."""

    def __init__(self, host, environment):
        super().__init__(environment, host.folder, host.files.root, host.uri)
        self.host = host

    def command(self, *more):
        return self.host.inside(*super().command(*more))


class Host:
    def __init__(self, folder, name, hook=None):
        """hook: text of a program that libvirt calls as its hook for QEMU."""
        if os.geteuid() != 0 or not os.path.exists(PROGRAM):
            raise tap.Skip("needs root and libvirtd")
        self.name = name
        self.folder = f"{folder}/{name}"
        self.files = fakehost.FakeHost(self.folder)
        self.uri = f"qemu+unix:///system?socket={self.folder}/sock/libvirt-sock"
        self._hook = hook
        self._made = []
        self._holder = self._libvirtd = None

    def __enter__(self):
        try:
            self._prepare()
            self._holder = subprocess.Popen(
                ["unshare", "--mount", "--uts", "--propagation", "private", "sh", "-c", SET_UP, "sh", self.name,
                 self.folder, *STATE], stdout=subprocess.PIPE, text=True)
            if self._holder.stdout.readline() != "ready\n":
                raise RuntimeError(f"the host {self.name} could not be set up")
            self.start_libvirtd()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        if self._libvirtd:
            for name in self.running():
                self.virsh("destroy", name, check=False)
            self.stop_libvirtd()
        if self._holder:
            self._holder.kill()
            self._holder.wait()
            self._holder.stdout.close()
        for path in reversed(self._made):
            with contextlib.suppress(OSError):
                os.rmdir(path)

    def _prepare(self):
        for path in STATE:
            if not os.path.exists(path):
                os.makedirs(path)
                self._made.append(path)
        for name in ("sock", "host/run/libvirt"):
            os.makedirs(f"{self.folder}/{name}", exist_ok=True)
        shutil.copytree("/etc/libvirt", f"{self.folder}/etc", symlinks=True)
        for name in ("hooks", "qemu/networks/autostart", "qemu/autostart"):
            shutil.rmtree(f"{self.folder}/etc/{name}", ignore_errors=True)
        if self._hook:
            os.mkdir(f"{self.folder}/etc/hooks")
            with open(f"{self.folder}/etc/hooks/qemu", "w", encoding="utf-8") as hook:
                hook.write(self._hook)
            os.chmod(hook.name, 0o755)
        with open(f"{self.folder}/etc/qemu.conf", "a", encoding="utf-8") as conf:
            conf.write(QEMU_CONF)
        with open(f"{self.folder}/libvirtd.conf", "w", encoding="utf-8") as conf:
            conf.write(LIBVIRTD_CONF.format(folder=self.folder, uuid=uuid.uuid4()))

    def inside(self, *command):
        """The command as it is run in the host's namespaces; the process keeps its PID."""
        return ["nsenter", "-t", str(self._holder.pid), "--mount", "--uts", *command]

    def replace(self, name, path):
        """Has memfoldd read the file at path in place of name of its tree, such as proc/meminfo."""
        subprocess.run(self.inside("mount", "--bind", path, self.files.path(name)), check=True)

    def start_libvirtd(self):
        with open(f"{self.folder}/libvirtd.log", "ab") as log:
            self._libvirtd = subprocess.Popen(
                self.inside(PROGRAM, "-f", f"{self.folder}/libvirtd.conf", "-p", f"{self.folder}/libvirtd.pid"),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=libvirtd.ENVIRONMENT, cwd="/")
        wait.until(f"the libvirtd of {self.name}", self._answers, 60, show=self._log)

    def _answers(self):
        if self._libvirtd.poll() is not None:
            raise RuntimeError(f"libvirtd ended ({self._libvirtd.returncode}): {self._log()}")
        return self.virsh("uri", check=False).returncode == 0

    def _log(self):
        with open(f"{self.folder}/libvirtd.log", encoding="utf-8", errors="replace") as log:
            return log.read()[-2000:]

    def stop_libvirtd(self):
        """Its domains live on."""
        self._libvirtd.terminate()
        self._libvirtd.wait(60)
        self._libvirtd = None

    def kill_libvirtd(self):
        """Whatever it was doing."""
        self._libvirtd.kill()
        self._libvirtd.wait()
        self._libvirtd = None

    def memfoldd(self, environment):
        """A memfoldd of this host, to be started, on the bus of environment."""
        return _Inside(self, environment)

    def virsh(self, *words, check=True):
        done = subprocess.run(["virsh", "-q", "-c", self.uri, *words], text=True, capture_output=True, check=False,
                              timeout=120, env=libvirtd.ENVIRONMENT)
        if check and done.returncode:
            raise RuntimeError(f"virsh {' '.join(words)}: {done.stderr.strip()}")
        return done

    def create(self, name, emulator, attributes=None, **more):
        self.create_xml(name, domain(name, emulator, attributes, **more))

    def create_xml(self, name, xml):
        path = f"{self.folder}/{name}.xml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(xml)
        self.virsh("create", path)

    def set_policy(self, name, attributes):
        self.virsh("metadata", name, NAMESPACE, "--key", "memfold", "--set", f"<policy {attributes}/>", "--live")

    def running(self):
        return self.virsh("list", "--name", check=False).stdout.split()

    def path(self, path):
        """Where this host's file is for everybody."""
        return f"/proc/{self._holder.pid}/root{path}"

    def pid(self, name):
        """Of the domain's QEMU."""
        with open(self.path(f"/run/libvirt/qemu/{name}.pid"), encoding="ascii") as file:
            return int(file.read())
