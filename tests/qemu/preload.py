# SPDX-License-Identifier: GPL-2.0-or-later
"""Libraries that a QEMU has in front of libc, each built from a C file here when it is first wanted."""

import os
import pathlib
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
_folder = tempfile.TemporaryDirectory(prefix="memfold-preload-")


def library(name):
    """The path of the library that NAME.c makes."""
    path = pathlib.Path(_folder.name) / f"{name}.so"
    if not path.exists():
        subprocess.run([os.environ.get("CC", "cc"), "-Wall", "-Wextra", "-D_GNU_SOURCE", "-shared",
                        "-fPIC", "-o", path, HERE / f"{name}.c"], check=True)
    return path
