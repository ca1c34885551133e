"""Label Studio: tasks with predictions, which annotators accept, move or reject.

A rectangle's text, span and caption stand in its `meta`, which Label Studio keeps with the region and exports again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from unboxed.export.selection import BoxChoice, LabelledBox, LabelledImage, choose
from unboxed.inference.results import Grounding

__all__ = ["labelling_config", "tasks"]

_FROM, _TO = "label", "image"


def tasks(
    groundings: Sequence[Grounding],
    images: Sequence[str],
    choice: BoxChoice | None = None,
    *,
    prefix: str = "/data/local-files/?d=",
    model_version: str = "unboxed",
) -> list[dict[str, Any]]:
    """The content of a file to import: one task an image.

    Args:
        groundings: of any number of captions an image.
        photos: the photograph's name of each grounding.
        choice: which boxes.
        prefix: what stands before a photograph's name in its address; the default is Label Studio's local storage.
        model_version: what the predictions are listed under.
    """
    return [
        {
            "data": {_TO: prefix + image.name, "caption": "\n".join(_captions(groundings, images, image.name))},
            "predictions": [
                {
                    "model_version": model_version,
                    "score": round(min((box.score for box in image.boxes), default=0.0), 6),
                    "result": [_rectangle(box, image, number) for number, box in enumerate(image.boxes, start=1)],
                }
            ],
        }
        for image in choose(groundings, images, choice).images
    ]


def labelling_config(groundings: Sequence[Grounding], images: Sequence[str], choice: BoxChoice | None = None) -> str:
    """The project's labelling interface, which has to know every name."""
    names = choose(groundings, images, choice).categories
    labels = "\n".join(f"    <Label value={quoteattr(name)}/>" for name in names)
    return (
        f'<View>\n  <Text name="caption" value="$caption"/>\n  <Image name="{_TO}" value="${_TO}"/>\n'
        f'  <RectangleLabels name="{_FROM}" toName="{_TO}">\n{labels}\n  </RectangleLabels>\n</View>\n'
    )


def _captions(groundings: Sequence[Grounding], images: Sequence[str], name: str) -> list[str]:
    return [own.caption for own, image in zip(groundings, images, strict=True) if image == name]


def _rectangle(box: LabelledBox, image: LabelledImage, number: int) -> dict[str, Any]:
    x1, y1, x2, y2 = box.box
    return {
        "id": f"box{number}",
        "from_name": _FROM,
        "to_name": _TO,
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
