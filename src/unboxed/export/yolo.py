"""YOLO: a folder with one text file an image, and a `data.yaml` that names the classes and the lists of images.

The format has no place for words: a line is a class number and a box. A table of the phrases is written beside it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from unboxed.export import csv
from unboxed.export.label_format import LabelFormat
from unboxed.runtime.atomic import atomic_folder

if TYPE_CHECKING:
    from unboxed.export.selection import LabelledImage, Selection

__all__ = ["FORMAT", "files"]


def files(selection: Selection) -> dict[str, str]:
    """The text files of the dataset by path; the images belong under `images/`.

    `labels/NAME.txt` has a line `class x y width height` for each box, its centre and size as fractions of the image.
    `val.txt` lists the images that `Selection.held_out` names, `train.txt` the others. Images without a box are in
    neither list, because for YOLO they would be images that show none of the classes.
    """
    number = {name: i for i, name in enumerate(selection.categories)}
    names = "".join(f"  {i}: {json.dumps(name, ensure_ascii=False)}\n" for name, i in number.items())
    written = {"data.yaml": f"path: .\ntrain: train.txt\nval: val.txt\nnames:\n{names}", "train.txt": "", "val.txt": ""}
    held_out = selection.held_out
    for image in selection.images:
        if image.boxes:
            written["val.txt" if image.name in held_out else "train.txt"] += f"./images/{image.name}\n"
            written[f"labels/{PurePosixPath(image.name).with_suffix('.txt')}"] = _lines(image, number)
    return written


def _lines(image: LabelledImage, number: dict[str, int]) -> str:
    lines = []
    for box in image.boxes:
        x1, y1, x2, y2 = box.box
        fractions = (
            (x1 + x2) / 2 / image.width,
            (y1 + y2) / 2 / image.height,
            (x2 - x1) / image.width,
            (y2 - y1) / image.height,
        )
        lines.append(" ".join([str(number[box.category]), *(f"{fraction:.6f}" for fraction in fractions)]) + "\n")
    return "".join(lines)


def _write(out: Path, selection: Selection, image_files: Mapping[str, Path]) -> None:
    """The text files, `phrases.csv`, and links to the images; copies of them where links cannot be made."""
    with atomic_folder(out, flush=False) as folder:
        for name, content in {**files(selection), "phrases.csv": csv.text(selection)}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content, encoding="utf-8")
        for image in selection.images:
            if image.boxes:
                link = folder / "images" / image.name
                link.parent.mkdir(parents=True, exist_ok=True)
                try:
                    link.symlink_to(image_files[image.name].resolve())
                except OSError:  # a file system without links
                    shutil.copyfile(image_files[image.name], link)


FORMAT = LabelFormat("yolo", "", _write, marker="data.yaml")
