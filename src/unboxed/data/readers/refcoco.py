"""The reader of referring expressions: RefCOCO, RefCOCO+, RefCOCOg and ReferItGame, in the files of G-Ref's code.

    refs(unc).p       pickled list of {"image_id", "ann_id", "split", "sentences": [{"raw": ...}, ...], ...}
    instances.json    beside it, in COCO's form: the images and the box of each annotation

An expression is a caption that is one phrase with one box. The pickle is read without executing it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unboxed.data.image_search import ImageFolder
from unboxed.data.readers.base import AnnotatedImage, AnnotationReader, Key, entry_of, has_words
from unboxed.data.readers.coco import listed_image, lists_of, xyxy
from unboxed.data.restricted_pickle import read_plain_pickle
from unboxed.errors import DatasetError
from unboxed.types import Array, Caption, Phrase

__all__ = ["RefcocoReader"]


class RefcocoReader(AnnotationReader):
    """Reads the expressions of one `refs(*).p`."""

    format = "refcoco"
    title = "RefCOCO, RefCOCO+, RefCOCOg, ReferItGame"
    keys = (Key("annotations", "`refs(*).p`, with `instances.json` beside it", required=True),)
    splits = "`train`, `val`, `test`, or `testA` and `testB`"
    gold_boxes = "phrases"

    def __init__(self, folder: ImageFolder, annotations: Path) -> None:
        super().__init__(folder)
        self._path = path = annotations
        self._instances = path.with_name("instances.json")
        if not self._instances.is_file():
            raise DatasetError(f"{path} needs {self._instances}, which holds the boxes; put it beside it.")
        refs = read_plain_pickle(path)
        if not isinstance(refs, list) or not refs:
            raise DatasetError(f"{path} holds no list of expressions; name a file such as refs(unc).p.")
        self._splits: dict[str, list[tuple[int, Any]]] = {}
        for number, ref in enumerate(refs):
            with entry_of(path, "entry", number):
                self._splits.setdefault(str(ref["split"]), []).append((number, ref))
        self._images: dict[str, tuple[tuple[str, ...], tuple[int, int]]] = {}
        self._objects: dict[int, tuple[Array, str]] = {}
        self._read_instances()

    def images_of(self, split: str) -> list[AnnotatedImage]:
        """The images of a split with all its expressions; expressions without a word are left out."""
        captions: dict[str, list[Caption]] = {}
        for number, ref in self._splits[split]:
            with entry_of(self._path, "entry", number):
                image_id, found = self._expressions(ref)
                captions.setdefault(image_id, []).extend(found)
        return [
            AnnotatedImage(image_id, tuple(found), *self._images[image_id])
            for image_id, found in captions.items()
            if found
        ]

    def _expressions(self, ref: Mapping[str, Any]) -> tuple[str, list[Caption]]:
        image_id = str(ref["image_id"])
        if image_id not in self._images or ref["ann_id"] not in self._objects:
            raise ValueError(f"image {image_id} or annotation {ref['ann_id']} is not in {self._instances}")
        box, category = self._objects[ref["ann_id"]]
        texts = [str(sentence["raw"] if "raw" in sentence else sentence["sent"]) for sentence in ref["sentences"]]
        return image_id, [
            Caption(text, (Phrase(text, 0, len(text), (category,), boxes=box),))
            for text in (text.strip() for text in texts)
            if has_words(text)
        ]

    def _read_instances(self) -> None:
        path = self._instances
        images, annotations, categories = lists_of(path, "instances.json", "images", "annotations", "categories")
        names: dict[int, str] = {}
        for number, entry in enumerate(categories):
            with entry_of(path, "category", number):
                names[entry["id"]] = str(entry["name"])
        for number, entry in enumerate(images):
            with entry_of(path, "image", number):
                image_id, files, size = listed_image(entry)
                self._images[image_id] = files, size
        for number, entry in enumerate(annotations):
            with entry_of(path, "annotation", number):
                box = np.array([xyxy(entry["bbox"])], np.float32)
                self._objects[entry["id"]] = box, names[entry["category_id"]]
