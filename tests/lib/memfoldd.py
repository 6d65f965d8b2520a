# SPDX-License-Identifier: GPL-2.0-or-later
"""A memfoldd of a test: started on a private bus, asked over D-Bus, told things by the hook's socket.

    with bus.private() as environment, memfoldd.Memfoldd(environment, folder) as daemon:
        daemon.start()
        figures, reasons, domains = daemon.describe()
"""

import json
import os
import re
import signal
import socket
import subprocess

import tap
import wait

READY = "memfoldd-Message: .* ready"
ERRORS = "org.memfold1.Error."
# What is logged, before the answer, of a prepare that was answered unfinished.
LATE = r"did not (come|stop) in \d+ ms"
PREPARE_TRIES = 10


class Refused(Exception):
    """memfoldd answered a call with an error; `name` is its last word ("Denied")."""

    def __init__(self, name, message):
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message


def program():
    build = os.environ.get("MEMFOLD_BUILD", "")
    path = f"{build}/src/daemon/memfoldd"
    if not os.path.exists(path):
        raise tap.Skip("memfoldd is not built: set MEMFOLD_BUILD to a build directory")
    return path


def _gio():
    """GIO, or a skipped test that says what to install."""
    try:
        from gi.repository import Gio, GLib
    except ImportError:
        raise tap.Skip("python3-gi is not installed") from None
    return Gio, GLib


def preload(library):
    """What its environment needs for one of tests/daemon's libraries to come before all others, AddressSanitizer's
    among them, which would refuse to run then."""
    return {"LD_PRELOAD": f"{os.environ['MEMFOLD_BUILD']}/tests/daemon/{library}.so",
            "ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0"}


class Memfoldd:
    """One memfoldd. `folder` takes its log, configuration and runtime directory."""

    def __init__(self, environment, folder, root=None, uri="test:///default"):
        self.environment = environment
        self.folder = folder
        self.config = f"{folder}/memfold.conf"
        self.runtime = f"{folder}/run"
        self.log = f"{folder}/memfoldd.log"
        self.root = root
        self.uri = uri
        self.process = None
        self._bus = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._bus:
            self._bus.close_sync(None)
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if exception[0]:
            tap.diag(self.text()[-4000:])

    def command(self, *more):
        command = [program(), "--config", self.config, "--runtime-dir", self.runtime, *more]
        if self.root:
            command += ["--root", self.root]
        return command

    def configure(self, text, dropin=None):
        path = self.config
        if dropin:
            os.makedirs(f"{self.config}.d", exist_ok=True)
            path = f"{self.config}.d/{dropin}.conf"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def start(self, ready=True):
        """Starts it and, unless told not to, waits until it says that it is ready."""
        said = self.logged(READY)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command("--uri", self.uri), env=self.environment,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if ready:
            self.wait_log(READY, said + 1)
        return self

    def text(self):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def logged(self, pattern):
        """How many lines of the log match."""
        return len(re.findall(f"^.*{pattern}.*$", self.text(), re.MULTILINE))

    def wait_log(self, pattern, count=1, deadline_sec=30.0):
        def seen():
            if self.logged(pattern) >= count:
                return True
            if self.process.poll() is not None:
                raise RuntimeError(f"memfoldd ended ({self.process.returncode}): {self.text()}")
            return False

        wait.until(f"log line {pattern!r}", seen, deadline_sec, interval_sec=0.02, show=self.text)

    def stop(self):
        """Stops it as an init system does; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def cpu_sec(self):
        """The CPU time that it has taken."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def freeze(self):
        """Stops it where it is, until it is killed; returns when all of it stands."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)

    def reload_signal(self):
        self.process.send_signal(signal.SIGHUP)

    def restore(self):
        """Runs memfoldd --restore; returns (exit status, what it said)."""
        done = subprocess.run(self.command("--restore"), env=self.environment, text=True,
                              capture_output=True, check=False, timeout=30)
        return done.returncode, done.stderr

    # D-Bus

    def call(self, path, interface, method, arguments=None, timeout_msec=25000):
        Gio, GLib = _gio()
        if self._bus is None:
            self._bus = Gio.DBusConnection.new_for_address_sync(
                self.environment["DBUS_SYSTEM_BUS_ADDRESS"],
                Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT |
                Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
        try:
            return self._bus.call_sync("org.memfold1", path, interface if "." in interface else f"org.memfold1.{interface}", method,
                                       arguments, None, Gio.DBusCallFlags.NONE, timeout_msec,
                                       None).unpack()
        except GLib.Error as error:
            name = Gio.DBusError.get_remote_error(error) or "none"
            Gio.DBusError.strip_remote_error(error)
            raise Refused(name.removeprefix(ERRORS), error.message) from None

    def tell(self, path, interface, method, kind, arguments):
        """Calls a method, and wants no reply."""
        Gio, GLib = _gio()
        self.describe()  # connects
        self._bus.call("org.memfold1", path, f"org.memfold1.{interface}", method, GLib.Variant(kind, arguments), None,
                       Gio.DBusCallFlags.NONE, -1, None, None)
        self._bus.flush_sync(None)

    def look(self, method, names):
        """An estimate or an audit of these domains."""
        _, GLib = _gio()
        arguments = GLib.Variant("(asa{sv})", (names, {})) if method == "Estimate" else GLib.Variant("(as)", (names,))
        return self.call("/org/memfold1", "Host", method, arguments)

    def describe_at_once(self, number):
        """Asks so many times before there is an answer; the names of the errors, None for an answer."""
        Gio, GLib = _gio()
        self.describe()  # connects
        found = []

        def on_answer(bus, result):
            try:
                bus.call_finish(result)
                found.append(None)
            except GLib.Error as error:
                found.append((Gio.DBusError.get_remote_error(error) or "none").removeprefix(ERRORS))

        for _ in range(number):
            self._bus.call("org.memfold1", "/org/memfold1", "org.memfold1.Host", "Describe", None, None,
                           Gio.DBusCallFlags.NONE, 25000, None, on_answer)
        while len(found) < number:
            GLib.MainContext.default().iteration(True)
        return found

    def describe(self):
        """(host's figures, host's reasons, {name: figures of the domain with "reasons"})."""
        figures, reasons, domains = self.call("/org/memfold1", "Host", "Describe")
        return figures, reasons, {d["name"]: {**d, "reasons": why} for d, why in domains}

    def domain(self, name):
        return self.describe()[2][name]

    def path_of(self, name):
        _, GLib = _gio()
        return self.call("/org/memfold1", "Host", "FindDomain", GLib.Variant("(s)", (name,)))[0]

    def told_name(self, path):
        """The property Name of a domain's object."""
        _, GLib = _gio()
        return self.call(path, "org.freedesktop.DBus.Properties", "Get", GLib.Variant("(ss)", ("org.memfold1.Domain", "Name")))[0]

    def set_policy(self, name, attribute, value):
        _, GLib = _gio()
        self.call(self.path_of(name), "Domain", "SetPolicy",
                  GLib.Variant("(ss)", (attribute, value)))

    def reload(self):
        self.call("/org/memfold1", "Host", "Reload")

    # The hook's socket

    def connect_hook(self):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(5)
        connection.connect(f"{self.runtime}/hook.sock")
        return connection

    def hook_raw(self, data, end=True):
        """Sends bytes to the hook's socket; returns the answer, b"" for none."""
        with self.connect_hook() as connection:
            try:
                connection.sendall(data)
                if end:
                    connection.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it may answer and close before it has read all
            answer = b""
            while not answer.endswith(b"\n"):
                try:
                    piece = connection.recv(4096)
                except ConnectionResetError:
                    break
                if not piece:
                    break
                answer += piece
            return answer

    @staticmethod
    def hook_line(operation, name, uuid, **more):
        """What libvirt's hook would tell."""
        message = {"version": 1, "operation": operation, "suboperation": "begin", "extra": "-",
                   "name": name, "uuid": uuid, "nosharepages": False, "memory": "anonymous", **more}
        return json.dumps(message).encode() + b"\n"

    def hook(self, operation, name, uuid, **more):
        """Tells it; returns the answer's object."""
        return json.loads(self.hook_raw(self.hook_line(operation, name, uuid, **more)))

    def known_by_hook(self, name, uuid, **more):
        """Tells it that the domain runs, and returns its figures, none at first. One whom libvirt does not know is
        forgotten after some seconds, so that who waits for figures tells of it at each look."""
        self.hook("started", name, uuid, **more)
        return self.describe()[2].get(name, {})

    def prepare(self, name, uuid, ready=lambda: True, **more):
        """The answer to a prepare that was judged and done: on a busy machine one may be answered before, and is
        then taken back and made again. Each is made when ready() says so."""
        for _ in range(PREPARE_TRIES):
            wait.until("a prepare to make sense", ready, 20)
            late = self.logged(LATE)
            answer = self.hook("prepare", name, uuid, **more)
            if self.logged(LATE) == late:
                return answer
            self.hook("release", name, uuid)
        raise tap.Failed(f"the answer to prepare came too early {PREPARE_TRIES} times")
