# SPDX-License-Identifier: GPL-2.0-or-later
"""memfold as an operator has it: a daemon on qemu:///system, and the CLI that talks to it.

    with memfold.Memfold(folder, config) as running:
        running.status()["host"]["saved_bytes"]

The bus is private. memfoldd.py is the module for tests of the daemon's own interfaces.

The programs come from $MEMFOLD_BUILD, or from where they are installed.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time

import bus
import libvirtd
import tap
import wait

PLACES = {"memfoldd": "src/daemon/memfoldd", "memfold": "src/cli/memfold",
          "50-memfold": "libvirt-hooks/50-memfold"}


def program(name):
    """The absolute path of one of memfold's programs; a skipped test if it is not built."""
    build = os.environ.get("MEMFOLD_BUILD")
    path = f"{build}/{PLACES[name]}" if build else shutil.which(name)
    if not path or not os.access(path, os.X_OK):
        raise tap.Skip(f"{name} is not built: set MEMFOLD_BUILD to the build directory")
    return os.path.abspath(path)


class Memfold:
    """One daemon on a bus of its own. `log` is what it writes to stderr."""

    def __init__(self, folder, config="", runtime=None, arguments=()):
        self.folder = folder
        self.config = f"{folder}/memfold.conf"
        self.runtime = runtime or f"{folder}/run"
        self.log = f"{folder}/memfoldd.log"
        self.arguments = arguments
        self.process = None
        self._bus = None
        self._config_text = config
        self.environment = {**libvirtd.ENVIRONMENT,
                            "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder}/bus"}

    def __enter__(self):
        try:
            with open(self.config, "w", encoding="utf-8") as file:
                file.write(self._config_text)
            os.makedirs(self.runtime, mode=0o755, exist_ok=True)
            self._start_bus()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        self.stop()
        if self._bus is not None:
            self._bus.terminate()
            self._bus.wait()
            self._bus = None

    def _start_bus(self):
        config = f"{self.folder}/bus.conf"
        with open(config, "w", encoding="utf-8") as file:
            file.write(bus.CONFIG.format(folder=self.folder, rules=bus.OPEN, include=""))
        self._bus = self._spawn(["dbus-daemon", "--nofork", f"--config-file={config}"], "bus.log")
        wait.until("the private bus", lambda: os.path.exists(f"{self.folder}/bus"), 10,
                   show=lambda: self._tail("bus.log"))

    def _spawn(self, command, log):
        with open(f"{self.folder}/{log}", "ab") as output:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                    env=self.environment, cwd="/", start_new_session=True)

    def _tail(self, log):
        with open(f"{self.folder}/{log}", encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-6:]).strip() or "it said nothing"

    def start(self):
        """Starts the daemon and waits until it answers."""
        command = [program("memfoldd"), "--config", self.config, "--runtime-dir", self.runtime,
                   "--uri", libvirtd.URI, "--foreground", *self.arguments]
        self.process = self._spawn(command, "memfoldd.log")
        ended = lambda: self.process.poll() is not None
        wait.until("memfoldd to answer", lambda: ended() or self._answers(), 30,
                   show=lambda: self._tail("memfoldd.log"))
        if ended():
            raise RuntimeError(f"memfoldd ended at once (status {self.process.returncode}): "
                               f"{self._tail('memfoldd.log')}")

    def _answers(self):
        return self.run("status", "--json").returncode == 0

    def stop(self, deadline_sec=30.0):
        """Asks it to end, which puts the knobs back, and waits."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(deadline_sec)
                return
            self.kill()
            raise wait.Timeout(f"memfoldd did not end on SIGTERM within {deadline_sec:g} s")

    def kill(self):
        """kill -9, as a crash would be."""
        self.process.kill()
        self.process.wait()

    def run(self, *arguments):
        """Runs the CLI; returns its subprocess.CompletedProcess with text output."""
        return subprocess.run([program("memfold"), *arguments], env=self.environment, text=True,
                              capture_output=True, timeout=30, check=False)

    def tell(self, *arguments):
        """Runs the CLI and returns what it printed; raises what it complained."""
        done = self.run(*arguments)
        if done.returncode:
            raise RuntimeError(f"memfold {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def status(self):
        return json.loads(self.tell("status", "--json"))

    def domain(self, name):
        """What status says of one domain, {} while it does not know it."""
        return next((d for d in self.status()["domains"] if d["name"] == name), {})

    def usage(self):
        """What the daemon itself takes: resident bytes, those of them that are its own (the rest
        are files, mostly libraries that libvirtd has mapped too), and its share of one CPU."""
        pid = self.process.pid
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            kib = {line.split(":")[0]: line.split()[1] for line in file if line.endswith(" kB\n")}
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            words = file.read().rpartition(")")[2].split()
        ticks_sec = os.sysconf("SC_CLK_TCK")
        cpu_sec = (int(words[11]) + int(words[12])) / ticks_sec
        age_sec = time.clock_gettime(time.CLOCK_BOOTTIME) - int(words[19]) / ticks_sec
        return {"resident_bytes": int(kib["VmRSS"]) * 1024,
                "anonymous_bytes": int(kib["RssAnon"]) * 1024,
                "cpu_permyriad": int(cpu_sec * 10000 / max(age_sec, 0.01))}

    @property
    def pids(self):
        """Process ids of the daemon and its bus."""
        return [self.process.pid, self._bus.pid]
