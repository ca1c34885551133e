"""Karpathy's splits: `dataset_flickr8k.json`, `dataset_flickr30k.json`, `dataset_coco.json`.

    {"images": [{"filename": ..., "imgid": 0, "split": "train", "sentences": [{"raw": ...}, ...]}, ...]}

COCO adds `filepath`, the folder of the file, and `cocoid`; its split `restval` joins `train`, as everybody has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from unboxed.data.annotation_images import ReleasedImage, bare_caption, entry_of, has_words, read_json
from unboxed.data.image_folder import without_suffix
from unboxed.errors import DatasetError

__all__ = ["ImageIds", "KarpathyCaptions"]

ImageIds = Literal["filename", "imgid", "cocoid"]
"""Which of its numbers names an image: precomputed features are joined by it."""


class KarpathyCaptions:
    """The captions of one such file.

    Args:
        path: the file.
        ids: `filename` without its ending, `imgid` (which SCAN's `_ids.txt` of Flickr30K has), or `cocoid`.

    Raises:
        DatasetError: no such file, or an image without split or id.
    """

    def __init__(self, path: Path, ids: str = "filename") -> None:
        self._path = path
        if ids not in get_args(ImageIds):
            raise DatasetError(f"`ids` is {ids!r}; expected one of: {', '.join(get_args(ImageIds))}.")
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

    @property
    def split_names(self) -> tuple[str, ...]:
        """The splits in order of first appearance."""
        return tuple(self._splits)

    def images_of(self, split: str) -> list[ReleasedImage]:
        """The images of a split; sentences without a word are left out.

        Raises:
            DatasetError: an image without sentences.
        """
        images = []
        for number, image_id, image in self._splits[split]:
            with entry_of(self._path, "image", number):
                images.append(_image(image_id, image))
        return images


def _image(image_id: str, image: Mapping[str, Any]) -> ReleasedImage:
    texts = [sentence["raw"] if "raw" in sentence else " ".join(sentence["tokens"]) for sentence in image["sentences"]]
    captions = tuple(bare_caption(text.strip()) for text in texts if has_words(text))
    if not captions:
        raise ValueError("it has no sentences")
    files: tuple[str, ...] = (str(image["filename"]),)
    if image.get("filepath"):
        files = (f"{image['filepath']}/{image['filename']}", *files)
    return ReleasedImage(image_id, captions, files)
