# SPDX-License-Identifier: GPL-2.0-or-later
"""Who sets ksmd's rate, each as a context manager that gives the session whose processes it is (None: the kernel
itself). All find the kernel's own defaults, and ksmd stopped."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lib"))

import ksm
import memfold
import wait

# The kernel's own, as of 6.18. What a kernel does not have is left out.
DEFAULTS = {"advisor_mode": "none", "pages_to_scan": 100, "sleep_millisecs": 20, "smart_scan": 1, "use_zero_pages": 0,
            "max_page_sharing": 256, "merge_across_nodes": 1, "advisor_max_cpu": 70, "advisor_min_pages_to_scan": 500,
            "advisor_max_pages_to_scan": 30000, "advisor_target_scan_time": 200}
KSMTUNED_CONFIG = "/etc/ksmtuned.conf"
# It begins to work when less memory than this part is free, in hundredths: always.
KSMTUNED_ALWAYS = "KSM_THRES_COEF=100\n"


def clean():
    """Takes all that is merged apart, and leaves ksmd stopped with the kernel's defaults."""
    ksm.write("run", 2)
    ksm.wait_until("everything to be un-merged", lambda c: c["pages_shared"] == 0 and c["pages_sharing"] == 0, 60)
    ksm.set_knobs(**DEFAULTS, run=0)


@contextlib.contextmanager
def _memfold():
    """memfoldd without a line of configuration; guests ask for the shared group in their metadata."""
    with tempfile.TemporaryDirectory(prefix="memfold-bench-") as folder:
        os.chmod(folder, 0o755)
        with memfold.Memfold(folder) as running:
            yield running.process.pid


def ksmtuned_words(script, config):
    """The packaged script, reading that file in place of KSMTUNED_CONFIG and keeping its process id beside it."""
    text = re.sub(r"/(?:var/)?run/ksmtune[d.]*pid", f"{config}.pid", script.replace(KSMTUNED_CONFIG, config))
    if config not in text:
        raise RuntimeError(f"this ksmtuned does not read {KSMTUNED_CONFIG}")
    return text


@contextlib.contextmanager
def _ksmtuned(package):
    """The package's script and configuration, but for the threshold, so that it works from its first look on."""
    package = pathlib.Path(package)
    with tempfile.TemporaryDirectory(prefix="memfold-bench-") as folder:
        config, program = f"{folder}/ksmtuned.conf", f"{folder}/ksmtuned"
        own = package / KSMTUNED_CONFIG.lstrip("/")
        pathlib.Path(config).write_text((own.read_text() if own.exists() else "") + KSMTUNED_ALWAYS)
        script = (package / "usr/sbin/ksmtuned").read_text()
        pathlib.Path(program).write_text(ksmtuned_words(script, config))
        os.chmod(program, 0o755)
        process = subprocess.Popen([program], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            yield process.pid
        finally:
            # It may have gone to the background, but not out of its session.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            wait.until("ksmtuned to end", lambda: not members(process.pid), 30)


@contextlib.contextmanager
def _kernel(**settings):
    ksm.set_knobs(run=1, **settings)
    yield None


def start(manager, ksmtuned):
    """The context manager of that name. ksmtuned: the folder with its package."""
    return {"memfold": _memfold,
            "ksmtuned": lambda: _ksmtuned(ksmtuned),
            "advisor": lambda: _kernel(advisor_mode="scan-time"),
            "stock": _kernel}[manager]()


def stat_words(pid):
    """The fields of /proc/PID/stat from the third on, [] when it is gone; proc_pid_stat(5)."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def members(session):
    """Process ids of a session."""
    found = []
    for name in os.listdir("/proc"):
        words = stat_words(name) if name.isdigit() else []
        if words and int(words[3]) == session and words[0] not in "ZX":
            found.append(int(name))
    return found
