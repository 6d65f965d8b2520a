#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The test library's own tests: that a failure shows, and that what it reads is what is there."""

import mmap
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import domain
import guest
import lockfile
import pagemap
import rig
import smaps
import tap
import wait

READY = ("READY kind=tiny ram_pages=16384 first_page=512 filler_pages=414 hole_pages=96 seed=7 "
         "salt=3 common_pages=2048 dup_pages=512 dup_copies=4 zero_pages=256 unique_pages=128 "
         "dirty_pages=48 later_pages=1")


def run_suite(body, *arguments):
    """Runs a test file made of `body`; returns (exit status, lines that are no diagnostics)."""
    script = f"import sys; sys.path.insert(0, {HERE!r})\nimport tap, contextlib\n{body}\n"
    done = subprocess.run([sys.executable, "-c", script, *arguments], text=True,
                          capture_output=True, check=False)
    return done.returncode, [x for x in done.stdout.splitlines() if not x.startswith("#")]


@tap.test
def failing_test_fails_the_run():
    status, lines = run_suite("""
@tap.test
def good(): pass
@tap.test
def bad(): tap.equal(1, 2, "one")
@tap.test
def broken(): raise OSError("gone")
@tap.test
def unable(): tap.skip("no such thing here")
tap.main()""")
    tap.equal(status, 1, "exit status")
    tap.equal(lines, ["TAP version 13", "1..4", "ok 1 - good", "not ok 2 - bad", "not ok 3 - broken",
                      "ok 4 - unable # SKIP no such thing here"], "output")


@tap.test
def only_its_owner_can_hold_a_lock():
    with tempfile.TemporaryDirectory() as folder, lockfile.open_private(f"{folder}/lock") as file:
        tap.equal(os.fstat(file.fileno()).st_mode & 0o777, 0o600, "mode")
        tap.check(not os.get_inheritable(file.fileno()), "a child inherits it")


@tap.test
def context_decides_for_all():
    suite = """
@contextlib.contextmanager
def context():
    raise {}
    yield
@tap.test
def one(): pass
tap.main(context=context)"""
    status, lines = run_suite(suite.format("tap.Skip('not here')"))
    tap.equal((status, lines[-1]), (0, "ok 1 - one # SKIP not here"), "a context that skips")
    status, lines = run_suite(suite.format("OSError('gone')"))
    tap.equal((status, lines[-1][:9]), (1, "Bail out!"), "a context that fails")


@tap.test
def tests_are_chosen_by_name():
    suite = "@tap.test\ndef first_one(): pass\n@tap.test\ndef second(): pass\ntap.main()"
    tap.equal(run_suite(suite, "second")[1][1:], ["1..1", "ok 1 - second"], "one test chosen")
    tap.equal(run_suite(suite, "third")[0], 2, "exit status for an unknown name")


@tap.test
def waiting_ends_with_what_was_seen():
    try:
        wait.until("a miracle", lambda: False, 0.01, 0.005, show=lambda: "nothing")
    except wait.Timeout as timeout:
        tap.check("a miracle" in str(timeout) and "nothing" in str(timeout), str(timeout))
        return
    tap.check(False, "it did not end in a timeout")


@tap.test
def ready_line_gives_the_known_answer():
    layout = guest.parse_ready(READY)
    tap.equal(layout.ranges(), {"common": (512, 2048), "dup": (2560, 512), "zero": (3072, 256),
                                "unique": (3328, 128)}, "ranges")
    tap.equal((layout.merged_pages, layout.open_pages), (2048 - 48 + 512, 256 + 96), "answer")
    try:
        guest.parse_ready("READY kind=tiny ram_pages=1")
    except TypeError:
        return
    tap.check(False, "a READY line without shares was taken")


@tap.test
def smaps_knows_a_mergeable_area():
    with mmap.mmap(-1, 64 * pagemap.PAGE_BYTES, flags=mmap.MAP_PRIVATE) as area:
        before = {a.start for a in smaps.areas(os.getpid()) if a.mergeable}
        try:
            area.madvise(mmap.MADV_MERGEABLE)
        except OSError:
            tap.skip("this kernel has no KSM")
        area[0] = 1
        found = [a for a in smaps.areas(os.getpid()) if a.mergeable and a.start not in before]
        tap.equal(len(found), 1, "areas that became mergeable")
        tap.equal(found[0].bytes["Rss"], pagemap.PAGE_BYTES, "resident bytes of it")


@tap.test
def pagemap_counts_present_pages():
    import ctypes

    area = mmap.mmap(-1, 64 * pagemap.PAGE_BYTES)
    area.madvise(mmap.MADV_NOHUGEPAGE)
    for page in (3, 4, 60):
        area[page * pagemap.PAGE_BYTES] = 1
    held = ctypes.c_char.from_buffer(area)
    try:
        seen = pagemap.look(os.getpid(), ctypes.addressof(held), 64)
    except PermissionError:
        tap.skip("frames are for root only")
    tap.equal((seen.present, seen.ksm), (3, 0), "present and merged pages")


class Stub:
    """A libvirt connection with domains, {name: active}."""

    def __init__(self, domains):
        self.domains = domains

    def listAllDomains(self):
        return [type("Domain", (), {"name": lambda _, n=name: n, "isActive": lambda _, a=active: a})()
                for name, active in self.domains.items()]


@tap.test
def a_rig_is_not_shared_with_strangers():
    own = rig.Rig.__new__(rig.Rig)
    own.prefix = "mine-"
    own.libvirtd = type("Used", (), {"connection": Stub({"mine-a": True, "idle": False})})()
    own.refuse_strangers()
    own.libvirtd.connection.domains["web"] = True
    try:
        own.refuse_strangers()
    except RuntimeError as refused:
        tap.check("(web)" in str(refused), f"who is named: {refused}")
    else:
        raise tap.Failed("a stranger was not seen")


@tap.test
def domain_xml_says_what_was_asked():
    made = domain.Domain(name="a", emulator="/bin/q", console="/run/c", memory_mib=64, rom="/r",
                         args="seed=1 <&>", policy={"merge": "off"}, memfd_shared=True,
                         nosharepages=True)
    root = ET.fromstring(made.xml())
    policy = root.find(f"metadata/{{{domain.POLICY_NAMESPACE}}}policy")
    tap.equal(policy.attrib, {"merge": "off"}, "policy")
    tap.equal(root.find("sysinfo/entry").text, "seed=1 <&>", "arguments")
    tap.check(root.find("memoryBacking/nosharepages") is not None, "no <nosharepages/>")
    tap.equal(root.find("memoryBacking/source").get("type"), "memfd", "memory source")
    plain = ET.fromstring(domain.Domain(name="b", emulator="/bin/q", console="/c", memory_mib=64,
                                        kernel="/k", initramfs="/i", args="seed=2").xml())
    tap.check(plain.find("metadata") is None and plain.find("memoryBacking") is None,
              "policy or backing that nobody asked for")
    tap.check(plain.find("os/cmdline").text.endswith(" seed=2"), "arguments of a Linux guest")


if __name__ == "__main__":
    tap.main()
