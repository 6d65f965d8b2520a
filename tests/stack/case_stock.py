# SPDX-License-Identifier: GPL-2.0-or-later
"""The same host with the distribution's kernel: what it can't keep apart is not merged."""

from scene import DUP_PAGES
from suite import STOCK, case
import tap
import wait


def merging(scene, name):
    """By the kernel's counter: a stock one reports KPF_KSM for pages that are not KSM's, too."""
    return int(scene.host.run(f"cat /proc/{scene.pid(name)}/ksm_merging_pages"))


@case(memory_mib=1536, cpus=2, limit_sec=900, kernel=STOCK)
def a_group_that_cannot_be_enforced_is_not_merged(scene):
    """And why tells it; the control shares with everyone, and is merged by the same ksmd."""
    scene.start()
    scene.create("tenant", {"merge": "on", "group": "tenant-a"})
    scene.create("open", {"merge": "on", "group": "shared"})
    scene.wait_ready("tenant", "open")
    wait.until("the control to be merged", lambda: merging(scene, "open") >= DUP_PAGES, 300, 0.5)
    scene.wait_scans()
    tap.equal(merging(scene, "tenant"), 0, "merged pages of the tenant")
    why = scene.why("tenant")
    tap.check('this host can\'t keep group "tenant-a" apart' in why and "a kernel with merge groups" in why, why)
