"""Reads parquet and arrow files. Needs `pyarrow` (the extra `parquet`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from unboxed.data.image_addresses import image_column_of, is_url, open_location
from unboxed.errors import DatasetError, plain_reason

__all__ = ["column_names", "columnar_rows", "image_column"]


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
        DatasetError: no `pyarrow`, or a damaged file.
    """
    _, opened = _opened(file)
    names = list(dict.fromkeys(columns))
    try:
        for batch in opened.iter_batches(batch_size=64, columns=names) if file.suffix.lower() == ".parquet" else opened:
            batch.validate(full=True)  # lengths and offsets beyond the file would end the process
            for i in range(batch.num_rows):
                yield {name: batch.column(name)[i].as_py() for name in names}
    except (OSError, ValueError) as error:  # as which pyarrow raises its errors
        raise DatasetError(f"{file} cannot be read ({plain_reason(error)}); fetch it again.") from None


def _opened(file: Path) -> tuple[Any, Any]:
    """The schema of a file, and the file."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DatasetError(
            f'{file} needs the extra "parquet": pip install "unboxed[parquet]". CSV and JSONL work without it.'
        ) from None
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
