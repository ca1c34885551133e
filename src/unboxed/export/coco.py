"""COCO: a dataset to train a detector on, and results to score against one that is there already.

Beside COCO's own keys an annotation has `score`, `phrase`, `start`, `end` and `sentence`, `confidence` where the model
was calibrated, and `mentions` where other phrases mean the same box; readers of COCO leave them alone. (A key `caption`
they would not: results that have one are taken for those of captioning.)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from unboxed.export.selection import BoxChoice, Chosen, LabelledBox, Mention, choose
from unboxed.inference.results import Grounding

__all__ = ["dataset", "results"]


def dataset(groundings: Sequence[Grounding], photos: Sequence[str], choice: BoxChoice | None = None) -> dict[str, Any]:
    """The content of a COCO annotation file: images, annotations and categories.

    An image's id is the number that its file is named by, as COCO's are, where all are named so; else they are counted
    from 1. Categories are counted from 1 by alphabet.

    Args:
        groundings: of any number of captions an image.
        photos: the photograph's name of each grounding, which becomes its `file_name`.
        choice: which boxes.
    """
    chosen = choose(groundings, photos, choice)
    image_ids, category_ids = _image_ids(chosen), _category_ids(chosen)
    images = [
        {"id": image_ids[photo.name], "file_name": photo.name, "width": photo.width, "height": photo.height}
        for photo in chosen.images
    ]
    annotations: list[dict[str, Any]] = []
    for photo in chosen.images:
        for box in photo.boxes:
            found = _found(box, image_ids[photo.name], category_ids)
            area = round(found["bbox"][2] * found["bbox"][3], 2)
            annotations.append({"id": len(annotations) + 1, **found, "area": area, "iscrowd": 0, **_text(box)})
    return {
        "info": {"description": "Boxes of phrases, found by unboxed from captions"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in category_ids.items()],
    }


def results(
    groundings: Sequence[Grounding],
    photos: Sequence[str],
    choice: BoxChoice | None = None,
    reference: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """The content of a COCO results file, as `COCO.loadRes` reads it; `category` names the category beside its id.

    Args:
        groundings: of any number of captions an image.
        photos: the photograph's name of each grounding.
        choice: which boxes.
        reference: the annotation file whose image and category ids are to be used, by file and category name; boxes of
            images and names that it does not have are left out. None: the ids of `dataset`.
    """
    chosen = choose(groundings, photos, choice)
    image_ids, category_ids = _image_ids(chosen), _category_ids(chosen)
    if reference is not None:
        by_file = {PurePosixPath(image["file_name"]).name: image["id"] for image in reference["images"]}
        image_ids = {name: by_file[file] for name in image_ids if (file := PurePosixPath(name).name) in by_file}
        category_ids = {category["name"]: category["id"] for category in reference["categories"]}
    return [
        {**_found(box, image_ids[photo.name], category_ids), "category": box.category, **_text(box)}
        for photo in chosen.images
        for box in photo.boxes
        if photo.name in image_ids and box.category in category_ids
    ]


def _found(box: LabelledBox, image_id: int, category_ids: dict[str, int]) -> dict[str, Any]:
    x1, y1, x2, y2 = box.box
    return {
        "image_id": image_id,
        "category_id": category_ids[box.category],
        "bbox": [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)],
        "score": round(box.score, 6),
        **({} if box.confidence is None else {"confidence": round(box.confidence, 4)}),
    }


def _text(box: LabelledBox) -> dict[str, Any]:
    return {**_mention(box.mention), **({"mentions": [_mention(other) for other in box.also]} if box.also else {})}


def _mention(mention: Mention) -> dict[str, Any]:
    return {"phrase": mention.phrase, "start": mention.start, "end": mention.end, "sentence": mention.caption}


def _image_ids(chosen: Chosen) -> dict[str, int]:
    stems = [PurePosixPath(photo.name).stem for photo in chosen.images]
    numbered = all(stem.isascii() and stem.isdigit() for stem in stems) and len(set(map(int, stems))) == len(stems)
    ids = map(int, stems) if numbered else range(1, len(stems) + 1)
    return {photo.name: number for photo, number in zip(chosen.images, ids, strict=True)}


def _category_ids(chosen: Chosen) -> dict[str, int]:
    return {name: number for number, name in enumerate(chosen.categories, start=1)}
