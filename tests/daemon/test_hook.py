#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The libvirt hook alone: what it tells, and that nothing makes it print or outstay its budget, or fail where
it may not; what may fail it is in test_hook_refusal.py.

LIMIT_STARTS is what a call may take, in starts of a program that does nothing on this machine: 8, and more
where sanitizers make each process slow to start and end.

Usage: test_hook.py HOOK LIMIT_STARTS [TEST...]
"""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import hookpeer  # noqa: E402
import tap  # noqa: E402
from hookpeer import POLICY, UUID, answers, domain_xml, listening  # noqa: E402

HOOK = sys.argv.pop(1)
LIMIT_STARTS = int(sys.argv.pop(1))
BUDGET_MSEC = 500
MESSAGE_MAX_BYTES = 16384
FORWARDED = ("prepare", "start", "started", "stopped", "release", "reconnect", "migrate", "restore")


def call(socket_path, *words, xml=None, **options):
    """One call as libvirt makes it; gives (stderr, milliseconds). stdin is `xml`, unless given."""
    if "stdin" not in options:
        options["input"] = domain_xml() if xml is None else xml
    words = words or ("vm1", "started", "begin", "-")
    started = time.monotonic()
    result = subprocess.run([HOOK, *(["--socket", socket_path] if socket_path else []), *words],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30, check=False,
                            env={"LC_ALL": "C", "PATH": "/usr/bin", "HOME": "/root"}, **options)
    msec = (time.monotonic() - started) * 1000
    tap.equal(result.returncode, 0, f"exit code ({result.stderr!r})")
    tap.equal(result.stdout, b"", "stdout")
    stderr = result.stderr.decode()
    tap.check(stderr.count("\n") == (1 if stderr else 0), f"more than one line: {stderr!r}")
    return stderr, msec


def start_msec():
    """How long a program takes that does nothing."""
    started = time.monotonic()
    subprocess.run(["/bin/true"], input=domain_xml(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    return (time.monotonic() - started) * 1000


def in_budget(*arguments, **options):
    """The quickest of three calls is in the budget, start and end of a process aside, and its stderr is given:
    the machine's other work is not the hook's."""
    stderr, msec = min((call(*arguments, **options) for _ in range(3)), key=lambda result: result[1])
    limit = BUDGET_MSEC + LIMIT_STARTS * min(start_msec() for _ in range(10))
    tap.check(msec <= limit, f"the quickest of three calls took {msec:.0f} ms, the limit is {limit:.0f} ms")
    return stderr


def in_time(*arguments, **options):
    """stderr of a call that did not run out of its budget."""
    return hookpeer.in_time(lambda: call(*arguments, **options), lambda result: result[0])[0]


def last_messages(daemon):
    """{operation: the last message about it}"""
    return {message["operation"]: message for message in map(json.loads, daemon.received)}


@tap.test
def each_operation_that_matters_is_told():
    with listening() as daemon:
        for operation in FORWARDED:
            tap.equal(in_time(daemon.path, "vm1", operation, "begin", "-"), "", f"stderr of {operation}")
        found = last_messages(daemon)
    tap.equal(list(found), list(FORWARDED), "operations")
    for operation, message in found.items():
        policy = message.pop("policy")
        tap.check('merge="off"' in policy and "urn:memfold:policy:1" in policy, policy)
        tap.equal(message, {"version": 1, "operation": operation, "suboperation": "begin", "extra": "-", "name": "vm1", "uuid": UUID,
                            "nosharepages": False, "memory": "anonymous", "memory_bytes": 64 << 20}, "message")


@tap.test
def the_facts_of_the_domain_are_told():
    with listening() as daemon:
        in_time(daemon.path, "vm1", "release", "end", "shutdown",
                xml=domain_xml(policy="", backing="<nosharepages/><access mode='shared'/><source type='memfd'/>"))
        in_time(daemon.path, "vm1", "started", "begin", "-", xml=domain_xml(name="b\u00fcro &lt;\"1\" \\ &amp;"))
        first, second = last_messages(daemon).values()
    tap.equal(first["extra"], "shutdown", "extra")
    tap.equal((first["nosharepages"], first["memory"]), (True, "memfd"), "facts")
    tap.check("policy" not in first, "a policy that the domain has not")
    tap.equal(second["name"], 'b\u00fcro <"1" \\ &', "name")


@tap.test
def other_operations_are_nobodys_business():
    with listening() as daemon:
        for operation in ("attach", "", "\u00e9\n", "starting", "x" * 5000):
            tap.equal(call(daemon.path, "vm1", operation, "begin", "-")[0], "", "stderr")
        tap.equal(daemon.received, [], "messages")


@tap.test
def the_daemons_no_is_passed_on():
    with listening(answers(b'{"ok":false,"error":"no \\"room\\" for it"}\n')) as daemon:
        stderr = in_time(daemon.path)
    tap.check('vm1' in stderr and 'no "room" for it' in stderr, stderr)


@tap.test
def a_daemon_that_is_down_costs_nothing():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "hook.sock")
        absent = in_budget(path)
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(path)
        refused = in_budget(path)
        pathlib.Path(folder, "file").touch()
        no_socket = in_budget(os.path.join(folder, "file"))
        too_long = in_budget(os.path.join(folder, "x" * 200))
    for stderr in (absent, refused, no_socket):
        tap.check("memfoldd is not running" in stderr, stderr)
    tap.check("too long" in too_long, too_long)


@tap.test
def a_daemon_that_never_answers_is_left():
    def hang(daemon, connection):
        daemon.line(connection)
        connection.recv(1)  # until the hook leaves

    with listening(hang) as daemon:
        tap.check("did not answer in time" in in_budget(daemon.path), "stderr")
        # One that had no CPU for all of its budget has told nothing.
        tap.check(1 <= len(daemon.received) <= 3, f"messages: {daemon.received}")


@tap.test
def a_daemon_that_never_accepts_is_left():
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        path = os.path.join(folder, "hook.sock")
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(path)
        listener.listen(8)
        stderr = in_budget(path)  # finds room in the queue, but nobody reads
        tap.check("did not answer in time" in stderr, stderr)
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(path)
        stderr = in_budget(path)
        tap.check("does not accept" in stderr, stderr)


@tap.test
def a_daemon_that_drips_is_left():
    def drip(daemon, connection):
        daemon.line(connection)
        while True:
            connection.sendall(b"{")
            time.sleep(0.05)

    with listening(drip) as daemon:
        tap.check("did not answer in time" in in_budget(daemon.path), "stderr")


@tap.test
def no_answer_and_nonsense_are_told_apart():
    def endless(daemon, connection):
        daemon.line(connection)
        while True:
            connection.sendall(b"x" * 65536)

    for serve, text in ((lambda daemon, connection: daemon.line(connection), "(empty)"),
                        (answers(b"\x1b[2Jhello\n"), "?[2Jhello"), (answers(b"\n"), "(empty)"),
                        (answers(b'{"ok":false}\n'), '{"ok":false}'), (endless, "xxx")):
        with listening(serve) as daemon:
            stderr = in_budget(daemon.path)
        tap.check("not understood" in stderr and text in stderr, f"{text}: {stderr}")
    with listening(lambda daemon, connection: None) as daemon:  # closes without reading
        tap.check(in_budget(daemon.path), "nothing on stderr")


@tap.test
def bad_xml_is_told_to_nobody():
    deep = b"<domain>" + b"<a>" * 100000
    laughs = (b'<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">' +
              b"".join(b'<!ENTITY %c "%s">' % (n, b"&%c;" % (n - 1) * 9) for n in range(ord("c"), ord("r"))) +
              b"]><domain><name>&q;</name></domain>")
    outside = (b'<!DOCTYPE d [<!ENTITY f SYSTEM "file:///etc/passwd">]>' + domain_xml(name="&f;"))
    bad = {"none": b"", "malformed": b"<domain><name>vm1</name>", "no domain": b"<network/>",
           "no uuid": b"<domain><name>vm1</name></domain>", "binary": bytes(range(256)) * 100,
           "huge": domain_xml(extra="<a/>" * 1100000), "deep": deep, "laughs": laughs, "outside": outside}
    with listening() as daemon:
        for what, xml in bad.items():
            stderr = in_budget(daemon.path, xml=xml)
            tap.check("vm1" in stderr and "started" in stderr, f"{what}: {stderr!r}")
        tap.equal(daemon.received, [], "messages")


@tap.test
def a_large_xml_is_read_whole():
    # Long elements and not many: a hundred milliseconds of CPU are no half second beside other work.
    extra = f"<disk>{'x' * 1000}</disk>" * 1000
    with listening() as daemon:
        tap.equal(in_time(daemon.path, xml=domain_xml(extra=extra)), "", "stderr")
        tap.equal(json.loads(daemon.received[0])["uuid"], UUID, "UUID")


@tap.test
def a_huge_policy_is_cut_and_not_lost():
    """The daemon refuses it and says so; were it absent, nobody would know."""
    policy = POLICY.replace("tenant-a", "\u00e4&quot;" * 50000)
    with listening() as daemon:
        tap.equal(in_time(daemon.path, xml=domain_xml(policy=policy)), "", "stderr")
        line = daemon.received[0]
    tap.check(len(line) <= MESSAGE_MAX_BYTES, f"{len(line)} bytes sent")
    tap.within(len(json.loads(line)["policy"].encode()), 4090, 4200, "bytes of the policy sent")


@tap.test
def a_huge_name_is_not_sent():
    with listening() as daemon:
        name = "n" * 20000
        stderr = in_budget(daemon.path, name, "started", "begin", "-", xml=domain_xml(name=name))
        tap.check("name" in stderr and len(stderr) < 1000, stderr)
        tap.equal(daemon.received, [], "messages")


@tap.test
def a_stdin_that_never_ends_is_left():
    reader, writer = os.pipe()
    with listening() as daemon, os.fdopen(reader, "rb"), os.fdopen(writer, "wb") as out:
        out.write(domain_xml())
        out.flush()
        stderr = in_budget(daemon.path, stdin=reader)
        tap.check("did not end in time" in stderr, stderr)
        tap.equal(daemon.received, [], "messages")


def msec_with_closed(daemon, closed, operation):
    started = time.monotonic()
    pid = os.posix_spawn(HOOK, [HOOK, "--socket", daemon.path, "vm1", operation, "begin", "-"], {},
                         file_actions=[(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)] +
                         [(os.POSIX_SPAWN_CLOSE, fd) for fd in closed])
    tap.equal(os.waitpid(pid, 0)[1], 0, f"wait status with {closed} closed, {operation}")
    return (time.monotonic() - started) * 1000


@tap.test
def closed_descriptors_harm_nobody():
    """Above all, the socket must not become the hook's stdin, stdout or stderr."""
    with listening() as daemon:
        for closed in ((0,), (1,), (2,), (0, 1, 2)):
            for operation in ("started", "attach"):
                quickest = min(msec_with_closed(daemon, closed, operation) for _ in range(3))
                tap.check(quickest <= BUDGET_MSEC * 2, f"the quickest of three took {quickest:.0f} ms")
        tap.equal(daemon.received, [], "messages")
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as deaf:  # nobody reads its stderr: no SIGPIPE
            result = subprocess.run([HOOK, "--socket", "/nonexistent", "vm1", "start", "begin", "-"], stderr=deaf,
                                    input=domain_xml(), timeout=30, check=False)
        tap.equal(result.returncode, 0, "exit code with a deaf stderr")


@tap.test
def a_stderr_that_is_full_is_left():
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb"), os.fdopen(writer, "wb") as full:
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"x" * 4096)
        os.set_blocking(writer, True)
        result = subprocess.run([HOOK, "--socket", "/nonexistent", "vm1", "reconnect", "begin", "-"], stderr=full,
                                input=domain_xml(), timeout=10, check=False)
    tap.equal(result.returncode, 0, "exit code")


@tap.test
def a_crash_is_no_failure():
    for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP,
                   signal.SIGPIPE):
        with listening() as daemon:
            with subprocess.Popen([HOOK, "--socket", daemon.path, "vm1", "reconnect", "begin", "-"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE) as hook:
                wait_for_handlers(hook.pid)
                hook.send_signal(number)
                stdout, stderr = hook.communicate(timeout=30)
                tap.equal(hook.returncode, 0, f"exit code after {number.name}")
                tap.equal(stdout, b"", "stdout")
                tap.check(stderr.startswith(b"memfold-hook: "), f"{number.name}: {stderr!r}")


def wait_for_handlers(pid):
    """Until the process catches SIGSEGV (bit 10 of SigCgt, proc(5)) and ignores SIGPIPE (bit 12 of SigIgn)."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        status = dict(line.split(":\t", 1) for line in
                      pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines())
        if int(status["SigCgt"], 16) >> 10 & 1 and int(status["SigIgn"], 16) >> 12 & 1:
            return
        time.sleep(0.002)
    raise tap.Failed("the hook sets up no signal handlers")


@tap.test
def strange_arguments_are_no_failure():
    for words in ((), ("vm1",), ("--help",), ("",)):
        result = subprocess.run([HOOK, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, check=False, timeout=30)
        tap.equal((result.returncode, result.stdout), (0, b""), f"exit code and stdout with {words}")
        tap.check(b"NAME OPERATION" in result.stderr, f"{words}: {result.stderr!r}")
    with listening() as daemon:
        in_time(daemon.path, "vm1", "started", "\x1b" * 300, "\udcff")
        message = last_messages(daemon)["started"]
    tap.equal(message["suboperation"], "\x1b" * 64, "suboperation, cut")
    tap.equal(message["extra"], "\ufffd", "extra, made valid")


@tap.test
def a_domain_may_be_called_socket():
    stderr, _ = call(None, "--socket", "attach", "begin", "-")
    tap.equal(stderr, "", "stderr")


@tap.test
def two_domains_are_told_at_once():
    """libvirt runs the hooks of different domains in parallel; one that hangs holds up no other."""
    with listening() as daemon:
        reader, writer = os.pipe()
        with os.fdopen(reader, "rb"), os.fdopen(writer, "wb"):
            with subprocess.Popen([HOOK, "--socket", daemon.path, "slow", "start", "begin", "-"], stdin=reader,
                                  stderr=subprocess.DEVNULL) as slow:
                tap.equal(in_time(daemon.path), "", "stderr of the quick one")
                tap.equal(slow.wait(timeout=30), 0, "exit code of the slow one")


@tap.test
def a_call_is_quick():
    with listening() as daemon:
        pairs = [(call(daemon.path)[1], start_msec()) for _ in range(50)]
    quickest, start = (min(times) for times in zip(*pairs))
    tap.diag(f"the quickest of 50 calls took {quickest:.1f} ms, of 50 programs that do nothing {start:.1f} ms")
    tap.check(quickest < LIMIT_STARTS * start, f"{quickest / start:.1f} starts, the limit is {LIMIT_STARTS}")


if __name__ == "__main__":
    tap.main()
