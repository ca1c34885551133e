"""Addresses of images that are no files of their own: a URL, or a place in a tar or Parquet file, also at a URL.

An address is a `Path`, and every function that takes the path of an image takes it:

    s3:/bucket/a.jpg                    at s3://bucket/a.jpg, because a `Path` joins slashes
    shards/x.tar/1536+4000/a.jpg        4,000 bytes of shards/x.tar, from number 1,536 on
    gs:/bucket/x.parquet/17/a.jpg       the column of images of row 17 of gs://bucket/x.parquet
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

from unboxed.errors import DatasetError, ImageError, UnboxedError
from unboxed.runtime.file_systems import file_system, not_read
from unboxed.runtime.urls import url_of

__all__ = [
    "LARGEST_IMAGE",
    "image_column_of",
    "is_address",
    "is_url",
    "matching_files",
    "member_path",
    "open_location",
    "read_address",
    "require_image_bytes",
    "row_path",
    "url_path",
]

_MEMBER = re.compile(r"(.+\.tar)/(\d+)\+(\d+)/[^/]+", re.DOTALL)
_ROW = re.compile(r"(.+\.parquet)/(\d+)/[^/]+", re.DOTALL)
_IMAGES = ("image", "img", "jpg", "jpeg", "png", "webp", "picture", "photo")
_BYTES = ("struct", "binary", "large_binary", "extension")

LARGEST_IMAGE = 1_000_000_000
"""Bytes of an image. One of the most pixels (`images.MAX_PIXELS`) has fewer, and decoders search all for a header."""

_last = threading.local()  # the image that a thread read last: its key, its size and its pixels are asked for in turn


def is_address(path: Path) -> bool:
    """Whether a path is an address: a URL, or a place in a tar or Parquet file."""
    found = _MEMBER.fullmatch(text := path.as_posix()) or _ROW.fullmatch(text)
    return is_url(path) or (found is not None and not Path(found[1]).is_dir())


def is_url(path: Path) -> bool:
    """Whether a path is that of a URL."""
    return url_of(path) is not None


def url_path(url: str) -> Path | None:
    """The path of what is at a URL; None for a text that is no URL.

    Raises:
        DatasetError: a URL that no path can hold.
    """
    if "://" not in url or not (found := url_of(url)):
        return None
    if "//" in found.partition("://")[2]:
        raise DatasetError(f"The URL {url} has // in its path, which is not supported; copy what is there.")
    return Path(url)


def member_path(archive: Path, start: int, size: int, name: str) -> Path:
    """The path of `size` bytes of a tar file from number `start` on."""
    return archive / f"{start}+{size}" / name.rpartition("/")[2]


def row_path(file: Path, row: int, name: str) -> Path:
    """The path of the image in a row of a Parquet file."""
    return file / f"{row}" / name.rpartition("/")[2]


def read_address(path: Path) -> bytes:
    """The bytes of the image at an address.

    Raises:
        ImageError: they cannot be read, or are more than `LARGEST_IMAGE`.
    """
    known = getattr(_last, "image", None)
    if known is None or known[0] != path:
        _last.image = known = (path, _read(path.as_posix()))
    content: bytes = known[1]
    return content


def open_location(path: Path) -> IO[bytes]:
    """A file, or what is at the URL of a path, opened for reading at any place.

    Raises:
        DatasetError: it cannot be opened; or the package that opens this kind of URL is not installed.
    """
    url = url_of(path)
    try:
        if url is None:
            return path.open("rb")
        opened: IO[bytes] = file_system(url).open(url, "rb")
        return opened
    except UnboxedError:
        raise
    except Exception as error:  # each file system raises errors of its own
        raise DatasetError(not_read(url or path, error)) from error


def matching_files(pattern: Path) -> list[Path]:
    """The files, or the paths of the URLs, that a pattern with `*` matches, in order; of a name without, itself.

    Raises:
        DatasetError: there are none, or they cannot be listed.
    """
    text, url = pattern.as_posix(), url_of(pattern)
    if "*" not in text:
        return [pattern]
    if url is None:
        root = Path(pattern.anchor)
        found = sorted(file for file in root.glob(str(pattern.relative_to(root))) if file.is_file())
    else:
        try:
            system = file_system(url)
            found = sorted(Path(system.unstrip_protocol(name)) for name in system.glob(url))
        except UnboxedError:
            raise
        except Exception as error:
            raise DatasetError(not_read(url, error)) from error
    if not found:
        raise DatasetError(f"No file matches {url or pattern}; check its folder, and the rights to list it.")
    return found


def image_column_of(schema: Any) -> str | None:
    """The column that holds images, which are bytes, or objects with bytes and a path; None without one."""
    kinds = {field.name: str(field.type) for field in schema}
    return next((name for name, kind in kinds.items() if name.lower() in _IMAGES and kind.startswith(_BYTES)), None)


def require_image_bytes(size: int, name: str | Path) -> None:
    """Raise an error for an image of more than `LARGEST_IMAGE` bytes.

    Raises:
        ImageError: it has more.
    """
    if size > LARGEST_IMAGE:
        raise ImageError(f"{name} has more than {LARGEST_IMAGE:,} bytes, the limit; store a smaller copy of it.")


def _read(text: str) -> bytes:
    name = url_of(text) or text
    try:
        if found := _MEMBER.fullmatch(text):
            require_image_bytes(int(found[3]), name)
            return _range(found[1], int(found[2]), int(found[3]))
        content = _cell(found[1], int(found[2])) if (found := _ROW.fullmatch(text)) else _at_url(name)
        require_image_bytes(len(content), name)
        return content
    except UnboxedError as error:
        raise ImageError(str(error)) from error
    except Exception as error:
        raise ImageError(not_read(name, error)) from error


def _at_url(url: str) -> bytes:
    """What is at a URL; of more than `LARGEST_IMAGE` bytes, one too many."""
    if url.startswith(("http://", "https://")):
        return _streamed(url, LARGEST_IMAGE + 1)
    content: bytes = file_system(url).cat_file(url, start=0, end=LARGEST_IMAGE + 1)
    return content


def _streamed(url: str, limit: int) -> bytes:
    """At most so many bytes of what a web server sends, which may ignore the range that it is asked for."""
    content = bytearray()
    # Without a block size it is a stream; with a size, the server is not asked for it before.
    with file_system(url).open(url, "rb", block_size=0, size=1) as stream:
        while len(content) < limit and (piece := stream.read(limit - len(content))):
            content += piece
    return bytes(content)


def _range(archive: str, start: int, size: int) -> bytes:
    if url := url_of(archive):
        content: bytes = file_system(url).cat_file(url, start=start, end=start + size)
    else:
        with Path(archive).open("rb") as file:
            file.seek(start)
            content = file.read(size)
    if len(content) > size:
        raise ImageError(
            f"The server of {url} gives whole files and no ranges of them, so that each image would fetch the archive; "
            "copy the archive to this machine, or serve it by a server with ranges."
        )
    if len(content) != size:
        raise ImageError(f"{url_of(archive) or archive} is shorter than when its images were listed; list them again.")
    return content


def _cell(file: str, row: int) -> bytes:
    ends = _row_group_ends(file)
    group = bisect_right(ends, row)
    cell = _row_group(file, group)[row - (ends[group - 1] if group else 0)].as_py()
    content = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(content, bytes):
        raise ImageError(f"{url_of(file) or file} has no image in row {row}.")
    return content


@lru_cache(maxsize=256)
def _row_group_ends(file: str) -> list[int]:
    """The first row after each row group."""
    with open_location(Path(file)) as stream:
        metadata = _parquet_file(stream).metadata
        return list(accumulate(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)))


@lru_cache(maxsize=2)
def _row_group(file: str, group: int) -> Any:
    """The images of a row group, of which two are kept: images are mostly read in order."""
    with open_location(Path(file)) as stream:
        opened = _parquet_file(stream)
        return opened.read_row_group(group, columns=[image_column_of(opened.schema_arrow)]).column(0)


def _parquet_file(stream: IO[bytes]) -> Any:
    from pyarrow.parquet import ParquetFile

    return ParquetFile(stream)
