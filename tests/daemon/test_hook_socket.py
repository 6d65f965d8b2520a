#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The hook's socket: what it answers, whom it believes, and that nobody on it holds up anybody else."""

import contextlib
import json
import os
import pathlib
import pwd
import subprocess
import sys
import tempfile
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakehost  # noqa: E402
import memfoldd  # noqa: E402
import session  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

BUDGET_SEC = 0.5
FIRST = "11111111-1111-4111-8111-111111111111"
NEW = "22222222-2222-4222-8222-222222222222"
MERGING = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" merge="on" group="shared"/>'
OFF = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" merge="off"/>'
OFF_IN_GROUP = OFF.replace('merge="off"', 'merge="off" group="tenant-a"')
# As another user: connects, and prints the answer.
STRANGER = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
print(s.recv(4096).decode())
"""


@contextlib.contextmanager
def surroundings():
    """A memfoldd that governs ksmd for one domain, and its host."""
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        host = fakehost.FakeHost(folder)
        host.add_qemu(4711, "vm1", FIRST)
        uri = session.write_node(f"{folder}/node.xml", session.domain("vm1", FIRST, MERGING))
        with memfoldd.Memfoldd(environment, folder, host.root, uri) as daemon:
            daemon.configure("[daemon]\ntick-msec=200\n")
            daemon.start()
            wait.until("ksmd to be started", lambda: host.get("run") == "1", 20)
            yield daemon, host


def stranger():
    """A UUID that libvirt is not being asked about: once an end is told it is, and knows none of these, so that the
    next start of the same UUID is forgotten at any moment."""
    return str(uuid.uuid4())


def refused(answer):
    found = json.loads(answer)
    tap.equal(found["ok"], False, f"answer {answer!r}")
    return found["error"]


@tap.test
def every_operation_is_answered(context):
    daemon, _host = context
    for operation in ("prepare", "start", "started", "stopped", "release", "migrate", "restore", "attach"):
        tap.equal(daemon.hook(operation, "fleeting", NEW, policy=MERGING), {"ok": True}, operation)


@tap.test
def a_name_that_libvirt_allows_is_taken(context):
    daemon, _host = context
    for name in ("a\tb", "a\rb", "a\x7f"):
        new = stranger()
        daemon.hook("started", name, new, policy=OFF)
        tap.equal(daemon.domain(name)["merge"], "off", f"merge of {name!r}")
        daemon.hook("stopped", name, new)


@tap.test
def one_that_comes_under_another_name_is_told_by_it(context):
    daemon, _host = context
    new = stranger()
    for name in ("old", "new"):
        daemon.hook("started", name, new, policy=OFF)
        tap.equal(daemon.domain(name)["uuid"], new, f"UUID of {name}")
        tap.equal(daemon.told_name(daemon.path_of(name)), name, "property Name")
    daemon.hook("stopped", "new", new)


@tap.test
def the_answer_is_one_line(context):
    daemon, _host = context
    message = {"version": 1, "operation": "start", "suboperation": "begin", "extra": "-", "name": "x",
               "uuid": NEW, "nosharepages": False, "memory": "anonymous"}
    tap.equal(daemon.hook_raw(json.dumps(message).encode() + b"\n", end=False), b'{"ok":true}\n', "the answer")


@tap.test
def a_domain_is_known_as_soon_as_the_hook_tells_of_it(context):
    daemon, host = context
    new = stranger()
    host.add_qemu(4712, "vm2", new, ksm_kib=400, saved_kib=200)
    tap.equal(daemon.known_by_hook("vm2", new.upper(), policy=MERGING).get("uuid"), new, "uuid")
    wait.until("its figures", lambda: daemon.known_by_hook("vm2", new, policy=MERGING).get("saved_bytes") == 200 * 1024, 20)
    daemon.hook("stopped", "vm2", new)
    tap.check("vm2" not in daemon.describe()[2], "vm2 is still there after it stopped")


@tap.test
def a_domain_that_must_not_merge_starts_while_ksmd_stands(context):
    daemon, host = context
    daemon.prepare("vm2", NEW, policy=OFF, ready=lambda: host.get("run") == "1")
    tap.equal(host.get("run"), "0", "run when the hook has its answer")
    wait.until("the hold to be told",
               lambda: "start-hold" in [code for code, *_ in daemon.describe()[1]], 20)
    tap.equal(host.get("run"), "0", "run while it is held")
    daemon.hook("release", "vm2", NEW)
    wait.until("ksmd to be started again", lambda: host.get("run") == "1", 20)


@tap.test
def a_start_that_takes_long_is_waited_for(context):
    """As one that is restored: its QEMU runs, and libvirt tells of it when all of its memory is read."""
    daemon, host = context
    wait.until("ksmd to run", lambda: host.get("run") == "1", 20)
    host.add_qemu(4712, "vm2", NEW)
    daemon.prepare("vm2", NEW, policy=OFF, ready=lambda: host.get("run") == "1")
    wait.until("that to be told", lambda: any("\"vm2\" must not merge, and has been starting" in text
                                              for _, text, _ in daemon.describe()[1]), 40)
    time.sleep(3)  # the first hold is over
    tap.equal(host.get("run"), "0", "run while its QEMU is there")
    daemon.hook("release", "vm2", NEW)
    wait.until("ksmd to go on", lambda: host.get("run") == "1", 20)


@tap.test
def a_move_to_its_group_is_not_all_that_is_waited_for(context):
    """As one that is migrated here: the kernel moves it, and libvirt lets nobody ask its QEMU."""
    daemon, host = context
    host.write("proc/4711/ksm_group", "0\n")
    host.set("groups/0/pages_shared", 0)
    wait.until("vm1 in its group", lambda: daemon.domain("vm1").get("ksm_group_number") == 0, 20)
    host.add_qemu(4712, "vm2", NEW)
    host.write("proc/4712/ksm_group", "0\n")
    daemon.prepare("vm2", NEW, policy=OFF_IN_GROUP, ready=lambda: host.get("run") == "1")
    wait.until("vm2 to be moved", lambda: daemon.known_by_hook("vm2", NEW, policy=OFF_IN_GROUP) and
               daemon.logged("domain vm2: merge group"), 20, show=daemon.text)
    host.write("proc/4712/ksm_group", "5\n")  # a file gives no numbers
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        daemon.known_by_hook("vm2", NEW, policy=OFF_IN_GROUP)
        tap.equal(host.get("run"), "0", "run while its QEMU was not asked")
        time.sleep(0.1)
    tap.check("start-hold" in [code for code, *_ in daemon.describe()[1]], "the hold is not told")
    daemon.hook("release", "vm2", NEW)
    wait.until("ksmd to go on", lambda: host.get("run") == "1", 20)


@tap.test
def a_domain_that_never_merges_holds_nothing(context):
    daemon, host = context
    daemon.hook("prepare", "vm2", NEW, nosharepages=True)
    tap.equal(host.get("run"), "1", "run with <nosharepages/>")
    daemon.hook("prepare", "vm2", NEW, policy=MERGING)
    tap.equal(host.get("run"), "1", "run with a policy that merges")
    daemon.hook("release", "vm2", NEW)


@tap.test
def a_refused_policy_is_told_and_the_default_applies(context):
    daemon, _host = context
    new = stranger()
    tap.equal(daemon.hook("started", "vm2", new, policy=OFF.replace("off", "sometimes")), {"ok": True}, "answer")
    found = daemon.domain("vm2")
    tap.check("sometimes" in found["policy_error"], f"policy_error: {found['policy_error']}")
    tap.equal(found["merge"], "auto", "merge")
    daemon.hook("stopped", "vm2", new)


@tap.test
def malformed_messages_are_refused_and_change_nothing(context):
    daemon, host = context
    good = {"version": 1, "operation": "started", "suboperation": "begin", "extra": "-", "name": "evil",
            "uuid": NEW, "nosharepages": False, "memory": "anonymous"}
    before = host.knobs()
    bad = [{**good, key: value} for key, values in {
        "version": (2, "1", None, [1]), "operation": (7, None, {}), "name": ("", "a/b", "a\nb", 5, "x" * 256),
        "uuid": ("", "nonsense", NEW[:-1], 1), "nosharepages": ("false", 0, None),
        "memory": ("gold", 1, None), "policy": (1, None, {}),
    }.items() for value in values]
    bad += [{k: v for k, v in good.items() if k != key} for key in ("version", "operation", "name", "uuid")]
    texts = [json.dumps(message).encode() for message in bad]
    texts += [b"", b"null", b"[]", b"{", b'"x"', b"{}", b"\xff\xfe", b"\0", b'{"version":1}{', b"[" * 5000, b'{"a":' * 3000,
              json.dumps(good).encode() * 2, b'"x"' + json.dumps(good).encode()]
    for text in texts:
        tap.check(refused(daemon.hook_raw(text + b"\n")), f"no reason for {text[:60]!r}")
    tap.check("evil" not in daemon.describe()[2], "a malformed message made a domain")
    tap.equal(host.knobs(), before, "knobs")


@tap.test
def too_long_and_cut_short_are_refused(context):
    daemon, _host = context
    tap.check("long" in refused(daemon.hook_raw(b"x" * 20000, end=False)), "20000 bytes without a line's end")
    tap.check("ends" in refused(daemon.hook_raw(b'{"version":1')), "half a message")
    longest = b'{"version":1,"pad":"' + b"x" * 16000 + b'"}'
    tap.check("operation" in refused(daemon.hook_raw(longest + b"\n")), "a long line within the limit")


def answer_beside_slow_ones(daemon):
    """Seconds that it took."""
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(daemon.connect_hook()) for _ in range(20)]
        for connection in slow:
            connection.sendall(b'{"version":1,')
        started = time.monotonic()
        tap.equal(daemon.hook("start", "quick", NEW), {"ok": True}, "answer beside slow ones")
        took_sec = time.monotonic() - started
        for connection in slow:
            tap.equal(connection.recv(100), b"", "what a client that says nothing more gets in the end")
    return took_sec


@tap.test
def a_slow_client_holds_up_nobody(context):
    daemon, _host = context
    quickest_sec = min(answer_beside_slow_ones(daemon) for _ in range(3))
    tap.check(quickest_sec < BUDGET_SEC, f"the quickest of three answers took {quickest_sec:.2f} s")


@tap.test
def a_crowd_is_turned_away_and_the_next_one_served(context):
    daemon, _host = context

    def crowd():
        """Who says nothing is left after a second: perhaps the first before the last has come."""
        with contextlib.ExitStack() as stack:
            for _ in range(80):
                stack.enter_context(daemon.connect_hook())
            daemon.hook_raw(b"{}\n")
        return daemon.logged("turned away")

    wait.until("the crowd to be noticed", crowd, 20)
    wait.until("an answer again", lambda: daemon.hook_raw(b"{}\n") != b"", 10)
    tap.equal(daemon.hook("start", "next", NEW), {"ok": True}, "answer after the crowd")


@tap.test
def strangers_are_not_listened_to(context):
    daemon, _host = context
    if os.geteuid() != 0:
        tap.skip("only root can become another user")
    path = f"{daemon.runtime}/hook.sock"
    os.chmod(daemon.folder, 0o755)
    command = [sys.executable, "-c", STRANGER, path]
    nobody = pwd.getpwnam("nobody")
    as_nobody = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "text": True,
                 "capture_output": True, "check": False, "timeout": 20}
    tap.check("PermissionError" in subprocess.run(command, **as_nobody).stderr, "nobody could connect")
    os.chmod(path, 0o666)
    try:
        done = subprocess.run(command, **as_nobody)
        tap.check(done.returncode == 0, f"nobody got no answer: {done.stderr}")
        tap.check("root" in refused(done.stdout), "nobody was listened to")
    finally:
        os.chmod(path, 0o600)


if __name__ == "__main__":
    tap.main(context=surroundings)
