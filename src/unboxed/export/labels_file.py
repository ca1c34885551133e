"""The labels of images as JSON lines beside the output of `unboxed label`: what the studio shows for correction."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unboxed.errors import ExportError
from unboxed.export.labels import LabelledBox, LabelledImage, Mention
from unboxed.runtime.atomic import require_name
from unboxed.runtime.json_values import is_probability_or_none, path_of
from unboxed.runtime.locks import write_locked
from unboxed.runtime.urls import absolute

__all__ = [
    "Labels",
    "box_from_json",
    "box_to_json",
    "companion",
    "image_from_json",
    "image_to_json",
    "is_companion",
    "read_labels",
    "write_labels",
]

_FORMAT, _VERSION = "unboxed-labels", 1
_KINDS = ("labels", "corrections", "groundings")  # of files beside the output
_MENTION = ("phrase", "start", "end", "caption")


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of images.

    Attributes:
        images: with their boxes.
        files: the file of each image by name.
        names: that boxes may have, in order.
    """

    images: tuple[LabelledImage, ...]
    files: Mapping[str, Path]
    names: tuple[str, ...]


def companion(out: Path, kind: str) -> Path:
    """The file of a kind beside the output of `label`: `coco.labels.jsonl` beside `coco.json`; itself if it is one."""
    require_name(out)
    known = [out.name.removesuffix(f".{other}.jsonl") for other in _KINDS]
    stem = min(known, key=len)
    return out.with_name(f"{out.stem if stem == out.name else stem}.{kind}.jsonl")


def is_companion(path: Path) -> bool:
    """Whether a file is named as one that `label` keeps beside its output."""
    return any(path == companion(path, kind) for kind in _KINDS)


def write_labels(path: Path, labels: Labels) -> None:
    """Write the labels atomically: a line that identifies the file and has the names, then one an image."""
    head = {"format": _FORMAT, "version": _VERSION, "names": list(labels.names)}
    rows = [{**image_to_json(image), "file": str(absolute(labels.files[image.name]))} for image in labels.images]
    write_locked(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in (head, *rows)))


def read_labels(path: Path) -> Labels:
    """The labels that `write_labels` wrote.

    Raises:
        ExportError: no such file, or lines of another form.
    """
    try:
        head, *rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        names = tuple(head["names"])
        if (head["format"], head["version"]) != (_FORMAT, _VERSION) or not all(isinstance(n, str) for n in names):
            raise ValueError("another kind of file")
        files = {row["image"]: path_of(row["file"]) for row in rows}
        return Labels(tuple(map(image_from_json, rows)), files, names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise ExportError(
            f"{path} holds no labels; write them with `unboxed label … --out {path.name.split('.')[0]}.json`."
        ) from None


def image_to_json(image: LabelledImage) -> dict[str, Any]:
    """An image with its captions and boxes as JSON."""
    return {
        "image": image.name,
        "width": image.width,
        "height": image.height,
        "captions": list(image.captions),
        "boxes": [box_to_json(box) for box in image.boxes],
    }


def image_from_json(row: Mapping[str, Any]) -> LabelledImage:
    """The image of `image_to_json`.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: the JSON has another form.
    """
    name, width, height = row["image"], row["width"], row["height"]
    captions = tuple(row["captions"])
    if not isinstance(name, str) or not all(isinstance(caption, str) for caption in captions):
        raise TypeError("names and captions are text")
    if not all(type(side) is int and side > 0 for side in (width, height)):
        raise ValueError("no image size")
    return LabelledImage(name, width, height, captions, tuple(map(box_from_json, row["boxes"])))


def box_to_json(box: LabelledBox) -> dict[str, Any]:
    """A box with its name, score, probability and phrases as JSON."""
    return {
        "name": box.category,
        "box": [round(edge, 2) for edge in box.box],
        "score": round(box.score, 6),
        "confidence": box.confidence,
        "mentions": [{key: getattr(mention, key) for key in _MENTION} for mention in (box.mention, *box.also)],
    }


def box_from_json(row: Mapping[str, Any]) -> LabelledBox:
    """The box of `box_to_json`.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: the JSON has another form.
    """
    mention, *also = [Mention(**{key: found[key] for key in _MENTION}) for found in row["mentions"]]
    x1, y1, x2, y2 = map(float, row["box"])
    confidence = row["confidence"]
    score = float(row["score"])
    if not all(map(math.isfinite, (x1, y1, x2, y2, score))) or not isinstance(row["name"], str):
        raise ValueError("no box with a name")
    if not is_probability_or_none(confidence):
        raise ValueError("no probability")
    for found in (mention, *also):
        if [type(getattr(found, key)) for key in _MENTION] != [str, int, int, str]:
            raise TypeError("no phrase of a caption")
    return LabelledBox(row["name"], (x1, y1, x2, y2), score, mention, tuple(also), confidence)
