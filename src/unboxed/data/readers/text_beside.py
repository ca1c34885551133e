"""Captions in a text file for each image: beside it, or of the same name in another folder."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from unboxed.data.image_files import image_files
from unboxed.data.readers.huggingface import UNPACKED, splits_of_paths
from unboxed.data.readers.rows import Row, row_of
from unboxed.data.readers.text_files import decode_file
from unboxed.errors import DatasetError

__all__ = ["SIDECARS", "rows_of_text_files", "text_files", "walk"]

SIDECARS = (".txt", ".caption", ".captions", ".json")
"""Suffixes of the text files of images, the first one that an image has counts."""


def text_files(folder: Path) -> dict[Path, Path]:
    """Image -> its text file, of each image in `folder` and below that has one.

    It has the image's name with another suffix, `1.txt` or `1.jpg.txt`, and is in the same folder; or, if none is, in
    another one, as in `images/1.jpg` and `captions/1.txt`, where each name occurs once.
    """
    images = image_files(folder)
    found = {image: text for image in images if (text := _beside(image)) is not None}
    if found:
        return found
    by_stem: dict[str, list[Path]] = {}
    for parent, files in walk(folder):
        for file in (parent / name for name in files):
            if file.suffix.lower() in SIDECARS[:-1]:
                by_stem.setdefault(file.stem, []).append(file)
    stems = Counter(image.stem for image in images)
    apart = {image: by_stem.get(image.stem, []) for image in images if stems[image.stem] == 1}
    return {image: texts[0] for image, texts in apart.items() if len(texts) == 1}


def rows_of_text_files(folder: Path, notes: list[str] | None = None) -> Iterator[Row]:
    """A row for each image with a text file; its split is the one that its folder names, if all name one.

    Args:
        folder: the folder that images are named relative to.
        notes: gets a line about each file that is read in another encoding than UTF-8.
    """
    found = text_files(folder)
    names = [image.relative_to(folder).as_posix() for image in found]
    folders = [Path(name).parent.as_posix() for name in names]
    split_of = dict(
        zip(dict.fromkeys(folders), splits_of_paths([f"{name}/" for name in dict.fromkeys(folders)]), strict=True)
    )
    several = all(split_of.values()) and len(set(split_of.values())) > 1
    for name, parent, text in zip(names, folders, found.values(), strict=True):
        yield Row(str(text), name, _captions(text, notes), split=split_of[parent] if several else None)


def walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """`folder` and its subfolders with the names of their files, without hidden ones and what was unpacked."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != UNPACKED)
        yield Path(parent), sorted(name for name in files if not name.startswith("."))


def _beside(image: Path) -> Path | None:
    for suffix in SIDECARS:
        for file in (image.with_suffix(suffix), Path(f"{image}{suffix}")):
            if file.is_file() and (suffix != ".json" or _object_captions(file)):
                return file
    return None


def _captions(file: Path, notes: list[str] | None) -> tuple[str, ...]:
    """The lines of a text file that have a letter. The numbers of detectors' label files have none."""
    if file.suffix == ".json":
        return _object_captions(file)
    text, note = decode_file(file)
    if note and notes is not None:
        notes.append(note)
    lines = (line.strip("\ufeff \t\r") for line in text.splitlines())
    return tuple(line for line in lines if any(letter.isalpha() for letter in line))


def _object_captions(file: Path) -> tuple[str, ...]:
    """The captions in a JSON file of one image, as img2dataset writes it; empty if it holds none."""
    try:
        content = json.loads(decode_file(file)[0])
        return row_of({**content, "image": file.stem}, str(file)).captions if isinstance(content, dict) else ()
    except (ValueError, RecursionError, DatasetError):
        return ()
