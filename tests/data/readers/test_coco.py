"""COCO's captions and, for phrases that name a category, the boxes of its instances."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unboxed.data import load_dataset
from unboxed.data.dataset import Dataset
from unboxed.data.readers.base import bare_caption
from unboxed.data.readers.coco import category_phrases
from unboxed.errors import DatasetError

CAPTIONS: dict[str, Any] = {
    "images": [
        {
            "id": 7,
            "file_name": "000000000007.jpg",
            "width": 200,
            "height": 100,
            "coco_url": "http://images.cocodataset.org/train2017/000000000007.jpg",
        },
        {"id": 8, "file_name": "000000000008.jpg", "width": 200, "height": 100},
    ],
    "annotations": [
        {"image_id": 7, "id": 1, "caption": "Two small dogs eat a hot dog.\n"},
        {"image_id": 7, "id": 2, "caption": "A man and a puppy."},
    ],
}
INSTANCES: dict[str, Any] = {
    "annotations": [
        {"image_id": 7, "category_id": 18, "bbox": [10, 20, 30, 40], "iscrowd": 0},
        {"image_id": 7, "category_id": 18, "bbox": [100, 20, 10, 10], "iscrowd": 0},
        {"image_id": 7, "category_id": 18, "bbox": [0, 0, 200, 100], "iscrowd": 1},
        {"image_id": 7, "category_id": 58, "bbox": [50, 50, 2, 2], "iscrowd": 0},
    ],
    "categories": [{"id": 18, "name": "dog"}, {"id": 58, "name": "hot dog"}],
}
TOML = 'format = "coco"\n[splits]\ntrain = "captions.json"\n[instances]\ntrain = "instances.json"\n'


def _dataset(tmp_path: Path, captions: object = CAPTIONS, instances: object = INSTANCES, extra: str = "") -> Dataset:
    (tmp_path / "captions.json").write_text(json.dumps(captions))
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    (tmp_path / "data.toml").write_text(extra + TOML)
    return load_dataset(tmp_path / "data.toml")


def test_phrases_that_name_a_category_have_the_boxes_of_all_its_instances(tmp_path: Path) -> None:
    (example,) = _dataset(tmp_path).split("train").examples
    assert (example.image_id, example.width, example.height) == ("7", 200, 100)
    assert [caption.text for caption in example.captions] == ["Two small dogs eat a hot dog.", "A man and a puppy."]
    dogs, hot_dog = example.captions[0].phrases
    assert (dogs.types, dogs.boxes.tolist()) == (("dog",), [[10, 20, 40, 60], [100, 20, 110, 30]])
    assert (hot_dog.types, hot_dog.boxes.tolist()) == (("hot dog",), [[50, 50, 52, 52]])
    assert all(len(phrase.boxes) == 0 for phrase in example.captions[1].phrases)


def test_an_image_at_an_address_has_the_size_of_its_annotation(tmp_path: Path) -> None:
    """It is not read before it is used, so its own size is not known."""
    (tmp_path / "photos").mkdir()
    image = {"id": 7, "file_name": "https://host.invalid/7.jpg", "width": 200, "height": 100}
    captions = {"images": [image], "annotations": CAPTIONS["annotations"]}
    (example,) = _dataset(tmp_path, captions, extra='images = "photos"\n').split("train").examples
    assert (example.width, example.height) == (200, 100)
    assert example.captions[0].phrases[0].boxes[0].tolist() == [10, 20, 40, 60]


def test_boxes_are_in_pixels_of_the_stored_image(tmp_path: Path) -> None:
    (tmp_path / "photos" / "train2017").mkdir(parents=True)
    Image.new("RGB", (100, 100)).save(tmp_path / "photos" / "train2017" / "000000000007.jpg")
    (example,) = _dataset(tmp_path, extra='images = "photos"\n').split("train").examples
    assert example.annotated_size == example.original_size == (200, 100), "stored squashed"
    assert example.captions[0].phrases[0].boxes[0].tolist() == [5, 20, 20, 60]
    Image.new("RGB", (100, 50)).save(tmp_path / "photos" / "train2017" / "000000000007.jpg")
    (example,) = _dataset(tmp_path, extra='images = "photos"\n').split("train").examples
    assert (example.annotated_size, example.original_size) == ((200, 100), None), "stored smaller"


def test_the_category_must_be_the_last_words() -> None:
    caption = bare_caption("A dog house near people with a bicycle.")
    boxes = {name: np.zeros((1, 4), np.float32) for name in ("dog", "person", "bicycle")}
    found = {phrase.text: phrase.types for phrase in category_phrases(caption, boxes).phrases}
    assert found == {"A dog house": (), "people": ("person",), "a bicycle": ("bicycle",)}


@pytest.mark.parametrize(
    ("captions", "instances", "message"),
    [
        ({"images": []}, INSTANCES, r"no list `annotations`; name one of COCO's captions_"),
        (CAPTIONS | {"images": []}, INSTANCES, "captions of image 7, which is not among"),
        (CAPTIONS | {"images": [{"id": 7}]}, INSTANCES, "image number 0 is malformed .*'width'"),
        (CAPTIONS | {"images": [{"id": 7, "width": 0, "height": 9}]}, INSTANCES, "image number 0 .*0 x 9 pixels"),
        (
            CAPTIONS | {"images": [{"id": 7, "width": 9, "height": 10**30, "file_name": "7"}]},
            INSTANCES,
            "9 x 10+ pixels",
        ),
        (CAPTIONS, INSTANCES | {"annotations": [{"image_id": 7, "category_id": 18, "bbox": [1, 2, -3, 4]}]}, "the box"),
        (
            CAPTIONS,
            INSTANCES | {"annotations": [{"image_id": 7, "category_id": 18, "bbox": [1, 2, 3, 1e300]}]},
            "the box",
        ),
        (CAPTIONS | {"annotations": [{"image_id": 7}]}, INSTANCES, "annotation number 0 is malformed .*'caption'"),
        (CAPTIONS, INSTANCES | {"categories": []}, r"instances\.json: annotation number 0 .*no 18"),
        (CAPTIONS, INSTANCES | {"annotations": [{"image_id": 7, "category_id": 18, "bbox": [1, 2]}]}, "not enough"),
        (CAPTIONS, [], "no JSON object"),
    ],
)
def test_a_malformed_file_is_named(tmp_path: Path, captions: object, instances: object, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        _dataset(tmp_path, captions, instances).split("train")


def test_keys_of_the_dataset_file(tmp_path: Path) -> None:
    _dataset(tmp_path)
    for old, new, message in (
        ("format", 'annotations = "captions.json"\nformat', "remove `annotations`"),
        ("[splits]\ntrain", "[splitz]\ntrain", "unknown key `splitz`"),
        ('[splits]\ntrain = "captions.json"', "", r"needs a table \[splits\] with a JSON file per split"),
        ('"instances.json"', '"none.json"', r"`instances\.train` points at .*none\.json"),
    ):
        (tmp_path / "data.toml").write_text(TOML.replace(old, new, 1))
        with pytest.raises(DatasetError, match=message):
            load_dataset(tmp_path / "data.toml")
    (tmp_path / "data.toml").write_text(TOML.replace("[instances]\ntrain", "[instances]\nval"))
    with pytest.raises(DatasetError, match=r"`instances\.val` belongs to no split"):
        load_dataset(tmp_path / "data.toml").split("train")


def test_instances_belong_to_the_captions_of_another_name_of_their_split(tmp_path: Path) -> None:
    _dataset(tmp_path)
    (tmp_path / "data.toml").write_text(TOML.replace("[instances]\ntrain", "[instances]\ntraining"))
    (example,) = load_dataset(tmp_path / "data.toml").split("train").examples
    assert any(len(phrase.boxes) for phrase in example.captions[0].phrases)


def test_real_captions_and_boxes(shared_data: Path, tmp_path: Path) -> None:
    sample = json.loads((shared_data / "data" / "coco_small" / "coco_small.json").read_text())
    number = {name: k for k, name in enumerate(sample["categories"])}
    captions: dict[str, Any] = {"images": [], "annotations": []}
    instances: dict[str, Any] = {
        "annotations": [],
        "categories": [{"id": k, "name": name} for name, k in number.items()],
    }
    for image in sample["images"]:
        size = {"width": image["orig_width"], "height": image["orig_height"]}
        captions["images"].append({"id": image["image_id"], "file_name": image["file_name"], **size})
        captions["annotations"] += [{"image_id": image["image_id"], "caption": text} for text in image["captions"]]
        instances["annotations"] += [
            {"image_id": image["image_id"], "category_id": number[thing["category"]], "bbox": thing["bbox_xywh"]}
            for thing in image["objects"]
            if not thing["iscrowd"]
        ]
    images = f'images = "{shared_data / "data" / "coco_small" / "images"}"\n'
    split = _dataset(tmp_path, captions, instances, images).split("train")
    phrases = [p for example in split.examples for caption in example.captions for p in caption.phrases]
    assert (len(split.examples), split.missing, sum(len(e.captions) for e in split.examples)) == (159, (), 795)
    assert sum(len(phrase.boxes) > 0 for phrase in phrases) > 400
    for example in split.examples:
        for caption in example.captions:
            for phrase in caption.phrases:
                assert (phrase.boxes <= np.array([example.width, example.height] * 2) + 0.5).all()


def test_gold_boxes_are_as_declared(tmp_path: Path, check_gold_boxes: Callable[[Dataset], None]) -> None:
    check_gold_boxes(_dataset(tmp_path))
