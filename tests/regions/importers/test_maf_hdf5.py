"""MAF's files: rows of one array for all images, the numbers of the images in a pickle, detections in JSON."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unboxed.data import load_dataset
from unboxed.errors import RegionsError
from unboxed.regions.importing import import_regions, open_features
from unboxed.regions.store import RegionStore

h5py = pytest.importorskip("h5py")

BOXES = {7: [[0, 0, 4, 4], [1, 1, 9, 9]], 12: [[2, 2, 8, 8]]}
CLASSES = {7: ["man", "traffic light"], 12: ["car,automobile"]}
FEATURES = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)


def write(folder: Path, names: tuple[str, str] = ("features", "pos_bboxes"), **changes: Any) -> Path:
    """Two images; the second one's rows come first."""
    with h5py.File(folder / "train_features_compress.hdf5", "w") as file:
        file[names[0]], file[names[1]] = FEATURES, np.array([[0, 1], [1, 3]], np.int32)
    (folder / "train_imgid2idx.pkl").write_bytes(pickle.dumps(changes.get("numbers", {12: 0, 7: 1}), 2))
    found = {str(n): {"bboxes": BOXES[n], "classes": CLASSES[n], "attrs": []} for n in (7, 12)}
    found["7"] |= changes.get("detections", {})
    (folder / "train_detection_dict.json").write_text(json.dumps(found))
    return folder


@pytest.mark.parametrize("names", [("features", "pos_bboxes"), ("image_features", "pos_boxes")])
def test_images_have_their_rows_boxes_and_classes(tmp_path: Path, names: tuple[str, str]) -> None:
    source = open_features(write(tmp_path, names), "maf")
    assert source.class_names == ("car,automobile", "man", "traffic light")
    images = {image.image_id: image for image in source.images({"7", "12"})}
    np.testing.assert_array_equal(images["12"].features, FEATURES[:1])
    np.testing.assert_array_equal(images["7"].features, FEATURES[1:])
    assert images["7"].boxes is not None and images["7"].boxes.tolist() == BOXES[7]
    assert images["7"].labels is not None and images["7"].labels.tolist() == [1, 2]
    assert [image.image_id for image in source.images({"7"})] == ["7"]


def test_a_store_has_the_names_of_the_classes(tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_text("image,caption,split\n7,A man.,train\n12,A car.,val\n")
    (tmp_path / "data.toml").write_text('format = "table"\nimages = false\nannotations = "captions.csv"\n')
    write(tmp_path, detections={"scores": [0.5, 0.25]})
    import_regions(
        load_dataset(tmp_path / "data.toml"), open_features(tmp_path, "maf"), tmp_path / "store", progress=False
    )
    store = RegionStore.open(tmp_path / "store")
    assert store.class_names == ("car,automobile", "man", "traffic light")
    assert store["7"].class_probs.tolist() == [[0, 0.5, 0], [0, 0, 0.25]]
    assert store["12"].class_probs.tolist() == [[1, 0, 0]]


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"detections": {"bboxes": [[0, 0, 1, 1]]}}, "7 has 1 boxes, 2 classes and 1 scores for 2 features"),
        ({"detections": {"scores": [1]}}, "7 has 2 boxes, 2 classes and 1 scores for 2 features"),
        ({"numbers": {7: 5}}, "cannot be read"),
        ({"numbers": {13: 0}}, "has no detections of the image 13"),
        ({"numbers": [7]}, "no dictionary of image numbers"),
        ({"numbers": {7: _Runs()}}, "asks for more than plain values"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RegionsError, match=message):
        list(open_features(write(tmp_path, **changes), "maf").images({"7", "12", "13"}))


def test_files_that_are_missing_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(RegionsError, match="has no files such as train_features"):
        open_features(tmp_path, "maf")
    write(tmp_path, detections={"classes": [3, 4]})
    with pytest.raises(RegionsError, match="other `classes` than names"):
        open_features(tmp_path, "maf")
    (tmp_path / "train_detection_dict.json").unlink()
    with pytest.raises(RegionsError, match="put it beside the features"):
        open_features(tmp_path, "maf")
    write(tmp_path)
    (tmp_path / "train_features_compress.hdf5").write_bytes(b"no HDF5")
    with pytest.raises(RegionsError, match="fetch it again"):
        list(open_features(tmp_path, "maf").images({"7"}))
