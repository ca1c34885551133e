"""Label Studio: tasks with predicted boxes, which annotators accept, move or reject.

The text, span and caption of a box are in the `meta` of its rectangle, which Label Studio keeps and exports again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from unboxed.export.label_format import LabelFormat, WriterOptions
from unboxed.runtime.atomic import write_text
from unboxed.runtime.locks import write_locked

if TYPE_CHECKING:
    from unboxed.export.labels import LabelledBox, LabelledImage, Selection

__all__ = ["FORMAT", "LOCAL_STORAGE", "labelling_config", "tasks"]

LOCAL_STORAGE = "/data/local-files/?d="
"""Precedes the path of an image below Label Studio's LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT."""

_BUCKETS = ("s3://", "gs://", "azure-blob://")  # Label Studio takes what follows for the name, without unquoting it

_LABEL, _IMAGE = "label", "image"  # the names of the controls in the labelling interface


def tasks(selection: Selection, *, prefix: str = LOCAL_STORAGE) -> list[dict[str, Any]]:
    """The content of a file to import: one task an image.

    Args:
        selection: the boxes.
        prefix: precedes the name of an image in its address. The name is escaped as in an address, such as `50%25.jpg`
            for `50%.jpg`, except in the addresses of buckets, `s3://`, `gs://` and `azure-blob://`.
    """
    return [
        {
            "data": {
                _IMAGE: prefix + (image.name if prefix.startswith(_BUCKETS) else quote(image.name)),
                "caption": "\n".join(image.captions),
            },
            "predictions": [
                {
                    "model_version": "unboxed",
                    "score": round(min((box.score for box in image.boxes), default=0.0), 6),
                    "result": [_rectangle(box, image, number) for number, box in enumerate(image.boxes, start=1)],
                }
            ],
        }
        for image in selection.images
    ]


def labelling_config(selection: Selection) -> str:
    """The XML of the project's labelling interface, which lists every label."""
    labels = "\n".join(f'    <Label value="{escape(name)}"/>' for name in selection.categories)
    return (
        f'<View>\n  <Text name="caption" value="$caption"/>\n  <Image name="{_IMAGE}" value="${_IMAGE}"/>\n'
        f'  <RectangleLabels name="{_LABEL}" toName="{_IMAGE}">\n{labels}\n  </RectangleLabels>\n</View>\n'
    )


def _rectangle(box: LabelledBox, image: LabelledImage, number: int) -> dict[str, Any]:
    x1, y1, x2, y2 = box.box
    return {
        "id": f"box{number}",
        "from_name": _LABEL,
        "to_name": _IMAGE,
        "type": "rectanglelabels",
        "original_width": image.width,
        "original_height": image.height,
        "image_rotation": 0,
        "value": {
            "x": round(100 * x1 / image.width, 4),
            "y": round(100 * y1 / image.height, 4),
            "width": round(100 * (x2 - x1) / image.width, 4),
            "height": round(100 * (y2 - y1) / image.height, 4),
            "rotation": 0,
            "rectanglelabels": [box.category],
        },
        "score": round(box.score, 6),
        "meta": {
            "text": [box.mention.phrase],
            "start": box.mention.start,
            "end": box.mention.end,
            "caption": box.mention.caption,
        },
    }


def _write(out: Path, selection: Selection, files: Mapping[str, Path], options: WriterOptions) -> None:
    """The tasks, and the labelling interface in `NAME.labelling.xml` beside them."""
    write_locked(out.with_name(f"{out.stem}.labelling.xml"), labelling_config(selection))
    write_text(out, json.dumps(tasks(selection, prefix=options.label_studio_prefix), ensure_ascii=False) + "\n")


FORMAT = LabelFormat("label-studio", ".json", _write)
