# SPDX-License-Identifier: GPL-2.0-or-later
"""QMP over a unix socket (QEMU's docs/interop/qmp-spec)."""

import json
import socket


class QmpError(Exception):
    """QEMU answered with an error; `error_class` and the text are QEMU's."""

    def __init__(self, error):
        super().__init__(error.get("desc", "no description"))
        self.error_class = error.get("class")


class Qmp:
    """One connection, ready for commands. Events that come meanwhile gather in `events`."""

    def __init__(self, path, timeout_sec=10.0):
        self.events = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout_sec)
        self._socket.connect(path)
        self._file = self._socket.makefile("r", encoding="utf-8")
        self.greeting = self._receive()["QMP"]
        self.execute("qmp_capabilities")

    def _receive(self):
        line = self._file.readline()
        if not line:
            raise ConnectionError("QEMU closed the QMP connection")
        return json.loads(line)

    def execute(self, command, **arguments):
        """Runs a command and returns its answer; '_' in argument names stands for '-'."""
        message = {"execute": command}
        if arguments:
            message["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        self._socket.sendall(json.dumps(message).encode() + b"\n")
        while True:
            answer = self._receive()
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise QmpError(answer["error"])
            else:
                return answer["return"]

    def wait_event(self, name):
        """Returns the next event of that name, and forgets it; the socket's timeout holds."""
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            answer = self._receive()
            if "event" in answer:
                self.events.append(answer)

    def close(self):
        self._file.close()
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
