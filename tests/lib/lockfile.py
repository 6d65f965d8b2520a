# SPDX-License-Identifier: GPL-2.0-or-later
"""Locks of root's. Who can read a file can hold its lock, and in /run/lock anybody could make it first."""

import os


def open_private(path):
    return open(path, "w", encoding="ascii", opener=lambda name, flags: os.open(name, flags, 0o600))
