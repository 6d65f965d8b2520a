#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`memfold doctor` on hosts made of files, and on this one: each line says what is there.

Usage: test_doctor.py MEMFOLD HOOKDIR [TEST...]
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakedaemon  # noqa: E402
import tap  # noqa: E402

MEMFOLD = sys.argv.pop(1)
HOOK = sys.argv.pop(1).lstrip("/") + "/50-memfold"
KSM = "sys/kernel/mm/ksm/"
APPARMOR = "etc/apparmor.d/local/abstractions/libvirt-qemu"
WANTS = "etc/systemd/system/multi-user.target.wants/ksmtuned.service"
# A host on which all is well, but for the daemon.
GOOD = {
    "proc/meminfo": "MemTotal: 1000 kB\nMemFree: 500 kB\nMemAvailable: 600 kB\nSwapFree: 0 kB\n",
    **{KSM + name: f"{value}\n" for name, value in {
        "run": 1, "pages_to_scan": 100, "sleep_millisecs": 20, "pages_shared": 0, "pages_sharing": 0,
        "pages_unshared": 0, "pages_scanned": 0, "full_scans": 0, "max_page_sharing": 256, "smart_scan": 1,
        "advisor_mode": "[none] scan-time"}.items()},
    "run/libvirt/libvirt-sock": "", HOOK: "#!/bin/sh\n",
    "sys/module/apparmor/parameters/enabled": "Y\n", APPARMOR: "  owner @{PROC}/@{pid}/ksm_stat r,\n",
}


def doctor(*words):
    result = subprocess.run([MEMFOLD, "doctor", *words], text=True, stdout=subprocess.PIPE, check=False,
                            stderr=subprocess.PIPE, timeout=30,
                            env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent/bus"})
    tap.equal(result.stderr, "", "stderr")
    return result.returncode, result.stdout


def lay_out(root, change=None, without=()):
    """The good host with some files changed."""
    for name, text in {**GOOD, **(change or {})}.items():
        if name not in without:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")


def look_at(change=None, without=(), executable=True, link=None):
    """The checks on that host, by name."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        lay_out(root, change, without)
        if HOOK not in without:
            (root / HOOK).chmod(0o755 if executable else 0o644)
        if link:
            (root / link).parent.mkdir(parents=True, exist_ok=True)
            (root / link).symlink_to("/lib/systemd/system/ksmtuned.service")
        code, text = doctor("--json", "--root", folder)
    data = json.loads(text)
    tap.equal(code, 1 if data["broken"] else 0, "exit code")
    tap.equal(data["broken"], any(check["broken"] for check in data["checks"]), "broken")
    return {check["check"]: check for check in data["checks"]}


def equal(checks, name, state, broken, words):
    tap.equal((checks[name]["state"], checks[name]["broken"]), (state, broken), f"{name} ({checks[name]})")
    tap.check(words in checks[name]["finding"], f"{words!r} in {checks[name]}")
    if state != "ok" and name != "kernel.advisor":
        tap.check(checks[name].get("remedy"), f"a remedy in {checks[name]}")


@tap.test
def a_good_host_without_a_daemon():
    checks = look_at()
    for name, words in (("kernel.ksm", "running"), ("kernel.smart-scan", "on"), ("kernel.advisor", "mode none"),
                        ("other-manager", "nobody"), ("libvirt", "libvirt-sock"), ("hook", "50-memfold"),
                        ("apparmor", "may read")):
        equal(checks, name, "ok", False, words)
    equal(checks, "kernel.groups", "missing", False, "not merged")
    equal(checks, "daemon", "missing", True, "bus")


@tap.test
def a_kernel_without_ksm():
    checks = look_at(without=[name for name in GOOD if name.startswith(KSM)])
    tap.equal((checks["kernel.ksm"]["state"], checks["kernel.ksm"]["broken"]), ("missing", True), "kernel.ksm")
    tap.check("CONFIG_KSM" in checks["kernel.ksm"]["remedy"], checks["kernel.ksm"])
    tap.check("kernel.smart-scan" not in checks, "checks of what can't be there")


@tap.test
def an_old_kernel():
    checks = look_at(without=[KSM + "smart_scan", KSM + "advisor_mode"])
    equal(checks, "kernel.ksm", "ok", False, "running")
    equal(checks, "kernel.smart-scan", "missing", False, "every page")
    equal(checks, "kernel.advisor", "missing", False, "governor")


@tap.test
def run_states():
    for value, state, words in (("0", "ok", "stopped"), ("2", "ok", "un-merging"), ("7", "warn", "does not know")):
        checks = look_at({KSM + "run": value + "\n"})
        tap.equal(checks["kernel.ksm"]["state"], state, f"run {value}")
        tap.check(words in checks["kernel.ksm"]["finding"], checks["kernel.ksm"])


@tap.test
def another_manager():
    running = look_at({"proc/42/comm": "ksmtuned\n", "proc/42/cmdline": "/bin/bash\0/usr/sbin/ksmtuned\0"})
    equal(running, "other-manager", "warn", True, "ksmtuned runs")
    enabled = look_at(link=WANTS)
    equal(enabled, "other-manager", "warn", False, "starts with the host")
    kubevirt = look_at({"proc/42/comm": "virt-handler\n"})
    tap.check("systemctl" not in kubevirt["other-manager"]["remedy"], "a remedy for ksmtuned")


@tap.test
def libvirt_in_either_form():
    equal(look_at({"run/libvirt/virtqemud-sock": ""}, without=["run/libvirt/libvirt-sock"]), "libvirt", "ok", False,
          "virtqemud-sock")
    equal(look_at(without=["run/libvirt/libvirt-sock"]), "libvirt", "missing", False, "socket")


@tap.test
def the_hook():
    equal(look_at(without=[HOOK]), "hook", "missing", False, "not there")
    checks = look_at(executable=False)
    equal(checks, "hook", "warn", False, "not executable")
    tap.check(checks["hook"]["remedy"].startswith("chmod 755 "), checks["hook"])


@tap.test
def apparmor():
    equal(look_at(without=[APPARMOR]), "apparmor", "warn", False, "may not read")
    equal(look_at({APPARMOR: "# nothing\n"}), "apparmor", "warn", False, "may not read")
    equal(look_at({"sys/module/apparmor/parameters/enabled": "N\n"}), "apparmor", "ok", False, "not enabled")


@tap.test
def the_text_has_the_same_lines():
    with tempfile.TemporaryDirectory() as folder:
        _, text = doctor("--root", folder)
        _, data = doctor("--root", folder, "--json")
    lines = [line for line in text.splitlines() if not line.startswith(" ")]
    wanted = [(check["state"], check["check"], check["finding"]) for check in json.loads(data)["checks"]]
    tap.equal([tuple(part.strip() for part in line.split(maxsplit=2)) for line in lines], wanted, "lines")
    remedies = [line.split("remedy: ")[1] for line in text.splitlines() if line.startswith(" ")]
    tap.equal(remedies, [c["remedy"] for c in json.loads(data)["checks"] if "remedy" in c], "remedies")


@tap.test
def a_root_that_is_not_there():
    result = subprocess.run([MEMFOLD, "doctor", "--root", "/nonexistent/root"], text=True, capture_output=True,
                            check=False, timeout=30)
    tap.equal((result.returncode, result.stdout), (1, ""), "exit code and stdout")
    tap.check("/nonexistent/root" in result.stderr, result.stderr)


def asked(*words, **scenario):
    """The checks of this host with a daemon that answers that, by name."""
    with bus.private() as environment, fakedaemon.running(
            environment, {"host": {}, "reasons": [], "domains": [], "actions": [], **scenario}):
        result = subprocess.run([MEMFOLD, "doctor", "--json", *words], text=True, capture_output=True, check=False,
                                timeout=30, env=environment)
    tap.equal(result.stderr, "", "stderr")
    return {check["check"]: check for check in json.loads(result.stdout)["checks"]}


@tap.test
def a_daemon_that_does_not_answer_is_not_taken_for_none():
    denied = asked(errors={"Describe": ["org.freedesktop.DBus.Error.AccessDenied", "no"]})
    equal(denied, "daemon", "warn", False, "only root and the group libvirt")
    tap.equal(denied["daemon"]["remedy"], "run as root or join group libvirt", "remedy")
    late = asked(errors={"Describe": ["org.freedesktop.DBus.Error.NoReply", "no reply"]})
    equal(late, "daemon", "warn", False, "no reply")
    tap.check("log" in late["daemon"]["remedy"], late["daemon"])


@tap.test
def faults_that_the_daemon_knows_of():
    well = asked(host={"libvirt_connected": True}, reasons=[["domains", "1 domain can merge", ""]])
    equal(well, "daemon", "ok", False, "knows 0 domains")
    tap.equal([name for name in well if name.startswith("host.")], [], "faults where there are none")
    equal(asked(host={"libvirt_connected": False}), "host.libvirt-away", "warn", False, "not connected")
    checks = asked(host={"libvirt_connected": False}, reasons=[["libvirt-away", "libvirt is gone", "start libvirtd"],
                                                               ["knob-failed", "run: Permission denied", ""]])
    equal(checks, "host.libvirt-away", "warn", False, "libvirt is gone")
    tap.equal(checks["host.libvirt-away"]["remedy"], "start libvirtd", "remedy")
    equal(checks, "host.knob-failed", "warn", False, "Permission denied")
    starts = asked(reasons=[["start-hold", "1 domain is starting", ""]])
    tap.check("host.start-hold" not in starts, starts)
    long = asked(reasons=[["start-hold", "1 domain is starting", ""], ["start-hold", "\"a\" takes long", "wait"]])
    equal(long, "host.start-hold", "warn", False, "takes long")


@tap.test
def another_manager_that_memfold_leaves_the_knobs_to():
    with tempfile.TemporaryDirectory() as folder:
        lay_out(pathlib.Path(folder), {"proc/42/comm": "virt-handler\n"})
        equal(asked("--root", folder, host={"managed": True}), "other-manager", "warn", True, "stands back")
        equal(asked("--root", folder, host={"managed": False}), "other-manager", "warn", False, "stands back")


@tap.test
def the_remedy_of_a_policy_is_the_daemons():
    domain = {"name": "vm1", "switch": "qmp", "policy_error": "no such file"}
    found = asked(domains=[{**domain, "reasons": [["policy-invalid", "its description could not be read", "see virsh"]]}])
    equal(found, "domain.policy", "warn", False, "no such file")
    tap.equal(found["domain.policy"]["remedy"], "see virsh", "remedy")


@tap.test
def another_host_is_not_asked_of_this_ones_daemon():
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run([MEMFOLD, "doctor", "--json", "--root", folder], text=True, capture_output=True,
                                check=False, timeout=30, env={key: value for key, value in os.environ.items()
                                                              if key != "DBUS_SYSTEM_BUS_ADDRESS"})
    names = [check["check"] for check in json.loads(result.stdout)["checks"]]
    tap.check("kernel.ksm" in names and "daemon" not in names, names)


@tap.test
def this_host():
    """Whatever it is, it gets an answer."""
    code, text = doctor("--json")
    data = json.loads(text)
    tap.equal(code, 1, "exit code without a daemon")
    tap.check({"kernel.ksm", "other-manager", "libvirt", "hook", "apparmor", "daemon"} <=
              {check["check"] for check in data["checks"]}, text)


if __name__ == "__main__":
    tap.main()
