# SPDX-License-Identifier: GPL-2.0-or-later
"""A second libvirt in the host, that guests can migrate from and to, and that memfoldd does not know.

    with elsewhere.Elsewhere(scene) as other:
        other.virsh("list")

It has a mount namespace, in which libvirt's state, memfoldd's and the guests' consoles are its own, and so is the file
that makes of the host's name another one, since libvirt takes equal names for one host. Processes and the kernel's KSM
are the same.
"""

import shlex

import scene as stage
import wait

FOLDER = "/run/elsewhere"
URI = f"qemu+unix:///system?socket={FOLDER}/libvirt-sock"
# The cache stays common: finding out anew what QEMU can do takes longer than all else.
OWN = ("/run/libvirt", "/run/memfold", stage.CONSOLES, "/var/lib/libvirt")
CONF = f"""unix_sock_dir = "{FOLDER}"
auth_unix_rw = "none"
host_uuid = "6d656d66-6f6c-4400-8000-000000000002"
"""
# Control groups are libvirt's alone: the other one's would have the same names.
SET_UP = f"""echo "127.0.0.1 elsewhere host" >{FOLDER}/hosts && mount --bind {FOLDER}/hosts /etc/hosts || exit
for own in {' '.join(OWN)}; do mount -t tmpfs elsewhere $own || exit; done
umount /sys/fs/cgroup
echo $$ >{FOLDER}/holder
exec libvirtd -f {FOLDER}/libvirtd.conf -p {FOLDER}/libvirtd.pid
"""


class Elsewhere:
    def __init__(self, scene):
        self.scene = scene

    def __enter__(self):
        folders = " ".join((FOLDER, *OWN))
        self.scene.host.run(f"mkdir -p {folders}; chmod 1777 {FOLDER}")
        self.scene.host.write(f"{FOLDER}/libvirtd.conf", CONF)
        self.scene.host.write(f"{FOLDER}/up.sh", SET_UP)
        self.scene.host.run(f"unshare -m --propagation private sh {FOLDER}/up.sh </dev/null >{FOLDER}/log 2>&1 &")
        wait.until("the libvirt elsewhere to answer",
                   lambda: self.scene.host.status(f"virsh -q -c '{URI}' uri")[0] == 0, self.scene.timeout_sec, 0.5,
                   show=lambda: self.scene.host.status(f"cat {FOLDER}/log")[1])
        return self

    def __exit__(self, *exception):
        for name in self.running():
            self.virsh("destroy", name)
        self.scene.host.run(f"kill $(cat {FOLDER}/holder); while kill -0 $(cat {FOLDER}/holder); do sleep 0.1; done "
                            f"2>/dev/null; rm -r {FOLDER}")

    def virsh(self, *words, limit_sec=90):
        return self.scene.host.run(f"virsh -q -c '{URI}' " + " ".join(map(shlex.quote, words)), limit_sec)

    def create(self, name, policy):
        """Starts a guest there, and waits for it."""
        self.virsh("create", self.scene.xml(name, policy))
        holder = self.scene.host.run(f"cat {FOLDER}/holder").strip()
        self.scene.host.run(f"ask /proc/{holder}/root{stage.CONSOLES}/{name} 60 READY info", 65)

    def running(self):
        return self.virsh("list", "--name").split()
