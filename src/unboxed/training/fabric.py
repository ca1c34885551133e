"""Lightning Fabric, which reads the variables of torchrun and Slurm, and its process on one device."""

from __future__ import annotations

import os

import torch

from unboxed.errors import RunError

try:  # a rank that is no number ends this import
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.strategies.ddp import DDPStrategy
    from lightning_fabric.utilities.rank_zero import rank_zero_only
except ValueError as error:
    _RANKS = [f"{name}={os.environ[name]!r}" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID") if name in os.environ]
    raise RunError(
        f"The environment has {', '.join(_RANKS)}; expected the number of a process, as torchrun and Slurm give it. "
        "Unset what is none."
    ) from error

__all__ = ["DDPStrategy", "Fabric", "LightningEnvironment", "fabric_on", "rank_zero_only"]


def fabric_on(device: torch.device) -> Fabric:
    """One process on a device, whatever has started it: a job of Slurm with several tasks may run fits of its own."""
    devices = 1 if device.index is None else [device.index]
    return Fabric(accelerator=device.type, devices=devices, plugins=[LightningEnvironment()])
