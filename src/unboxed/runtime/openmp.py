"""How long the threads of OpenMP, which PyTorch computes with, keep a core busy while they wait for each other.

A thread that waits either checks again and again (it spins) or sleeps, and waking it takes as long as a small
operation. GNU's OpenMP spins for milliseconds by default. Where other programs use the cores, the thread that is waited
for cannot run meanwhile: a training step of SCAN with two threads took 1.4 s in place of 0.1 s (docs/speed.md).
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

__all__ = ["limit_spinning"]


def limit_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Sets the variables with which threads spin for some microseconds before they sleep.

    They are read when PyTorch is imported, and child processes inherit them. Where `OMP_WAIT_POLICY` or
    `GOMP_SPINCOUNT` is set already, nothing changes.

    Args:
        environment: by default that of this process.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & environment.keys():
        environment["OMP_WAIT_POLICY"] = "PASSIVE"  # no spinning, of other OpenMP libraries than GNU's
        environment["GOMP_SPINCOUNT"] = "1000"  # takes precedence in GNU's
