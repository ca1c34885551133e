"""YOLO: a folder with one text file an image, and a `data.yaml` that names the classes and the lists of images.

The format has no place for words: a line is a class number and a box. A table of the phrases is written beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from collections.abc import Mapping
from os.path import commonprefix
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from unboxed.data.image_addresses import is_address, read_address
from unboxed.export import csv
from unboxed.export.label_format import LabelFormat, WriterOptions
from unboxed.runtime.atomic import atomic_folder, write_text
from unboxed.runtime.csv_text import csv_text
from unboxed.runtime.replaceable import first_line, foreign_entries

if TYPE_CHECKING:
    from unboxed.export.labels import LabelledImage, Selection

__all__ = ["FORMAT", "file_names", "files"]

_READ = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")  # by every version of Ultralytics
_JPEG = (".jfif", ".jpe")  # other endings of JPEG files
_COLUMNS = ("file", "image")  # of images.csv
_WRITTEN = ("data.yaml", "train.txt", "val.txt", "labels", "images", "images.csv", "phrases.csv")
_OF_TRAINERS = ("labels.cache", "train.cache", "val.cache")  # which Ultralytics and YOLOv5 leave beside the labels
_LONGEST = 200  # bytes of a name; file systems allow 255


def file_names(selection: Selection) -> dict[str, str]:
    """The file of each image under `images/`, by its name: `2024/May/a.jpg` is `2024__May__a.jpg`.

    All files are in one folder, because trainers look for the labels by replacing the last `/images/` of a path, and
    other readers do not look into subfolders. The folder that all names share is left out. No two files differ in their
    ending or in letter case only, because they would share their labels: `a.jpg`, `a.png` are `a.jpg`, `a-2.png`.
    """
    paths = {image.name: PurePosixPath(image.name) for image in selection.images}
    parents = [path.parent.parts for path in paths.values()]
    shared = len(commonprefix(parents))  # noqa: RUF071, tuples are compared by their elements
    used: set[str] = set()
    found = {}
    for name, path in paths.items():
        flat = "__".join(path.with_suffix("").parts[shared:])
        flat = "".join("_" if letter in '/\\:*?"<>|' or not letter.isprintable() else letter for letter in flat)
        stem = flat = flat.encode()[-_LONGEST:].decode(errors="ignore")
        number = 1
        while _key(stem) in used:
            number += 1
            stem = f"{flat}-{number}"
        used.add(_key(stem))
        found[name] = stem + (path.suffix if path.suffix.lower() in _READ else ".jpg")
    return found


def files(selection: Selection) -> dict[str, str]:
    """The text files of the dataset by path; the images belong under `images/` with the names of `file_names`.

    `labels/NAME.txt` has a line `class x y width height` for each box, its centre and size as fractions of the image;
    it is empty for an image without boxes. `val.txt` lists the images that `Selection.held_out` names, `train.txt` the
    others. `images.csv` has the name of the image of each file. `data.yaml` has no `path`: the lists are found beside
    it, wherever the folder is and wherever the trainer is started.
    """
    number = {name: i for i, name in enumerate(selection.categories)}
    names = "".join(f"  {i}: {json.dumps(name, ensure_ascii=False)}\n" for name, i in number.items())
    held_out = selection.held_out
    validation = "val.txt" if held_out else "train.txt"
    listed: dict[bool, list[str]] = {False: [], True: []}
    labels = {}
    stored = file_names(selection)
    for image in selection.images:
        file = stored[image.name]
        listed[image.name in held_out].append(f"./images/{file}\n")
        labels[f"labels/{PurePosixPath(file).with_suffix('.txt')}"] = _lines(image, number)
    return {
        "data.yaml": f"train: train.txt\nval: {validation}\nnames:\n{names}",
        "train.txt": "".join(listed[False]),
        "val.txt": "".join(listed[True]),
        **labels,
        "images.csv": csv_text(_COLUMNS, [(stored[image.name], image.name) for image in selection.images]),
    }


def _key(stem: str) -> str:
    """Equal for names that some file system takes for the same one."""
    return unicodedata.normalize("NFC", stem).casefold()


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


def _write(out: Path, selection: Selection, image_files: Mapping[str, Path], options: WriterOptions) -> None:
    """The text files, `phrases.csv`, and the images: relative links or copies."""
    with atomic_folder(out) as folder:
        (folder / "labels").mkdir()
        for name, content in {**files(selection), "phrases.csv": csv.text(selection)}.items():
            write_text(folder / name, content)
        (folder / "images").mkdir()
        place = folder.resolve() / "images"
        for name, file in file_names(selection).items():
            _store(image_files[name], place / file, options.image_files == "links")


def _foreign(folder: Path) -> list[str]:
    """The names in a folder that `_write` does not write; all of them where the folder has no file of its own kind."""
    recognized = first_line(folder / "images.csv") == ",".join(_COLUMNS) and (folder / "phrases.csv").is_file()
    return foreign_entries(folder, (*_WRITTEN, *_OF_TRAINERS) if recognized else ())


def _store(source: Path, target: Path, link: bool) -> None:
    """Make an image available at `target`; kinds of files that YOLO does not read are converted to JPEG."""
    if source.suffix.lower() not in (*_READ, *_JPEG):
        from unboxed.data.images import open_image

        open_image(source).save(target, quality=95)
        return
    if is_address(source):
        target.write_bytes(read_address(source))
        return
    source = source.resolve()
    if link:
        try:
            target.symlink_to(os.path.relpath(source, target.parent))
            return
        except (OSError, ValueError):  # a file system without links; another drive
            pass
    shutil.copyfile(source, target)


FORMAT = LabelFormat("yolo", "", _write, foreign=_foreign)
