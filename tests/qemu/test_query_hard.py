#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""query-memory-merge and set-memory-merge when things go wrong around them.

Two monitors at once, memory that comes and goes during a walk, a host that hides /proc, and a
sandbox: QEMU must neither crash nor answer nonsense, and what cannot be read is absent.
"""

import concurrent.futures
import contextlib
import json
import subprocess
import tempfile
import threading
import time

import compare

import ksm
import qmp
import tap
import wait
from machine import MIB, Machine, connect

RAM_MIB = 64
STRESS_SEC = 4
STEP_MIB = 16
QUIT_MIB = 128


class Worker(threading.Thread):
    """Calls a step over and over until a deadline; keeps the count and the first failure."""

    def __init__(self, step):
        super().__init__(daemon=True)
        self.step = step
        self.count = 0
        self.failure = None

    def run(self):
        end = time.monotonic() + STRESS_SEC
        try:
            while time.monotonic() < end:
                self.step(self.count)
                self.count += 1
        except Exception as failure:  # handed to the test, which fails by it
            self.failure = failure


def work(*steps):
    """Runs the steps side by side for STRESS_SEC; fails if one failed or never ended."""
    workers = [Worker(step) for step in steps]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(STRESS_SEC + 60)
        if worker.failure:
            raise worker.failure
        tap.check(not worker.is_alive() and worker.count > 0, "a step hangs")
    tap.diag("rounds: " + " ".join(str(worker.count) for worker in workers))


def send(stream, command, **arguments):
    """Sends a QMP command and does not wait for its answer."""
    message = {"execute": command, "arguments": arguments}
    stream.sendall(json.dumps(message).encode() + b"\n")


@tap.test
def two_monitors_toggle_while_a_third_reads(binaries):
    with Machine(binaries.ours, memory_mib=RAM_MIB, monitors=3) as machine:
        machine.fill_merging(STEP_MIB)
        first, second, reader = machine.monitors

        def toggle(monitor):
            return lambda count: monitor.execute("set-memory-merge",
                                                 mode="off" if count % 2 else "on")

        def read(_):
            for block in reader.execute("query-memory-merge", usage=True)["blocks"]:
                usage = block.get("usage")
                if usage:
                    tap.check(usage["resident"] <= block["size"] * 2 + 2 * MIB, f"{block}")

        work(toggle(first), toggle(second), read)
        first.execute("set-memory-merge", mode="off")
        tap.equal(machine.marked(), [], "marked areas after all")
        tap.check(machine.holds_merging(STEP_MIB), "contents differ")


@tap.test
def memory_comes_and_goes_while_it_is_read_and_switched(binaries):
    with Machine(binaries.ours, memory_mib=RAM_MIB, monitors=3) as machine:
        plugger, reader, switcher = machine.monitors

        def plug(count):
            name = f"m{count % 3}"
            plugger.execute("object-add", qom_type="memory-backend-ram", id=name,
                            size=STEP_MIB * MIB, prealloc=True)
            plugger.execute("object-del", id=name)

        def switch(count):
            with contextlib.suppress(qmp.QmpError):  # the block may be gone
                switcher.execute("set-memory-merge", mode="off" if count % 2 else "on",
                                 id=f"m{count % 3}")
            switcher.execute("set-memory-merge", mode="off" if count % 2 else "on")

        work(plug, lambda _: reader.execute("query-memory-merge", usage=True), switch)
        # what was deleted is gone, also if a walk held it for a while
        wait.until("deleted memory to go",
                   lambda: not machine.sized_areas(STEP_MIB * MIB), 10)
        known = {block["id"] for block in plugger.execute("query-memory-merge")["blocks"]}
        tap.equal({name for name in known if name.startswith("m")}, set(), "blocks left over")


@tap.test
def a_client_may_leave_before_the_answer(binaries):
    """A monitor that is closed in the middle of a command takes nothing with it."""
    with Machine(binaries.ours, memory_mib=RAM_MIB, monitors=2) as machine:
        machine.monitors[1].close()
        for _ in range(30):
            with machine.reach("qmp1", connect) as client:
                send(client, "qmp_capabilities")
                send(client, "set-memory-merge", mode="off")
                send(client, "query-memory-merge", usage=True)
        tap.check(machine.qmp("query-memory-merge", usage=True)["blocks"], "no answer")


def readable_parts(machine):
    """What an answer holds when the host hides parts of /proc."""
    answer = machine.qmp("query-memory-merge", usage=True)
    tap.check(answer["blocks"], "no blocks")
    for block in answer["blocks"]:
        tap.check(block["size"] > 0 and block["page-size"] == 4096, f"{block}")
        tap.equal(block["mode"], "on", f"mode of {block['id']}")
    return answer


@tap.test
def without_proc_the_answer_lacks_what_proc_tells(binaries):
    """An empty file system over /proc: what a confined QEMU sees, only more so."""
    hide = "mount -t tmpfs none /proc && exec \"$@\""
    with Machine(binaries.ours, memory_mib=RAM_MIB,
                 prefix=("unshare", "--mount", "sh", "-c", hide, "sh")) as machine:
        answer = readable_parts(machine)
        tap.check("process" not in answer, f"process counters from nowhere: {answer}")
        for block in answer["blocks"]:
            tap.check("usage" not in block and "mergeable" not in block, f"{block}")
            tap.check("host" not in block["blockers"], f"unknown is not refused: {block}")
        machine.qmp("set-memory-merge", mode="off")
        tap.equal(machine.marked(), [], "marked areas after off")


@tap.test
def in_a_chroot_the_switch_works(binaries):
    with tempfile.TemporaryDirectory(prefix="memfold-root-") as root, \
            Machine(binaries.ours, "-run-with", f"chroot={root}", memory_mib=RAM_MIB) as machine:
        readable_parts(machine)
        machine.qmp("set-memory-merge", mode="off")
        tap.equal(machine.marked(), [], "marked areas after off")


@tap.test
def as_another_user_the_switch_works(binaries):
    """QEMU that gave up root by itself may not read its own ksm_stat any more."""
    with Machine(binaries.ours, "-run-with", "user=nobody", memory_mib=RAM_MIB) as machine:
        readable_parts(machine)
        machine.qmp("set-memory-merge", mode="off")
        tap.equal(machine.marked(), [], "marked areas after off")


@tap.test
def under_the_sandbox_of_libvirt_all_works(binaries):
    sandbox = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
    with Machine(binaries.ours, "-sandbox", sandbox, memory_mib=RAM_MIB) as machine:
        machine.fill_merging(STEP_MIB)
        for mode in ("off", "on", "off"):
            machine.qmp("set-memory-merge", mode=mode)
        answer = machine.qmp("query-memory-merge", usage=True)
        tap.check("process" in answer, f"no process counters: {answer}")
        tap.check(all("usage" in block for block in answer["blocks"]), "no usage")
        with contextlib.suppress(qmp.QmpError):
            machine.qmp("set-memory-merge", mode="frozen")
        tap.check(machine.alive(), "the sandbox killed QEMU")
        tap.equal(machine.marked(), [], "marked areas after off")


@tap.test
def quit_in_the_middle_of_off_ends_at_once(binaries):
    with Machine(binaries.ours, memory_mib=QUIT_MIB + STEP_MIB, monitors=2) as machine:
        machine.monitors[1].close()
        machine.fill_merging(QUIT_MIB)
        wait.until("memory to merge", lambda: machine.merged_pages() >= QUIT_MIB * 256)
        with machine.reach("qmp1", connect) as unread:
            send(unread, "qmp_capabilities")
            send(unread, "set-memory-merge", mode="off")
            # A command that comes after `quit` crashes any QEMU: it wakes a dispatcher that has ended.
            wait.until("off to begin", lambda: machine.merged_pages() < QUIT_MIB * 256, 10, 0.001)
            machine.qmp("quit")
            tap.equal(machine.process.wait(10), 0, f"exit status ({machine.stderr()})")


@tap.test
def a_block_that_is_switched_may_be_deleted(binaries):
    """`off` works on the block while its backend is deleted: the memory goes when `off` is done."""
    with Machine(binaries.ours, memory_mib=RAM_MIB, monitors=2) as machine:
        for _ in range(5):
            machine.qmp("object-add", qom_type="memory-backend-ram", id="big",
                        size=QUIT_MIB * MIB, prealloc=True)
            ksm.wait_full_scans(2)
            with concurrent.futures.ThreadPoolExecutor(1) as other:
                off = other.submit(machine.monitors[1].execute, "set-memory-merge", mode="off")
                machine.qmp("object-del", id="big")
                off.result(60)
            wait.until("the memory to go", lambda: not machine.sized_areas(QUIT_MIB * MIB), 10)
            machine.qmp("set-memory-merge", mode="on")


@tap.test
def a_query_works_before_a_machine_has_memory(binaries):
    done = subprocess.run([binaries.ours, "-machine", "none", "-nodefaults", "-display", "none",
                           "-qmp", "stdio"], check=True, text=True, capture_output=True, timeout=60,
                          input='{"execute":"qmp_capabilities"}\n'
                                '{"execute":"query-memory-merge","arguments":{"usage":true}}\n'
                                '{"execute":"set-memory-merge","arguments":{"mode":"off"}}\n'
                                '{"execute":"quit"}\n')
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    tap.equal([answer for answer in answers if "error" in answer], [], "errors")


if __name__ == "__main__":
    compare.main(lambda: ksm.borrowed(pages_to_scan=20000, sleep_millisecs=2, smart_scan=0, run=1))
