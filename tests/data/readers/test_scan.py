"""SCAN directories: both layouts are the same images, and counts that fit neither are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unboxed.data import load_dataset
from unboxed.data.dataset import Dataset
from unboxed.data.readers.scan import ScanFolder
from unboxed.errors import DatasetError


def _write(folder: Path, split: str, rows: int, lines: list[str], ids: list[str] | None = None) -> None:
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{split}_ims.npy", np.zeros((rows, 3, 4), np.float32))
    (folder / f"{split}_caps.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    if ids is not None:
        (folder / f"{split}_ids.txt").write_text("".join(f"{name}\n" for name in ids), "utf-8")


def _captions(images: int) -> list[str]:
    return [f"A man {word} dog {image} ." for image in range(images) for word in ("and", "sees", "has", "is", "or")]


def _dataset(tmp_path: Path) -> Dataset:
    (tmp_path / "data.toml").write_text('format = "scan"\nannotations = "precomp"\n')
    return load_dataset(tmp_path / "data.toml")


def test_unique_and_repeated_layouts_give_the_same_images(tmp_path: Path) -> None:
    folder = tmp_path / "precomp"
    _write(folder, "train", 2, _captions(2), ["7", "9"])
    _write(folder, "dev", 10, _captions(2), [name for name in ("7", "9") for _ in range(5)])
    unique, repeated = ScanFolder(folder).images("train"), ScanFolder(folder).images("val")
    assert [(image.image_id, image.lines) for image in unique] == [(image.image_id, image.lines) for image in repeated]
    assert ([image.row for image in unique], [image.row for image in repeated]) == ([0, 1], [0, 5])


def test_a_directory_is_a_dataset_without_images(tmp_path: Path) -> None:
    _write(tmp_path / "precomp", "train", 3, _captions(3))
    _write(tmp_path / "precomp", "dev", 1, ["A cat .", "...", "Two cats .", "A red cat .", "It sleeps ."])
    dataset = _dataset(tmp_path)
    assert (dataset.split_names, dataset.images) == (("train", "val"), None)
    train, val = dataset.split("train"), dataset.split("val")
    assert [example.image_id for example in train.examples] == ["train-0", "train-1", "train-2"]
    assert [caption.text for caption in train.examples[1].captions] == _captions(3)[5:10]
    assert [phrase.text for phrase in train.examples[1].captions[0].phrases] == ["A man", "dog 1"]
    assert train.missing == () and (train.examples[0].width, train.examples[0].height) == (1, 1)
    assert len(val.examples[0].captions) == 4, "the line without a word is left out"
    (tmp_path / "precomp" / "dev_caps.txt").write_text("...\n" * 5)
    with pytest.raises(DatasetError, match="has no images"):
        _dataset(tmp_path).split("val")


def test_captions_need_no_features_when_there_are_ids(tmp_path: Path) -> None:
    _write(tmp_path / "precomp", "test", 2, _captions(2), ["7", "9"])
    (tmp_path / "precomp" / "test_ims.npy").unlink()
    assert [example.image_id for example in _dataset(tmp_path).split("test").examples] == ["7", "9"]
    (tmp_path / "precomp" / "test_ids.txt").unlink()
    with pytest.raises(DatasetError, match=r"neither test_ims\.npy nor test_ids\.txt"):
        _dataset(tmp_path).split("test")


@pytest.mark.parametrize(
    ("rows", "lines", "ids", "message"),
    [
        (3, _captions(2), None, "10 lines for 3 images; expected five lines for each"),
        (9, _captions(2)[:9], None, "9 lines for 9 images"),
        (0, [], None, "0 lines for 0 images"),
        (2, _captions(2), ["1", "2", "3"], "3 ids for 2 images"),
        (2, _captions(2), ["1", "1"], "the id '1' to two images"),
        (10, _captions(2), list("1111222222"), r"_ids\.txt:1: the five ids from here on differ"),
    ],
)
def test_counts_that_fit_neither_layout(
    tmp_path: Path, rows: int, lines: list[str], ids: list[str] | None, message: str
) -> None:
    _write(tmp_path / "precomp", "train", rows, lines, ids)
    with pytest.raises(DatasetError, match=message):
        _dataset(tmp_path).split("train")


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "precomp").mkdir()
    with pytest.raises(DatasetError, match=r"no files such as train_caps\.txt"):
        _ = _dataset(tmp_path).split_names
    _write(tmp_path / "precomp", "train", 1, _captions(1))
    np.save(tmp_path / "precomp" / "train_ims.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(DatasetError, match=r"cannot be read as a \.npy file"):
        _dataset(tmp_path).split("train")
    (tmp_path / "precomp" / "train_caps.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(DatasetError, match=r"train_caps\.txt cannot be read as UTF-8 text"):
        _dataset(tmp_path).split("train")
    _write(tmp_path / "precomp", "train", 1, _captions(1))
    np.save(tmp_path / "precomp" / "train_ims.npy", np.zeros((1, 4)))
    with pytest.raises(DatasetError, match=r"holds float64 \[1, 4\]; expected .* 3 axes"):
        _dataset(tmp_path).split("train")


def test_keys_that_do_not_belong(tmp_path: Path) -> None:
    _write(tmp_path / "precomp", "train", 1, _captions(1))
    (tmp_path / "train.txt").write_text("1\n")
    for line, message in {
        'images = "precomp"': "does not name its images; remove `images`",
        'ids = "imgid"': "`ids` belongs to format 'karpathy'",
        '[splits]\ntrain = "train.txt"': "brings its own splits",
    }.items():
        (tmp_path / "data.toml").write_text(f'format = "scan"\nannotations = "precomp"\n{line}\n')
        with pytest.raises(DatasetError, match=message):
            load_dataset(tmp_path / "data.toml")


def test_gold_boxes_are_as_declared(tmp_path: Path, check_gold_boxes: Callable[[Dataset], None]) -> None:
    _write(tmp_path / "precomp", "train", 1, _captions(1))
    check_gold_boxes(_dataset(tmp_path))
