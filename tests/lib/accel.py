# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether KVM can run a guest here: found out by running one, since /dev/kvm may lie."""

import functools
import os
import shutil
import subprocess
import tempfile

import guest
import wait


def find_emulator(path=None):
    """The emulator to use: the one asked for, ours, or the distribution's; absolute."""
    ours = os.environ.get("MEMFOLD_QEMU", "/opt/memfold/bin/qemu-system-x86_64")
    for candidate in (path,) if path else (ours, shutil.which("qemu-system-x86_64")):
        if candidate and os.access(candidate, os.X_OK):
            return os.path.abspath(candidate)
    raise FileNotFoundError(f"no emulator: {path or ours} cannot be executed")


def find_stock_emulator():
    """The distribution's emulator, or None."""
    stock = os.environ.get("MEMFOLD_STOCK_QEMU", "/usr/bin/qemu-system-x86_64")
    return stock if os.access(stock, os.X_OK) else None


def _boots(emulator, machine, deadline_sec):
    """True if the guest that `machine` describes gets ready in time."""
    with tempfile.TemporaryDirectory(prefix="memfold-accel-") as work:
        console = f"{work}/console"
        command = [emulator, "-nodefaults", "-display", "none", "-no-reboot", *machine,
                   "-serial", f"unix:{console},server=on,wait=off"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True)
        tried = guest.Console(console)
        try:
            tried.wait_ready(deadline_sec, alive=lambda: process.poll() is None)
            return True
        except (wait.Timeout, guest.GuestError):
            return False
        finally:
            tried.close()
            process.kill()
            process.wait()


def works(emulator, directory, accel):
    """True if both guests of a directory made by build.sh get ready with this accelerator.

    The tiny guest writes 32 MiB first: where each page fault is emulated by another hypervisor
    that takes a minute, and a guest that is slower than TCG's is no use. The Linux guest, if it
    was built, needs what a real kernel asks of a processor.
    """
    tiny = ["-M", f"pc,accel={accel}", "-m", "48", "-bios", f"{directory}/tiny.rom",
            "-fw_cfg", "name=opt/memfold/args,string=common_mib=32"]
    linux = ["-M", f"pc,accel={accel}", "-m", "128", "-kernel", f"{directory}/linux.kernel",
             "-initrd", f"{directory}/linux.initramfs", "-append", "console=ttyS0 quiet"]
    has_linux = os.path.exists(f"{directory}/linux.kernel")
    return _boots(emulator, tiny, 2.0) and (not has_linux or _boots(emulator, linux, 10.0))


@functools.cache
def choose(emulator, directory):
    """'kvm' if it really works here, else 'tcg'."""
    usable = os.access("/dev/kvm", os.R_OK | os.W_OK) and works(emulator, directory, "kvm")
    return "kvm" if usable else "tcg"
