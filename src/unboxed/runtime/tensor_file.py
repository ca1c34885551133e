"""Writes safetensors files whose bytes depend on their content alone, with the permissions that the umask allows.

The writer of safetensors itself orders the metadata at random and makes files that only their owner can read.

The metadata has digests, which `tensor_digests` describes and checks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from unboxed.errors import plain_reason
from unboxed.runtime.atomic import atomic_path
from unboxed.runtime.tensor_digests import BLANK_DIGEST, HEADER_DIGEST, NUMBERS_DIGEST

if TYPE_CHECKING:
    import torch

__all__ = ["map_tensor_file", "write_tensor_file"]

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
    digests = {HEADER_DIGEST: BLANK_DIGEST, NUMBERS_DIGEST: digest.hexdigest()}
    header = {"__metadata__": dict(sorted({**metadata, **digests}.items())), **header}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    length = len(text).to_bytes(8, "little")
    text = text.replace(BLANK_DIGEST.encode(), hashlib.sha256(length + text).hexdigest().encode(), 1)
    with atomic_path(path) as partial, partial.open("wb") as file:
        file.write(length + text)
        for _, value in ordered:
            file.write(_numbers(value))


def map_tensor_file(path: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """The tensors of a file, mapped into memory and read-only, and its metadata. Digests are not checked.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file.
    """
    whole = np.memmap(path, np.uint8, "r")
    start = 8 + int.from_bytes(whole[:8].tobytes(), "little")
    dtypes = {code: np.dtype(name) for name, code in _KINDS.items() if name != "bfloat16"}
    tensors = {}
    try:
        header = json.loads(whole[8:start].tobytes())
        metadata = dict(header.pop("__metadata__", {}))
        for name, place in header.items():
            first, last = (start + offset for offset in place["data_offsets"])
            tensors[name] = whole[first:last].view(dtypes[place["dtype"]]).reshape(place["shape"])
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"its header has another form ({plain_reason(error)})") from error
    return tensors, metadata


def _itemsize(value: npt.NDArray[Any] | torch.Tensor) -> int:
    return int(value.dtype.itemsize)


def _numbers(value: npt.NDArray[Any] | torch.Tensor) -> memoryview:
    """The bytes of an array or tensor, in its order."""
    if not isinstance(value, np.ndarray):
        import torch

        dense = value.detach().cpu().contiguous()
        flat = dense.as_strided((dense.numel(),), (1,))  # of an expanded scalar, the stride may be 0
        value = flat.view(torch.uint8).numpy()
    return np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
