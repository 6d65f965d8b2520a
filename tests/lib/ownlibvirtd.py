# SPDX-License-Identifier: GPL-2.0-or-later
"""A qemu:///system of the test's own with memfold's hook, so that the host's is neither seen nor disturbed.

    def main():
        ownlibvirtd.enter_namespace(__file__)
        hook, hookdir, rundir = (sys.argv.pop(1) for _ in range(3))
        ...
        with ownlibvirtd.running(hook, hookdir, rundir) as libvirtd:
            libvirtd.virsh("create", ownlibvirtd.write_domain(libvirtd.folder, "vm", 16))
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import tap
import wait

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
DOMAIN = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>{memory_mib}</memory>
<metadata>{policy}</metadata>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><memballoon model='none'/>
<controller type='usb' model='none'/></devices></domain>"""


def enter_namespace(script):
    """Runs the script again in a mount namespace of its own, with all its arguments but the mark that this
    leaves; a script that can't be run here ends, and says so."""
    if os.geteuid() != 0 or not os.path.exists("/usr/sbin/libvirtd"):
        print("1..0 # SKIP needs root and libvirtd")
        sys.exit(0)
    if sys.argv[1] == INSIDE:
        sys.argv.pop(1)
        return
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable,
                          os.path.abspath(script), INSIDE, os.path.abspath(sys.argv[1]), *sys.argv[2:]])


def policy(**attributes):
    words = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f'<memfold:policy xmlns:memfold="{NS}"{words}/>'


def write_domain(folder, name, memory_mib, policy_xml=""):
    """A domain without anything but memory; returns the path of its XML."""
    path = pathlib.Path(f"{folder}/{name}.xml")
    path.write_text(DOMAIN.format(name=name, memory_mib=memory_mib, policy=policy_xml), encoding="utf-8")
    return str(path)


def _mount(*words):
    subprocess.run(["mount", *words], check=True)


class Libvirtd:
    def __init__(self, folder):
        self.folder, self.process = folder, None

    def start(self):
        with open(f"{self.folder}/libvirtd.out", "ab") as output:
            # Its usual PID file is a lock, which the host's libvirtd may have.
            self.process = subprocess.Popen(["/usr/sbin/libvirtd", "--pid-file", f"{self.folder}/libvirtd.pid"],
                                            stdout=output, stderr=output, stdin=subprocess.DEVNULL)
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

    @staticmethod
    def pid(name):
        return int(pathlib.Path(f"/run/libvirt/qemu/{name}.pid").read_text(encoding="ascii"))


def _own_folder(stack, path):
    """An empty file system over path, which goes again when it was not there."""
    if not os.path.exists(path):
        os.mkdir(path)
        stack.callback(os.rmdir, path)
    _mount("-t", "tmpfs", "memfold-test", path)
    stack.callback(subprocess.run, ["umount", "-l", path], check=True)


def _prepare_namespace(stack, folder, hook, hookdir, own):
    for path in (*STATE, *own):
        _own_folder(stack, path)
    shutil.copytree("/etc/libvirt", f"{folder}/etc", symlinks=True)
    shutil.rmtree(f"{folder}/etc/qemu/networks/autostart", ignore_errors=True)
    with open(f"{folder}/etc/qemu.conf", "a", encoding="utf-8") as conf:
        conf.write(QEMU_CONF)
    _mount("--bind", f"{folder}/etc", "/etc/libvirt")
    stack.callback(subprocess.run, ["umount", "-l", "/etc/libvirt"], check=True)
    shutil.rmtree("/etc/libvirt/hooks", ignore_errors=True)
    os.makedirs(hookdir, exist_ok=True)
    shutil.copy(hook, f"{hookdir}/50-memfold")


@contextlib.contextmanager
def running(hook, hookdir, *own):
    """A libvirtd with the hook, in empty folders of its own, `own` among them."""
    with tempfile.TemporaryDirectory(prefix="memfold-hook-") as folder, contextlib.ExitStack() as stack:
        _prepare_namespace(stack, folder, hook, hookdir, own)
        libvirtd = Libvirtd(folder)
        stack.callback(libvirtd.stop)
        libvirtd.start()
        yield libvirtd
