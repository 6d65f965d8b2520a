# SPDX-License-Identifier: GPL-2.0-or-later
"""Domain XML for test guests: what a test wants to vary, and nothing else."""

import dataclasses
import uuid
import xml.etree.ElementTree as ET

POLICY_NAMESPACE = "urn:memfold:policy:1"


def policy_xml(**attributes):
    """The policy element, as `virsh metadata --set` takes it."""
    element = ET.Element("policy", {k: str(v) for k, v in attributes.items()})
    return ET.tostring(element, encoding="unicode")


@dataclasses.dataclass
class Domain:
    """A transient domain without disk, network or screen, with a console on a unix socket.

    Either `rom` (the tiny guest) or `kernel` and `initramfs` (the Linux guest) is given; `args`
    reach both kinds. `policy` is a dict of attributes of the policy element, {} an element
    without attributes, None no element.
    """

    name: str
    emulator: str
    console: str
    memory_mib: int
    args: str = ""
    rom: str = ""
    kernel: str = ""
    initramfs: str = ""
    accel: str = "tcg"
    policy: dict | None = None
    nosharepages: bool = False
    memfd_shared: bool = False
    balloon: bool = False
    uuid: str = dataclasses.field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def memory_bytes(self):
        return self.memory_mib << 20

    @property
    def log(self):
        return f"{self.console}.log"

    def xml(self):
        root = ET.Element("domain", type="kvm" if self.accel == "kvm" else "qemu")
        ET.SubElement(root, "name").text = self.name
        ET.SubElement(root, "uuid").text = self.uuid
        if self.policy is not None:
            metadata = ET.SubElement(root, "metadata")
            ET.SubElement(metadata, f"{{{POLICY_NAMESPACE}}}policy", self.policy)
        ET.SubElement(root, "memory", unit="MiB").text = str(self.memory_mib)
        self._backing(root)
        ET.SubElement(root, "vcpu").text = "1"
        if self.rom and self.args:
            fwcfg = ET.SubElement(root, "sysinfo", type="fwcfg")
            ET.SubElement(fwcfg, "entry", name="opt/memfold/args").text = self.args
        self._os(root)
        ET.SubElement(ET.SubElement(root, "features"), "acpi")
        ET.SubElement(root, "on_reboot").text = "destroy"
        self._devices(root)
        return ET.tostring(root, encoding="unicode")

    def _backing(self, root):
        if not (self.nosharepages or self.memfd_shared):
            return
        backing = ET.SubElement(root, "memoryBacking")
        if self.nosharepages:
            ET.SubElement(backing, "nosharepages")
        if self.memfd_shared:
            ET.SubElement(backing, "source", type="memfd")
            ET.SubElement(backing, "access", mode="shared")

    def _os(self, root):
        system = ET.SubElement(root, "os")
        ET.SubElement(system, "type", arch="x86_64", machine="pc").text = "hvm"
        if self.rom:
            ET.SubElement(system, "loader", readonly="yes", type="rom").text = self.rom
            return
        ET.SubElement(system, "kernel").text = self.kernel
        ET.SubElement(system, "initrd").text = self.initramfs
        ET.SubElement(system, "cmdline").text = f"console=ttyS0 quiet panic=-1 {self.args}"

    def _devices(self, root):
        devices = ET.SubElement(root, "devices")
        ET.SubElement(devices, "emulator").text = self.emulator
        ET.SubElement(devices, "controller", type="usb", model="none")
        serial = ET.SubElement(devices, "serial", type="unix")
        ET.SubElement(serial, "source", mode="bind", path=self.console)
        ET.SubElement(serial, "log", file=self.log, append="off")
        ET.SubElement(devices, "memballoon", model="virtio" if self.balloon else "none")


ET.register_namespace("memfold", POLICY_NAMESPACE)
