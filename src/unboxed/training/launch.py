"""The processes of a distributed fit: started here, or by torchrun or Slurm, and joined through Lightning Fabric."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta

import torch
import torch.distributed as dist

from unboxed.errors import DeviceError, RunError, UnboxedError, plain_reason
from unboxed.runtime.devices import Device, running_on
from unboxed.runtime.locks import folder_lock, waiting
from unboxed.runtime.progress import Show
from unboxed.runtime.ranks import Ranks
from unboxed.training.fabric import DDPStrategy, Fabric, LightningEnvironment, rank_zero_only
from unboxed.training.options import FitSettings
from unboxed.training.split_loader import SplitLoader

__all__ = ["is_first_process", "process_numbers", "processes", "require_same_data", "run_lock"]

_TIMEOUT = timedelta(days=7)  # the others wait while the first one finds regions
_MOST = 1000  # processes on a machine


@contextmanager
def processes(devices: int, nodes: int, device: Device) -> Iterator[Ranks]:
    """A block that all processes of a fit run; the current device in it is that of this process.

    Args:
        devices: processes on each machine, one for each GPU. More than one are started here unless torchrun or Slurm
            has started them; under torchrun, its numbers count where both are 1.
        nodes: machines; on several, torchrun or Slurm starts the processes.
        device: of the fit; with several processes `cuda` or `cpu` by its kind.

    Raises:
        DeviceError: fewer GPUs than processes.
        RunError: torchrun or Slurm started other numbers of processes, nothing starts those of other machines, or
            another process ended.
    """
    devices, nodes = process_numbers(devices, nodes)
    if devices * nodes == 1 or dist.is_initialized():
        yield Ranks.current()
        return
    kind = device.torch_device().type
    if kind == "cuda" and torch.cuda.device_count() < devices:
        raise DeviceError(f"--devices {devices} needs as many GPUs, and this machine has {torch.cuda.device_count()}.")
    fabric = _joined(kind, devices, nodes)
    ranks = Ranks.current()
    try:
        if ranks.count != devices * nodes:  # Slurm's numbers count
            raise RunError(
                f"Slurm has started {ranks.count} of the {devices * nodes} processes of --devices {devices} --nodes "
                f"{nodes}; give srun --ntasks-per-node {devices}, or start the command with torchrun."
            )
        with running_on(str(fabric.device)):
            yield ranks
    except UnboxedError:
        raise
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        raise RunError(
            f"Process {ranks.number} of {ranks.count} lost the others: one of them ended. Its message is above or in "
            "its log; start all again with --resume."
        ) from error
    finally:
        dist.destroy_process_group()


def _joined(kind: str, devices: int, nodes: int) -> Fabric:
    """The processes, after all have started and found each other."""
    try:
        strategy = DDPStrategy(timeout=_TIMEOUT)
        fabric = Fabric(accelerator=kind, devices=devices, num_nodes=nodes, strategy=strategy)
        alone = isinstance(strategy.cluster_environment, LightningEnvironment) and "NODE_RANK" not in os.environ
        if nodes > 1 and alone:
            raise RunError(
                f"--nodes {nodes}, but neither torchrun nor Slurm has started this process, so nothing starts those of "
                "the other machines; start the command with torchrun on each of them (guide “Scaling”)."
            )
        fabric.launch()
    except (LookupError, ValueError, RuntimeError) as error:
        raise RunError(
            f"The {devices * nodes} processes cannot be joined ({plain_reason(error)}); give the numbers with which "
            "torchrun or Slurm started them."
        ) from error
    return fabric


def is_first_process(devices: int, nodes: int) -> bool:
    """Whether this is the process that writes and prints, also before and after `processes`.

    Args:
        devices, nodes: as for `processes`. A single process is the first one, whatever number its environment has.

    Raises:
        RunError: as of `process_numbers`.
    """
    return process_numbers(devices, nodes) == (1, 1) or getattr(rank_zero_only, "rank", 0) == 0


@contextmanager
def run_lock(settings: FitSettings, ranks: Ranks, show: Show) -> Iterator[None]:
    """The lock of the run, which the first process holds for all; the others wait for locks of stores.

    Args:
        settings: of the fit.
        ranks: the processes.
        show: called with a line of text about a process that is waited for.

    Raises:
        BusyError: another fit writes the run.
    """
    own = folder_lock(settings.out, show=show) if ranks.is_first else nullcontext()
    with waiting(settings.wait or not ranks.is_first), own:
        yield


def process_numbers(devices: int, nodes: int) -> tuple[int, int]:
    """Processes on each machine, and machines: those of torchrun where it has started this process.

    Args:
        devices, nodes: the numbers that were asked for.

    Raises:
        RunError: none, more than a thousand on a machine, or others than those of torchrun.
    """
    if not 1 <= devices <= _MOST or nodes < 1:
        raise RunError(f"--devices is {devices} and --nodes {nodes}; expected at least 1, and at most {_MOST} devices.")
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return devices, nodes
    every, local = (_number(name) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if (devices, nodes) not in ((1, 1), (local, every // local)):
        raise RunError(
            f"torchrun has started {every} processes, {local} on this machine, but --devices {devices} --nodes {nodes} "
            "are other numbers; leave both out."
        )
    return local, every // local


def _number(name: str) -> int:
    """Of processes, as torchrun gives it."""
    found = os.environ.get(name, "")
    if not found.isdecimal() or int(found) < 1:
        raise RunError(
            f"TORCHELASTIC_RUN_ID is set, as by torchrun, but {name} is {found!r}, not a number of processes; start "
            "the command with torchrun, or unset TORCHELASTIC_RUN_ID."
        )
    return int(found)


def _is_lost(error: RuntimeError) -> bool:
    text = str(error)
    return isinstance(error, dist.DistBackendError) or any(sign in text for sign in ("gloo", "Connection", "NCCL"))


def require_same_data(ranks: Ranks, device: torch.device, options: str, *loaders: SplitLoader) -> None:
    """Raise an error on every process unless all have the same options and have read the same images and captions.

    Args:
        ranks: the processes.
        device: of the texts that they exchange.
        options: of the fit.
        loaders: the splits.

    Raises:
        RunError: they differ; the message names the processes.
    """
    digest = hashlib.sha256()
    for loader in loaders:
        words = [[caption.words for caption in captions] for captions in loader.captions]
        digest.update(json.dumps([loader.image_ids, words]).encode())
    found = ranks.texts(f"{digest.hexdigest()} {hashlib.sha256(options.encode()).hexdigest()}", device)
    first = found[0].split()
    kinds = (
        ("have read other images or captions", "dataset and store, such as on a shared disk"),
        ("were started with other options", "options"),
    )
    for place, (what, same) in enumerate(kinds):
        others = ", ".join(str(number) for number, text in enumerate(found) if text.split()[place] != first[place])
        if others:
            raise RunError(f"Processes {others} of {ranks.count} {what} than process 0; give all the same {same}.")
