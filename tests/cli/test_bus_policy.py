#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may own and ask org.memfold1 under the shipped bus policy, on a bus that is closed like the system's.

What runs as nobody is copied to where nobody may read it: the build may stand in somebody's home.

Usage: test_bus_policy.py MEMFOLD LIBMEMFOLD POLICY_FILE [TEST...]
"""

import contextlib
import grp
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
import bus  # noqa: E402
import tap  # noqa: E402

MEMFOLD, LIBRARY, POLICY = (os.path.abspath(sys.argv.pop(1)) for _ in range(3))
NOBODY = 65534
SCENARIO = {"host": {"ksm_run": 1}, "reasons": [], "domains": [{"name": "vm1", "uuid": "1", "reasons": []}]}


class Bus:
    def __init__(self, environment, folder):
        self.folder = pathlib.Path(folder)
        self.environment = {**environment, "LD_LIBRARY_PATH": folder}

    def run(self, *command, groups=None):
        """Runs a command as root, or as nobody with some groups."""
        options = {} if groups is None else {"user": NOBODY, "group": NOBODY, "extra_groups": groups}
        return subprocess.run(command, env=self.environment, text=True, timeout=30, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def memfold(self, *words, groups=None):
        return self.run(self.folder / "memfold", *words, groups=groups)

    def call(self, method, groups=None):
        """Calls a method of the bus's own interfaces at memfoldd's root."""
        return self.run("dbus-send", "--system", "--print-reply=literal", "--dest=org.memfold1", "/org/memfold1",
                        f"org.freedesktop.DBus.{method}", groups=groups)

    @contextlib.contextmanager
    def fake_daemon(self, **options):
        with subprocess.Popen(["/usr/bin/python3", self.folder / "fake_memfoldd.py"], env=self.environment,
                              text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              cwd="/", **options) as process:
            try:
                process.stdin.write(json.dumps(SCENARIO))
                process.stdin.close()
                yield process
            finally:
                process.terminate()


@contextlib.contextmanager
def surroundings():
    if os.geteuid() != 0:
        tap.skip("only root can be somebody else")
    with bus.private(policy=POLICY) as environment, tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        shutil.copy(MEMFOLD, f"{folder}/memfold")
        shutil.copy(LIBRARY, f"{folder}/libmemfold.so.0")
        shutil.copy(HERE / "fake_memfoldd.py", folder)
        host = Bus(environment, folder)
        with host.fake_daemon() as daemon:
            tap.equal(daemon.stdout.readline(), "ready\n", "the fake daemon's first line: root may own the name")
            yield host


@tap.test
def root_may_ask_and_change(host):
    for words in (["status"], ["set", "vm1", "merge=off"], ["reload"]):
        result = host.memfold(*words)
        tap.equal(result.returncode, 0, f"{words} ({result.stderr})")


@tap.test
def the_group_libvirt_may_ask(host):
    """Whether it may change is polkit's word, which the daemon asks for."""
    try:
        group = grp.getgrnam("libvirt").gr_gid
    except KeyError:
        tap.skip("this host has no group libvirt")
    for words in (["status"], ["set", "vm1", "merge=off"]):
        result = host.memfold(*words, groups=[group])
        tap.equal(result.returncode, 0, f"{words} ({result.stderr})")


@tap.test
def nobody_may_ask(host):
    for words in (["status"], ["why", "vm1"], ["set", "vm1", "merge=off"], ["reload"]):
        result = host.memfold(*words, groups=[])
        tap.equal((result.returncode, result.stdout), (1, ""), f"{words}")
        for text in ("permission denied", "the system bus lets only root and the group libvirt"):
            tap.check(text in result.stderr, result.stderr)


@tap.test
def nobody_may_look_for_domains(host):
    """Introspection lists all objects, and a domain's has its UUID for a name."""
    for method in ("Introspectable.Introspect", "Peer.Ping"):
        tap.equal(host.call(method).returncode, 0, f"{method} as root")
        refused = host.call(method, groups=[])
        tap.equal((refused.returncode, refused.stdout), (1, ""), f"{method} as nobody")
        tap.check("AccessDenied" in refused.stderr, refused.stderr)


@tap.test
def nobody_but_root_may_pose_as_memfoldd(host):
    with host.fake_daemon(user=NOBODY, group=NOBODY, extra_groups=[]) as process:
        tap.equal(process.stdout.read(), "", "output of a fake daemon that is not root")
        tap.check("org.freedesktop.DBus.Error.AccessDenied" in process.stderr.read(), "no AccessDenied")


if __name__ == "__main__":
    tap.main(context=surroundings)
