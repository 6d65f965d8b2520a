#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The qtest that the series adds to QEMU's own tests, run on the emulator as it is installed.

It is built and installed beside the emulator by qemu-patches/build.sh.  Its output is TAP already and
is passed on; what QEMU says on stderr is shown when the test fails.
"""

import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

import ksm

OURS = pathlib.Path(os.environ.get("MEMFOLD_QEMU", "/opt/memfold/bin/qemu-system-x86_64"))
QTEST = OURS.parent.parent / "libexec" / "memory-merge-test"
DEADLINE_SEC = 100


def main():
    if not QTEST.exists():
        print(f"1..1\nnot ok 1 - {QTEST} is there\n# ./setup build installs it")
        return 1
    environment = os.environ | {"QTEST_QEMU_BINARY": str(OURS), "QTEST_KSM": "1"}
    with ksm.borrowed():
        run = subprocess.run([str(QTEST), "--tap"], env=environment, text=True, errors="replace",
                             stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_SEC,
                             check=False)
    sys.stdout.write(run.stdout)
    if run.returncode != 0:
        sys.stdout.writelines(f"# {line}\n" for line in run.stderr.splitlines()[-30:])
    return run.returncode


if __name__ == "__main__":
    sys.exit(main())
