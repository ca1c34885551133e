"""InfoGround's HDF5 files: one data set an image in each of them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from unboxed.errors import RegionsError
from unboxed.regions.importing import open_features

h5py = pytest.importorskip("h5py")


def _write(folder: Path, **arrays: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, images in arrays.items():
        with h5py.File(folder / f"{name}.hdf5", "w") as file:
            for image_id, values in images.items():
                file.create_dataset(image_id, data=values)


def test_subsets_with_any_number_of_boxes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for subset, image_id, count in (("train", "7", 3), ("val", "8", 1)):
        _write(
            tmp_path / subset,
            features={image_id: rng.normal(size=(count, 5)).astype(np.float32)},
            boxes={image_id: np.arange(4 * count).reshape(count, 4)},
            scores={image_id: np.tile([0.25, 0.75], (count, 1))},
            labels={image_id: np.arange(count)},
        )
    images = {image.image_id: image for image in open_features(tmp_path, "hdf5").images({"7", "8"})}
    assert images["7"].boxes.tolist() == np.arange(12).reshape(3, 4).tolist()
    assert (images["7"].scores.tolist(), images["7"].labels.tolist()) == ([0.75] * 3, [0, 1, 2])
    assert images["8"].features.shape == (1, 5)
    with h5py.File(tmp_path / "train" / "features.hdf5") as file:
        np.testing.assert_array_equal(images["7"].features, file["7"][()])
    assert [image.image_id for image in open_features(tmp_path / "val", "hdf5").images({"8"})] == ["8"]


def test_scores_and_labels_may_be_absent_or_names(tmp_path: Path) -> None:
    _write(tmp_path, features={"7": np.ones((1, 5))}, boxes={"7": np.ones((1, 4))}, labels={"7": np.array([b"dog"])})
    (image,) = open_features(tmp_path, "hdf5").images({"7"})
    assert (image.scores, image.labels) == (None, None)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"features": {"7": np.ones((2, 5))}}, r"has no boxes\.hdf5"),
        ({"features": {"7": np.ones((2, 5))}, "boxes": {}}, r"features \[2, 5\] and boxes none"),
        ({"features": {"7": np.ones((2, 5))}, "boxes": {"7": np.ones((3, 4))}}, r"boxes \[3, 4\]; expected"),
        ({"features": {"7": np.ones(2)}, "boxes": {"7": np.ones((2, 4))}}, r"features \[2\] and"),
        (
            {"features": {"7": np.ones((2, 5))}, "boxes": {"7": np.ones((2, 4))}, "scores": {"7": np.ones(3)}},
            r"scores \[3\] for 2 boxes",
        ),
        ({"boxes": {"7": np.ones((2, 4))}}, r"has no features\.hdf5, and none of its folders"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, arrays: dict[str, dict[str, np.ndarray]], message: str) -> None:
    _write(tmp_path, **arrays)
    with pytest.raises(RegionsError, match=message):
        list(open_features(tmp_path, "hdf5").images({"7"}))


def test_a_damaged_file_and_a_missing_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "features.hdf5").write_bytes(b"no HDF5")
    with pytest.raises(RegionsError, match="cannot be read as HDF5"):
        list(open_features(tmp_path, "hdf5").images({"7"}))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(RegionsError, match=r'pip install "unboxed\[hdf5\]"'):
        open_features(tmp_path, "hdf5")
