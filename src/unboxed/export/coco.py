"""COCO: a dataset to train a detector on, and results to score against an existing dataset.

Beside COCO's own keys an annotation has `score`, `phrase`, `start`, `end` and `sentence`, `confidence` where the model
was calibrated, and `mentions` where other phrases refer to the same box. Readers of COCO ignore them. (The caption is
under `sentence` because pycocotools takes results with a key `caption` for captions.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from unboxed.export.label_format import LabelFormat, WriterOptions
from unboxed.runtime.atomic import write_text

if TYPE_CHECKING:
    from unboxed.export.labels import LabelledBox, Mention, Selection

__all__ = ["DATASET", "RESULTS", "dataset", "results"]


def dataset(selection: Selection) -> dict[str, Any]:
    """The content of a COCO annotation file: images, annotations and categories.

    Where every image file is named by a number, as COCO's files are, the numbers are the ids of the images; otherwise
    images are counted from 1. Categories are counted from 1 in the order of `selection.categories`.
    """
    image_ids, category_ids = _image_ids(selection), _category_ids(selection)
    images = [
        {"id": image_ids[image.name], "file_name": image.name, "width": image.width, "height": image.height}
        for image in selection.images
    ]
    annotations: list[dict[str, Any]] = []
    for image in selection.images:
        for box in image.boxes:
            found = _found(box, image_ids[image.name], category_ids)
            area = round(found["bbox"][2] * found["bbox"][3], 2)
            numbers = {"area": area, "iscrowd": 0, "segmentation": []}  # readers expect the key, empty for boxes
            annotations.append({"id": len(annotations) + 1, **found, **numbers, **_text(box)})
    return {
        "info": {"description": "Boxes of phrases, found by unboxed from captions"},
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": number, "name": name, "supercategory": "object"} for name, number in category_ids.items()
        ],
    }


def results(selection: Selection, reference: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The content of a COCO results file, as `COCO.loadRes` reads it, with the name of each box under `category`.

    Args:
        selection: the boxes.
        reference: the content of the annotation file to score against. Its ids are used, by file name and category
            name; boxes of images and categories that it does not have are left out. None: the ids of `dataset`.
    """
    image_ids, category_ids = _image_ids(selection), _category_ids(selection)
    if reference is not None:
        by_file = {PurePosixPath(image["file_name"]).name: image["id"] for image in reference["images"]}
        image_ids = {name: by_file[file] for name in image_ids if (file := PurePosixPath(name).name) in by_file}
        category_ids = {category["name"]: category["id"] for category in reference["categories"]}
    return [
        {**_found(box, image_ids[image.name], category_ids), "category": box.category, **_text(box)}
        for image in selection.images
        for box in image.boxes
        if image.name in image_ids and box.category in category_ids
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


def _image_ids(selection: Selection) -> dict[str, int]:
    stems = [PurePosixPath(image.name).stem for image in selection.images]
    numbered = all(stem.isascii() and stem.isdigit() for stem in stems) and len(set(map(int, stems))) == len(stems)
    ids = map(int, stems) if numbered else range(1, len(stems) + 1)
    return {image.name: number for image, number in zip(selection.images, ids, strict=True)}


def _category_ids(selection: Selection) -> dict[str, int]:
    return {name: number for number, name in enumerate(selection.categories, start=1)}


def _write_dataset(out: Path, selection: Selection, files: Mapping[str, Path], options: WriterOptions) -> None:
    write_text(out, json.dumps(dataset(selection), ensure_ascii=False) + "\n")


def _write_results(out: Path, selection: Selection, files: Mapping[str, Path], options: WriterOptions) -> None:
    write_text(out, json.dumps(results(selection), ensure_ascii=False) + "\n")


DATASET = LabelFormat("coco", ".json", _write_dataset)
RESULTS = LabelFormat("coco-results", ".json", _write_results, original_pixels=True)
