"""Captions in a text file for each image: beside it, or of the same name in another folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from unboxed.data.image_files import image_files
from unboxed.data.readers.huggingface import splits_of_paths, walk
from unboxed.data.readers.rows import Row, texts_in
from unboxed.data.readers.text_files import decode_file
from unboxed.errors import DatasetError

__all__ = ["SIDECARS", "rows_of_text_files", "text_files"]

SIDECARS = (".txt", ".caption", ".captions", ".json")
"""Suffixes of the text files of images, the first one that an image has counts."""


def text_files(folder: Path) -> dict[Path, Path]:
    """Image -> its text file, of each image in `folder` and below that has one.

    It has the image's name with another suffix, `1.txt` or `1.jpg.txt`, and is in the same folder; or, if none is, in
    another one, as in `images/train/1.jpg` and `captions/train/1.txt`.
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
    images_of: dict[Path, list[Path]] = {}
    for image in images:
        texts = by_stem.get(image.stem, [])
        most = max((_shared_folders(image, text) for text in texts), default=0)
        nearest = [text for text in texts if _shared_folders(image, text) == most]
        if len(nearest) == 1:
            images_of.setdefault(nearest[0], []).append(image)
    return {of_text[0]: text for text, of_text in images_of.items() if len(of_text) == 1}


def rows_of_text_files(folder: Path, notes: list[str] | None = None) -> Iterator[Row]:
    """A row for each image with a text file; its split is the one that its folder names, if all name one.

    Args:
        folder: the folder that images are named relative to.
        notes: gets a line about each file that is read in another encoding than UTF-8.

    Raises:
        DatasetError: none of the files has a caption, or they have the marks of Flickr30K Entities.
    """
    found = text_files(folder)
    names = [image.relative_to(folder).as_posix() for image in found]
    folders = [Path(name).parent.as_posix() for name in names]
    split_of = dict(
        zip(dict.fromkeys(folders), splits_of_paths([f"{name}/" for name in dict.fromkeys(folders)]), strict=True)
    )
    several = all(split_of.values()) and len(set(split_of.values())) > 1
    some = False
    for name, parent, text in zip(names, folders, found.values(), strict=True):
        captions = _captions(text, notes)
        some = some or bool(captions)
        yield Row(str(text), name, captions, split=split_of[parent] if several else None)
    if found and not some:
        raise DatasetError(
            f"The text files of the images in {folder} hold no captions, such as {next(iter(found.values()))}; write "
            "one a line. Numbers, as in the labels of detectors, are none."
        )


def _shared_folders(image: Path, text: Path) -> int:
    """The number of folders of the same name, from the last one."""
    pairs = zip(reversed(image.parts[:-1]), reversed(text.parts[:-1]), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _beside(image: Path) -> Path | None:
    for suffix in SIDECARS:
        for file in (image.with_suffix(suffix), Path(f"{image}{suffix}")):
            is_file = os.path.isfile(file)  # noqa: PTH113, False also where a name has no room for one more suffix
            if is_file and (suffix != ".json" or _object_captions(file)):
                return file
    return None


def _captions(file: Path, notes: list[str] | None) -> tuple[str, ...]:
    """The lines of a text file that have more words than numbers. Detectors' files of labels have none."""
    if file.suffix == ".json":
        return _object_captions(file)
    text, note = decode_file(file)
    if note and notes is not None:
        notes.append(note)
    if "[/EN#" in text:
        raise DatasetError(
            f"{file} is of Flickr30K Entities; name a TOML file that gives its format (guide “Your data”)."
        )
    lines = (line.strip("\ufeff \t\r") for line in text.split("\n"))  # no other separator ends a caption
    return tuple(line for line in lines if _has_more_words(line))


def _has_more_words(line: str) -> bool:
    found = [any(letter.isalpha() for letter in word) for word in line.split()]
    return 2 * sum(found) > len(found)


def _object_captions(file: Path) -> tuple[str, ...]:
    """The captions in a JSON file of one image, as img2dataset writes it, or a list of them; empty if it holds none."""
    try:
        content = json.loads(decode_file(file)[0])
        return tuple(texts_in(content, str(file))) if isinstance(content, dict | list) else ()
    except (ValueError, RecursionError, DatasetError):
        return ()
