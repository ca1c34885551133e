"""The reader of COCO: captions (`captions_*.json`), a file for each split, and boxes of objects (`instances_*.json`).

COCO's boxes belong to categories, not to phrases. Where instances are given, a phrase whose last words name a category
("a small dog", "two fire hydrants") gets the boxes of all instances of it. Scores on these boxes measure whether the
class was found, not which of its instances the caption means. A phrase in other words ("a puppy", "a man") has no box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from unboxed.data.image_search import ImageFolder
from unboxed.data.images import is_possible_size
from unboxed.data.readers.base import (
    AnnotatedImage,
    AnnotationReader,
    Key,
    bare_caption,
    entry_of,
    has_words,
    read_json,
)
from unboxed.data.split_names import split_meant
from unboxed.errors import DatasetError
from unboxed.text.lexicon import noun_key
from unboxed.types import Array, Caption, Phrase, float32_array

__all__ = ["CocoReader", "Instances", "category_phrases", "listed_image", "lists_of", "read_instances", "xyxy"]

Instances = dict[str, dict[str, Array]]
"""Image id -> category -> `[N, 4]` boxes in pixels of the original image."""


class CocoReader(AnnotationReader):
    """Reads the captions of COCO, a file for each split."""

    format = "coco"
    title = "COCO"
    keys = (
        Key("splits", "a JSON file per split, `captions_*.json`", "paths", True, 'train = "captions_train2017.json"'),
        Key("instances", "a JSON file per split, `instances_*.json`", "paths", False, 'val = "instances_val2017.json"'),
    )
    splits = "`[splits]`"
    gold_boxes = "categories"

    def __init__(
        self, folder: ImageFolder, splits: Mapping[str, Path], instances: Mapping[str, Path] | None = None
    ) -> None:
        super().__init__(folder)
        self._splits = splits
        self._instances: dict[str, Path] = {}
        for name, path in (instances or {}).items():
            split = split_meant(name, splits)
            if split is None:
                raise DatasetError(f"`instances.{name}` belongs to no split; name its captions under [splits].")
            self._instances[split] = path

    def images_of(self, split: str) -> list[AnnotatedImage]:
        """The images of a split that have captions, in the order of the file."""
        path = self._splits[split]
        images, annotations = lists_of(path, "captions_*.json", "images", "annotations")
        texts: dict[str, list[str]] = {}
        for number, entry in enumerate(annotations):
            with entry_of(path, "annotation", number):
                image_id, text = str(entry["image_id"]), entry["caption"].strip()
                texts.setdefault(image_id, []).extend([text] if has_words(text) else [])
        boxes = read_instances(self._instances[split]) if split in self._instances else {}
        listed = []
        for number, entry in enumerate(images):
            with entry_of(path, "image", number):
                image_id, files, size = listed_image(entry)
                found = tuple(map(bare_caption, texts.pop(image_id, ())))
            if found:
                captions = tuple(category_phrases(caption, boxes.get(image_id, {})) for caption in found)
                listed.append(AnnotatedImage(image_id, captions, files, size))
        if texts:
            raise DatasetError(f"{path} has captions of image {next(iter(texts))}, which is not among its `images`.")
        return listed


def read_instances(path: Path) -> Instances:
    """The boxes of each category in each image, without crowds, whose boxes hold many instances.

    Raises:
        DatasetError: a malformed file.
    """
    annotations, categories = lists_of(path, "instances_*.json", "annotations", "categories")
    names = {}
    for number, entry in enumerate(categories):
        with entry_of(path, "category", number):
            names[entry["id"]] = str(entry["name"])
    found: dict[str, dict[str, list[tuple[float, ...]]]] = {}
    for number, entry in enumerate(annotations):
        with entry_of(path, "annotation", number):
            if not entry.get("iscrowd"):
                of_image = found.setdefault(str(entry["image_id"]), {})
                of_image.setdefault(names[entry["category_id"]], []).append(xyxy(entry["bbox"]))
    return {
        image_id: {name: np.array(boxes, np.float32) for name, boxes in of_image.items()}
        for image_id, of_image in found.items()
    }


def category_phrases(caption: Caption, boxes: Mapping[str, Array]) -> Caption:
    """The caption with the boxes of a category, as its type, on each phrase that ends in the category's name."""
    if not boxes:
        return caption
    by_words = {tuple(noun_key(word) for word in name.lower().split()): name for name in boxes}

    def boxed(phrase: Phrase) -> Phrase:
        words = tuple(noun_key(word) for word in phrase.text.lower().split())
        names = [name for key, name in by_words.items() if words[-len(key) :] == key]
        if not names:
            return phrase
        # The longest of several names: "hot dog" rather than "dog".
        name = max(names, key=lambda name: len(name.split()))
        return replace(phrase, types=(name,), boxes=boxes[name])

    return Caption(caption.text, tuple(boxed(phrase) for phrase in caption.phrases))


def listed_image(entry: Mapping[str, Any]) -> tuple[str, tuple[str, ...], tuple[int, int]]:
    """Id, file names and (width, height) of an entry of `images`; the folder is that of COCO's address of the file.

    Raises:
        KeyError, TypeError, ValueError: a malformed entry.
    """
    width, height = int(entry["width"]), int(entry["height"])
    if not is_possible_size(width, height):
        raise ValueError(f"{width} x {height} pixels")
    file = str(entry["file_name"])
    folder = PurePosixPath(str(entry.get("coco_url", ""))).parent.name
    return str(entry["id"]), (file, f"{folder}/{file}") if folder else (file,), (width, height)


def xyxy(box: Sequence[float]) -> tuple[float, float, float, float]:
    """COCO's `x, y, width, height`, continuous pixels from 0, as `x1, y1, x2, y2`.

    Examples:
        >>> xyxy([10, 20, 5, 7])
        (10.0, 20.0, 15.0, 27.0)

    Raises:
        TypeError, ValueError: not four numbers that are finite in single precision.
    """
    x, y, width, height = (float(value) for value in box)
    if not np.isfinite(float32_array([x, y, width, height, x + width, y + height])).all() or min(width, height) < 0:
        raise ValueError(f"the box {list(box)}")
    return x, y, x + width, y + height


def lists_of(path: Path, kind: str, *keys: str) -> tuple[list[Any], ...]:
    """The lists under `keys` of one of COCO's files.

    Raises:
        DatasetError: no JSON, or without them.
    """
    content = read_json(path, f"COCO's {kind}")
    for key in keys:
        if not isinstance(content.get(key), list):
            raise DatasetError(f"{path} has no list `{key}`; name one of COCO's {kind}.")
    return tuple(content[key] for key in keys)
