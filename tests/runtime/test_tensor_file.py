"""Equal content gives equal bytes, safetensors reads them, and the umask decides on permissions."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch

from unboxed.runtime.tensor_file import write_tensor_file

_ARRAYS = {
    "half": np.linspace(-1, 1, 5, dtype=np.float16),
    "scalar": np.array(7.5),
    "flags": np.array([True, False, True]),
    "empty": np.zeros((0, 3), np.float32),
    "turned": np.arange(6, dtype=np.int16).reshape(2, 3).T,
    "ü": np.arange(4, dtype=np.uint8),
}


def test_safetensors_reads_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.safetensors"
    write_tensor_file(path, _ARRAYS, {"words": "déjà vu", "a": "b"})
    read = load_file(path)
    assert read.keys() == _ARRAYS.keys()
    for name, array in _ARRAYS.items():
        assert read[name].dtype == array.dtype and read[name].shape == array.shape and (read[name] == array).all()
    with safe_open(path, "numpy") as opened:
        assert opened.metadata() == {"words": "déjà vu", "a": "b"}
        assert opened.get_slice("turned")[1:2].tolist() == [[1, 4]]


def test_tensors_of_pytorch_are_written_too(tmp_path: Path) -> None:
    tensors = {
        "brain": torch.randn(3, 2).bfloat16(),
        "weight": torch.nn.Parameter(torch.randn(2, 3)),
        "row": torch.arange(12).reshape(3, 4)[:, 1],
        "step": torch.tensor(3.0),
        "expanded": torch.tensor(3).expand(1),
        "none": torch.zeros(0, dtype=torch.int32),
    }
    write_tensor_file(tmp_path / "a.safetensors", tensors, {})
    read = load_torch(tmp_path / "a.safetensors")
    assert read.keys() == tensors.keys()
    for name, value in tensors.items():
        assert read[name].dtype == value.dtype and torch.equal(read[name], value.detach())


def test_equal_content_in_another_order_gives_equal_bytes(tmp_path: Path) -> None:
    metadata = {str(number): "x" * number for number in range(9)}
    write_tensor_file(tmp_path / "a", _ARRAYS, metadata)
    write_tensor_file(tmp_path / "b", dict(reversed(_ARRAYS.items())), dict(reversed(metadata.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (len((tmp_path / "a").read_bytes()) - sum(array.nbytes for array in _ARRAYS.values())) % 8 == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_the_umask_decides_on_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_tensor_file(tmp_path / "a", {"x": np.arange(3)}, {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
