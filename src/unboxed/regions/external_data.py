"""The files beside an ONNX file in which exporters keep its weights, such as `model.onnx.data`."""

from __future__ import annotations

import mmap
import re
from functools import lru_cache
from pathlib import Path

from unboxed.errors import RegionsError

__all__ = ["external_data", "require_external_data"]

# A pair of strings of the ONNX format, "location" and the name of the file, each preceded by its length.
_LOCATION = re.compile(rb"\x0a\x08location\x12([\x80-\xff][\x01-\x7f]|[\x01-\x7f])", re.DOTALL)


def external_data(path: Path) -> tuple[Path, ...]:
    """The files of an ONNX graph's weights, as paths; () if they are in the file itself. They may be missing.

    Names that lead out of the file's folder are left out, as onnxruntime refuses them.
    """
    if path.suffix.lower() != ".onnx" or not path.is_file():
        return ()
    stat = path.stat()
    return tuple(path.parent / name for name in _locations(path, stat.st_size, stat.st_mtime_ns))


def require_external_data(path: Path) -> None:
    """Raises `RegionsError` if a file of a graph's weights is missing."""
    if missing := [file for file in external_data(path) if not file.is_file()]:
        raise RegionsError(
            f"{path} keeps its weights in {missing[0]}, which does not exist; copy both files together, or export the "
            "model into one file."
        )


@lru_cache(maxsize=256)
def _locations(path: Path, size: int, changed: int) -> tuple[str, ...]:
    if not size:
        return ()
    names = set()
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for match in _LOCATION.finditer(data):
            length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(match[1]))
            name = Path(data[match.end() : match.end() + length].decode("utf-8", "replace"))
            if not name.is_absolute() and ".." not in name.parts:
                names.add(str(name))
    return tuple(sorted(names))
