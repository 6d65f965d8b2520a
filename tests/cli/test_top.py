#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`memfold top` on a terminal of 80 by 24, on a dumb one and on a pipe, against an org.memfold1 whose answers
are known.

Usage: test_top.py MEMFOLD [TEST...]
"""

import contextlib
import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import unicodedata

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakedaemon  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

MEMFOLD = sys.argv.pop(1)
MIB = 1024 * 1024
COLUMNS, LINES = 80, 24
HOME, SECOND_SCREEN, FIRST_SCREEN = "\x1b[H", "\x1b[?1049h", "\x1b[?1049l"
SEQUENCE = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")
REMEDY = "remove <access mode='shared'/> and <source type='memfd'/> from <memoryBacking> and start it again"


def domain(number, name, **values):
    return {"uuid": f"{number}1111111-2222-3333-4444-555555555555", "name": name, "merge": "auto", "mode": "on",
            "memory": "anonymous", "reasons": [["policy", "policy auto: merged", ""]], **values}


SCENARIO = {
    "host": {"saved_bytes": 8 * MIB, "ksm_run": 1, "ksmd_cpu_permyriad": 320, "ksmd_budget_permyriad": 1000,
             "mem_total_bytes": 1000 * MIB, "mem_available_bytes": 400 * MIB, "pages_to_scan_pages": 5000,
             "sleep_msec": 20},
    "reasons": [["domains", "3 domains can merge", ""]],
    "domains": [
        domain(1, "anna", saved_bytes=2 * MIB, merged_bytes=9 * MIB, resident_bytes=64 * MIB, group="tenant-a"),
        domain(2, "bert" + "x" * 90, saved_bytes=5 * MIB, merged_bytes=6 * MIB),
        domain(3, "carl", saved_bytes=1 * MIB, merged_bytes=12 * MIB, memory="shared", mergeable=False,
               reasons=[["memory-shared", "its RAM is shared memory, which KSM does not merge", REMEDY]]),
    ],
}


class Host(fakedaemon.Host):
    def run(self, *words):
        """memfold top where no terminal is."""
        return subprocess.run([MEMFOLD, "top", *words], env=self.environment, text=True, timeout=30, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@contextlib.contextmanager
def surroundings():
    with bus.private() as environment:
        yield Host(environment, SCENARIO)


class Terminal:
    """memfold top in a session of its own on a pseudo-terminal, and what it drew there."""

    def __init__(self, host, *words, kind="xterm"):
        self.leader, self.follower = pty.openpty()
        self.resize(COLUMNS, LINES)
        self.before = termios.tcgetattr(self.follower)
        self.output = ""
        self.process = subprocess.Popen(
            [MEMFOLD, "top", "--interval", "1", *words], env={**host.environment, "TERM": kind}, stdin=self.follower,
            stdout=self.follower, stderr=self.follower, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            tap.diag(repr(self.output[-4000:]))
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.follower)
        os.close(self.leader)

    def resize(self, columns, lines):
        fcntl.ioctl(self.leader, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self):
        while select.select([self.leader], [], [], 0)[0]:
            self.output += os.read(self.leader, 65536).decode(errors="replace")
        return self.output

    def press(self, keys):
        os.write(self.leader, keys.encode())

    def frames(self, start=0):
        """All that were drawn since, each between the two times that the cursor is brought home, latest first."""
        return [part for part in reversed(self.read()[start:].split(HOME)[:-1]) if SEQUENCE.sub("", part)]

    def frame(self):
        return next(iter(self.frames()), "")

    def screen(self):
        return lines_of(self.frame())

    def marked(self):
        """The line that is shown in reverse."""
        found = re.findall(r"\x1b\[7m(.*?)\x1b\[0m", self.frame())
        return found[0] if found else ""

    def names(self):
        return names_in(self.screen())

    def wait(self, what, predicate):
        return wait.until(what, predicate, 20, interval_sec=0.02, show=lambda: "\n".join(self.screen()))

    def wait_text(self, text):
        self.wait(f"{text!r} on the screen", lambda: text in "\n".join(self.screen()))

    def wait_names(self, *wanted):
        self.wait(f"rows {wanted}", lambda: self.names() == list(wanted))

    def modes(self):
        return termios.tcgetattr(self.follower)

    def taken(self):
        return not self.modes()[3] & (termios.ICANON | termios.ECHO)

    def ended(self, what):
        """Waits for its end, and checks that it left the terminal as it was."""
        self.wait(f"the end after {what}", lambda: self.read() is not None and self.process.poll() is not None)
        tap.equal(self.process.returncode, 0, f"exit code after {what}")
        self.given_back(what)

    def given_back(self, what):
        tap.equal(self.modes(), self.before, f"modes of the terminal after {what}")
        self.read()
        tap.check(self.output.rindex(FIRST_SCREEN) > self.output.rindex(SECOND_SCREEN), f"the screen after {what}")
        tap.check(self.output.rindex("\x1b[?25h") > self.output.rindex("\x1b[?25l"), f"no cursor after {what}")


def lines_of(frame):
    return [SEQUENCE.sub("", line).replace("\r", "") for line in frame.split("\n")]


def names_in(shown):
    return [line.split()[0][:4] for line in shown if re.match(r"(anna|bert|carl)", line)]


def width(text):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fits(terminal, columns=COLUMNS, lines=LINES):
    shown = terminal.screen()
    tap.check(len(shown) <= lines, f"{len(shown)} lines on a screen of {lines}")
    tap.check(max(map(width, shown)) <= columns, f"a line of more than {columns} columns in {shown}")


@tap.test
def header_and_rows_fit_the_screen(host):
    with host.daemon(), Terminal(host) as terminal:
        terminal.wait_names("bert", "anna", "carl")
        terminal.wait_text("q quit")
        fits(terminal)
        shown = terminal.screen()
        tap.equal(shown[:5], ["saved  8.0 MiB; available memory 400.0 MiB of 1000.0 MiB",
                              "ksmd   running; 3.20 % of one CPU, budget 10.00 %; scans 5000 pages every 20 ms",
                              "       3 domains can merge", "", shown[4]], "header")
        tap.equal(shown[4].split(), ["NAME", "MODE", "GROUP", "RES", "MERGED", "SAVED", "CHG/S", "ZERO"], "titles")
        anna = next(line for line in shown if line.startswith("anna"))
        tap.equal(anna.split(), ["anna", "on", "tenant-a", "64.0M", "9.0M", "2.0M", "-", "-"], "anna")
        terminal.wait("a change of nothing", lambda: " 0 " in next(
            line for line in terminal.screen() if line.startswith("anna")))
        terminal.press("q")
        terminal.ended("q")


@tap.test
def reasons_of_the_host_keep_their_remedies(host):
    reasons = [["libvirt-away", "memfoldd is not connected to libvirt (qemu:///system): what domains run is not known now",
                "start libvirtd; memfoldd tries again by itself"]]
    with host.daemon(reasons=reasons * 9), Terminal(host) as terminal:
        terminal.wait_text("more: memfold plan")
        fits(terminal)
        shown = terminal.screen()
        tap.check("tries again by itself" in "\n".join(shown), shown)
        tap.equal((shown[6], shown[7]), ("       ... 7 more: memfold plan", ""), "the header's end")
        block = host.run("--count", "1").stdout
    tap.equal(block.count("tries again by itself"), 9, f"remedies in {block}")
    tap.check(max(map(len, block.splitlines())) <= 100, block)


@tap.test
def letters_sort(host):
    with host.daemon(), Terminal(host, "--sort", "name") as terminal:
        terminal.wait_names("anna", "bert", "carl")
        for key, wanted in (("s", ("bert", "anna", "carl")), ("m", ("carl", "anna", "bert")),
                            ("n", ("anna", "bert", "carl")), ("d", ("anna", "bert", "carl"))):
            terminal.press(key)
            terminal.wait_names(*wanted)
        fits(terminal)


@tap.test
def enter_shows_reasons_and_remedies(host):
    with host.daemon(), Terminal(host, "--sort", "name") as terminal:
        terminal.wait("the first row to be marked", lambda: terminal.marked().startswith("anna"))
        terminal.press("j\x1b[B\x1b[B\x1b[Ak")
        terminal.wait("the marked row to move", lambda: terminal.marked().startswith("anna"))
        terminal.press("j\x1bOB")
        terminal.wait("carl to be marked", lambda: terminal.marked().startswith("carl"))
        terminal.press("s")
        terminal.wait("the order to change under it",
                      lambda: terminal.names()[:1] == ["bert"] and terminal.marked().startswith("carl"))
        terminal.press("\r")
        terminal.wait_text("domain   carl")
        text = " ".join(" ".join(terminal.screen()).split())
        tap.check(f"- its RAM is shared memory, which KSM does not merge remedy: {REMEDY}" in text, text)
        tap.check("12.0M merged, 1.0M saved" in text and "can not merge" in text, text)
        fits(terminal)
        for back in ("q", "\x1b"):
            terminal.press(back)
            terminal.wait_names("bert", "anna", "carl")
            terminal.press("\n")
            terminal.wait_text("domain   carl")
        terminal.press("\x03")
        terminal.ended("Ctrl-C in the details")


@tap.test
def a_nul_is_no_key_and_holds_up_none(host):
    with host.daemon():
        for keys in (b"\0q", b"\xc3\0q", b"\0\x1b[B\0\0q"):
            with Terminal(host) as terminal:
                terminal.wait_text("q quit")
                os.write(terminal.leader, keys)
                terminal.ended(repr(keys))


@tap.test
def signals_give_the_terminal_back(host):
    with host.daemon():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with Terminal(host) as terminal:
                terminal.wait_text("q quit")
                tap.check(terminal.taken(), "the terminal's modes are as they were")
                terminal.process.send_signal(number)
                terminal.ended(number.name)


@tap.test
def stopped_it_gives_the_terminal_back_and_continued_takes_it_again(host):
    def state():
        with open(f"/proc/{terminal.process.pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0]

    with host.daemon(), Terminal(host) as terminal:
        terminal.wait_text("q quit")
        for what, stop in (("Ctrl-Z", lambda: terminal.press("\x1a")),
                           ("SIGTSTP", lambda: terminal.process.send_signal(signal.SIGTSTP))):
            stop()
            terminal.wait(f"a stop by {what}", lambda: terminal.read() and state() == "T")
            terminal.given_back(what)
            drawn = len(terminal.read())
            terminal.process.send_signal(signal.SIGCONT)
            terminal.wait("the screen again", lambda start=drawn: "q quit" in terminal.read()[start:])
            tap.check(terminal.taken(), f"the terminal's modes are those of the shell after {what}")
        terminal.press("q")
        terminal.ended("q")


@tap.test
def another_size_is_drawn_at_once(host):
    with host.daemon(), Terminal(host, "--interval", "3600") as terminal:
        terminal.wait_text("q quit")
        for columns, lines in ((40, 10), (200, 50), (80, 24)):
            drawn = len(terminal.read())
            terminal.resize(columns, lines)
            terminal.wait(f"{lines} lines", lambda start=drawn, count=lines: HOME in terminal.read()[start:] and
                          len(terminal.screen()) == count)
            fits(terminal, columns, lines)
            tap.equal(terminal.names(), ["bert", "anna", "carl"], "rows")
        tap.check(any("bert" + "x" * 9 in line for line in terminal.screen()), "bert's name")


@tap.test
def a_daemon_that_goes_and_comes_is_survived(host):
    more = {**SCENARIO["domains"][0], "saved_bytes": 200 * MIB}
    with contextlib.ExitStack() as stack:
        with host.daemon():
            terminal = stack.enter_context(Terminal(host))
            terminal.wait_names("bert", "anna", "carl")
        shown = terminal.wait("the notice", lambda: "NO ANSWER" in "\n".join(now := terminal.screen()) and now)
        tap.check("memfoldd is not running" in shown[0], shown[0])
        tap.equal(names_in(shown), ["bert", "anna", "carl"], "the last rows")
        fits(terminal)
        drawn = len(terminal.read())
        with host.daemon(domains=[more]):
            terminal.wait_names("anna")
            # The first one: the next sees no change.
            first = [now for now in map(lines_of, terminal.frames(drawn)) if names_in(now) == ["anna"]][-1]
            tap.check("NO ANSWER" not in "\n".join(first), "the notice is still there")
            anna = next(line for line in first if line.startswith("anna"))
            tap.check(re.fullmatch(r"\+[0-9.]+[KM]", anna.split()[6]), f"the change of saved in {anna!r}")
        terminal.wait_text("NO ANSWER")
        terminal.press("q")
        terminal.ended("q")


@tap.test
def no_daemon_leaves_the_terminal_alone(host):
    with Terminal(host) as terminal:
        terminal.wait("its end", lambda: terminal.read() is not None and terminal.process.poll() is not None)
        tap.equal(terminal.process.returncode, 3, "exit code")
        tap.check("systemctl start memfoldd" in terminal.read() and "\x1b" not in terminal.output, terminal.output)
        tap.equal(terminal.modes(), terminal.before, "modes of the terminal")


@tap.test
def without_a_screen_it_prints_plain_blocks(host):
    with host.daemon():
        for kind, words in (("dumb", ()), ("xterm", ("--batch",))):
            with Terminal(host, "--count", "2", *words, kind=kind) as terminal:
                terminal.wait("two blocks", lambda: terminal.read().count("anna ") == 2)
                terminal.wait("its end", lambda: terminal.process.poll() is not None)
                tap.equal(terminal.process.returncode, 0, "exit code")
                tap.check("\x1b" not in terminal.read(), f"an escape sequence: {terminal.output!r}")
                tap.check(max(map(len, terminal.output.splitlines())) <= COLUMNS, terminal.output)
                tap.equal(terminal.modes(), terminal.before, "modes of the terminal")
        result = host.run("--count", "2", "--interval", "1", "--sort", "merged")
    tap.equal((result.returncode, result.stderr), (0, ""), "end on a pipe")
    tap.check("\x1b" not in result.stdout, result.stdout)
    blocks = [block.splitlines() for block in re.split(r"(?=^saved  )", result.stdout, flags=re.MULTILINE) if block]
    tap.equal([[line[:4] for line in block if re.match("anna|bert|carl", line)] for block in blocks],
              [["carl", "anna", "bert"]] * 2, "rows of each block")


@tap.test
def it_ends_when_nobody_takes_the_blocks(host):
    with host.daemon():
        with subprocess.Popen([MEMFOLD, "top", "--interval", "1"], env=host.environment, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
            try:
                tap.check(program.stdout.readline().startswith("saved  "), "the first line")
                program.stdout.close()
                wait.until("its end without a reader", lambda: program.poll() is not None, 10, interval_sec=0.02)
                tap.equal((program.returncode, program.stderr.read()), (-signal.SIGPIPE, ""), "end without a reader")
            finally:
                program.kill()
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([MEMFOLD, "top", "--count", "9"], env=host.environment, text=True, timeout=30,
                                  check=False, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE)
        tap.equal((done.returncode, done.stderr), (1, "memfold: stdout: No space left on device\n"), "a full disk")


@tap.test
def foreign_text_can_not_drive_the_terminal(host):
    evil = domain(1, "v\x1b]0;owned\x07m", group="\x1b[2J", mode="o\rn", reasons=[["x", "a\x1b[5mb", "c\x07\nd"]])
    reason = ["domains", "line\x1b]0;owned\x07\nnext", ""]
    with host.daemon(domains=[evil], reasons=[reason]):
        printed = host.run("--count", "1").stdout
        tap.check(not re.search(r"[^\n\x20-\x7e]", printed), f"a control character: {printed!r}")
        with Terminal(host) as terminal:
            terminal.wait_text("q quit")
            terminal.press("\r")
            terminal.wait_text("remedy: c")
            tap.check("owned\x07" not in terminal.read() and "\x1b[5m" not in terminal.output, repr(terminal.output))


@tap.test
def wrong_options_are_usage_errors(host):
    for words in (["--sort", "size"], ["--interval", "0"], ["--interval", "3601"], ["--count", "-1"], ["vm1"]):
        result = host.run(*words)
        tap.equal((result.returncode, result.stdout), (2, ""), f"end of {words}")
        tap.check(result.stderr, f"{words} says nothing")


if __name__ == "__main__":
    tap.main(context=surroundings)
