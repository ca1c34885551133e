"""Finds the captions of a folder of images, and reads the rows of tables, of several tables, and of text files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from unboxed.data.image_files import image_files
from unboxed.data.image_search import ExactNames, find_images
from unboxed.data.images import SUFFIXES as IMAGE_SUFFIXES
from unboxed.data.readers.delimited import delimited_rows, is_delimited
from unboxed.data.readers.huggingface import dataset_files, splits_of_paths, unpacked, walk
from unboxed.data.readers.json_rows import json_rows
from unboxed.data.readers.parquet import column_names, columnar_rows, image_column
from unboxed.data.readers.rows import IMAGE_COLUMNS, Row, caption_columns, column_of, row_of
from unboxed.data.readers.text_beside import SIDECARS, rows_of_text_files, text_files
from unboxed.data.readers.text_files import decode_file
from unboxed.errors import DatasetError
from unboxed.runtime.progress import counted

__all__ = ["TABLE_SUFFIXES", "CaptionFolder", "find_captions", "folder_with", "no_table", "table_rows"]

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".psv", ".tab", ".token", ".parquet")
"""Suffixes of tables of captions. What is in the file decides how it is read."""

_JSON = (".jsonl", ".ndjson", ".json")
_USUAL = ("captions", "metadata", "annotations", "data")
_OTHERS = {
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".numbers"), "save the sheet as CSV"),
    **dict.fromkeys((".zip", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tar"), "unpack it"),
    **dict.fromkeys((".pkl", ".pickle", ".p"), "save it as JSON, because reading a pickle can run any code"),
    **dict.fromkeys((".xml", ".yaml", ".yml"), "write the captions as CSV or JSON"),
    **dict.fromkeys((".feather", ".arrow", ".orc", ".avro", ".db", ".sqlite", ".h5"), "write the captions as CSV"),
    **dict.fromkeys(IMAGE_SUFFIXES, "name the folder of the images"),
}
_IMAGE_FOLDER = re.compile(r"im(age|g)|pho?to|pic|jpe?g|png|train|val|test|data", re.IGNORECASE)
_WRITTEN = {
    "config.json": ("unboxed-run", "a run"),
    "store.json": ("unboxed-regions", "a store of regions"),
    "index.json": ("unboxed-index", "an index"),
    "export.json": ("unboxed-onnx", "an export"),
}
"""What a command has written into a folder: a file, its format, and what the folder is."""
_BOXES = ",x1,y1,x2,y2,"  # columns of the tables that `unboxed label` writes
_NAMED = 3  # files, at most, whose problem a message states
_TRIED = 20  # rows whose images are looked for
_MOST_TABLES = 100  # that are looked into below a folder


@dataclass(frozen=True)
class CaptionFolder:
    """Where the images and the captions of a folder are.

    Attributes:
        images: the folder that image names are relative to.
        captions: a table, or a folder with several tables, or one whose images have text files.
        described: what was found, as a phrase of a message.
    """

    images: Path
    captions: Path
    described: str


def find_captions(folder: Path) -> CaptionFolder:
    """Find the captions of a folder.

    The first of these that exists: the files of a Hugging Face dataset or of WebDataset; a table, or one for each
    split; text files of the images; tables in subfolders.

    Raises:
        DatasetError: no captions, no images, or several tables; or a folder that a command has written.
    """
    if (written := _written(folder)) and not image_files(folder):
        raise DatasetError(f"{folder} is {written}, and holds no images with captions; name the folder of the images.")
    if files := dataset_files(folder):
        found = unpacked(folder, files)
        what = f"{len(files)} file{'s' if len(files) > 1 else ''} of a dataset, unpacked into {found}"
        return CaptionFolder(found, found / "captions.jsonl", what)
    if tables := _tables(folder):
        names = " and ".join(table.path.relative_to(folder).as_posix() for table in tables[:3])
        more = f" and {len(tables) - 3} more" if len(tables) > 3 else ""
        if len(tables) == 1 and tables[0].path.parent == folder:
            return CaptionFolder(folder_with(folder, tables[0].path), tables[0].path, f"the table {names}")
        return CaptionFolder(folder_with(folder, folder), folder, f"the table{'s' * (len(tables) > 1)} {names}{more}")
    if text_files(folder):
        return CaptionFolder(folder, folder, "a text file for each image")
    raise DatasetError(_nothing_found(folder))


def _written(folder: Path) -> str:
    """What the folder is, such as "a run", if a command has written it; else ""."""
    for name, (form, kind) in _WRITTEN.items():
        try:
            content = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(content, dict) and content.get("format") == form:
            return kind
    return ""


def folder_with(folder: Path, captions: Path) -> Path:
    """The folder that image names of a table are relative to.

    It is the one of `folder` and its subfolders that has most of some images; `folder` itself if they lie in several;
    or else the folder above, or one beside it whose name speaks of images.

    Raises:
        DatasetError: a row of the table is malformed.
    """
    names = list(dict.fromkeys(row.image for row in table_rows(captions) if row.image and "://" not in row.image))
    tried = names[:: max(len(names) // _TRIED, 1)]

    def with_images(candidates: Iterable[Path]) -> list[tuple[int, Path]]:
        """Those that have some of the images, the one with most of them first."""
        counts = [(_stored(candidate, tried), candidate) for candidate in candidates]
        return sorted((found for found in counts if found[0]), key=lambda found: -found[0])

    best = with_images([folder, *_subfolders(folder)])
    if best and best[0][0] == len(tried):
        return best[0][1]
    search = find_images(folder, {name: (name,) for name in tried}, outside=True)
    count = len(search.found) + len(search.unreadable)
    if count and (not best or count >= best[0][0] + (len(best) == 1)):
        return folder
    if not best:
        above = folder.resolve().parent
        best = with_images([above, *(beside for beside in _subfolders(above) if _IMAGE_FOLDER.search(beside.name))])
    return best[0][1] if best else folder


def table_rows(path: Path, notes: list[str] | None = None) -> Iterator[Row]:
    """The rows of a table; of a folder, the rows of its tables, or a row for each image with a text file.

    Args:
        path: a file or a folder.
        notes: gets a line about each file that is read in another encoding than UTF-8.

    Raises:
        DatasetError: an unknown kind, a missing column, text that is malformed.
    """
    if not path.is_dir():
        yield from _file_rows(path, notes)
    elif tables := _tables(path):
        for table in tables:
            yield from table.rows(path, notes)
    else:
        yield from rows_of_text_files(path, notes)


@dataclass(frozen=True)
class _Table:
    """A table in a folder, and the split that its name or its folder names, where all tables have one."""

    path: Path
    split: str | None = None

    def rows(self, folder: Path, notes: list[str] | None) -> Iterator[Row]:
        """Its rows; images of a table in a subfolder are named relative to `folder`."""
        rows = list(_file_rows(self.path, notes))
        prefix = self.path.parent.relative_to(folder).as_posix()
        names = [row.image for row in rows[:_TRIED] if row.image]
        beside = prefix != "." and _stored(self.path.parent, names) > 0
        for row in rows:
            absolute = PurePosixPath(row.image).is_absolute()
            image = f"{prefix}/{row.image}" if beside and row.image and not absolute else row.image
            yield replace(row, image=image, split=row.split or self.split)


def _file_rows(path: Path, notes: list[str] | None = None) -> Iterator[Row]:
    kind = path.suffix.lower()
    if kind not in TABLE_SUFFIXES:
        raise DatasetError(no_table(path))
    if kind == ".parquet":
        return _parquet_rows(path)
    text, note = decode_file(path)
    if note and notes is not None:
        notes.append(note)
    is_json = kind in _JSON or (text.lstrip()[:1] in ("{", "[") and not is_delimited(text))
    return json_rows(text, path) if is_json else delimited_rows(text, path, notes)


def no_table(path: Path) -> str:
    """A message about a file whose name is not that of a table, with what to do about it."""
    fix = _OTHERS.get(path.suffix.lower(), "write the captions into a table")
    return f"{path} is no table of captions ({', '.join(TABLE_SUFFIXES)}), and no dataset file (.toml); {fix}."


def _parquet_rows(path: Path) -> Iterator[Row]:
    """The rows of a parquet file that names its images."""
    if image_column(path) is not None:
        raise DatasetError(f"{path} holds images; name the file itself, or the folder of the dataset that it is of.")
    names = column_names(path)
    columns = [column_of(name) for name in names]
    if not caption_columns(columns) or not any(name in columns for name in IMAGE_COLUMNS):
        raise DatasetError(f"{path} has the columns {', '.join(names)}; expected `image` and `caption`.")
    for number, values in enumerate(columnar_rows(path, names), start=1):
        yield row_of(values, f"{path}, row {number}")


def _tables(folder: Path) -> list[_Table]:
    """The tables of captions in a folder; those of its subfolders if it has none and its images have no text files.

    Raises:
        DatasetError: several tables that are not one for each split, or a single one that cannot be read.
    """
    stems = {image.with_suffix("") for image in image_files(folder)}
    here = [file for file in sorted(folder.iterdir()) if _may_be_table(file, stems)]
    usual = [file for file in here if file.stem.lower() in _USUAL and file.suffix != ".txt"]
    if len(usual) == 1 and (usual[0].stem.lower() == "captions" or _first_row(usual[0]) is not None):
        return [_Table(usual[0])]
    if tables := _readable(folder, here):
        return tables
    if text_files(folder):
        return []
    below = (parent / name for parent, names in walk(folder) for name in names)
    files = [file for file in below if file.parent != folder and _may_be_table(file, stems)]
    return _readable(folder, files[:_MOST_TABLES])


def _readable(folder: Path, files: list[Path]) -> list[_Table]:
    """Those of the files that are tables of captions."""
    found = [file for file in files if _first_row(file) is not None]
    usual = [file for file in found if file.stem.lower() in _USUAL]
    found = usual if len({file.parent for file in usual}) == len(usual) > 0 else found
    splits = splits_of_paths([file.relative_to(folder).as_posix() for file in found])
    if len(found) < 2 or (len({file.parent for file in found}) == len(found) and not any(splits)):
        return [_Table(file) for file in found]
    if all(splits) and len({(file.parent, split) for file, split in zip(found, splits, strict=True)}) == len(found):
        several = len(set(splits)) > 1
        return [_Table(file, split if several else None) for file, split in zip(found, splits, strict=True)]
    names = ", ".join(file.relative_to(folder).as_posix() for file in found)
    raise DatasetError(
        f"{folder} holds several tables ({names}); name the one with the captions, or name them after their splits "
        "(train.csv, val.csv)."
    )


def _first_row(file: Path) -> Row | None:
    """The first row with an image and a caption; None for a file that is no table of captions, or one of boxes."""
    kind = file.suffix.lower()
    try:
        text = decode_file(file)[0] if kind not in (*_JSON, ".parquet") else ""
        if _BOXES in text.partition("\n")[0] or (kind == ".txt" and not is_delimited(text)):
            return None
        return next((row for row in _file_rows(file) if row.image and row.captions), None)
    except DatasetError:
        return None


def _may_be_table(file: Path, image_stems: set[Path]) -> bool:
    """Whether a file is a table by its name, and not a text file that belongs to an image."""
    suffix = file.suffix.lower()
    if file.name.startswith(".") or suffix not in TABLE_SUFFIXES or not file.is_file() or ".lemma." in file.name:
        return False  # `.lemma.`: the captions of Flickr8k once more
    return suffix not in SIDECARS or file.with_suffix("") not in image_stems


def _stored(folder: Path, names: Iterable[str]) -> int:
    """The number of names that a folder has a file of; it is listed once."""
    exact = ExactNames(folder, outside=True)
    return sum(exact.first_of([name]) is not None for name in names)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _nothing_found(folder: Path) -> str:
    count = len(image_files(folder))
    below = [parent / name for parent, names in walk(folder) for name in names]
    others = [
        file for file in below if _may_be_table(file, set()) and (file.suffix != ".txt" or file.stem.lower() in _USUAL)
    ]
    others += [file for file in below if file.suffix.lower() in _OTHERS and file.suffix.lower() not in IMAGE_SUFFIXES]
    alike: dict[tuple[Path, str], list[Path]] = {}
    for file in others:
        alike.setdefault((file.parent, file.suffix.lower()), []).append(file)
    problems = "".join(f" {_problem(*files)}" for files in list(alike.values())[:_NAMED])
    if not count:
        return (
            f"No images found in {folder}; expected {', '.join(IMAGE_SUFFIXES)}, a table of captions that names "
            f"them, or the parquet or tar files of a dataset.{problems}"
        )
    return (
        f"{folder} holds {counted(count, 'image')} and no captions; write {folder / 'captions.csv'} with the columns "
        f"image,caption, or a .txt of the same name beside each image.{problems}"
    )


def _problem(file: Path, *more: Path) -> str:
    """Why a file, and more of its kind, are no tables of captions."""
    others = f" ({len(more):,} more {file.suffix} files lie beside it.)" if more else ""
    if fix := _OTHERS.get(file.suffix.lower()):
        return f"{file} is not read; {fix}.{others}"
    try:
        for _ in _file_rows(file):
            pass
    except DatasetError as error:
        return f"{error}{others}"
    return f"{file} has no row with an image and a caption.{others}"
