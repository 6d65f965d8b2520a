# SPDX-License-Identifier: GPL-2.0-or-later
"""One run in a host of our own (tests/stack): a kernel, guests of a case, one manager; what was seen of it as a record.

The host counts instructions, so that a second of its CPU time is 10**9 of them whatever else this machine does, and
passes over the time in which nobody has anything to do. While a command is waited for its clock therefore runs as it
likes: all of a run is one script in the host.
"""

import pathlib
import shlex
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "lib"), str(HERE.parents[1] / "stack")]

import domain
import figures
import image
import machine
import managers
import plan
import scene

MEMORY_MIB, CPUS = 1536, 1
READY_SEC = 120
SERIES, SESSION = "/run/series", "/run/manager"
POLICY = {"merge": "on", "group": "shared"}
# What the packaged ksmtuned calls, from its own packages: busybox knows less, and costs something else.
CALLED = ("/usr/bin/bash", "/usr/bin/pgrep", "/usr/bin/ps", "/usr/bin/awk", "/usr/bin/date", "/usr/bin/sleep", "/usr/bin/touch")
NSEC, TICKS = 1e9, 100


def archive(out, ksmtuned):
    """Makes the part of the host's root that the comparison adds: ksmwatch, and the package in the folder ksmtuned."""
    with tempfile.TemporaryDirectory(prefix="memfold-image.") as name:
        root, package = pathlib.Path(name), pathlib.Path(ksmtuned)
        image.helper(root, "ksmwatch", HERE / "stack")
        for link, target in image.ALIASES.items():
            if "/" not in link:
                (root / target).mkdir(parents=True, exist_ok=True)
                (root / link).symlink_to(target)
        for path in (*CALLED, *image.closure(CALLED)):
            image.put(root, path)
        config = root / managers.KSMTUNED_CONFIG.lstrip("/")
        config.parent.mkdir(exist_ok=True)
        own = package / managers.KSMTUNED_CONFIG.lstrip("/")
        config.write_text((own.read_text() if own.exists() else "") + managers.KSMTUNED_ALWAYS)
        image.put(root, str(package / "usr/sbin/ksmtuned"), "/usr/sbin/ksmtuned")
        image.pack(root, out)
    return out


def session(words):
    """The shell's line that starts a manager in a session of its own, which ksmwatch finds."""
    return f"setsid sh -c {shlex.quote(f'echo $$ >{SESSION}; exec {words}')} >>/var/log/manager.log 2>&1 &"


def start_lines(manager, capabilities):
    """The lines of shell that put ksmd under a manager. All find ksmd stopped, with the kernel's defaults."""
    knobs = scene.KSM
    return {plan.MEMFOLD: [session(f"/usr/bin/setpriv --bounding-set=-all,{capabilities} memfoldd")],
            "ksmtuned": [session("/usr/sbin/ksmtuned")],
            "advisor": [f"echo scan-time >{knobs}/advisor_mode", f"echo 1 >{knobs}/run"]}[manager]


def guest_names(size):
    return [f"g{number}" for number in range(size.guests)]


def guest_lines(names):
    """Starts the guests, whose XML is in /run, and waits until they have filled their memory."""
    return [*(f"virsh -q create /run/{name}.xml" for name in names),
            *(f"ask {scene.CONSOLES}/{name} {READY_SEC} READY info" for name in names)]


def rewrite_lines(case, size):
    """Some guests rewrite a part of their memory every second, in the background."""
    names = guest_names(size)[:case.rewriters]
    if not names:
        return []
    asks = "; ".join(f"ask {scene.CONSOLES}/{name} 60 DIRTY 'dirty {plan.rewritten_pages(case, size)}'" for name in names)
    return [f"while sleep 1; do {asks}; done >/run/rewritten 2>&1 &", "rewriting=$!"]


def script(case, manager, size, capabilities):
    """A run as the host's shell makes it; what ksmwatch saw is in SERIES then. Prints when the guests were ready."""
    limit_sec = plan.limit_sec(case, size)
    lines = ["set -e", f"ksmwatch {limit_sec} {SESSION} >{SERIES} &", "watch=$!", *start_lines(manager, capabilities)]
    if case.started:
        lines += [*(f"{line} >/dev/null" for line in guest_lines(guest_names(size))), f"tail -n 1 {SERIES}"]
    lines += [*rewrite_lines(case, size), "wait $watch"]
    if case.rewriters:
        lines.append("kill $rewriting")
    return "\n".join(lines) + "\n"


def samples(text):
    """ksmwatch's lines as figures.Sample, counted from the first one."""
    rows = [[int(word) for word in line.split()] for line in text.splitlines()]
    zero = rows[0] if rows else []
    return [figures.Sample(msec / 1000, (saved - zero[1]) * plan.PAGE_BYTES, round((nsec - zero[2]) / NSEC, 6), ticks / TICKS,
                           scanned - zero[4]) for msec, saved, nsec, ticks, scanned in rows]


def write_guests(host, case, size):
    for name in guest_names(size):
        spec = domain.Domain(name=name, emulator=scene.QEMU, console=f"{scene.CONSOLES}/{name}", memory_mib=size.guest_mib,
                             args=plan.guest_args(case, size), rom="/memfold/guest/tiny.rom", policy=POLICY)
        host.write(f"/run/{name}.xml", spec.xml())


def wrong_pages(host, size):
    answers = host.run("\n".join(f"ask {scene.CONSOLES}/{name} {READY_SEC} VERIFY verify" for name in guest_names(size)),
                       READY_SEC * size.guests)
    return sum(int(word.partition("=")[2]) for word in answers.split() if word.startswith("bad="))


def measure(host, case, manager, size):
    """What was seen of the run in a host that has just booted."""
    write_guests(host, case, size)
    if not case.started:
        host.run("\n".join(("set -e", *guest_lines(guest_names(size)))), READY_SEC * (size.guests + 1))
    said = host.run(script(case, manager, size, scene.Scene(host).capabilities()), plan.limit_sec(case, size) + READY_SEC)
    found = {"ready_sec": int(said.split()[0]) / 1000 if case.started else 0,
             "series": [list(sample) for sample in samples(host.run(f"cat {SERIES}"))],
             "knobs": host.run(f"cd {scene.KSM}; grep . * 2>/dev/null; true"),
             "said": host.run("cat /var/log/manager.log 2>/dev/null; true")[-4000:]}
    # Nobody merges while the pages are looked at, which takes a guest of an emulator's emulator long.
    host.run(f"echo 0 >{scene.KSM}/run")
    return {**found, "wrong_pages": wrong_pages(host, size)}


def run(kernel, parts, case, name, size):
    """The record of a run of the manager of that name (plan.HOSTED) on a kernel's bzImage."""
    with tempfile.TemporaryDirectory(prefix="memfold-hosted.") as folder:
        with machine.Host(kernel, parts, folder, MEMORY_MIB, CPUS, counted=True) as host:
            found = measure(host, case, plan.HOSTED[name][1], size)
    return {"case": case.name, "manager": name, "guest_pages": plan.guest_pages(case, size),
            "steady_sec": size.steady_sec, "limit_sec": plan.limit_sec(case, size), **found}
