# SPDX-License-Identifier: GPL-2.0-or-later
"""A private bus that programs take for the system bus.

    with bus.private() as environment:
        subprocess.run([...], env=environment)

It lets everybody own and ask everything: what the shipped bus policy allows is another test's matter.
"""

import contextlib
import os
import subprocess
import tempfile

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={folder}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    {rules}
  </policy>
  {include}
</busconfig>
"""
OPEN = """
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>"""
# As the distributions' system.conf: replies, signals and the bus itself; calls only where a file allows.
CLOSED = """
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>"""


@contextlib.contextmanager
def private(policy=None):
    """Runs a bus for the duration and gives an environment that leads to it. With `policy`, the path of
    a bus policy, that file says who may own and ask what, as on a real system bus."""
    with tempfile.TemporaryDirectory(prefix="memfold-bus-") as folder:
        os.chmod(folder, 0o755)
        config = os.path.join(folder, "bus.conf")
        with open(config, "w", encoding="utf-8") as out:
            out.write(CONFIG.format(folder=folder, rules=CLOSED if policy else OPEN,
                                    include=f"<include>{policy}</include>" if policy else ""))
        with subprocess.Popen(["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address=1"],
                              stdout=subprocess.PIPE, text=True) as daemon:
            try:
                address = daemon.stdout.readline().strip()
                if not address:
                    raise RuntimeError("dbus-daemon did not start")
                yield {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address, "LC_ALL": "C.UTF-8"}
            finally:
                daemon.terminate()
