# SPDX-License-Identifier: GPL-2.0-or-later
"""Running one fuzz target, and reading what libFuzzer says of it.

    found = libfuzzer.hunt("qmp", program, cpu_sec=10, scratch=folder)
    found.crashed, found.execs, found.seeds_cov, found.cov
"""

import dataclasses
import glob
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
# Longer inputs bring nothing but slowness; the readers' own limits have unit tests.
MAX_BYTES = {"bus": 2048, "domxml": 8192, "hookside": 8192, "host": 12288, "reply": 8192, "state": 2048, "planted": 64}
# Threads come and go in this one, and hold for a moment what nobody else knows of; its leaks are the daemon tests'.
LEAKS_ELSEWHERE = ("bus",)
# By the clock, also of a machine that has much else to do.
INPUT_LIMIT_SEC = 120
MEMORY_LIMIT_MIB = 2048
# A hunt that gets little of a busy machine takes longer, at most so much longer for each of its runs.
STRETCH_MAX = 10
# Files of an input are written thousands of times a second.
SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

# What each target is for: functions that its corpus must come to. A reader that is never reached finds nothing.
REACHES = {
    "bus": ("on_set_policy", "mf_report_call", "mf_plan_call", "mf_estimator_answer", "on_polkit", "on_policy_set",
            "mf_describe_estimate", "mf_policy_edit", "set_thread", "on_find_domain", "on_reload_checked", "mf_auditor_call"),
    "config": ("mf_config_apply", "mf_config_validate"),
    "domxml": ("mf_domxml_parse", "mf_policy_from_xml"),
    "hook": ("mf_hook_message_parse", "read_policy", "read_memory_bytes", "mf_policy_from_xml"),
    "hookside": ("mf_hook_args_parse", "mf_hook_message_new", "mf_hook_answer_check", "words_after", "append_json_string"),
    "host": ("mf_ksm_read", "mf_ksm_read_groups", "mf_host_read_in_turns", "mf_proc_find_pid", "mf_proc_read_smaps",
             "mf_proc_read_nodes", "mf_others_read", "mf_cgroup_reclaim", "hash_pages", "mf_decide",
             "mf_parse_pressure", "mf_parse_vmstat", "manager_in_cmdline", "mf_why_tell"),
    "parse": ("mf_parse_meminfo", "mf_parse_pressure", "mf_parse_vmstat", "mf_parse_ksm_stat", "mf_parse_smaps",
              "mf_parse_smaps_guest", "mf_parse_stat", "mf_parse_statm", "mf_parse_choice",
              "mf_parse_cmdline_has_uuid", "mf_parse_numa_maps", "mf_parse_cgroup_of_domain"),
    "planted": ("LLVMFuzzerTestOneInput",),
    "policy": ("mf_policy_from_xml", "mf_policy_to_xml"),
    "qmp": ("mf_qmp_info_parse", "parse_block", "parse_process", "parse_commands", "report_error"),
    "reply": ("mf_figures_of_several", "part_new", "on_long_reply", "describe_action", "mf_cli_json_domain",
              "mf_report_html", "mf_plot_append", "check_domain", "mf_top_layout", "take_dbus_error", "mf_table_render"),
    "state": ("load_entries", "restore_knob", "mf_journal_set_aside", "load_debt", "mf_owed_set"),
}


@dataclasses.dataclass
class Run:
    """One run of a target. `inputs` are files that crash it, or take too long or too much memory."""
    status: int
    log: str
    inputs: list
    cpu_sec: float

    @property
    def crashed(self):
        return self.status != 0 or bool(self.inputs)

    def _last(self, pattern):
        found = re.findall(pattern, self.log, re.MULTILINE)
        return int(found[-1]) if found else 0

    @property
    def execs(self):
        return self._last(r"^stat::number_of_executed_units: (\d+)")

    @property
    def seeds_cov(self):
        return self._last(r"INITED +cov: (\d+)")

    @property
    def cov(self):
        """Edges that were reached in the end."""
        return self._last(r"^#\d+\s+(?:DONE|pulse|NEW|REDUCE|RELOAD|INITED) +cov: (\d+)")

    @property
    def new_inputs(self):
        return self._last(r"^stat::new_units_added: +(\d+)")

    @property
    def functions(self):
        """Names of those that were reached; only of a run with -print_coverage=1."""
        return set(re.findall(r"^COVERED_FUNC: .*edges: \d+/\d+ (\S+)", self.log, re.MULTILINE))

    def tail(self, lines=40):
        return "\n".join(self.log.splitlines()[-lines:])


class Hunt:
    """Some runs, one after the other, as one; the first one that crashes is the last."""

    def __init__(self, runs):
        self._runs = runs
        last = runs[-1]
        self.status, self.inputs, self.crashed, self.log, self.tail = last.status, last.inputs, last.crashed, last.log, last.tail
        self.seeds_cov, self.cov = runs[0].seeds_cov, max(run.cov for run in runs)

    def _sum(self, name):
        return sum(getattr(run, name) for run in self._runs)

    @property
    def execs(self):
        return self._sum("execs")

    @property
    def new_inputs(self):
        return self._sum("new_inputs")

    @property
    def cpu_sec(self):
        return self._sum("cpu_sec")


def corpus(name):
    return HERE / "corpus" / name


def _environment(name, scratch):
    environment = {**os.environ, "TMPDIR": scratch, "G_SLICE": "always-malloc",
                   "UBSAN_OPTIONS": "print_stacktrace=1", "LC_ALL": "C.UTF-8",
                   "ASAN_OPTIONS": f"detect_leaks={int(name not in LEAKS_ELSEWHERE)}:fast_unwind_on_malloc=0:handle_abort=1:allocator_may_return_null=1",
                   "LSAN_OPTIONS": f"suppressions={HERE.parent / 'daemon' / 'leaks-of-libvirt'}:print_suppressions=0"}
    environment.pop("DBUS_SYSTEM_BUS_ADDRESS", None)
    return environment


def run(name, program, scratch, *arguments, limit_sec):
    """Runs the target with arguments of libFuzzer's; what it finds goes below scratch."""
    found = f"{scratch}/found-"
    command = [str(program), f"-artifact_prefix={found}", f"-max_len={MAX_BYTES.get(name, 4096)}",
               f"-timeout={INPUT_LIMIT_SEC}", f"-rss_limit_mb={MEMORY_LIMIT_MIB}",
               f"-report_slow_units={INPUT_LIMIT_SEC}", f"-detect_leaks={int(name not in LEAKS_ELSEWHERE)}", *map(str, arguments)]
    dictionary = HERE / "dict" / f"{name}.dict"
    if dictionary.exists():
        command.append(f"-dict={dictionary}")
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, stdin=subprocess.DEVNULL,
                                 env=_environment(name, scratch))
        # Waited for by hand: that tells its own CPU time, whatever else this process runs.
        alarm = threading.Timer(limit_sec, os.kill, (child.pid, signal.SIGKILL))
        alarm.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
        finally:
            alarm.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        text = log.read().decode("utf-8", "replace")
    return Run(child.returncode, text, sorted(glob.glob(f"{found}*")), usage.ru_utime + usage.ru_stime)


def replay(name, program, scratch, *arguments):
    """Runs each input of the corpus once, and nothing else."""
    return run(name, program, scratch, *arguments, "-runs=0", corpus(name), limit_sec=300)


def hunt(name, program, cpu_sec, scratch, *arguments, keep=None):
    """Searches until that much CPU time is used, from the corpus and from what `keep`, a folder that is added to, has."""
    inputs = keep or f"{scratch}/inputs"
    os.makedirs(inputs, exist_ok=True)
    runs, rest_sec, share = [], cpu_sec, 1
    while rest_sec >= 1 or not runs:
        began = time.monotonic()
        slice_sec = max(1, round(rest_sec / max(share, 1 / STRETCH_MAX)))
        runs.append(run(name, program, scratch, f"-max_total_time={slice_sec}", "-print_final_stats=1", *arguments, inputs,
                        corpus(name), limit_sec=2 * slice_sec + 300))
        if runs[-1].crashed:
            break
        rest_sec -= runs[-1].cpu_sec
        share = runs[-1].cpu_sec / (time.monotonic() - began)
    return Hunt(runs)


def can_name_functions():
    return shutil.which("llvm-symbolizer") is not None
