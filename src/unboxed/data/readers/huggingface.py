"""Unpacks the local files of a Hugging Face dataset, parquet or arrow, into images and a table of captions.

    FOLDER/unboxed/captions.jsonl     a row for each image
    FOLDER/unboxed/photos/…           the images that the files hold
    FOLDER/unboxed/source.json        the files that were unpacked; when they change, it is done again

Needs only `pyarrow` (the extra `parquet`). No code of the dataset is run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unboxed.data.images import SUFFIXES
from unboxed.errors import DatasetError, plain_reason
from unboxed.runtime.atomic import atomic_folder, write_json

__all__ = ["dataset_files", "unpacked"]

_UNPACKED = "unboxed"
_CAPTIONS = ("caption", "captions", "sentences", "text", "alt_text", "answer")
_SPLIT = re.compile(r"(?:^|[/_-])(train|validation|valid|val|dev|test)(?=[/._-]|$)")
_NAMES = {"validation": "val", "valid": "val", "dev": "val"}


def dataset_files(folder: Path) -> list[Path]:
    """The parquet files in `folder` and below, or the arrow files that `datasets` saves; empty if it has neither."""
    unpacked_into = folder / _UNPACKED
    for pattern in ("*.parquet", "*.arrow"):
        if files := sorted(file for file in folder.rglob(pattern) if unpacked_into not in file.parents):
            return files
    return []


def unpacked(folder: Path) -> Path:
    """The folder with `captions.jsonl` and the images of a dataset's folder, unpacked if that was not done before.

    Raises:
        DatasetError: no `pyarrow`, no column of images or of captions, damaged files, or a folder that cannot be
            written.
    """
    files, out = dataset_files(folder), folder / _UNPACKED
    source = [[file.relative_to(folder).as_posix(), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    stamp = out / "source.json"
    if stamp.is_file() and json.loads(stamp.read_text("utf-8")) == source:
        return out
    try:
        with atomic_folder(out, flush=False) as partial:  # many files, which can be unpacked again
            (partial / "photos").mkdir()
            _unpack(folder, files, partial)
            write_json(partial / "source.json", source)
    except OSError as error:
        raise DatasetError(
            f"The images of {folder} are unpacked into {out}, which cannot be written ({error.strerror}); copy "
            "the dataset to a folder of yours."
        ) from error
    return out


def _unpack(folder: Path, files: list[Path], out: Path) -> None:
    splits = {file: _split(file.relative_to(folder).as_posix()) for file in files}
    several = len(set(splits.values())) > 1  # of a single split some images are held out later
    with (out / "captions.jsonl").open("w", encoding="utf-8") as lines:
        number = 0
        for file in files:
            for row in _rows(file):
                name = f"photos/{number:08d}{_write_image(row['image'], out / 'photos' / f'{number:08d}', file)}"
                number += 1
                captions = _texts(row["captions"])
                if not captions:
                    continue
                split = {"split": splits[file] or "train"} if several else {}
                lines.write(json.dumps({"image": name, "captions": captions, **split}, ensure_ascii=False) + "\n")


def _split(name: str) -> str | None:
    found = _SPLIT.findall(name)
    return _NAMES.get(found[-1], found[-1]) if found else None


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """`image` and `captions` of each row."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DatasetError(
            f'{file} needs the extra "parquet": pip install "unboxed[parquet]". CSV and JSONL work without it.'
        ) from None
    try:
        if file.suffix == ".parquet":
            table = pyarrow.parquet.ParquetFile(file)
            image, captions = _columns(table.schema_arrow.names, file)
            batches = table.iter_batches(batch_size=64, columns=[image, captions])
        else:
            stream = pyarrow.ipc.open_stream(pyarrow.memory_map(str(file)))
            image, captions = _columns(stream.schema.names, file)
            batches = iter(stream)
        for batch in batches:
            of_image, of_captions = batch.column(image), batch.column(captions)
            for i in range(batch.num_rows):
                yield {"image": of_image[i].as_py(), "captions": of_captions[i].as_py()}
    except pyarrow.ArrowException as error:
        raise DatasetError(f"{file} cannot be read ({plain_reason(error)}); fetch it again.") from None


def _columns(names: list[str], file: Path) -> tuple[str, str]:
    image = next((name for name in names if name in ("image", "img", "jpg")), None)
    captions = next((name for name in _CAPTIONS if name in names), None)
    if image is None or captions is None:
        raise DatasetError(
            f"{file} has the columns {', '.join(names)}; expected `image` and one of {', '.join(_CAPTIONS)}. Rename "
            "them, or write a CSV with `image` and `caption`."
        )
    return image, captions


def _write_image(cell: Any, target: Path, file: Path) -> str:
    """Writes the content of an image cell to `target` with a suffix, and returns the suffix."""
    content, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
    if isinstance(content, str):
        content, path = None, content
    if content is None and path:
        named = file.parent / path
        content = named.read_bytes() if named.is_file() else None
    if not isinstance(content, bytes):
        raise DatasetError(
            f"{file}: the column of images holds {type(cell).__name__} instead of images; save it with the images "
            "inside, as `datasets` does with a column of type Image."
        )
    suffix = Path(path).suffix.lower() if path else ""
    suffix = suffix if suffix in SUFFIXES else ".jpg"  # decoding goes by the content
    target.with_suffix(suffix).write_bytes(content)
    return suffix


def _texts(cell: Any) -> list[str]:
    """The captions of a cell: a text, a list of texts, or a list of objects with a text under `raw`."""
    items = cell if isinstance(cell, list) else [cell]
    texts = [item.get("raw") if isinstance(item, dict) else item for item in items]
    return [text for text in texts if isinstance(text, str) and any(character.isalnum() for character in text)]
