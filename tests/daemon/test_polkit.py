#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may change something, by the real polkitd, the shipped actions and the shipped bus policy: an ordinary user reads
and changes nothing, a rule can let one do one thing, and without polkit only root may.

Usage: test_polkit.py MEMFOLD LIBMEMFOLD SOURCE_ROOT [TEST...]
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakehost  # noqa: E402
import memfoldd  # noqa: E402
import session  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

INSIDE = "--inside"
POLKITD = ("/usr/lib/polkit-1/polkitd", "/usr/libexec/polkitd")
ACTIONS, RULES = "/usr/share/polkit-1/actions", "/etc/polkit-1/rules.d"
BUS_FILES = ("/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf",
             "/etc/dbus-1/system.d/org.freedesktop.PolicyKit1.conf")
UUID = "11111111-1111-4111-8111-111111111111"
# Asks, says so, and waits to be ended.
ASKER = """
import sys
from gi.repository import Gio, GLib
flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
bus = Gio.DBusConnection.new_for_address_sync(sys.argv[1], flags, None, None)
bus.call("org.memfold1", "/org/memfold1", "org.memfold1.Host", "Reload", None, None, 0, -1, None, lambda *_: None)
bus.flush_sync()
print("asked", flush=True)
GLib.MainLoop().run()
"""
MERGING = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" merge="on" group="shared"/>'
# Nobody's, in namespaces that have these users of their own.
USER, TRUSTED, RELOADER = 64911, 64912, 64913
LIBVIRT_GROUP = 64914
RULE = """polkit.addRule(function(action, subject) {
    if (action.id == "org.memfold1.set" && subject.user == "memfold-trusted") { return polkit.Result.YES; }
    if (action.id == "org.memfold1.reload" && subject.user == "memfold-reloader") { return polkit.Result.YES; }
});
"""


def polkitd():
    return next((path for path in POLKITD if os.access(path, os.X_OK)), None)


def enter_namespace():
    """Runs this again where polkit's and the users' files can be our own."""
    if os.geteuid() != 0 or not polkitd() or not os.path.isdir(ACTIONS):
        print("1..0 # SKIP needs root and polkitd")
        sys.exit(0)
    if sys.argv[1] == INSIDE:
        sys.argv.pop(1)
        return
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, os.path.abspath(__file__), INSIDE,
                          *map(os.path.abspath, sys.argv[1:5]), *sys.argv[5:]])


def cover(folder, path, text=None):
    """Puts a copy of a file or directory in its place; text is added to a file."""
    copy = f"{folder}/{os.path.basename(path)}"
    if os.path.isdir(path):
        shutil.copytree(path, copy)
    else:
        shutil.copy(path, copy)
        with open(copy, "a", encoding="utf-8") as file:
            file.write(text)
    subprocess.run(["mount", "--bind", copy, path], check=True)


def lay_out(folder, source):
    """Users, a group, actions and a rule, seen by the processes of this namespace alone."""
    os.chmod(folder, 0o755)
    cover(folder, "/etc/passwd", f"memfold-user:x:{USER}:{USER}::/:/bin/false\n"
                                 f"memfold-trusted:x:{TRUSTED}:{TRUSTED}::/:/bin/false\n"
                                 f"memfold-reloader:x:{RELOADER}:{RELOADER}::/:/bin/false\n")
    group = next((line for line in pathlib.Path("/etc/group").read_text(encoding="utf-8").splitlines()
                  if line.startswith("libvirt:")), None)
    cover(folder, "/etc/group", "" if group else f"libvirt:x:{LIBVIRT_GROUP}:\n")
    cover(folder, ACTIONS)
    shutil.copy(f"{source}/src/daemon/org.memfold1.policy", ACTIONS)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "memfold-test", RULES], check=True)
    pathlib.Path(RULES, "50-memfold.rules").write_text(RULE, encoding="utf-8")
    files = [f"{source}/src/daemon/org.memfold1.conf", *(path for path in BUS_FILES if os.path.exists(path))]
    pathlib.Path(folder, "both.conf").write_text(
        '<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"\n'
        '  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">\n<busconfig>'
        + "".join(f"<include>{path}</include>" for path in files) + "</busconfig>\n", encoding="utf-8")
    return int(group.split(":")[2]) if group else LIBVIRT_GROUP


class Host:
    def __init__(self, folder, environment, group, daemon):
        self.folder, self.environment, self.group, self.daemon = folder, environment, group, daemon
        self.polkit = None

    def memfold(self, *words, uid=0):
        options = {"user": uid, "group": uid, "extra_groups": [self.group]} if uid else {}
        return subprocess.run([f"{self.folder}/memfold", *words], text=True, timeout=60, check=False, cwd="/",
                              env={**self.environment, "LD_LIBRARY_PATH": self.folder}, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, **options)

    def start_polkit(self):
        with open(f"{self.folder}/polkitd.log", "ab") as log:
            self.polkit = subprocess.Popen([polkitd(), "--no-debug"], env=self.environment, stdout=log, stderr=log, cwd="/")
        wait.until("polkitd", self.polkit_answers, 30)

    def polkit_answers(self):
        done = subprocess.run(["dbus-send", "--system", "--print-reply", "--dest=org.freedesktop.DBus", "/",
                               "org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.PolicyKit1"], text=True,
                              env=self.environment, stdout=subprocess.PIPE, check=False, timeout=30)
        return "true" in done.stdout

    def stop_polkit(self):
        self.polkit.send_signal(signal.SIGCONT)
        self.polkit.terminate()
        self.polkit.wait(30)

    def policy(self):
        return self.daemon.domain("vm1")["merge"]

    def denied(self, *words, uid):
        done = self.memfold(*words, uid=uid)
        tap.equal(done.returncode, 1, f"exit status of {words} ({done.stderr})")
        tap.check("permission denied" in done.stderr, done.stderr)
        return done.stderr


@contextlib.contextmanager
def surroundings():
    memfold, library, source = ARGUMENTS
    with tempfile.TemporaryDirectory(prefix="memfold-polkit-") as folder:
        group = lay_out(folder, source)
        shutil.copy(memfold, f"{folder}/memfold")
        shutil.copy(library, f"{folder}/libmemfold.so.0")
        host = fakehost.FakeHost(folder)
        host.add_qemu(4711, "vm1", UUID)
        uri = session.write_node(f"{folder}/node.xml", session.domain("vm1", UUID))
        with bus.private(policy=f"{folder}/both.conf") as environment, \
                memfoldd.Memfoldd(environment, folder, host.root, uri) as daemon:
            daemon.start()
            wait.until("vm1", lambda: "vm1" in daemon.describe()[2], 20)
            scene = Host(folder, environment, group, daemon)
            scene.start_polkit()
            try:
                yield scene
            finally:
                scene.stop_polkit()


@tap.test
def an_ordinary_user_reads(host):
    for words in (["status"], ["why", "vm1"], ["plan"], ["report"]):
        done = host.memfold(*words, uid=USER)
        tap.equal(done.returncode, 0, f"exit status of {words} ({done.stderr})")


@tap.test
def an_ordinary_user_changes_nothing(host):
    before = host.policy()
    for words in (["set", "vm1", "merge=off"], ["set", "vm1", "group=shared"], ["reload"], ["estimate"]):
        tap.check("polkit refuses" in host.denied(*words, uid=USER), f"{words}: refused by another")
    tap.equal(host.policy(), before, "policy")


@tap.test
def a_rule_lets_one_do_one_thing(host):
    done = host.memfold("set", "vm1", "merge=off", uid=TRUSTED)
    tap.equal(done.returncode, 0, done.stderr)
    tap.equal(host.policy(), "off", "policy")
    for words in (["reload"], ["estimate"]):
        host.denied(*words, uid=TRUSTED)


@tap.test
def root_needs_no_rule(host):
    for words in (["set", "vm1", "merge=on"], ["reload"]):
        done = host.memfold(*words)
        tap.equal(done.returncode, 0, f"exit status of {words} ({done.stderr})")
    done = host.memfold("estimate")  # it may, and the test driver's domains have no memory to be read
    tap.check("(none could be read)" in done.stdout, f"{done.returncode}: {done.stdout}{done.stderr}")


@tap.test
def without_polkit_only_root_may(host):
    host.stop_polkit()
    wait.until("polkit to be gone", lambda: not host.polkit_answers(), 30)
    try:
        for uid in (USER, TRUSTED):
            tap.check("polkit could not be asked" in host.denied("set", "vm1", "merge=off", uid=uid), "refused by another")
        tap.equal(host.memfold("set", "vm1", "merge=on").returncode, 0, "exit status of root's")
        tap.equal(host.memfold("status", uid=USER).returncode, 0, "exit status of reading")
    finally:
        host.start_polkit()
    tap.equal(host.policy(), "on", "policy")


@tap.test
def an_answer_that_comes_while_memfoldd_ends_is_too_late(host):
    """memfoldd, that is, which still waits for a libvirt that is slow to open."""
    host.daemon.stop()
    host.daemon.environment = {**host.environment, **memfoldd.preload("slow-libvirt"),
                               "SLOW_LIBVIRT_MSEC": "60000", "MALLOC_PERTURB_": "165"}
    host.daemon.start()
    begun = host.daemon.logged("ksm run: 0 -> 1")
    host.daemon.hook("started", "vm1", UUID, policy=MERGING)
    wait.until("ksmd to be started", lambda: host.daemon.logged("ksm run: 0 -> 1") > begun, 30)
    restored = host.daemon.logged("ksm run: .*put back")
    host.polkit.send_signal(signal.SIGSTOP)
    with subprocess.Popen(["/usr/bin/python3", "-c", ASKER, host.environment["DBUS_SYSTEM_BUS_ADDRESS"]], cwd="/", user=RELOADER,
                          group=RELOADER, extra_groups=[host.group], stdout=subprocess.PIPE, text=True) as caller:
        try:
            tap.equal(caller.stdout.readline(), "asked\n", "the caller's first line")
            for _ in range(3):  # what came before these is under way by now
                host.daemon.describe()
            host.daemon.process.send_signal(signal.SIGTERM)
            host.daemon.wait_log(r"ksm run: .*put back", restored + 1)
            host.polkit.send_signal(signal.SIGCONT)
            tap.equal(host.daemon.process.wait(30), 0, "memfoldd's exit status")
        finally:
            caller.kill()


if __name__ == "__main__":
    enter_namespace()
    ARGUMENTS = [sys.argv.pop(1) for _ in range(3)]
    tap.main(context=surroundings)
