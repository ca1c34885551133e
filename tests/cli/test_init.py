"""`unboxed init`: what it writes and prints."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from unboxed.cli import main
from unboxed.cli.init import _duration
from unboxed.data.dataset import load_dataset


@pytest.fixture
def folder(tiny_dataset: Path, tmp_path: Path) -> Path:
    """A folder with the images and the captions of the tiny dataset, without its dataset file."""
    folder = tmp_path / "folder"
    shutil.copytree(tiny_dataset.parent / "photos", folder)
    shutil.copy(tiny_dataset.parent / "captions.csv", folder)
    return folder


def test_init_writes_the_dataset_file_with_an_estimate(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", str(folder)])
    lines = capsys.readouterr().err.splitlines()
    file = folder / "data.toml"
    assert lines[-1] == f"Wrote {file}. Next: unboxed fit --data {file} --out run"
    assert lines[-2].startswith("Estimated: regions ")
    assert set(load_dataset(file).split_names) == {"train", "val"}


def test_init_without_an_estimate_names_the_detector_in_the_next_command(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "other.toml"
    main(["init", str(folder), "--out", str(out), "--detector", "detector.onnx", "--no-measure"])
    printed = capsys.readouterr().err
    assert f"Next: unboxed fit --data {out} --out run --detector detector.onnx" in printed
    assert "Estimated" not in printed


def test_init_of_a_single_image_says_that_two_are_needed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one").mkdir()
    shutil.copy(folder / "0.png", tmp_path / "one")
    (tmp_path / "one" / "captions.csv").write_text("image,caption\n0.png,a red box\n")
    main(["init", str(tmp_path / "one")])
    printed = capsys.readouterr().err
    assert "for training: `unboxed fit` needs two, and two for validation." in printed and "Estimated" not in printed


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (89.4, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h")]
)
def test_durations_have_a_unit_that_suits_them(seconds: float, text: str) -> None:
    assert _duration(seconds) == text
