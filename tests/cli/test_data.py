"""`unboxed init`, `scenes`, `regions` and `import`: what they write and print."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from unboxed.cli import main
from unboxed.cli.init import _duration
from unboxed.data.dataset import load_dataset
from unboxed.regions.store import RegionStore


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


def test_scenes_are_written_with_their_dataset_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["scenes", str(tmp_path / "scenes"), "--train", "2", "--val", "1", "--test", "1", "--seed", "7"])
    assert capsys.readouterr().err.endswith(f"Wrote {tmp_path / 'scenes' / 'data.toml'}\n")
    dataset = load_dataset(tmp_path / "scenes" / "data.toml")
    assert [len(dataset.split(name).examples) for name in ("train", "val", "test")] == [2, 1, 1]


def test_regions_are_extracted_once(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["regions", str(tiny_dataset), "--out", str(tmp_path / "store"), "--grid", "2", "--workers", "1"]
    main(command)
    assert "40 images in " in capsys.readouterr().err
    main(command)
    assert "40 already in the store, 0 skipped" in capsys.readouterr().err
    assert len(RegionStore.open(tmp_path / "store")) == 40
    with pytest.raises(SystemExit, match="2"):
        main([*command, "--int8"])
    assert "stores numbers in 16 bits" in capsys.readouterr().err
    main([*command[:3], str(tmp_path / "int8"), "--grid", "2", "--int8"])
    assert RegionStore.open(tmp_path / "int8").int8


def test_precomputed_features_are_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SCAN's format: features of the images in one array, captions in a text file, five for each image."""
    features = tmp_path / "scan"
    features.mkdir()
    for split, count in (("train", 3), ("dev", 2), ("test", 2)):
        np.save(features / f"{split}_ims.npy", np.random.default_rng(0).random((count, 4, 8), np.float32))
        captions = [f"a box {n}" for n in range(5 * count)]
        (features / f"{split}_caps.txt").write_text("\n".join(captions) + "\n", encoding="utf-8")
    data = tmp_path / "data.toml"
    data.write_text('format = "scan"\nannotations = "scan"\n', encoding="utf-8")
    command = ["import", str(data), "--features", str(features), "--format", "scan", "--out", str(tmp_path / "store")]
    main(command)
    assert "7 images imported" in capsys.readouterr().err
    assert len(RegionStore.open(tmp_path / "store")) == 7
    main([*command[:-1], str(tmp_path / "int8"), "--int8"])
    assert RegionStore.open(tmp_path / "int8").int8 and not RegionStore.open(tmp_path / "store").int8
    with pytest.raises(SystemExit, match="2"):
        main([*command, "--int8"])
    assert "stores numbers in 16 bits" in capsys.readouterr().err
