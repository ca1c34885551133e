"""Reads parquet and arrow files. Needs `pyarrow` (the extra `parquet`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from unboxed.data.image_addresses import image_column_of, is_url, open_location
from unboxed.errors import DatasetError, plain_reason

__all__ = ["column_names", "columnar_rows", "image_column"]

_MOST_ROWS, _MOST_BYTES = 64, 2**30  # of a batch
_FEWEST_ROWS = 1_000_000  # that any file may have; one with more has at least a byte for each
_LARGEST_IMAGE, _LARGEST_TEXT = 10**9, 10**7  # bytes of a cell


def column_names(file: Path) -> list[str]:
    """The columns of a parquet or arrow file.

    Raises:
        DatasetError: no `pyarrow`, or a damaged file.
    """
    return list(_opened(file)[0].names)


def image_column(file: Path) -> str | None:
    """The column that holds images, see `image_addresses.image_column_of`.

    Raises:
        DatasetError: no `pyarrow`, or a damaged file.
    """
    return image_column_of(_opened(file)[0])


def columnar_rows(file: Path, columns: Collection[str]) -> Iterator[dict[str, Any]]:
    """The rows of a file, with some of its columns; a few rows are in memory at a time.

    Raises:
        DatasetError: no `pyarrow`, a damaged file, more rows than its bytes can have, or a row that is too large.
    """
    _, opened = _opened(file)
    names = list(dict.fromkeys(columns))
    number = 0
    try:
        for batch in _batches(file, opened, names):
            batch.validate(full=True)  # lengths and offsets beyond the file would end the process
            cells = [batch.column(name) for name in names]
            for i in range(batch.num_rows):
                number += 1
                _check_sizes(names, [column[i : i + 1] for column in cells], f"{file}, row {number}")
                yield {name: column[i].as_py() for name, column in zip(names, cells, strict=True)}
    except (OSError, ValueError, MemoryError) as error:  # as which pyarrow raises its errors
        raise DatasetError(f"{file} cannot be read ({plain_reason(error)}); fetch it again.") from None


def _batches(file: Path, opened: Any, names: list[str]) -> Iterator[Any]:
    """The record batches of a file; a row of a packed file may have as many bytes as all rows of its group."""
    if file.suffix.lower() != ".parquet":
        yield from opened
        return
    metadata = opened.metadata
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    packed = sum(max(group.column(i).total_compressed_size, 0) for group in groups for i in range(group.num_columns))
    if metadata.num_rows > _FEWEST_ROWS + min(packed, packed if is_url(file) else file.stat().st_size):
        raise DatasetError(
            f"{file} has {metadata.num_rows:,} rows, more than so small a file can have with images and captions; "
            "fetch it again, or write the captions as CSV."
        )
    for number, group in enumerate(groups):
        rows = min(max(_MOST_BYTES // max(group.total_byte_size, 1), 1), _MOST_ROWS)
        yield from opened.iter_batches(batch_size=rows, row_groups=[number], columns=names)


def _check_sizes(names: list[str], cells: list[Any], where: str) -> None:
    """Raise an error for a row that is too large, before it becomes Python objects."""
    for name, cell in zip(names, cells, strict=True):
        kind = str(cell.type)
        if kind.startswith("dictionary"):  # whose size is that of the values of all rows
            cell = cell.dictionary_decode()
        if cell.nbytes > (limit := _LARGEST_IMAGE if "binary" in kind else _LARGEST_TEXT):
            raise DatasetError(f"{where}: {name!r} has {cell.nbytes:,} bytes, the limit is {limit:,}; leave it out.")


def _opened(file: Path) -> tuple[Any, Any]:
    """The schema of a file, and the file."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DatasetError(
            f'{file} needs the extra "parquet": pip install "unboxed[parquet]". CSV and JSONL work without it.'
        ) from None
    if not is_url(file) and file.exists() and not file.is_file():  # opening a pipe waits for ever
        raise DatasetError(f"{file} is a pipe, a device or a folder, and no file; save the captions in a file.")
    try:
        if file.suffix.lower() == ".parquet":
            table = pyarrow.parquet.ParquetFile(open_location(file) if is_url(file) else file)
            schema, opened = table.schema_arrow, table
        else:
            opened = pyarrow.ipc.open_stream(pyarrow.memory_map(str(file)))
            schema = opened.schema
        list(schema.names)  # which need not be UTF-8
        return schema, opened
    except (OSError, ValueError) as error:  # as which pyarrow raises its errors
        raise DatasetError(f"{file} cannot be read ({plain_reason(error)}); fetch it again.") from None
