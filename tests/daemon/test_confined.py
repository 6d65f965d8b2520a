#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""memfoldd under a real systemd with the unit that is installed: it has what the unit leaves it and no more, and with
that it merges, explains, estimates and un-merges real guests, and puts the knobs back when it is killed.

Usage: test_confined.py MEMFOLD LIBMEMFOLD BUS_POLICY [TEST...]
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
import bus  # noqa: E402
import ksm  # noqa: E402
import memfoldd  # noqa: E402
import ownsystemd  # noqa: E402
import rig  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

SCENE = "--scene"
UNIT = "memfoldd.service"
PLACE = "/run/memfold-test"
PREFIX = "memfold-test-confined-"
LIMIT_SEC = 400
CONFIG = """[merge]
default-group=shared
[ksmd]
cpu-budget-permyriad=8000
min-pages-to-scan=2000
[daemon]
tick-msec=200
accounting-interval-msec=1000
"""
BUS_UNIT = f"""[Unit]
DefaultDependencies=no
[Service]
ExecStart=/usr/bin/dbus-daemon --config-file={PLACE}/bus.conf --nofork
ExecStartPost=/bin/sh -c 'until [ -S /run/dbus/system_bus_socket ]; do sleep 0.1; done'
"""
# Bits of capabilities(7), as far as a unit of ours may name them.
CAPABILITIES = {"CAP_DAC_READ_SEARCH": 2, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_SYS_NICE": 23,
                "CAP_SYS_RESOURCE": 24}
CLOSED = ("/", "/etc", "/usr", "/var/lib", "/proc/sys/vm", "/sys/kernel/mm/transparent_hugepage", "/sys/module",
          "/run", "/run/libvirt", "/run/lock", "/dev/shm")
OPEN = ("/sys/kernel/mm/ksm", "/run/memfold")


def unit_text():
    path = pathlib.Path(os.environ["MEMFOLD_BUILD"], "src/daemon", UNIT)
    return path.read_text(encoding="utf-8")


def unit_values(name):
    """Of all lines NAME=VALUES in the unit, the words."""
    return " ".join(re.findall(rf"^{name}=(.*)$", unit_text(), re.MULTILINE)).split()


def inside(memfold, library, policy, output, *names):
    """In the namespaces: lays everything out, and becomes systemd."""
    text = re.sub(r"=\S+/memfoldd\b", f"={PLACE}/memfoldd --config {PLACE}/memfold.conf", unit_text())
    text = re.sub(r"=\S+/memfold ", f"={PLACE}/memfold ", text)
    text = text.replace("[Service]\n", f"[Service]\nEnvironment=LD_LIBRARY_PATH={PLACE}\n"
                        f"StandardOutput=append:{PLACE}/log\nStandardError=append:{PLACE}/log\n", 1)
    scene = ["/usr/bin/python3", os.path.abspath(__file__), SCENE, memfold, library, policy, output, *names]
    ownsystemd.boot({UNIT: text, "dbus.service": BUS_UNIT}, scene, output)


def lay_out(memfold, library, policy):
    for source, name in ((memfoldd.program(), "memfoldd"), (memfold, "memfold"), (library, "libmemfold.so.0")):
        shutil.copy(source, f"{PLACE}/{name}")
    pathlib.Path(PLACE, "memfold.conf").write_text(CONFIG, encoding="utf-8")
    text = bus.CONFIG.format(folder="/run/dbus", rules=bus.CLOSED, include=f"<include>{policy}</include>")
    pathlib.Path(PLACE, "bus.conf").write_text(text.replace("/run/dbus/bus", "/run/dbus/system_bus_socket"), encoding="utf-8")


def logged():
    """What memfoldd has said."""
    path = pathlib.Path(PLACE, "log")
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


class Scene:
    def __init__(self, guests, knobs):
        self.guests = guests
        self.knobs = knobs

    @property
    def pid(self):
        return int(ownsystemd.show(UNIT, "MainPID"))

    def status(self, name, pid=None):
        with open(f"/proc/{pid or self.pid}/status", encoding="ascii") as file:
            return re.search(rf"^{name}:\s*(\S+)", file.read(), re.MULTILINE).group(1)

    def enter(self, *command):
        """Runs something with all of root's rights in memfoldd's own view of the file system."""
        return subprocess.run(["nsenter", "-t", str(self.pid), "--mount", *command], text=True, capture_output=True,
                              check=False, timeout=30)

    @staticmethod
    def memfold(*words):
        return subprocess.run([f"{PLACE}/memfold", *words], env={"LD_LIBRARY_PATH": PLACE, "LC_ALL": "C.UTF-8"}, text=True,
                              capture_output=True, check=False, timeout=60)

    def ask(self, *words):
        done = self.memfold(*words)
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def domain(self, name):
        found = self.ask("status", "--json", PREFIX + name)
        return found["domains"][0] if found else {}


@contextlib.contextmanager
def scene(memfold, library, policy):
    lay_out(memfold, library, policy)
    knobs = ksm.knobs()
    with rig.Rig(PREFIX, os.environ["MEMFOLD_QEMU"]) as domains:
        guests = {}
        for name in ("a", "b"):
            guests[name] = domains.create(domains.tiny(name, 64, "seed=7 common_mib=24", policy={"merge": "on"}))
            guests[name].console.wait_ready()
        try:
            ownsystemd.systemctl("start", "dbus.service", UNIT)
            yield Scene(guests, knobs)
        finally:
            tap.diag(logged()[-2000:])
            ownsystemd.systemctl("stop", UNIT)


@tap.test
def it_has_what_the_unit_leaves_it(context):
    # A container may have less than the unit would leave it.
    wanted = sum(1 << CAPABILITIES[name] for name in unit_values("CapabilityBoundingSet"))
    wanted &= int(context.status("CapBnd", pid=1), 16)
    for name in ("CapBnd", "CapPrm", "CapEff"):
        tap.equal(int(context.status(name), 16), wanted, name)
    tap.equal((context.status("NoNewPrivs"), context.status("Seccomp")), ("1", "2"), "NoNewPrivs, Seccomp")
    for kind in ("net", "mnt"):
        own, ours = (os.readlink(f"/proc/{pid}/ns/{kind}") for pid in (context.pid, "self"))
        tap.check(own != ours, f"it is in our {kind} namespace")


@tap.test
def nothing_is_writable_for_it_but_its_own(context):
    for path in CLOSED:
        done = context.enter("test", "-w", path)
        tap.check(done.returncode != 0, f"{path} is writable")
    for path in OPEN:
        tap.equal(context.enter("test", "-w", path).returncode, 0, f"{path}: exit status of test -w")
    tap.check(context.enter("ls", "/dev/kvm", "/dev/vda", "/dev/mem").returncode != 0, "it has the host's devices")


@tap.test
def guests_merge_and_nothing_is_wrong(context):
    for name in context.guests:
        found = wait.until(f"{name} to merge", lambda n=name: (d := context.domain(n)).get("merged_bytes", 0) > 20 << 20 and d,
                           150, interval_sec=0.5, show=lambda n=name: context.domain(n))
        for key in ("saved_bytes", "resident_bytes", "rmap_items_pages", "pid", "zero_bytes"):
            tap.check(key in found, f"{key} of {name} is absent: {found}")
        tap.equal(context.guests[name].console.verify(), 0, f"pages of {name} that are not as they were")
    why = context.ask("why", "--json", PREFIX + "a")
    tap.equal((why["name"], why["mode"]), (PREFIX + "a", "on"), "name and mode")


@tap.test
def an_estimate_reads_them(context):
    found = context.ask("estimate", "--json")
    tap.equal(found["all"]["domains_count"], 2, "domains that were read")
    tap.check(found["all"]["saved_bytes"] > 20 << 20, f"an estimate of {found['all']}")


@tap.test
def an_audit_sees_their_page_tables(context):
    """Page frames are shown to it; that nobody was found in the wrong group is more than that, while ksmd works."""
    done = context.memfold("audit", "--json")
    found = json.loads(done.stdout)
    tap.equal([d["reasons"] for d in found["domains"]], [[], []], "why not all was looked at")
    tap.check(found["host"]["merged_pages"] * 4096 > 40 << 20, f"merged pages: {found['host']}")
    tap.check(found["host"]["verdict"] != "violated", f"{found['host']}")


@tap.test
def a_domain_is_switched_off_and_on(context):
    done = context.memfold("set", PREFIX + "a", "merge=off")
    tap.equal(done.returncode, 0, done.stderr)
    wait.until("a to be un-merged", lambda: context.domain("a").get("merged_bytes") == 0, 60,
               show=lambda: context.domain("a"))
    tap.equal(context.guests["a"].console.verify(), 0, "pages of a that are not as they were")
    tap.equal(context.memfold("set", PREFIX + "a", "merge=on").returncode, 0, "exit status of set")
    wait.until("a to be marked again", lambda: context.domain("a").get("mode") == "on", 60)


@tap.test
def killed_it_leaves_the_knobs_as_they_were_and_comes_again(context):
    before = context.pid
    wait.until("ksmd to run", lambda: ksm.read("run") == "1", 30)
    ownsystemd.systemctl("kill", "--signal=KILL", UNIT)
    wait.until("memfoldd to come again", lambda: context.pid not in (0, before) and context.domain("a"), 60)
    tap.check(re.search(r"ksm run: 1 -> \d \(put back\)", logged()), "nothing was put back")


@tap.test
def stopped_it_leaves_nothing(context):
    ownsystemd.systemctl("stop", UNIT)
    tap.equal(ksm.knobs(), context.knobs, "KSM's knobs")
    tap.equal(ownsystemd.show(UNIT, "Result"), "success", "the unit's result")
    ownsystemd.systemctl("start", UNIT)


def outside():
    """On the machine: holds its KSM while the tests run inside, and passes on what they say."""
    rig.our_qemu()
    if not os.access(f"{ksm.DIRECTORY}/run", os.W_OK):
        raise tap.Skip("only root can write KSM's knobs, where there is KSM")
    os.environ["MEMFOLD_GUEST"] = rig.guest_directory()
    memfoldd.program()
    with tempfile.TemporaryDirectory(prefix="memfold-confined-", dir="/dev/shm") as folder:
        output = f"{folder}/tap"
        with ksm.borrowed(run=0), ownsystemd.Systemd(__file__, *map(os.path.abspath, sys.argv[1:4]),
                                                            output, *sys.argv[4:]) as systemd:
            said = lambda: pathlib.Path(output).read_text(encoding="utf-8") if os.path.exists(output) else ""
            with contextlib.suppress(wait.Timeout):
                wait.until("the tests", lambda: "# the end" in said() or systemd.process.poll() is not None, LIMIT_SEC)
            text, ended = said(), systemd.process.poll() is not None
    if not text and ended:
        raise tap.Skip("no systemd can be started here")
    print(text or "Bail out! the systemd of the test did nothing", end="" if text else "\n")
    sys.exit(0 if "# the end 0" in text else 1)


def main():
    mode = sys.argv[1]
    if mode == ownsystemd.INSIDE:
        inside(*sys.argv[2:])
    if mode == SCENE:
        programs = sys.argv[2:5]
        sys.argv[1:6] = []
        status = 1
        try:
            tap.main(context=lambda: scene(*programs))
        except SystemExit as end:
            status = end.code
        finally:
            print(f"# the end {status}", flush=True)
        return
    try:
        outside()
    except tap.Skip as reason:
        print(f"1..0 # SKIP {reason}")


if __name__ == "__main__":
    main()
