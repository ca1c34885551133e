"""Writes safetensors files whose bytes depend on their content alone, with the permissions that the umask allows.

The writer of safetensors itself orders the metadata at random and makes files that only their owner can read.

The metadata has the sha256 of the numbers, and that of the header with this one left out. So a change of any byte is
found: that of the header when the file is opened, at little cost, and that of the numbers when they are first used.
Files of earlier versions have no digests and are not checked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unboxed.runtime.atomic import atomic_path

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

__all__ = ["check_header", "check_numbers", "check_tensor_file", "plain_metadata", "write_tensor_file"]

_HEADER, _NUMBERS = "header_sha256", "sha256_of_numbers"
_NONE = "0" * 64
_BLOCK = 1 << 20

_KINDS = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}


def write_tensor_file(
    path: Path, tensors: Mapping[str, npt.NDArray[Any] | torch.Tensor], metadata: Mapping[str, str]
) -> None:
    """Write tensors, text metadata and digests to a safetensors file, atomically. Equal content gives equal bytes.

    >>> import tempfile
    >>> import numpy as np
    >>> from safetensors.numpy import load_file
    >>> path = Path(tempfile.mkdtemp()) / "a.safetensors"
    >>> write_tensor_file(path, {"x": np.arange(3)}, {"made by": "an example"})
    >>> load_file(path)["x"].tolist()
    [0, 1, 2]

    Args:
        path: the file; its folder is created if needed.
        tensors: NumPy arrays, or tensors of PyTorch on any device, of booleans, integers or floats.
        metadata: stored in the header.

    Raises:
        OSError: the file cannot be written. `path` is unchanged.
    """
    # Wide numbers first, so that all of them lie at multiples of their size.
    ordered = sorted(tensors.items(), key=lambda item: (-_itemsize(item[1]), item[0]))
    digest, end = hashlib.sha256(), 0
    header: dict[str, Any] = {}
    for name, value in ordered:
        numbers = _numbers(value)
        digest.update(numbers)
        start, end = end, end + len(numbers)
        kind = _KINDS[str(value.dtype).removeprefix("torch.")]
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [start, end]}
    digests = {_HEADER: _NONE, _NUMBERS: digest.hexdigest()}
    header = {"__metadata__": dict(sorted({**metadata, **digests}.items())), **header}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    length = len(text).to_bytes(8, "little")
    text = text.replace(_NONE.encode(), hashlib.sha256(length + text).hexdigest().encode(), 1)
    with atomic_path(path) as partial, partial.open("wb") as file:
        file.write(length + text)
        for _, value in ordered:
            file.write(_numbers(value))


def plain_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """The metadata of a file without its digests: what was given to `write_tensor_file`."""
    return {name: text for name, text in (metadata or {}).items() if name not in (_HEADER, _NUMBERS)}


def check_tensor_file(path: Path) -> None:
    """Both checks, of the header and of the numbers.

    Raises:
        OSError: the file cannot be read.
        ValueError: it changed after it was written.
    """
    check_header(path)
    check_numbers(path)


def check_header(path: Path) -> None:
    """Compare the header of a file with the digest in it; the numbers are not read.

    Raises:
        OSError: the file cannot be read.
        ValueError: it changed after it was written.
    """
    length, text = _header(path)
    expected = _digests(text).get(_HEADER)
    if expected is not None:
        blank = text.replace(str(expected).encode(), _NONE.encode(), 1)
        _compare(hashlib.sha256(length + blank).hexdigest(), expected)


def check_numbers(path: Path) -> None:
    """Compare the numbers of a file with the digest in its header.

    Raises:
        OSError: the file cannot be read.
        ValueError: they changed after they were written.
    """
    length, text = _header(path)
    expected = _digests(text).get(_NUMBERS)
    if expected is not None:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            file.seek(len(length) + len(text))
            while block := file.read(_BLOCK):
                digest.update(block)
        _compare(digest.hexdigest(), expected)


def _header(path: Path) -> tuple[bytes, bytes]:
    """The length and the text of the header."""
    with path.open("rb") as file:
        length = file.read(8)
        size = int.from_bytes(length, "little")
        if size > path.stat().st_size:
            raise ValueError("its header is longer than the file")
        return length, file.read(size)


def _digests(text: bytes) -> dict[str, Any]:
    header = json.loads(text)
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _compare(found: str, expected: str) -> None:
    if found != expected:
        raise ValueError("its content changed after it was written")


def _itemsize(value: npt.NDArray[Any] | torch.Tensor) -> int:
    return int(value.dtype.itemsize)


def _numbers(value: npt.NDArray[Any] | torch.Tensor) -> memoryview:
    """The bytes of an array or tensor, in its order."""
    import numpy as np  # here, because settings of regions, which `--help` reads, import this module

    if not isinstance(value, np.ndarray):
        import torch

        dense = value.detach().cpu().contiguous()
        flat = dense.as_strided((dense.numel(),), (1,))  # of an expanded scalar, the stride may be 0
        value = flat.view(torch.uint8).numpy()
    return np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
