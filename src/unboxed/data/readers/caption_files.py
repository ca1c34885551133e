"""Finds the captions of a folder of images: a table, text files, or the files of a Hugging Face dataset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from unboxed.data.images import SUFFIXES as IMAGE_SUFFIXES
from unboxed.data.images import find_images
from unboxed.data.readers.huggingface import dataset_files, unpacked
from unboxed.data.readers.tables import SUFFIXES as TABLE_SUFFIXES
from unboxed.data.readers.tables import captioned_images, table_rows
from unboxed.errors import DatasetError

__all__ = ["CaptionFolder", "find_captions", "folder_with", "image_files"]

_USUAL = ("captions", "metadata", "annotations", "data")
_TRIED = 20  # rows whose images are looked for


@dataclass(frozen=True)
class CaptionFolder:
    """Where the images and the captions of a folder are.

    Attributes:
        images: the folder that image names are relative to.
        captions: a table, or a folder whose images have text files.
        described: what was found, as a phrase of a message.
    """

    images: Path
    captions: Path
    described: str


def find_captions(folder: Path) -> CaptionFolder:
    """Find the captions of a folder: the files of a Hugging Face dataset, or one table, or text files of the images.

    Raises:
        DatasetError: no captions, no images, or several tables.
    """
    if files := dataset_files(folder):
        found = unpacked(folder)
        what = f"{len(files)} file{'s' if len(files) > 1 else ''} of a Hugging Face dataset, unpacked into {found}"
        return CaptionFolder(found, found / "captions.jsonl", what)
    if (table := _table(folder)) is not None:
        return CaptionFolder(folder_with(folder, table), table, f"the table {table.name}")
    if next(captioned_images(folder), None) is not None:
        return CaptionFolder(folder, folder, "a text file beside each image")
    count = sum(1 for _ in image_files(folder))
    if not count:
        raise DatasetError(
            f"No images found in {folder}; expected {', '.join(IMAGE_SUFFIXES)}, a table of captions that names "
            "them, or the parquet files of a dataset."
        )
    raise DatasetError(
        f"{folder} holds {count:,} images and no captions; write {folder / 'captions.csv'} with the columns "
        "image,caption, or a .txt of the same name beside each image."
    )


def image_files(folder: Path) -> Iterator[Path]:
    """Every file in `folder` and below that has the suffix of an image, sorted."""
    return (file for file in sorted(folder.rglob("*")) if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file())


def folder_with(folder: Path, table: Path) -> Path:
    """The folder that image names of a table are relative to: `folder`, or the subfolder that has the first images.

    Raises:
        DatasetError: a row of the table is malformed.
    """
    rows = islice(table_rows(table), _TRIED)
    first = [row["image"].strip() for _, row in rows if isinstance(row.get("image"), str)]

    def holds_some(candidate: Path) -> bool:
        search = find_images(candidate, first)
        return bool(search.found or search.unreadable)

    candidates = [folder, *sorted(entry for entry in folder.iterdir() if entry.is_dir())]
    return next((candidate for candidate in candidates if holds_some(candidate)), folder)


def _table(folder: Path) -> Path | None:
    tables = sorted(file for file in folder.iterdir() if file.suffix.lower() in TABLE_SUFFIXES and file.is_file())
    usual = [table for table in tables if table.stem.lower() in _USUAL]
    chosen = usual or tables
    if len(chosen) > 1:
        names = ", ".join(table.name for table in chosen)
        raise DatasetError(f"{folder} holds several tables ({names}); name the one with the captions.")
    return chosen[0] if chosen else None
