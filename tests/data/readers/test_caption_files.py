"""A folder of images is a dataset, whichever form its captions have."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from unboxed.data import load_dataset
from unboxed.data.dataset import Dataset
from unboxed.errors import DatasetError


def _images(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (20 * number, 9, 90)).save(folder / name)
    return folder


def _captions(dataset: Dataset) -> dict[str, list[str]]:
    examples = [example for name in dataset.split_names for example in dataset.split(name).examples]
    return {example.path.name: [caption.text for caption in example.captions] for example in examples}


WANTED = {"1.jpg": ["a dog"], "2.jpg": ["a cat", "two cats"]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("photos.csv", "image,caption,licence\n1.jpg,a dog,4\n2.jpg,a cat,4\n2.jpg,two cats,4\n"),
        ("metadata.csv", "file_name,text\n1.jpg,a dog\n2.jpg,a cat\n2.jpg,two cats\n"),
        ("mine.jsonl", '{"image": "1.jpg", "caption": "a dog"}\n{"image": "2", "captions": ["a cat", "two cats"]}\n'),
        (
            "mine.json",
            json.dumps([{"file_name": "1.jpg", "caption": "a dog"}, {"image": "2", "captions": ["a cat", "two cats"]}]),
        ),
        (
            "mine.json",
            json.dumps(
                {
                    "images": [
                        {"file_name": "1.jpg", "captions": ["a dog"]},
                        {"file_name": "2.jpg", "captions": ["a cat", "two cats"]},
                    ]
                }
            ),
        ),
        ("mine.json", json.dumps({"1.jpg": "a dog", "2.jpg": ["a cat", "two cats"]})),
        (
            "captions_val.json",
            json.dumps(
                {
                    "images": [{"id": 7, "file_name": "1.jpg"}, {"id": 8, "file_name": "2.jpg"}],
                    "annotations": [
                        {"image_id": 7, "caption": "a dog"},
                        {"image_id": 8, "caption": "a cat"},
                        {"image_id": 8, "caption": "two cats"},
                    ],
                }
            ),
        ),
    ],
)
@pytest.mark.parametrize("images", ["", "images/"])
def test_a_table_of_any_kind_finds_its_images_beside_it_or_one_folder_below(
    name: str, content: str, images: str, tmp_path: Path
) -> None:
    folder = _images(tmp_path, f"{images}1.jpg", f"{images}2.jpg")
    (folder / name).write_text(content, encoding="utf-8")
    assert _captions(load_dataset(folder / name)) == WANTED
    assert _captions(load_dataset(folder)) == WANTED


def test_text_files_beside_the_images(tmp_path: Path) -> None:
    folder = _images(tmp_path, "1.jpg", "sub/2.jpg", "3.jpg")
    (folder / "1.txt").write_text("a dog\n")
    (folder / "sub" / "2.txt").write_text("a cat\n\n two cats \n")
    assert _captions(load_dataset(folder)) == WANTED
    (folder / "3.txt").write_text("\n")
    assert _captions(load_dataset(folder)) == WANTED
    assert load_dataset(folder).notes == (f"Left out: 1 row without a caption ({folder / '3.txt'})",)


def test_a_folder_of_images_alone_and_one_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="No images found in"):
        load_dataset(tmp_path)
    with pytest.raises(DatasetError, match=r"holds 2 images and no captions; write .*captions\.csv"):
        load_dataset(_images(tmp_path, "1.jpg", "2.jpg"))


def test_several_tables_are_not_chosen_from_unless_one_has_the_usual_name(tmp_path: Path) -> None:
    folder = _images(tmp_path, "1.jpg", "2.jpg")
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("image,caption\n1.jpg,a dog\n2.jpg,a cat\n2.jpg,two cats\n")
    with pytest.raises(DatasetError, match=r"several tables \(a\.csv, b\.csv\)"):
        load_dataset(folder)
    shutil.copy(folder / "a.csv", folder / "captions.csv")
    assert _captions(load_dataset(folder)) == WANTED


def test_gold_boxes_are_as_declared(tmp_path: Path, check_gold_boxes: Callable[[Dataset], None]) -> None:
    folder = _images(tmp_path, "1.jpg", "2.jpg")
    (folder / "captions.csv").write_text("image,caption\n1.jpg,a dog\n2.jpg,a cat\n")
    check_gold_boxes(load_dataset(folder))
