"""YOLO: one text file an image, and a `data.yaml` that names the classes and the lists of images.

The format has no place for words: a line is a class number and a box. `unboxed label` writes the phrases beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath

from unboxed.data.readers.tables import hold_out
from unboxed.export.selection import BoxChoice, LabelledImage, choose
from unboxed.inference.results import Grounding

__all__ = ["files"]


def files(groundings: Sequence[Grounding], images: Sequence[str], choice: BoxChoice | None = None) -> dict[str, str]:
    """The text files of a dataset by their path; the images themselves belong under `images/`.

    `labels/NAME.txt` has a line `class x y width height` a box, its centre and size as shares of the image;
    `train.txt` and `val.txt` list the images, a tenth of them held out by a hash of their names. An image from
    which no box was taken is in neither: to YOLO it would say that nothing is there.

    Args:
        groundings: of any number of captions an image.
        photos: the photograph's name of each grounding; may hold folders.
        choice: which boxes.
    """
    chosen = choose(groundings, images, choice)
    number = {name: i for i, name in enumerate(chosen.categories)}
    labelled = [image for image in chosen.images if image.boxes]
    split = hold_out(image.name for image in labelled)
    names = "".join(f"  {i}: {json.dumps(name, ensure_ascii=False)}\n" for name, i in number.items())
    written = {"data.yaml": f"path: .\ntrain: train.txt\nval: val.txt\nnames:\n{names}"}
    for part in ("train", "val"):
        listed = [f"./images/{image.name}\n" for image in labelled if split[image.name] == part]
        written[f"{part}.txt"] = "".join(listed)
    for image in labelled:
        written[f"labels/{PurePosixPath(image.name).with_suffix('.txt')}"] = _lines(image, number)
    return written


def _lines(image: LabelledImage, number: dict[str, int]) -> str:
    lines = []
    for box in image.boxes:
        x1, y1, x2, y2 = box.box
        shares = (
            (x1 + x2) / 2 / image.width,
            (y1 + y2) / 2 / image.height,
            (x2 - x1) / image.width,
            (y2 - y1) / image.height,
        )
        lines.append(" ".join([str(number[box.category]), *(f"{share:.6f}" for share in shares)]) + "\n")
    return "".join(lines)
