"""A killed fit, resumed, ends with the very weights of one that was never interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import load_file

from unboxed.errors import DatasetError, RunError
from unboxed.recipes.infoground import InfoGround
from unboxed.recipes.schedule import Schedule
from unboxed.training.auto import default_fit
from unboxed.training.fitting import FitSettings, fit
from unboxed.training.options import Logger

_FLAGS = {
    "epochs": "12",
    "images-per-batch": "6",
    "captions-per-image": "1",
    "checkpoint-steps": "7",
    "joint-width": "48",
}


def _command(data: Path, out: Path, store: Path, *more: str) -> list[str]:
    flags = [text for name, value in _FLAGS.items() for text in (f"--{name}", value)]
    names = ["--data", str(data), "--out", str(out), "--regions", str(store)]
    return [sys.executable, "-m", "unboxed", "fit", "infoground", *names, *flags, *more]


@pytest.fixture(scope="module")
def store(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("store") / "store"
    command = [sys.executable, "-m", "unboxed", "regions", str(tiny_dataset), "--out", str(out), "--segments"]
    subprocess.run(command, check=True, capture_output=True)
    return out


def test_a_run_killed_in_the_middle_of_an_epoch_ends_with_the_same_weights(
    tiny_dataset: Path, store: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(_command(tiny_dataset, whole, store), check=True, capture_output=True, env=environment)

    victim = subprocess.Popen(
        _command(tiny_dataset, broken, store),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    deadline = time.monotonic() + 120
    while _logged_steps(broken) < 40 and victim.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    assert (broken / "checkpoint.safetensors").exists()

    subprocess.run(_command(tiny_dataset, broken, store, "--resume"), check=True, capture_output=True, env=environment)
    expected, resumed = load_file(whole / "model.safetensors"), load_file(broken / "model.safetensors")
    assert expected.keys() == resumed.keys()
    for name, value in expected.items():
        assert torch.equal(value, resumed[name]), name
    assert _curve(whole) == _curve(broken)


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(optimizer="adam", curve="step", step_epochs=2, sampling="captions", clip=0, validation_captions=20),
        Schedule(optimizer="sgd", curve="step", step_epochs=1, sampling="replacement", batches_per_epoch=7),
        Schedule(sampling="captions", drop_last=True, captions_per_image=1),
    ],
    ids=["adam", "sgd", "adamw"],
)
def test_every_schedule_continues_exactly(schedule: Schedule, tiny_dataset: Path, store: Path, tmp_path: Path) -> None:
    """Interrupted in the middle of its second epoch, which a checkpoint after every fourth step does not hold whole."""
    schedule = replace(schedule, epochs=3, images_per_batch=6, captions_per_image=1, checkpoint_steps=4)
    options = InfoGround(negatives="random", negative_count=2, joint_width=16, schedule=schedule)
    steps = {}
    for name in ("whole", "broken"):

        def interrupt(entry: dict[str, Any], name: str = name) -> None:
            steps[name] = entry["steps"]
            if name == "broken" and entry["epoch"] == 1:
                raise KeyboardInterrupt

        settings = FitSettings(tiny_dataset, tmp_path / name, store)
        with pytest.raises(KeyboardInterrupt) if name == "broken" else nullcontext():
            fit("infoground", options, settings, report=interrupt)
    assert (tmp_path / "broken" / "checkpoint.safetensors").exists()
    fit("infoground", options, FitSettings(tiny_dataset, tmp_path / "broken", store, resume=True))
    expected, resumed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken"))
    assert all(torch.equal(value, resumed[name]) for name, value in expected.items())
    assert _curve(tmp_path / "whole") == _curve(tmp_path / "broken")
    if schedule.batches_per_epoch:
        assert steps["whole"] == 3 * schedule.batches_per_epoch


def test_full_batches_need_as_many_captions(tiny_dataset: Path, store: Path, tmp_path: Path) -> None:
    schedule = Schedule(epochs=1, images_per_batch=900, captions_per_image=1, sampling="captions", drop_last=True)
    options = InfoGround(negatives="none", joint_width=16, schedule=schedule)
    with pytest.raises(DatasetError, match=r"fewer than a batch of 900.*--no-drop-last"):
        fit("infoground", options, FitSettings(tiny_dataset, tmp_path / "run", store))


def test_a_run_is_trained_for_more_epochs(tiny_dataset: Path, store: Path, tmp_path: Path) -> None:
    """Constant rates do not depend on the number of epochs."""
    schedule = Schedule(epochs=3, images_per_batch=8, curve="constant")
    options = InfoGround(negatives="none", joint_width=16, schedule=schedule)
    more = replace(options, schedule=replace(schedule, epochs=5))
    whole, run = (
        FitSettings(tiny_dataset, tmp_path / "whole", store),
        FitSettings(tiny_dataset, tmp_path / "run", store),
    )
    fit("infoground", more, whole)

    def interrupt(entry: dict[str, Any]) -> None:
        if entry["epoch"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit("infoground", options, run, report=interrupt)
    fit("infoground", more, replace(run, resume=True))  # one that was interrupted: exactly
    assert _curve(run.out) == _curve(whole.out)

    lines: list[str] = []
    grounder = fit("infoground", replace(more, schedule=replace(schedule, epochs=7)), replace(run, resume=True),
                   show=lines.append)  # fmt: skip
    assert any("had finished; it continues after its best epoch" in line for line in lines)
    assert len(_curve(run.out)) == 7 and grounder.config.options.schedule.epochs == 7
    assert [step for step, _ in _curve(run.out)][:5] == [step for step, _ in _curve(whole.out)]
    with pytest.raises(RunError, match="epochs was 7 and now is 5"):
        fit("infoground", more, replace(run, resume=True))


@pytest.mark.parametrize("logger", get_args(Logger))
def test_a_logger_that_is_not_installed_is_named_before_any_work(
    logger: Logger, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unboxed.training.log.find_spec", lambda name: None)
    settings = FitSettings(tiny_dataset, tmp_path / "run", logger=logger)
    for start in (lambda: fit("infoground", InfoGround(), settings), lambda: default_fit(settings)):
        with pytest.raises(RunError, match=rf'pip install "unboxed\[{logger}\]"'):
            start()
    assert not (tmp_path / "run").exists()


def test_what_a_killed_process_left_is_removed_also_where_other_options_are_refused(
    tiny_dataset: Path, store: Path, tmp_path: Path
) -> None:
    options = InfoGround(negatives="none", joint_width=8, schedule=Schedule(epochs=1))
    settings = FitSettings(tiny_dataset, tmp_path / "run", store)
    fit("infoground", options, settings)
    left = [
        tmp_path / "run" / name for name in (".checkpoint.safetensors.999999", ".tmpAbC456", ".log.7-0.partial.jsonl")
    ]
    for file in left:
        file.touch()
    with pytest.raises(RunError, match="was started with other options: joint_width was 8 and now is 9"):
        fit("infoground", replace(options, joint_width=9), replace(settings, resume=True))
    assert not any(file.exists() for file in left)


def test_a_run_is_not_overwritten_and_not_resumed_with_other_choices(
    tiny_dataset: Path, store: Path, tmp_path: Path
) -> None:
    options = InfoGround(negatives="none", joint_width=16, schedule=Schedule(epochs=1, images_per_batch=8))
    run = tmp_path / "run"
    fit("infoground", options, FitSettings(tiny_dataset, run, store))
    with pytest.raises(RunError, match="--resume"):
        fit("infoground", options, FitSettings(tiny_dataset, run, store))
    with pytest.raises(RunError, match="joint_width was 16 and now is 256"):
        fit("infoground", InfoGround(negatives="none"), FitSettings(tiny_dataset, run, store, resume=True))


def _logged_steps(run: Path) -> int:
    log = run / "log.jsonl"
    lines = log.read_text().split("\n")[:-1] if log.exists() else []  # only lines that are written to their end
    return json.loads(lines[-1])["step"] if lines else 0


def _curve(run: Path) -> list[tuple[int, float]]:
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [(entry["step"], entry["val_loss"]) for entry in entries if "val_loss" in entry]
