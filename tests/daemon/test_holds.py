#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""ksmd waits for a domain that must not merge while it starts, and not for what becomes of it later.

A host of plain files, libvirt's test driver, and QEMUs that answer what files say.
"""

import contextlib
import json
import os
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakehost  # noqa: E402
import memfoldd  # noqa: E402
import session  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

PID = {"vm1": 4711, "vm2": 4712, "vm3": 4713}  # vm3 merges all the time
UUID = {name: f"{pid}1111-1111-4111-8111-111111111111" for name, pid in PID.items()}
POLICY = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" merge="{}" group="shared"/>'
BLOCK = {"id": "pc.ram", "size": 65536, "page-size": 4096, "mode": "on", "mergeable": True, "blockers": []}
ANSWERS = {"query-commands": [{"name": "query-memory-merge"}, {"name": "set-memory-merge"}],
           "query-memory-merge": {"mode": "on", "modes": ["off", "on"], "blocks": [BLOCK]}}


# Of a QEMU whose memory is marked no more.
OFF = {**ANSWERS["query-memory-merge"], "mode": "off", "blocks": [{**BLOCK, "mode": "off"}]}


class Scene:
    def __init__(self, folder, environment):
        self.folder = folder
        self.host = fakehost.FakeHost(folder)
        for name, uuid in UUID.items():
            self.host.add_qemu(PID[name], name, uuid)
            os.makedirs(f"{folder}/qemu/{uuid}")
            for command, answer in ANSWERS.items():
                pathlib.Path(self.answer(name, command)).write_text(json.dumps({"return": answer}), encoding="utf-8")
        node = session.write_node(f"{folder}/node.xml", *(session.domain(name, uuid, POLICY.format("on"))
                                                          for name, uuid in UUID.items()))
        self.sign = pathlib.Path(folder, "slow")
        qemu, slow = memfoldd.preload("hostile-qemu"), memfoldd.preload("slow-file")
        environment = {**environment, **qemu, "LD_PRELOAD": f"{qemu['LD_PRELOAD']}:{slow['LD_PRELOAD']}",
                       "HOSTILE_QEMU": f"{folder}/qemu", "SLOW_FILE": str(self.sign)}
        self.daemon = memfoldd.Memfoldd(environment, folder, self.host.root, node)

    def answer(self, name, command):
        """The file with that QEMU's answer."""
        return f"{self.folder}/qemu/{UUID[name]}/{command}"

    def let_go_off(self, name):
        """Its QEMU does as it is told now, what it could not before, and is off."""
        pathlib.Path(self.answer(name, "query-memory-merge")).write_text(json.dumps({"return": OFF}), encoding="utf-8")
        pathlib.Path(self.answer(name, "set-memory-merge")).write_text('{"return": {}}', encoding="utf-8")
        wait.until(f"{name} to be off", lambda: self.daemon.domain(name)["mode"] == "off", 20, show=self.daemon.text)

    def wait_run(self, value):
        wait.until(f"run to be {value}", lambda: self.host.get("run") == value, 20, show=self.daemon.text)


@contextlib.contextmanager
def surroundings():
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        scene = Scene(folder, environment)
        with scene.daemon:
            scene.daemon.configure("[daemon]\ntick-msec=200\n")
            scene.daemon.start()
            wait.until("the QEMUs to be asked", lambda: all(domain.get("mode") == "on" for domain in
                                                            scene.daemon.describe()[2].values()), 20)
            scene.wait_run("1")
            yield scene


@tap.test
def a_start_is_over_when_the_domain_may_merge(scene):
    """Its policy was changed while it started, and hours later again: un-merging it takes as long as it takes."""
    daemon, host = scene.daemon, scene.host
    daemon.prepare("vm2", UUID["vm2"], policy=POLICY.format("off"), ready=lambda: host.get("run") == "1")
    scene.wait_run("1")
    os.mkfifo(scene.answer("vm2", "set-memory-merge"))  # its QEMU says nothing until somebody writes there
    daemon.set_policy("vm2", "merge", "off")
    wait.until("vm2 to be told", lambda: "waiting" in [code for code, *_ in daemon.domain("vm2")["reasons"]], 20,
               show=daemon.text)
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        tap.equal(host.get("run"), "1", "run while vm2 is switched off")
        tap.check("start-hold" not in [code for code, *_ in daemon.describe()[1]], "a hold is told")
        time.sleep(0.05)
    scene.let_go_off("vm2")


@tap.test
def a_plan_for_the_qemu_before_ends_no_hold(scene):
    """A tick takes long, and meanwhile the domain ends, and is started anew with a policy that merges no more."""
    daemon, host = scene.daemon, scene.host
    scene.sign.write_text(f"/{PID['vm1']}/ksm_stat", encoding="ascii")
    wait.until("a tick that does not end", lambda: daemon.logged("a tick has not ended"), 30, show=daemon.text)
    os.mkfifo(scene.answer("vm1", "set-memory-merge"))
    daemon.set_policy("vm1", "merge", "off")
    daemon.hook("stopped", "vm1", UUID["vm1"])
    daemon.prepare("vm1", UUID["vm1"], policy=POLICY.format("off"))
    scene.wait_run("0")  # also where the answer came before; only a tick has it run again
    wait.until("its QEMU to have answered", lambda: daemon.describe()[2].get("vm1", {}).get("mode") == "on", 20,
               show=daemon.text)
    scene.sign.unlink()
    wait.until("vm1 to be told", lambda: "waiting" in [code for code, *_ in daemon.domain("vm1")["reasons"]], 20,
               show=daemon.text)
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        tap.equal(host.get("run"), "0", "run while vm1 starts and was not switched off")
        time.sleep(0.05)
    scene.let_go_off("vm1")
    scene.wait_run("1")


if __name__ == "__main__":
    tap.main(context=surroundings)
