"""The reader of Karpathy's splits: `dataset_flickr8k.json`, `dataset_flickr30k.json`, `dataset_coco.json`.

    {"images": [{"filename": ..., "imgid": 0, "split": "train", "sentences": [{"raw": ...}, ...]}, ...]}

COCO adds `filepath`, the folder of the file, and `cocoid`; its split `restval` joins `train`, as in published work.
Some of its images have six or seven captions; published work takes the first five of each, and so does the reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unboxed.data.image_search import ImageFolder
from unboxed.data.images import without_suffix
from unboxed.data.readers.base import (
    AnnotatedImage,
    AnnotationReader,
    Key,
    bare_caption,
    entry_of,
    has_words,
    read_json,
)
from unboxed.errors import DatasetError

__all__ = ["KarpathyReader"]

_IDS = ("filename", "imgid", "cocoid")  # the fields that may be the id by which precomputed features are joined


class KarpathyReader(AnnotationReader):
    """Reads the captions of one file. The field `imgid` is the id in SCAN's `_ids.txt` of Flickr30K."""

    format = "karpathy"
    title = "Karpathy's splits of Flickr8K, Flickr30K and COCO"
    keys = (
        Key("annotations", "`dataset_*.json`", required=True),
        Key("ids", "the field that is the image id: `filename` (default), `imgid` or `cocoid`", "text"),
        Key(
            "captions",
            "the first captions of each image that are read: `5` (default), another number, or `all`",
            "text",
        ),
    )
    splits = "`train` (with `restval`), `val`, `test`"
    ids_have_suffix = False

    def __init__(self, folder: ImageFolder, annotations: Path, ids: str = "filename", captions: str = "5") -> None:
        super().__init__(folder)
        self._path = path = annotations
        if captions != "all" and not (captions.isascii() and captions.isdecimal() and int(captions)):
            raise DatasetError(f'`captions` is {captions!r}; expected a number such as "5", or "all".')
        self._captions = None if captions == "all" else int(captions)
        if ids not in _IDS:
            raise DatasetError(f"`ids` is {ids!r}; expected one of: {', '.join(_IDS)}.")
        images = read_json(path, 'Karpathy\'s JSON, {"images": [...]}').get("images")
        if not isinstance(images, list) or not images:
            raise DatasetError(f"{path} has no list `images`; name one of Karpathy's dataset_*.json.")
        self._splits: dict[str, list[tuple[int, str, Mapping[str, Any]]]] = {}
        seen: set[str] = set()
        for number, image in enumerate(images):
            with entry_of(path, "image", number):
                split, name = str(image["split"]), image[ids]
            image_id = without_suffix(name) if isinstance(name, str) else str(name)
            if image_id in seen:
                raise DatasetError(f"{path}: two images have the {ids} {image_id!r}; choose other `ids`.")
            seen.add(image_id)
            self._splits.setdefault("train" if split == "restval" else split, []).append((number, image_id, image))

    def images_of(self, split: str) -> list[AnnotatedImage]:
        """The images of a split; sentences without a word are left out."""
        images = []
        for number, image_id, image in self._splits[split]:
            with entry_of(self._path, "image", number):
                images.append(_image(image_id, image, self._captions))
        return images


def _image(image_id: str, image: Mapping[str, Any], count: int | None) -> AnnotatedImage:
    texts = [sentence["raw"] if "raw" in sentence else " ".join(sentence["tokens"]) for sentence in image["sentences"]]
    texts = texts[:count]
    captions = tuple(bare_caption(text.strip()) for text in texts if has_words(text))
    if not captions:
        raise ValueError("it has no sentences")
    files: tuple[str, ...] = (str(image["filename"]),)
    if image.get("filepath"):
        files = (f"{image['filepath']}/{image['filename']}", *files)
    return AnnotatedImage(image_id, captions, files)
