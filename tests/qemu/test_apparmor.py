#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines for AppArmor are lines that Debian's profiles take up, and allow what our QEMU opens and nothing that is not
asked for here. They are compiled, and not loaded: enforcing them needs a kernel with AppArmor.

Usage: test_apparmor.py SOURCE_ROOT [TEST...]
"""

import contextlib
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402

SOURCE = pathlib.Path(sys.argv.pop(1))
LINES = SOURCE / "qemu-patches" / "apparmor"
PROFILES = pathlib.Path("/etc/apparmor.d")
PARSER = shutil.which("apparmor_parser", path="/usr/sbin:/sbin:/usr/bin:/bin")
# As virt-aa-helper makes them, one for each domain.
GUEST = "libvirt-c7a5fdbd-edaf-9455-926a-d65c16db1809"
PROFILE = f"""#include <tunables/global>
profile {GUEST} flags=(attach_disconnected) {{
  #include <abstractions/libvirt-qemu>
}}
"""
# What the series' own code opens; its tests apart.
OPENED = re.compile(r'^\+(?!.*g_(?:test|assert)).*(?:g_file_get_contents|fopen)\("(/(?:proc|sys)/[^"%]+)"', re.MULTILINE)


@contextlib.contextmanager
def profiles():
    """A copy of the profiles with our lines in their local parts, as setup puts them there."""
    if not PARSER or not all((PROFILES / name).exists() for name in ("abstractions/libvirt-qemu", "tunables/global")):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="memfold-apparmor-") as folder:
        base = pathlib.Path(folder, "base")
        shutil.copytree(PROFILES, base)
        for path in LINES.rglob("*"):
            if path.is_file():
                target = base / "local" / path.relative_to(LINES)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
        (base / "guest").write_text(PROFILE, encoding="utf-8")
        yield base


def parse(base, name, *options):
    if base is None:
        tap.skip("apparmor, or libvirt with its profiles, is not installed")
    return subprocess.run([PARSER, "--skip-kernel-load", "--skip-cache", *options, "--base", str(base), "-I", str(base),
                           str(base / name)], text=True, capture_output=True, check=False, timeout=60)


def own_rules(name):
    text = (LINES / name).read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


@tap.test
def the_profiles_take_them_up(base):
    for profile, lines in (("guest", "abstractions/libvirt-qemu"), ("usr.sbin.libvirtd", "usr.sbin.libvirtd")):
        tap.equal(parse(base, profile).returncode, 0, f"status of the parser for {profile}: {parse(base, profile).stderr}")
        text = parse(base, profile, "--preprocess").stdout
        for rule in own_rules(lines):
            tap.check(rule in text, f"{profile} has no rule {rule!r}")


@tap.test
def a_line_that_is_wrong_is_noticed(base):
    tap.equal(parse(base, "guest").returncode, 0, "status of the parser")
    with tempfile.TemporaryDirectory() as folder:
        broken = pathlib.Path(folder, "base")
        shutil.copytree(base, broken)
        with open(broken / "local/abstractions/libvirt-qemu", "a", encoding="utf-8") as file:
            file.write("  /sys/kernel/mm/ksm/run rx\n")
        tap.check(parse(broken, "guest").returncode != 0, "the parser took a line without a comma")


@tap.test
def what_our_qemu_opens_is_allowed():
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((SOURCE / "qemu-patches").glob("*.patch")))
    opened = set(OPENED.findall(text))
    rules = "\n".join(own_rules("abstractions/libvirt-qemu"))
    tap.check({"/proc/self/smaps", "/proc/self/ksm_stat", "/sys/kernel/mm/ksm/run"} <= opened, f"opened: {opened}")
    for path in opened:
        name = path.rpartition("/")[2]
        place = "@{PROC}/@{pid}/" if path.startswith("/proc/self/") else path.removesuffix(name)
        tap.check(re.search(rf"{re.escape(place)}\{{[^}}]*\b{name}\b[^}}]*\}} r,", rules), f"{path} is not allowed")


@tap.test
def nothing_is_writable_by_them():
    for rule in own_rules("abstractions/libvirt-qemu"):
        tap.check(re.search(r" (r|rmix),$", rule), f"{rule!r} allows more than reading and running")
        tap.check(not rule.endswith("rmix,") or rule.startswith("/opt/memfold/bin/"), f"{rule!r} runs what is not ours")


if __name__ == "__main__":
    tap.main(context=profiles)
