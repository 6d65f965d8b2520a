#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The libvirt hook alone: when it fails, which keeps a domain from starting, and that it fails at no other time.

Usage: test_hook_refusal.py HOOK [TEST...]
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

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import hookpeer  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402
from hookpeer import SAYS_YES, answers, domain_xml, listening  # noqa: E402

HOOK = sys.argv.pop(1)
OTHERS = ("start", "started", "stopped", "release", "reconnect", "migrate", "restore")
REFUSES = answers('{"ok":false,"refused":"domain \\"büro\\" is not started: it needs 2.0 GiB; free 5 MiB"}\n'.encode())
SENTENCE = 'memfold-hook: domain "büro" is not started: it needs 2.0 GiB; free 5 MiB\n'
CLOSED = "[admission]\nadmission=enforce\nrefuse-without-daemon=true\n"
# What lets a domain start while nobody can be asked.
OPEN = {
    "enforce alone": "[admission]\nadmission=enforce\n",
    "said false": "[admission]\nadmission=enforce\nrefuse-without-daemon=false\n",
    "warn": "[admission]\nadmission=warn\nrefuse-without-daemon=true\n",
    "off": "[admission]\nadmission=off\nrefuse-without-daemon=true\n",
    "the default": "",
    "no file": None,
}


def hang(daemon, connection):
    daemon.line(connection)
    connection.recv(1)  # until the hook leaves


@contextlib.contextmanager
def configured(text, dropin=None):
    """Path of a configuration with that text (None: there is none), and one drop-in."""
    with tempfile.TemporaryDirectory(prefix="memfold-hook-") as folder:
        path = pathlib.Path(folder, "memfold.conf")
        if text is not None:
            path.write_text(text, encoding="utf-8")
        if dropin is not None:
            pathlib.Path(folder, "memfold.conf.d").mkdir()
            pathlib.Path(folder, "memfold.conf.d", "10.conf").write_text(dropin, encoding="utf-8")
        yield str(path)


def command(socket_path, config_path, operation):
    return [HOOK, "--socket", socket_path, "--config", config_path, "vm1", operation, "begin", "-"]


def call(socket_path, config_path, operation="prepare", xml=None):
    """One call; gives (exit code, stderr), and checks what never may be."""
    result = subprocess.run(command(socket_path, config_path, operation), check=False, timeout=30,
                            input=domain_xml() if xml is None else xml, capture_output=True,
                            env={"LC_ALL": "C", "PATH": "/usr/bin", "HOME": "/root"})
    stderr = result.stderr.decode()
    tap.equal(result.stdout, b"", "stdout")
    tap.check(stderr.count("\n") == (1 if stderr else 0), f"more than one line: {stderr!r}")
    return result.returncode, stderr


def in_time(*arguments):
    """The same of a call that did not run out of its budget."""
    return hookpeer.in_time(lambda: call(*arguments), lambda result: result[1])


def nobody():
    """A socket that nobody listens at."""
    return "/nonexistent/hook.sock"


@tap.test
def a_refusal_is_one_sentence_and_exit_1():
    for text in (CLOSED, *OPEN.values()):
        with listening(REFUSES) as daemon, configured(text) as config:
            tap.equal(in_time(daemon.path, config), (1, SENTENCE), f"refusal with {text!r}")


@tap.test
def a_refusal_counts_at_prepare_alone():
    with listening(REFUSES) as daemon, configured(CLOSED) as config:
        for operation in OTHERS:
            code, stderr = in_time(daemon.path, config, operation)
            tap.equal(code, 0, f"exit code at {operation}")
            tap.check("goes on" in stderr, stderr)
        tap.equal({json.loads(line)["operation"] for line in daemon.received}, set(OTHERS), "operations told")


@tap.test
def a_yes_is_a_yes():
    with listening(SAYS_YES) as daemon, configured(CLOSED) as config:
        tap.equal(in_time(daemon.path, config), (0, ""), "exit code and stderr")


@tap.test
def a_daemon_that_is_down_refuses_where_it_is_to():
    with configured(CLOSED) as config:
        code, stderr = in_time(nobody(), config)
    tap.equal(code, 1, f"exit code ({stderr})")
    for words in ("memfoldd is not running", "is not started", "start memfoldd", "refuse-without-daemon=false"):
        tap.check(words in stderr, f"{words!r} in {stderr!r}")
    with configured(OPEN["warn"], dropin="[admission]\nadmission=enforce\n") as config:
        tap.equal(call(nobody(), config)[0], 1, "exit code by a drop-in")
    for what, text in OPEN.items():
        with configured(text) as config:
            code, stderr = in_time(nobody(), config)
        tap.equal(code, 0, f"exit code with {what}")
        tap.check("memfoldd is not running" in stderr and "goes on" in stderr, stderr)


@tap.test
def no_state_of_the_daemon_fails_another_operation():
    with configured(CLOSED) as config:
        for operation in OTHERS:
            tap.equal(call(nobody(), config, operation)[0], 0, f"exit code at {operation}, daemon down")
        with listening(hang) as daemon:
            for operation in OTHERS:
                tap.equal(call(daemon.path, config, operation)[0], 0, f"exit code at {operation}, daemon hangs")


@tap.test
def a_daemon_that_is_slow_or_talks_nonsense_was_not_asked():
    cases = {"hangs": hang, "nonsense": answers(b"hello\n"), "silent": lambda daemon, connection: None,
             "bad message": answers(b'{"ok":false,"error":"no such operation"}\n')}
    for what, serve in cases.items():
        for text, wanted in ((CLOSED, 1), (OPEN["enforce alone"], 0)):
            with listening(serve) as daemon, configured(text) as config:
                tap.equal(call(daemon.path, config)[0], wanted, f"exit code, daemon {what}, {text!r}")


@tap.test
def a_socket_that_is_forbidden_is_no_refusal():
    """The same errno stands for a daemon's no elsewhere."""
    if os.geteuid() != 0:
        tap.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as folder, configured("") as config:
        for path in (folder, os.path.dirname(config)):
            os.chmod(path, 0o755)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{folder}/hook.sock")
            listener.listen(1)
            os.chmod(f"{folder}/hook.sock", 0o600)
            result = subprocess.run(command(f"{folder}/hook.sock", config, "prepare"), input=domain_xml(), user=65534,
                                    group=65534, extra_groups=[], capture_output=True, check=False, timeout=30)
    tap.check(b"Permission denied" in result.stderr, f"stderr: {result.stderr!r}")
    tap.equal(result.returncode, 0, "exit code")


@tap.test
def nobody_was_asked_about_an_unreadable_xml():
    with listening(SAYS_YES) as daemon:
        for text, wanted in ((CLOSED, 1), ("", 0)):
            with configured(text) as config:
                for xml in (b"", b"<domain><name>vm1</name>", domain_xml(extra="<a/>" * 1100000)):
                    tap.equal(call(daemon.path, config, xml=xml)[0], wanted, f"exit code with {text!r}, {xml[:30]}")
        tap.equal(daemon.received, [], "messages")


@tap.test
def a_configuration_that_is_wrong_asks_for_nothing():
    for text in (CLOSED + "[ksmd]\nspeed=9\n", "admission", CLOSED.replace("true", "yes")):
        with configured(text) as config:
            code, stderr = in_time(nobody(), config)
        tap.equal(code, 0, f"exit code with {text!r}")
        tap.check("memfold.conf" in stderr and "can't be read either" in stderr, stderr)


def interrupted(config, number):
    """(exit code, stdout, stderr) of a hook that gets a signal while it waits for its answer; None when it has run out
    of its budget, and ended, before it asked."""
    with listening(hang) as daemon:
        with subprocess.Popen(command(daemon.path, config, "prepare"), stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as hook:
            with contextlib.suppress(BrokenPipeError):
                hook.stdin.write(domain_xml())
                hook.stdin.close()
            hook.stdin = None
            wait.until("its message, or its end", lambda: daemon.received or hook.poll() is not None, 10,
                       interval_sec=0.002)
            told = bool(daemon.received)
            hook.send_signal(number)
            stdout, stderr = hook.communicate(timeout=30)
            return (hook.returncode, stdout, stderr) if told else None


@tap.test
def time_and_crashes_end_it_as_configured():
    """The handler, which no longer can read anything, goes by what was read before."""
    for number in (signal.SIGALRM, signal.SIGSEGV, signal.SIGABRT):
        for text, wanted in ((CLOSED, 1), ("", 0)):
            with configured(text) as config:
                code, stdout, stderr = wait.until("one that has sent its message before it ends",
                                                  lambda n=number, c=config: interrupted(c, n), 60)
            tap.equal((code, stdout), (wanted, b""), f"{number.name} with {text!r} ({stderr!r})")
            tap.check((b"is not started" in stderr) == (wanted == 1), f"{number.name}: {stderr!r}")
            tap.equal(stderr.count(b"\n"), 1, f"lines of {stderr!r}")


if __name__ == "__main__":
    tap.main()
