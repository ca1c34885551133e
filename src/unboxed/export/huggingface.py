"""Hugging Face: JSON lines for `datasets.load_dataset`, with boxes as transformers' detection pipelines give them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unboxed.export.label_format import LabelFormat, WriterOptions
from unboxed.runtime.atomic import write_text

if TYPE_CHECKING:
    from unboxed.export.labels import LabelledBox, Selection

__all__ = ["FORMAT", "rows"]


def rows(selection: Selection) -> list[dict[str, Any]]:
    """One row an image: `images`, its name; `width`, `height`; `captions`; and `objects`, its boxes, best first.

    An object has the keys of transformers' zero-shot detection pipeline, `score`, `label` and `box`. The label is the
    phrase, or the name of the box where that is another one, such as a class. Edges are cut to whole pixels, as in the
    pipeline. The keys `start`, `end` and `caption`, which the pipeline does not have, locate the phrase in its caption.

    Args:
        selection: usually made with `SelectionOptions(names="phrases", merge=1)`, which gives each phrase its box.
    """
    return [
        {
            "images": image.name,
            "width": image.width,
            "height": image.height,
            "captions": list(image.captions),
            "objects": [
                {
                    "score": round(box.score, 6),
                    "label": _label(box),
                    "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), map(int, box.box), strict=True)),
                    "start": box.mention.start,
                    "end": box.mention.end,
                    "caption": box.mention.caption,
                }
                for box in image.boxes
            ],
        }
        for image in selection.images
    ]


def _label(box: LabelledBox) -> str:
    phrase = box.mention.phrase
    return phrase if " ".join(phrase.lower().split()) == box.category else box.category


def _write(out: Path, selection: Selection, files: Mapping[str, Path], options: WriterOptions) -> None:
    write_text(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(selection)))


FORMAT = LabelFormat("hf", ".jsonl", _write, labels_are_phrases=True)
