# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine that is a program of the host: Linux for UML, with a root of busybox in memory and one program.

It runs at the speed of the processor, with its caches: what TCG does not show. The memory of the machine
is a file on a tmpfs of huge pages, since a kernel's own mapping of memory is of such. That tmpfs is
mounted in a mount namespace of the machine, so that it goes with it; this needs root.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BUSYBOX = os.environ.get("MEMFOLD_BUSYBOX", "/bin/busybox")
# The C library of a static program registers an area for outputartable sequences, which the processes of the
# machine inherit and lose: the host ends them.
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.pthread.rseq=0", "PATH": "/usr/bin:/bin"}
# Room of the tmpfs beyond the machine's memory.
ROOM_MIB = 64


def pack(folder, command, files):
    """Makes folder/initrd; returns its path."""
    root = folder / "root"
    for name in ("bin", "proc", "sys", "dev", "tmp", "test"):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    shutil.copy(HERE / "uml/init.sh", root / "init")
    (root / "test/command").write_text(" ".join(command) + "\n")
    for name, path in files.items():
        shutil.copy(path, root / "test" / name)
    names = "\0".join(sorted(str(path.relative_to(root)) for path in root.rglob("*"))) + "\0"
    with open(folder / "initrd", "wb") as out:
        subprocess.run(["cpio", "-o", "-0", "-H", "newc", "--quiet"], input=names.encode(), stdout=out,
                       cwd=root, check=True)
    return folder / "initrd"


def arguments(linux, initrd, folder, memory):
    """The command line: the namespace, the tmpfs, and in it the machine."""
    mount = (f"mount -t tmpfs -o size={memory + ROOM_MIB}m,huge=always,mode=700 none {folder}/memory && "
             f"TMPDIR={folder}/memory exec \"$@\"")
    return ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "sh", "-c", mount, "sh", str(linux),
            f"mem={memory}M", f"initrd={initrd}", "con=null", "con0=null,fd:1", "quiet", "panic=-1"]


def run(linux, memory, command, files, timeout):
    """Boots `linux` with `memory` MiB and runs `command`; returns its lines, and what went wrong or ""."""
    with tempfile.TemporaryDirectory(prefix="memfold-uml.") as name:
        folder = pathlib.Path(name)
        (folder / "memory").mkdir()
        initrd = pack(folder, command, files)
        trouble = ""
        with open(folder / "output", "wb") as out:
            process = subprocess.Popen(arguments(linux, initrd, folder, memory), stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=out, env=ENVIRONMENT | {"HOME": name},
                                       start_new_session=True)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            trouble = f"no end within {timeout} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        text = (folder / "output").read_text(errors="replace")
    return text.replace("\r", "").splitlines(), trouble
