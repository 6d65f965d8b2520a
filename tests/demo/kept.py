# SPDX-License-Identifier: GPL-2.0-or-later
"""What a demo leaves a note of, so that a kept or a killed one can be taken down later."""

import contextlib
import fcntl
import json
import os
import shutil
import signal

import ksm
import libvirtd
import rig
import wait

NOTE = "/run/memfold-demo.json"
# By another name than what a demo must not leave.
LOCK = "/run/memfold-stage.lock"


def write(**known):
    """Notes what is to be taken down: pids (memfoldd, its bus), folders, knobs and
    khugepaged as they were, and whether it is kept on purpose."""
    with open(f"{NOTE}.new", "w", encoding="ascii") as file:
        json.dump(known, file)
    os.replace(f"{NOTE}.new", NOTE)


def forget():
    with contextlib.suppress(FileNotFoundError):
        os.unlink(NOTE)


def read():
    """The note of another demo, None if there is none."""
    try:
        with open(NOTE, encoding="ascii") as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def claim(deadline_sec, waiting):
    """Claims the stage for this process, which ends only with the process, however it ends.

    Waits for another demo that is at work; calls waiting() once if it has to.
    """
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def claimed():
        nonlocal waiting
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if waiting:
                waiting()
                waiting = None
            return False

    wait.until("another demo to end", claimed, deadline_sec, 0.5)


def _running(pid):
    """The name of a process that is not dead yet, else an empty string."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            head, tail = file.read().rsplit(") ", 1)
    except (FileNotFoundError, ProcessLookupError):  # gone before it was opened, or read
        return ""
    return "" if tail[0] in "ZX" else head.partition("(")[2]


def _end(pid):
    if _running(pid) in ("memfoldd", "dbus-daemon"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        wait.until(f"process {pid} to end", lambda: not _running(pid), 30)


def take_down(note, prefix):
    """Ends what the note tells of; returns True if all KSM knobs were as before the demo."""
    with libvirtd.Libvirtd() as used:
        for handle in rig.leftovers(used.connection, prefix):
            handle.destroy()
        for pid in note["pids"]:
            _end(pid)
    with ksm.lock():
        same = ksm.knobs() == note["knobs"]
        if not same:
            ksm.restore(note["knobs"])
        ksm.set_khugepaged(note["khugepaged_msec"])
    for folder in note["folders"]:
        shutil.rmtree(folder, ignore_errors=True)
    forget()
    return same
