#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`meson install` puts everything where a distribution expects it, nothing elsewhere, and no configuration over
one that was changed.

Usage: test_install.py MESON BUILD_ROOT COMPILER NAME=DIRECTORY... -- [TEST...]
"""

import contextlib
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402

END = sys.argv.index("--")
MESON, BUILD, COMPILER = sys.argv[1:4]
DIRS = dict(word.split("=", 1) for word in sys.argv[4:END])
sys.argv[1:END + 1] = []

WANTED = {
    "bindir": {"memfold": 0o755},
    "sbindir": {"memfoldd": 0o755},
    "hookdir": {"50-memfold": 0o755},
    "unitdir": {"memfoldd.service": 0o644},
    "confdir": {"memfold.conf": 0o644},
    "includedir": {"memfold.h": 0o644},
    "libdir": {"libmemfold.so": None, "libmemfold.so.0": None, "libmemfold.so.0.1.0": 0o755,
               "pkgconfig/memfold.pc": 0o644},
    "mandir": {"man1/memfold.1": 0o644, "man5/memfold.conf.5": 0o644, "man8/memfoldd.8": 0o644,
               "man8/memfold-hook.8": 0o644},
    "datadir": {"bash-completion/completions/memfold": 0o644, "dbus-1/interfaces/org.memfold1.xml": 0o644,
                "dbus-1/system.d/org.memfold1.conf": 0o644, "polkit-1/actions/org.memfold1.policy": 0o644},
}
CLIENT = """
#include <memfold.h>
int main(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MemfoldClient) client = memfold_client_new(&error);
    return client == NULL && g_error_matches(error, MEMFOLD_ERROR, MEMFOLD_ERROR_NO_DAEMON) ? 0 : 1;
}
"""


def install(folder):
    result = subprocess.run([MESON, "install", "-C", BUILD, "--no-rebuild", "--destdir", str(folder)], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=120)
    tap.equal(result.returncode, 0, f"exit code of meson install:\n{result.stdout}")


def place(folder, name):
    return folder / DIRS[name].lstrip("/")


@contextlib.contextmanager
def installed():
    with tempfile.TemporaryDirectory() as folder:
        install(folder)
        yield pathlib.Path(folder)


@tap.test
def everything_is_there_and_nothing_else(folder):
    wanted = {place(folder, where) / name: mode for where, files in WANTED.items() for name, mode in files.items()}
    found = {path: None if path.is_symlink() else path.stat().st_mode & 0o7777
             for path in folder.rglob("*") if not path.is_dir()}
    tap.equal(sorted(map(str, set(found) ^ set(wanted))), [], "files missing or too many")
    tap.equal({str(p): oct(m) for p, m in found.items() if m != wanted[p] and m is not None}, {}, "modes")
    tap.check((place(folder, "confdir") / "memfold.conf.d").is_dir(), "no folder for drop-ins")


@tap.test
def no_file_names_another_folder(folder):
    """Neither where it was built nor where it was put for the while, and no place left unfilled."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and b"\x7fELF" != path.read_bytes()[:4]:
            text = path.read_text(encoding="utf-8")
            tap.check(BUILD not in text and str(folder) not in text, f"{path} names a folder of the build")
            tap.check("@sbindir@" not in text and "@bindir@" not in text, f"{path} has an unfilled place")
    unit = (place(folder, "unitdir") / "memfoldd.service").read_text(encoding="utf-8")
    tap.check(f"ExecStart={DIRS['sbindir']}/memfoldd\n" in unit, unit)
    tap.check(f"ExecStopPost={DIRS['sbindir']}/memfoldd --restore\n" in unit, unit)


@tap.test
def it_is_ready_before_libvirt_starts_domains_at_boot(folder):
    unit = (place(folder, "unitdir") / "memfoldd.service").read_text(encoding="utf-8").splitlines()
    words = {key: {word for line in unit if line.startswith(f"{key}=") for word in line.split("=", 1)[1].split()}
             for key in ("After", "Before")}
    libvirt = {"libvirtd.service", "virtqemud.service"}
    tap.check(libvirt <= words["Before"], f"Before={words['Before']}")
    tap.check(not libvirt & words["After"], f"After={words['After']}")


@tap.test
def systemd_takes_the_unit(folder):
    if not shutil.which("systemd-analyze"):
        tap.skip("systemd-analyze is not installed")
    text = (place(folder, "unitdir") / "memfoldd.service").read_text(encoding="utf-8")
    unit = folder / "memfoldd.service"
    for name in ("sbindir", "bindir"):  # the programs of this build are not where the unit says
        text = re.sub(rf"={re.escape(DIRS[name])}/memfoldd?\b", "=/bin/true", text)
    unit.write_text(text, encoding="utf-8")
    result = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], text=True, check=False,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    complaints = [line for line in result.stdout.splitlines() if "memfoldd" in line]
    tap.equal(complaints, [], "complaints")
    result = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--threshold=21", str(unit)],
                            text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    unit.unlink()
    tap.diag(result.stdout.strip().splitlines()[-1].encode("ascii", "ignore").decode())
    tap.equal(result.returncode, 0, "exposure above 2.1")


@tap.test
def the_interfaces_actions_are_installed(folder):
    policy = xml.etree.ElementTree.parse(place(folder, "datadir") / "polkit-1/actions/org.memfold1.policy")
    actions = {action.get("id") for action in policy.iter("action")}
    interface = (place(folder, "datadir") / "dbus-1/interfaces/org.memfold1.xml").read_text(encoding="utf-8")
    tap.equal(actions, {"org.memfold1.set", "org.memfold1.reload", "org.memfold1.estimate", "org.memfold1.audit"}, "actions")
    for action in actions:
        tap.check(action in interface, f"{action} in the interface's description")


@tap.test
def a_client_builds_with_the_installed_library(folder):
    libdir, source, program = place(folder, "libdir"), folder / "client.c", folder / "client"
    source.write_text(CLIENT, encoding="utf-8")
    pc = subprocess.run(["pkg-config", "--print-requires", "--modversion", str(libdir / "pkgconfig/memfold.pc")],
                        text=True, stdout=subprocess.PIPE, check=True).stdout.split()
    tap.equal(pc, ["0.1.0", "gio-2.0"], "version and requirements")
    gio = subprocess.run(["pkg-config", "--cflags", "--libs", "gio-2.0"], text=True, stdout=subprocess.PIPE,
                         check=True).stdout.split()
    result = subprocess.run([COMPILER, "-std=c99", "-Wall", "-Wextra", "-Werror", str(source), "-o", str(program),
                             f"-I{place(folder, 'includedir')}", f"-L{libdir}", "-lmemfold", *gio],
                            text=True, stderr=subprocess.PIPE, check=False)
    tap.equal(result.returncode, 0, result.stderr)
    result = subprocess.run([program], check=False, env={"LD_LIBRARY_PATH": str(libdir),
                                                         "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"})
    tap.equal(result.returncode, 0, "exit code of the client")
    source.unlink()
    program.unlink()


@tap.test
def a_changed_configuration_is_kept(folder):
    target = place(folder, "confdir") / "memfold.conf"
    shipped = target.read_text(encoding="utf-8")
    install(folder)
    tap.check(not target.with_name("memfold.conf.new").exists(), "a second copy of an unchanged file")
    target.write_text("[ksmd]\nmanage=false\n", encoding="utf-8")
    install(folder)
    tap.equal(target.read_text(encoding="utf-8"), "[ksmd]\nmanage=false\n", "the operator's configuration")
    tap.equal(target.with_name("memfold.conf.new").read_text(encoding="utf-8"), shipped, "the shipped one")


if __name__ == "__main__":
    tap.main(context=installed)
