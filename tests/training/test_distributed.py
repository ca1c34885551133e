"""Two processes that share every batch train as one process with the whole batch; lost and different ones are errors.

The processes exchange tensors over gloo on the CPU. `two_ranks.py` is what they run, in double precision.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from unboxed.errors import DeviceError, RunError
from unboxed.runtime.devices import Device
from unboxed.runtime.ranks import Ranks
from unboxed.training.auto import default_fit
from unboxed.training.fabric import fabric_on, rank_zero_only
from unboxed.training.launch import process_numbers, processes, require_same_data
from unboxed.training.options import FitSettings

PROGRAM = Path(__file__).with_name("two_ranks.py")
NAMES = ("infoground", "ckd", "scan", "npair", "sgr", "saf", "saf_by_caption")
World = tuple[Path, Path]


@pytest.fixture(autouse=True)
def _first_process_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning keeps the number of this process beyond a test that gives it another one."""
    monkeypatch.setattr(rank_zero_only, "rank", 0, raising=False)


def _start(world: World, out: Path, names: tuple[str, ...], **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAM), str(world[0]), str(world[1]), str(out), *names]
    own = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    return subprocess.Popen(command, env=own | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def _free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def _start_two(
    world: World, out: Path, names: tuple[str, ...], *of_each: dict[str, str]
) -> list[subprocess.Popen[str]]:
    """Two processes with the environment that torchrun gives them."""
    joined = {"TORCHELASTIC_RUN_ID": "test", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _free_port(), "GROUP_RANK": "0"}
    counts = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    return [
        _start(world, out, names, **joined, **counts, RANK=str(number), LOCAL_RANK=str(number), **own)
        for number, own in enumerate(of_each or ({}, {}))
    ]


def _require_ended(*processes: subprocess.Popen[str]) -> None:
    """Processes end well. If one fails, the others, which may wait for it for long, are ended."""
    while not any(codes := [process.poll() for process in processes]) and None in codes:
        time.sleep(0.05)
    for process, code in zip(processes, codes, strict=True):
        if code is None:
            process.kill()
    printed = [process.communicate()[0] for process in processes]
    assert not any(codes), printed


def _losses(run: Path) -> list[dict[str, float]]:
    entries: list[dict[str, float]] = json.loads((run / "losses.json").read_text())
    return [{name: value for name, value in entry.items() if name not in ("seconds", "waiting")} for entry in entries]


class Killed(NamedTuple):
    """Two processes of which the second was killed: what the first one printed, their codes, and what they left."""

    printed: str
    codes: tuple[int, int]
    has_checkpoint: bool


@pytest.fixture(scope="module")
def runs(tiny_world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Killed]:
    """The folders of the runs of one process and of two, where `scan_resumed` goes on after a killed process."""
    out = tmp_path_factory.mktemp("ranks")
    alone = _start(tiny_world, out / "one", NAMES)
    first, second = _start_two(tiny_world, out / "two", ("scan_resumed",), {}, {"DIES_AT": "10"})
    printed, _ = first.communicate()
    second.communicate()
    left = (out / "two" / "scan_resumed" / "checkpoint.safetensors").is_file()
    _require_ended(*_start_two(tiny_world, out / "two", (*NAMES, "scan_resumed")), alone)
    return out / "one", out / "two", Killed(printed, (first.returncode, second.returncode), left)


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_train_as_one_with_the_whole_batch(name: str, runs: tuple[Path, Path, Killed]) -> None:
    one, two = (_losses(folder / name) for folder in runs[:2])
    losses = [entry["loss"] for entry in one if "loss" in entry]
    assert len(one) == len(two) and len(losses) == 24
    assert sum(losses[-8:]) < 0.99 * sum(losses[:8])  # of the last epoch and the first: it has learned something
    for entry, other in zip(one, two, strict=True):
        assert other == pytest.approx(entry, rel=1e-6, abs=1e-9)  # a term of the loss may be as small as 1e-5
    weights, others = (load_file(folder / name / "model.safetensors") for folder in runs[:2])
    assert weights.keys() == others.keys()
    for key, value in weights.items():
        torch.testing.assert_close(others[key], value, rtol=0, atol=1e-5)


def test_a_killed_process_ends_the_other_with_a_message_and_the_run_resumes_exactly(
    runs: tuple[Path, Path, Killed],
) -> None:
    _, two, killed = runs
    assert killed.codes == (1, 9)
    last = killed.printed.strip().splitlines()[-1]
    assert last.startswith("error: Process 0 of 2 lost the others: one of them ended.")
    assert killed.has_checkpoint
    resumed, whole = (load_file(two / name / "model.safetensors") for name in ("scan_resumed", "scan"))
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def _loader(*image_ids: str) -> SimpleNamespace:
    return SimpleNamespace(image_ids=image_ids, captions=[[SimpleNamespace(words=("a", "dog"))] for _ in image_ids])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("options", r"Processes 1 of 3 were started with other options than process 0"),
        ("images", r"Processes 1 of 3 have read other images or captions than process 0"),
    ],
)
def test_processes_with_other_data_or_options_are_named(
    changed: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def text_of(options: str, *image_ids: str) -> str:
        seen: list[str] = []
        monkeypatch.setattr(Ranks, "texts", lambda ranks, text, device: seen.append(text) or [text])
        require_same_data(Ranks(), torch.device("cpu"), options, _loader(*image_ids))  # type: ignore[arg-type]
        return seen[0]

    other = text_of("rate 2", "1.jpg") if changed == "options" else text_of("rate 1", "2.jpg")
    monkeypatch.setattr(Ranks, "texts", lambda ranks, text, device: [text, other, text])
    with pytest.raises(RunError, match=message):
        require_same_data(Ranks(0, 3), torch.device("cpu"), "rate 1", _loader("1.jpg"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("devices", "nodes"), [(0, 1), (1, 0), (-2, 1)])
def test_there_is_at_least_one_process(devices: int, nodes: int) -> None:
    with pytest.raises(RunError, match="expected at least 1"), processes(devices, nodes, Device("cpu")):
        pass


def test_the_numbers_of_torchrun_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert process_numbers(3, 2) == (3, 2)
    with pytest.raises(RunError, match="at most 1000 devices"):
        process_numbers(10**8, 1)
    for name, value in (("TORCHELASTIC_RUN_ID", "1"), ("WORLD_SIZE", "8"), ("LOCAL_WORLD_SIZE", "4")):
        monkeypatch.setenv(name, value)
    assert process_numbers(1, 1) == process_numbers(4, 2) == (4, 2)
    with pytest.raises(RunError, match=r"started 8 processes, 4 on this machine, but --devices 8 --nodes 1"):
        process_numbers(8, 1)


def test_processes_that_nothing_starts_or_that_slurm_counts_otherwise_are_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpu = Device("cpu")
    with pytest.raises(RunError, match="neither torchrun nor Slurm has started this process"):
        processes(1, 2, cpu).__enter__()
    slurm = {"NTASKS": "1", "NTASKS_PER_NODE": "4", "JOB_ID": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
    for name, value in slurm.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    with pytest.raises(RunError, match=r"cannot be joined .*--ntasks-per-node=4"):
        processes(2, 1, cpu).__enter__()
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", _free_port())
    with pytest.raises(RunError, match="Slurm has started 1 of the 2 processes"):
        processes(2, 1, cpu).__enter__()


@pytest.mark.parametrize("wrong", ["", "abc", "0", "-1"])
def test_numbers_of_torchrun_that_are_none_are_errors(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TORCHELASTIC_RUN_ID", "1"), ("WORLD_SIZE", "8"), ("LOCAL_WORLD_SIZE", wrong)):
        monkeypatch.setenv(name, value)
    with pytest.raises(RunError, match=f"LOCAL_WORLD_SIZE is '{wrong}', not a number of processes"):
        process_numbers(1, 1)


@pytest.mark.parametrize("missing", ["LOCAL_RANK", "RANK"])
def test_ranks_that_are_missing_or_too_large_are_errors(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": "7", "LOCAL_RANK": "9"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RunError, match="The 2 processes cannot be joined"):
        processes(1, 1, Device("cpu")).__enter__()
    monkeypatch.delenv(missing)
    with pytest.raises(RunError, match="The 2 processes cannot be joined"):
        processes(1, 1, Device("cpu")).__enter__()


def test_a_fit_of_one_process_may_run_in_a_job_of_several_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "4")  # without SLURM_NTASKS_PER_NODE
    assert fabric_on(torch.device("cpu")).world_size == 1


def test_a_rank_that_is_no_number_is_an_error() -> None:
    command = [sys.executable, "-c", "from unboxed.training import train"]
    ended = subprocess.run(command, env=os.environ | {"RANK": "first"}, capture_output=True, text=True)
    assert "RunError: The environment has RANK='first'; expected the number of a process" in ended.stderr


def test_more_processes_than_gpus_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    message = "--devices 4 needs as many GPUs, and this machine has 2"
    with pytest.raises(DeviceError, match=message), processes(4, 1, Device("cuda")):
        pass


def test_shares_are_consecutive_and_cover_the_batch() -> None:
    for total in (2, 3, 7, 48):
        shares = [Ranks(number, 2).share(total) for number in range(2)]
        assert shares[0].start == 0 and shares[0].stop == shares[1].start and shares[1].stop == total
        assert all(share.stop > share.start for share in shares)


def test_without_a_recipe_there_is_one_process(tiny_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="unboxed fit RECIPE --devices N"):
        default_fit(FitSettings(tiny_dataset, tmp_path / "run", devices=2))
    assert not (tmp_path / "run").exists()
