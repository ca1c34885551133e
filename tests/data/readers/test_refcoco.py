"""Referring expressions: each is one phrase with one box."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from unboxed.data import load_dataset
from unboxed.data.dataset import Dataset
from unboxed.errors import DatasetError


def _ref(image: int, annotation: int, split: str, *texts: str) -> dict[str, Any]:
    sentences = [{"raw": text, "sent": text.lower(), "tokens": text.split(), "sent_id": 1} for text in texts]
    return {"image_id": image, "ann_id": annotation, "split": split, "sentences": sentences, "ref_id": 1}


REFS = [
    _ref(7, 70, "train", "Man on left", "..."),
    _ref(7, 71, "train", "the dog"),
    _ref(8, 80, "testA", "woman "),
]
INSTANCES = {
    "images": [
        {"id": 7, "file_name": "COCO_train2014_000000000007.jpg", "width": 100, "height": 50},
        {"id": 8, "file_name": "8.jpg", "width": 30, "height": 30},
    ],
    "annotations": [
        {"id": 70, "image_id": 7, "category_id": 1, "bbox": [10, 20, 30, 25]},
        {"id": 71, "image_id": 7, "category_id": 18, "bbox": [0.5, 0, 9, 8]},
        {"id": 80, "image_id": 8, "category_id": 1, "bbox": [1, 2, 3, 4]},
    ],
    "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
}


def _dataset(tmp_path: Path, refs: object = REFS, instances: object = INSTANCES, extra: str = "") -> Dataset:
    (tmp_path / "refs(unc).p").write_bytes(pickle.dumps(refs, 2))
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    (tmp_path / "data.toml").write_text(f'format = "refcoco"\nannotations = "refs(unc).p"\n{extra}')
    return load_dataset(tmp_path / "data.toml")


def test_an_expression_is_one_phrase_with_one_box(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path)
    assert dataset.split_names == ("train", "testA")
    (example,) = dataset.split("train").examples
    assert (example.image_id, example.width, example.height) == ("7", 100, 50)
    assert [caption.text for caption in example.captions] == ["Man on left", "the dog"]
    phrases = [phrase for caption in example.captions for phrase in caption.phrases]
    assert [(p.text, p.types, p.boxes.tolist()) for p in phrases] == [
        ("Man on left", ("person",), [[10, 20, 40, 45]]),
        ("the dog", ("dog",), [[0.5, 0, 9.5, 8]]),
    ]
    assert dataset.split("testA").examples[0].captions[0].text == "woman"


def test_boxes_follow_the_stored_image(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (200, 100)).save(tmp_path / "photos" / "COCO_train2014_000000000007.jpg")
    (example,) = _dataset(tmp_path, extra='images = "photos"\n').split("train").examples
    assert (example.width, example.original_size) == (200, None)
    assert example.captions[0].phrases[0].boxes.tolist() == [[20, 40, 80, 90]]


@pytest.mark.parametrize(
    ("refs", "instances", "message"),
    [
        ([], INSTANCES, "holds no list of expressions"),
        ([{"a": 1}], INSTANCES, "entry number 0 is malformed .*no 'split'"),
        ([_ref(9, 70, "train", "a")], INSTANCES, "image 9 or annotation 70 is not in"),
        ([_ref(7, 99, "train", "a")], INSTANCES, "image 7 or annotation 99 is not in"),
        (REFS, INSTANCES | {"images": [{"id": 7}]}, "image number 0 is malformed"),
        (REFS, INSTANCES | {"annotations": [{"id": 70, "bbox": [1, 2, -3, 4]}]}, "annotation number 0 .*the box"),
        (REFS, {}, "no list `images`"),
        ([Path("/")], INSTANCES, "asks for more than plain values"),
    ],
)
def test_a_malformed_file_is_named(tmp_path: Path, refs: object, instances: object, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        _dataset(tmp_path, refs, instances).split("train")


def test_the_boxes_lie_beside(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path)
    (tmp_path / "instances.json").unlink()
    with pytest.raises(DatasetError, match=r"instances\.json, which holds the boxes; put it beside it"):
        dataset.split("train")


def test_gold_boxes_are_as_declared(tmp_path: Path, check_gold_boxes: Callable[[Dataset], None]) -> None:
    check_gold_boxes(_dataset(tmp_path))
