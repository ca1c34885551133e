"""Karpathy's JSON: its splits, its image ids, with images and without."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from unboxed.data import load_dataset
from unboxed.data.dataset import Dataset
from unboxed.errors import DatasetError


def _image(number: int, split: str, *texts: str) -> dict[str, Any]:
    name = f"COCO_val2014_{number:012}.jpg"
    sentences = [{"raw": text, "tokens": text.lower().split()} for text in texts]
    return {
        "filename": name,
        "filepath": "val2014",
        "imgid": number - 100,
        "cocoid": number,
        "split": split,
        "sentences": sentences,
    }


IMAGES = [
    _image(101, "train", "A man sits.", " A dog. "),
    _image(102, "restval", "A red kite."),
    _image(103, "val", "Two cats.", "..."),
]


def _dataset(tmp_path: Path, images: object = None, extra: str = "") -> Dataset:
    content = {"images": IMAGES if images is None else images, "dataset": "coco"}
    (tmp_path / "dataset_coco.json").write_text(json.dumps(content), "utf-8")
    (tmp_path / "data.toml").write_text(f'format = "karpathy"\nannotations = "dataset_coco.json"\n{extra}')
    return load_dataset(tmp_path / "data.toml")


def test_restval_joins_train(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path)
    assert dataset.split_names == ("train", "val")
    train = dataset.split("train").examples
    assert [example.image_id for example in train] == ["COCO_val2014_000000000101", "COCO_val2014_000000000102"]
    assert [caption.text for caption in train[0].captions] == ["A man sits.", "A dog."]
    assert [caption.text for caption in dataset.split("val").examples[0].captions] == ["Two cats."]


def test_the_first_five_captions_count(tmp_path: Path) -> None:
    """COCO's test split has 25,010 captions for 5,000 images; retrieval is published with 25,000."""
    texts = [f"Caption {number}." for number in range(7)]
    images = [_image(101, "train", "A dog."), _image(102, "test", *texts), _image(103, "test", *texts[:6])]

    def counts(extra: str = "") -> list[list[str]]:
        examples = _dataset(tmp_path, images, extra).split("test").examples
        return [[caption.text for caption in example.captions] for example in examples]

    assert counts() == [texts[:5], texts[:5]]
    assert counts('captions = "all"') == [texts, texts[:6]]
    assert counts('captions = "6"') == [texts[:6], texts[:6]]
    with pytest.raises(DatasetError, match='`captions` is \'none\'; expected a number such as "5", or "all"'):
        counts('captions = "none"')


@pytest.mark.parametrize(("ids", "expected"), [("imgid", ["1", "2"]), ("cocoid", ["101", "102"])])
def test_image_ids_are_those_of_the_features(tmp_path: Path, ids: str, expected: list[str]) -> None:
    train = _dataset(tmp_path, extra=f'ids = "{ids}"').split("train")
    assert [example.image_id for example in train.examples] == expected


@pytest.mark.parametrize("folder", ["photos", "photos/val2014"])
def test_images_with_or_without_the_folders_of_the_release(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    Image.new("RGB", (40, 30)).save(tmp_path / folder / "COCO_val2014_000000000101.jpg")
    (tmp_path / folder / "COCO_val2014_000000000103.jpg").write_text("not an image")
    dataset = _dataset(tmp_path, extra='images = "photos"\nids = "cocoid"')
    train = dataset.split("train")
    assert [(e.image_id, e.width, e.height) for e in train.examples] == [("101", 40, 30)]
    assert train.missing == ("102",)
    with pytest.raises(DatasetError, match=r"lists 1 image, and none of them can be read: .* is not an image"):
        dataset.split("val")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "no list `images`"),
        ([{"filename": "a.jpg"}], "image number 0 is malformed .*it has no 'split'"),
        ([3], "image number 0 is malformed"),
        ([_image(1, "train", "A man."), _image(1, "val", "A man.")], "two images have the filename"),
        ([_image(1, "train", "...")], "image number 0 is malformed .*no sentences"),
        ([_image(1, "train") | {"sentences": [{}]}], "it has no 'tokens'"),
        ([_image(1, "train") | {"sentences": [{"raw": 3}]}], "image number 0 is malformed"),
    ],
)
def test_a_malformed_image_is_named(tmp_path: Path, images: list[Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        _dataset(tmp_path, images).split("train")


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected one of: filename, imgid, cocoid"):
        _dataset(tmp_path, extra='ids = "flickr"').split("train")
    dataset = _dataset(tmp_path)
    for content, message in {"{": "is not JSON", "[]": "no JSON object", "[" * 100_000: "is not JSON"}.items():
        (tmp_path / "dataset_coco.json").write_text(content)
        with pytest.raises(DatasetError, match=message):
            dataset.split("train")


def test_gold_boxes_are_as_declared(tmp_path: Path, check_gold_boxes: Callable[[Dataset], None]) -> None:
    check_gold_boxes(_dataset(tmp_path))
