#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the two parts of the root of the host that tests/stack boots, archives that the kernel unpacks one over the other.

    image.py key                       a hash of what the base would be made of
    image.py base OUT                  libvirt, our QEMU and what they need, as they are installed here
    image.py payload OUT BUILD GUEST   memfold of that build, the guests, and the scripts of the host

The base changes when the machine's packages or our QEMU do; the payload with every build, and is small. A root in
memory needs no disk and no file system of the kernel, so that the kernels of the tier kernel-speed serve.
"""

import argparse
import grp
import hashlib
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
import domain  # noqa: E402

LIBRARIES = "/usr/lib/x86_64-linux-gnu"
QEMU = "/opt/memfold/bin/qemu-system-x86_64"
PROGRAMS = (
    "/usr/sbin/libvirtd", "/usr/sbin/virtlogd", "/usr/bin/virsh", "/usr/lib/libvirt/libvirt_iohelper",
    f"{LIBRARIES}/libvirt/connection-driver/libvirt_driver_qemu.so", "/usr/bin/dbus-daemon", "/usr/bin/dbus-send",
    "/usr/bin/setpriv", "/sbin/ldconfig",
)
# What memfold links beyond these; the newest of each name is taken.
LINKED = ("libvirt-qemu.so.0", "libvirt-glib-1.0.so.0", "libjson-glib-1.0.so.0", "libgio-2.0.so.0", "libxml2.so.2",
          "libxxhash.so.0", "libsystemd.so.0")
DATA = ("/etc/libvirt", "/usr/share/libvirt", "/usr/share/seabios", "/usr/share/qemu/kvmvapic.bin",
        "/usr/share/qemu/linuxboot.bin", "/usr/share/qemu/linuxboot_dma.bin", "/usr/share/qemu/multiboot.bin",
        "/usr/share/qemu/multiboot_dma.bin", "/usr/share/qemu/pvh.bin", "/usr/share/dbus-1/system.conf",
        "/etc/dbus-1", "/usr/lib/locale/C.utf8", "/etc/ld.so.conf", "/etc/ld.so.conf.d")
BUSYBOX = os.environ.get("MEMFOLD_BUSYBOX", "/bin/busybox")
USERS = ("root", "nobody", "libvirt-qemu", "messagebus")
GROUPS = ("root", "nogroup", "kvm", "libvirt", "libvirt-qemu", "messagebus", "tty", "disk", "adm", "netdev")
FOLDERS = ("proc", "sys", "dev", "run", "tmp", "root", "memfold", "var/lib/dbus", "var/lib/libvirt", "var/cache/libvirt",
           "var/log/libvirt", "etc/libvirt/hooks/qemu.d")
ALIASES = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64", "var/run": "../run",
           "var/lock": "../run/lock"}
INITTAB = """::sysinit:/memfold/host/boot.sh
::once:/memfold/host/agent.sh
::once:/memfold/host/console.sh
"""
INIT = """#!/bin/busybox sh
mount -t devtmpfs devtmpfs /dev
exec /bin/busybox init
"""


def closure(paths):
    """The files that the loader maps for these programs, the loader among them."""
    found = set()
    for path in paths:
        done = subprocess.run(["ldd", path], text=True, capture_output=True, check=False)
        missing = re.findall(r"(\S+) => not found", done.stdout)
        if missing:
            raise SystemExit(f"image.py: {path} needs {', '.join(missing)}, which is not here")
        found.update(re.findall(r"(/\S+)", done.stdout.replace(f"{path}:", "")))
    return sorted(found)


def put(root, path, to=None):
    """Copies a file or folder of this machine to its place below root; links are followed."""
    target = root / (to or path).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.isdir(path):
        shutil.copytree(path, target, dirs_exist_ok=True)
    else:
        shutil.copy(path, target)


def accounts(root):
    """Users and groups by the numbers that they have here."""
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    users = [known[name] for name in USERS if name in known]
    (root / "etc/passwd").write_text("".join(
        f"{u.pw_name}:x:{u.pw_uid}:{u.pw_gid}::{u.pw_dir}:{'/bin/sh' if u.pw_uid == 0 else '/bin/false'}\n"
        for u in users))
    (root / "etc/group").write_text("".join(
        f"{g.gr_name}:x:{g.gr_gid}:{','.join(m for m in g.gr_mem if m in USERS)}\n"
        for g in grp.getgrall() if g.gr_name in GROUPS))


def busybox(root):
    """Its commands, where no real one is."""
    put(root, BUSYBOX, "usr/bin/busybox")
    for name in subprocess.run([BUSYBOX, "--list"], text=True, capture_output=True, check=True).stdout.split():
        link = root / "usr/bin" / name
        if not link.exists() and not (root / "usr/sbin" / name).exists():
            link.symlink_to("busybox")


def pack(root, out):
    partial = pathlib.Path(f"{out}.new")
    names = "\0".join(sorted(str(path.relative_to(root)) for path in root.rglob("*"))) + "\0"
    with open(partial, "wb") as file:
        subprocess.run(["cpio", "-o", "-0", "-H", "newc", "-R", "0:0", "--quiet"], input=names.encode(), stdout=file,
                       cwd=root, check=True)
    partial.rename(out)


def sources():
    """The files and folders of this machine that the base has copies of."""
    linked = [f"{LIBRARIES}/{name}" for name in LINKED]
    return [*PROGRAMS, *linked, *closure((*PROGRAMS, *linked, QEMU)), *DATA]


def key():
    """By size and time of each, and this script."""
    said = hashlib.sha256(pathlib.Path(__file__).read_bytes())
    for path in (*sources(), QEMU, BUSYBOX):
        for file in sorted(pathlib.Path(path).rglob("*")) if os.path.isdir(path) else [path]:
            found = os.stat(file)
            said.update(f"{file} {found.st_size} {found.st_mtime_ns}\n".encode())
    return said.hexdigest()[:16]


def base(root):
    for link, target in ALIASES.items():
        (root / link).parent.mkdir(parents=True, exist_ok=True)
        ((root / link).parent / target).mkdir(parents=True, exist_ok=True)
        (root / link).symlink_to(target)
    for name in FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    for path in sources():
        put(root, path)
    target = root / QEMU.lstrip("/")
    target.parent.mkdir(parents=True)
    subprocess.run(["strip", "-o", target, QEMU], check=True)
    busybox(root)
    accounts(root)
    # A network that nobody asked for would need a firewall, and hooks are the test's.
    for name in ("etc/libvirt/qemu/networks", "etc/libvirt/hooks"):
        shutil.rmtree(root / name, ignore_errors=True)
    (root / "etc/libvirt/hooks/qemu.d").mkdir(parents=True)
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost host\n")
    (root / "etc/hostname").write_text("host\n")
    (root / "etc/machine-id").write_text("6d656d666f6c64000000000000000001\n")
    (root / "etc/inittab").write_text(INITTAB)
    (root / "usr/sbin/init").unlink(missing_ok=True)
    init = root / "init"
    init.write_text(INIT)
    init.chmod(0o755)
    os.chmod(root / "tmp", 0o1777)


def helper(root, name, folder=HERE):
    """A program of ours for the host, linked statically; `folder` has its source."""
    target = root / "memfold/bin" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["gcc", "-O2", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-static", "-o", target,
                    folder / f"{name}.c"], check=True)


def payload(root, build, guest):
    with tempfile.TemporaryDirectory(prefix="memfold-install.") as name:
        subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", name], check=True,
                       stdout=subprocess.DEVNULL)
        os.chmod(name, 0o755)
        shutil.copytree(name, root / "memfold/root", symlinks=True)
    for path in (root / "memfold/root").rglob("*"):
        if path.is_file() and not path.is_symlink() and path.read_bytes()[:4] == b"\x7fELF":
            subprocess.run(["strip", "--strip-debug", path], check=True)
    for name in ("pages", "ask"):
        helper(root, name)
    for folder in ("guest", "host"):
        (root / "memfold" / folder).mkdir()
    for path in pathlib.Path(guest).iterdir():
        if path.name != "complete":
            shutil.copy(path, root / "memfold/guest")
    for name in ("boot.sh", "agent.sh", "console.sh"):
        shutil.copy(HERE / name, root / "memfold/host")
    for name, group in (("a1", "tenant-a"), ("b1", "tenant-b")):
        spec = domain.Domain(name=name, emulator=QEMU, console=f"/run/memfold-guest/{name}", memory_mib=32,
                             args="seed=7 common_mib=8 dup_mib=1 zero_mib=1 unique_mib=2",
                             rom="/memfold/guest/tiny.rom", policy={"merge": "on", "group": group})
        (root / "memfold/host" / f"{name}.xml").write_text(spec.xml())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("key", "base", "payload"))
    parser.add_argument("out", nargs="?")
    parser.add_argument("more", nargs="*")
    options = parser.parse_args()
    if options.kind == "key":
        print(key())
        return
    with tempfile.TemporaryDirectory(prefix="memfold-image.") as name:
        root = pathlib.Path(name)
        os.chmod(root, 0o755)
        if options.kind == "base":
            base(root)
        else:
            payload(root, *options.more)
        pack(root, options.out)


if __name__ == "__main__":
    main()
