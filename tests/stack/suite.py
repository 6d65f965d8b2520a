# SPDX-License-Identifier: GPL-2.0-or-later
"""The cases of the stack, and what each needs: memory, processors, time, and the kernel it runs on."""

import dataclasses
from typing import Callable

OURS, STOCK = "ours", "stock"


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    function: Callable
    memory_mib: int
    cpus: int
    limit_sec: int
    kernel: str
    long: bool
    disk_mib: int

    @property
    def machine(self):
        """Cases with the same share one boot."""
        return (self.kernel, self.memory_mib, self.cpus, self.disk_mib)


cases = []


def case(memory_mib, cpus, limit_sec, kernel=OURS, long=False, disk_mib=0):
    """Registers a case, whose name is the function's with spaces. limit_sec is for a busy machine;
    long: it is run only with --long, or when named."""
    def register(function):
        name = function.__name__.replace("_", " ")
        if any(known.name == name for known in cases):
            raise ValueError(f"two cases are called {name!r}")
        cases.append(Case(name, function, memory_mib, cpus, limit_sec, kernel, long, disk_mib))
        return function
    return register
