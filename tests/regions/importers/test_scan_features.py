"""SCAN's features, with boxes where somebody has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unboxed.data import load_dataset
from unboxed.errors import RegionsError
from unboxed.regions.importing import import_regions, open_features
from unboxed.regions.store import RegionStore

LINES = "".join(f"A dog number {k} .\n" for k in range(10))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`train` in the unique layout, `dev` in the repeated one, with ids."""
    features = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    np.save(tmp_path / "train_ims.npy", features)
    np.save(tmp_path / "dev_ims.npy", np.repeat(features + 1, 5, axis=0))
    for split in ("train", "dev"):
        (tmp_path / f"{split}_caps.txt").write_text(LINES)
    (tmp_path / "train_ids.txt").write_text("7\n9\n")
    (tmp_path / "dev_ids.txt").write_text("11\n" * 5 + "12\n" * 5)
    (tmp_path / "data.toml").write_text('format = "scan"\nannotations = "."\n')
    return tmp_path


def test_each_image_once_from_both_layouts(folder: Path) -> None:
    source = open_features(folder, "scan")
    summary = import_regions(load_dataset(folder / "data.toml"), source, folder / "store", progress=False)
    assert (summary.done, summary.missing, summary.has_boxes) == (4, (), False)
    store, features = RegionStore.open(folder / "store"), np.load(folder / "train_ims.npy")
    for image_id, expected in {
        "7": features[0],
        "9": features[1],
        "11": features[0] + 1,
        "12": features[1] + 1,
    }.items():
        np.testing.assert_allclose(store[image_id].features, expected, atol=2e-3)


def test_four_columns_are_boxes_thirty_are_not(folder: Path) -> None:
    for split, rows in (("train", 2), ("dev", 10)):
        boxes = np.tile(np.array([0, 0, 0.5, 0.25]), (rows, 3, 1))
        np.save(folder / f"{split}_boxes.npy", boxes)
    source = open_features(folder, "scan")
    summary = import_regions(load_dataset(folder / "data.toml"), source, folder / "store", progress=False)
    assert summary.has_boxes
    assert RegionStore.open(folder / "store")["12"].boxes.tolist() == [[0, 0, 0.5, 0.25]] * 3
    np.save(folder / "dev_boxes.npy", np.zeros((10, 3, 30)))
    assert not open_features(folder, "scan").has_boxes


def test_files_that_do_not_fit(folder: Path) -> None:
    np.save(folder / "train_boxes.npy", np.zeros((2, 5, 4)))
    np.save(folder / "dev_boxes.npy", np.zeros((10, 3, 4)))
    with pytest.raises(RegionsError, match=r"boxes \[2, 5, 4\] for features \[2, 3, 4\]"):
        list(open_features(folder, "scan").images({"7"}))
    (folder / "train_boxes.npy").write_bytes(b"no array")
    with pytest.raises(RegionsError, match=r"train_boxes\.npy"):
        open_features(folder, "scan")
    np.save(folder / "train_boxes.npy", np.zeros((2, 3, 4)))
    (folder / "train_caps.txt").write_text(LINES * 2)
    (folder / "dev_boxes.npy").unlink()
    with pytest.raises(RegionsError, match="20 lines for 2 images"):
        list(open_features(folder, "scan").images({"7"}))
    for path in folder.glob("*_ims.npy"):
        path.unlink()
    with pytest.raises(RegionsError, match="captions but no features"):
        open_features(folder, "scan")
    with pytest.raises(RegionsError, match=r"no files such as train_caps\.txt"):
        open_features(folder / "data.toml", "scan")
