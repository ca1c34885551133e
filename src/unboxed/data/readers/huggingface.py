"""Unpacks the local files of a dataset, parquet, arrow or the tar files of WebDataset, into images and a table.

    FOLDER/unboxed/captions.jsonl     a row for each image
    FOLDER/unboxed/photos/…           the images that the files hold
    FOLDER/unboxed/source.json        the files that were unpacked; when they change, it is done again

Parquet and arrow need `pyarrow` (the extra `parquet`). No code of the dataset is run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unboxed.data.images import SUFFIXES
from unboxed.data.readers.parquet import column_names, columnar_rows, image_column
from unboxed.data.readers.rows import CAPTION_COLUMNS, brief, caption_columns, column_of, texts_in
from unboxed.data.readers.webdataset import is_webdataset, tar_rows
from unboxed.data.split_names import SPLIT_NAMES, split_named
from unboxed.errors import DatasetError
from unboxed.runtime.atomic import atomic_folder, write_json
from unboxed.runtime.locks import file_lock
from unboxed.runtime.replaceable import foreign_entries

__all__ = [
    "UNPACKED",
    "cells_of_images",
    "dataset_files",
    "split_of_path",
    "splits_of_paths",
    "texts_of",
    "unpacked",
    "walk",
]

UNPACKED = "unboxed"
"""The folder in a dataset's folder into which its files are unpacked."""

_WRITTEN = ("captions.jsonl", "photos", "source.json")
_NAMES = "|".join(SPLIT_NAMES)
_FIRST = re.compile(rf"(?:^|[/=])({_NAMES})(?=[/._\d-]|$)", re.IGNORECASE)
_ANYWHERE = re.compile(rf"(?:^|[/._=-])({_NAMES})(?=[/._\d-]|$)", re.IGNORECASE)


def dataset_files(folder: Path) -> list[Path]:
    """The files in `folder` and below that hold images with captions; empty if there are none.

    These are parquet files, or else the arrow files that `datasets` saves, or else tar files of WebDataset. Parquet
    files without images are tables, as `metadata.parquet`, or the lists of addresses that img2dataset writes.
    """
    files = sorted(file for parent, names in walk(folder) for name in names if (file := parent / name).is_file())
    for suffix, holds_images in ((".parquet", _has_images), (".arrow", None), (".tar", is_webdataset)):
        found = [
            file for file in files if file.suffix.lower() == suffix and (holds_images is None or holds_images(file))
        ]
        if found:
            return found
    return []


def walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """`folder` and its subfolders with the names of their files, without hidden ones and what was unpacked."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != UNPACKED)
        yield Path(parent), sorted(name for name in files if not name.startswith("."))


def unpacked(folder: Path, files: list[Path]) -> Path:
    """The folder with `captions.jsonl` and the images of a dataset's folder, unpacked if that was not done before.

    Args:
        folder: the folder.
        files: its `dataset_files`.

    Raises:
        DatasetError: no `pyarrow`, no column of images or of captions, damaged files, a folder that cannot be written,
            or other things in the place of what is unpacked.
    """
    out = folder / UNPACKED
    source = [[file.relative_to(folder).as_posix(), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    stamp = out / "source.json"
    if _is_of(stamp, source):
        return out
    try:
        with file_lock(out, wait=True):
            if _is_of(stamp, source):  # by the process that was waited for
                return out
            _require_own(out)
            with atomic_folder(out) as partial:
                (partial / "photos").mkdir()
                _unpack(folder, files, partial)
                write_json(partial / "source.json", source)
    except OSError as error:
        raise DatasetError(
            f"The images of {folder} are unpacked into {out}, which cannot be written ({error.strerror}); copy "
            "the dataset to a folder of yours."
        ) from error
    return out


def split_of_path(name: str) -> str | None:
    """The split that a file's name or one of its folders begins with, or else mentions; None if there is none.

    >>> split_of_path("data/train-00000-of-00002.parquet"), split_of_path("Validation/a.csv"), split_of_path("all.csv")
    ('train', 'val', None)
    """
    found = _FIRST.findall(name) or _ANYWHERE.findall(name)
    return split_named(found[-1]) if found else None


def splits_of_paths(names: list[str]) -> list[str | None]:
    """The split of each file. A name that only mentions one, as `crash-test.csv`, counts if every file names one."""
    splits = [split_of_path(name) for name in names]
    return (
        splits if all(splits) else [split if _FIRST.search(n) else None for n, split in zip(names, splits, strict=True)]
    )


def _is_of(stamp: Path, source: list[list[Any]]) -> bool:
    """Whether the files of `source` are those that were unpacked."""
    return bool(_stamped(stamp) == source)


def _stamped(stamp: Path) -> Any:
    """What `source.json` holds; None if there is none."""
    try:
        return json.loads(stamp.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _require_own(out: Path) -> None:
    """Raise an error before a folder is replaced that holds more than what was unpacked from files before."""
    files = _stamped(out / "source.json")
    unpacked_before = isinstance(files, list) and all(isinstance(file, list) and len(file) == 3 for file in files)
    if foreign := foreign_entries(out, _WRITTEN if unpacked_before else ()):
        raise DatasetError(
            f"The images of {out.parent} are unpacked into {out}, which holds {foreign[0]}, and would be replaced; "
            "rename it, or move what it holds."
        )


def _has_images(file: Path) -> bool:
    try:
        return image_column(file) is not None
    except DatasetError:  # the reader of tables names it
        return False


def _unpack(folder: Path, files: list[Path], out: Path) -> None:
    """Writes the images and a line for each row; a row without an image or captions is left to the reader to count."""
    splits = dict(zip(files, splits_of_paths([file.relative_to(folder).as_posix() for file in files]), strict=True))
    several = len(set(splits.values())) > 1  # of a single split some images are held out later
    written: dict[tuple[bytes, str | None], str] = {}  # content and split of an image -> its name
    problem = None
    with (out / "captions.jsonl").open("w", encoding="utf-8", errors="backslashreplace") as lines:
        for file in files:
            for row in tar_rows(file) if file.suffix.lower() == ".tar" else _rows(file):
                name = None
                split = row["split"] or (splits[file] or "train" if several else None)
                try:
                    content, suffix = _image(row["image"], file, folder)
                    key = (hashlib.sha256(content).digest(), split)
                    name = written.setdefault(key, f"photos/{len(written):08d}{suffix}")
                    (out / name).write_bytes(content)
                except DatasetError as error:
                    problem = problem or error
                line = {"image": name, "captions": texts_of(row["captions"]), **({"split": split} if split else {})}
                lines.write(json.dumps(line, ensure_ascii=False) + "\n")
    if problem is not None and not written:
        raise problem


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """`image`, `captions` and `split` of each row."""
    image, captions, split = _columns(file)
    for row in columnar_rows(file, [image, *captions, *split]):
        yield {
            "image": row[image],
            "captions": [row[name] for name in captions],
            "split": next((split_named(row[name], f"{file}") for name in split), None),
        }


def cells_of_images(file: Path) -> Iterator[tuple[str, list[Any]]]:
    """The name of the image of each row of a Parquet file, "" for none, and its captions. Images are not kept.

    Raises:
        DatasetError: no `pyarrow`, no column of images or of captions, or a damaged file.
    """
    image, captions, _ = _columns(file)
    for row in columnar_rows(file, [image, *captions]):
        cell = row[image]
        path = cell.get("path") if isinstance(cell, dict) else None
        if path and cell.get("bytes") is None:
            raise DatasetError(
                f"{file} holds the paths of its images, such as {brief(path)}, instead of images; save it with the "
                "images inside, as `save_to_disk` and `push_to_hub` of `datasets` do, or name them in a CSV."
            )
        name = Path(path).name if isinstance(path, str) else ""
        yield "" if name == ".." else name, [row[column] for column in captions]


def _columns(file: Path) -> tuple[str, list[str], list[str]]:
    """The column of the image, those of captions and, if there is one, that of the split."""
    names = column_names(file)
    by_column = {column_of(name): name for name in reversed(names)}
    captions = [by_column[name] for name in caption_columns(map(column_of, names))]
    captions = captions or [name for name in names if name.lower() == "answer"]
    image = image_column(file)
    if image is None or not captions:
        raise DatasetError(
            f"{file} has the columns {', '.join(names)}; expected `image` and one of {', '.join(CAPTION_COLUMNS)}. "
            "Rename them, or name them in a CSV."
        )
    return image, captions, [name for name in names if name.lower() == "split"][:1]


def _image(cell: Any, file: Path, folder: Path) -> tuple[bytes, str]:
    """The content of an image cell and the suffix of its file.

    Raises:
        DatasetError: an empty cell, or a path to an image that is not in the folder of the dataset.
    """
    content, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
    name = path if isinstance(path, str) else ""
    if content is None and name and os.path.isfile(file.parent / name):  # noqa: PTH113, also False for a name too long
        named = (file.parent / name).resolve()
        content = named.read_bytes() if named.is_relative_to(folder.resolve()) else None
    if not isinstance(content, bytes):
        where = f" the path {brief(path)}, which is no file in {folder}," if path else f" {type(cell).__name__}"
        raise DatasetError(
            f"{file}: the column of images holds{where} instead of images; save it with the images inside, as "
            "`save_to_disk` and `push_to_hub` of `datasets` do."
        )
    suffix = Path(name).suffix.lower()
    return content, suffix if suffix in SUFFIXES else ".jpg"  # decoding goes by the content


def texts_of(cell: Any) -> list[str]:
    """The captions of a cell; none of one that holds other things, as a dataset from elsewhere may do."""
    try:
        return texts_in(cell, "")
    except DatasetError:
        return []
