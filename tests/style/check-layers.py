#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls go down the house only: daemon -> engine -> io -> core; cli -> lib (and core); the hook has its
own reader, io's domain XML and configuration, core and the names.  Includes tell, so includes are what is checked."""

import pathlib
import re

import tree

INCLUDE = re.compile(r"^\s*#\s*include\s+([\"<])([^\">]+)[\">]", re.MULTILINE)
LAYERS = {
    "src/core": (),
    "src/io": ("src/core",),
    "src/engine": ("src/core", "src/io"),
    "src/lib": (),
    "src/daemon": ("src/core", "src/io", "src/engine", "src/lib"),
    "src/cli": ("src/core", "src/lib"),
    "libvirt-hooks": ("src/core",),
}
# Single headers that a layer may use beside its layers.
ALSO = {
    "src/cli": ("mf-configfile.h", "mf-root.h", "mf-host.h", "mf-ksm.h"),  # doctor, config check: no daemon
    "libvirt-hooks": ("mf-domxml.h", "mf-root.h", "mf-configfile.h"),
    "src/lib": ("mf-names.h",),
}
# What core may include from outside: no I/O, no clock, no object.
CORE_SYSTEM = ("glib.h", "string.h", "stdint.h", "stdbool.h", "stddef.h", "limits.h", "errno.h", "inttypes.h",
               "libxml/parser.h", "libxml/tree.h", "libxml/xmlreader.h", "libxml/xmlerror.h", "libxml/SAX2.h")
IMPURE = re.compile(r"\b(g_get_monotonic_time|g_get_real_time|g_date_time_new_now\w*|clock_gettime|time|getenv|"
                    r"g_getenv|g_file_\w+|g_key_file_load_from_file|read|write|ioctl)\s*\(")
WALL_CLOCK = re.compile(r"\b(g_get_real_time|g_date_time_new_now\w*|gettimeofday|time|CLOCK_REALTIME\w*)\b\s*[(,)]")
FLOATING = re.compile(r"\b(float|double|gdouble|gfloat)\b")


def layer_of(path):
    folder = str(pathlib.PurePath(path).parent)
    return folder if folder in LAYERS else None


def owners():
    """Which layer each header of the house lives in."""
    return {path.name: layer_of(path) for path in tree.files() if path.suffix == ".h" and layer_of(path)}


def includes_go_down():
    home = owners()
    for path, text in tree.sources(*tree.C_SUFFIXES):
        layer = layer_of(path)
        for _, name in INCLUDE.findall(text) if layer else ():
            base = pathlib.PurePath(name).name
            target = home.get(base)
            if target in (None, layer) or target in LAYERS[layer] or base in ALSO.get(layer, ()):
                continue
            yield f"{path}: includes {name}, but {layer} may not call {target}"


def core_is_pure():
    for path, text in tree.sources(*tree.C_SUFFIXES):
        if layer_of(path) != "src/core":
            continue
        for kind, name in INCLUDE.findall(text):
            if kind == "<" and name not in CORE_SYSTEM:
                yield f"{path}: core includes <{name}>"
        code = tree.c_code(text)
        for pattern, what in ((IMPURE, "core is pure, yet calls"), (FLOATING, "core has no floating point, yet has")):
            for match in pattern.finditer(code):
                yield f"{path}:{tree.line_of(code, match.start())}: {what} {match.group().rstrip('( ')}"


def daemon_has_no_wall_clock():
    """A clock that is set, or jumps, changes nothing that memfoldd does: it never asks it."""
    for path, text in tree.sources(*tree.C_SUFFIXES):
        if layer_of(path) in ("src/io", "src/engine", "src/daemon"):
            code = tree.c_code(text)
            for match in WALL_CLOCK.finditer(code):
                yield f"{path}:{tree.line_of(code, match.start())}: asks the wall clock by {match.group().rstrip('( ')}"


def library_is_public():
    for path, text in tree.sources(".h"):
        if path.name == "memfold.h":
            for _, name in INCLUDE.findall(text):
                if name.startswith("mf-") or "/mf-" in name:
                    yield f"{path}: the public header includes the private {name}"


if __name__ == "__main__":
    tree.main([
        ("includes go down the layers only", includes_go_down),
        ("core is pure", core_is_pure),
        ("the daemon has no wall clock", daemon_has_no_wall_clock),
        ("the public header stands alone", library_is_public),
    ])
