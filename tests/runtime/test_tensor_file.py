"""Equal content gives equal bytes, a flipped bit is found, and the umask decides on permissions."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch

from unboxed.runtime.tensor_digests import check_header, check_numbers, check_tensor_file, plain_metadata
from unboxed.runtime.tensor_file import map_tensor_file, write_tensor_file

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
        assert plain_metadata(opened.metadata()) == {"words": "déjà vu", "a": "b"}
        assert opened.get_slice("turned")[1:2].tolist() == [[1, 4]]


@pytest.mark.parametrize(
    "header",
    [
        "[]",
        "1",
        "null",
        '{"a": {}}',
        '{"a": 1}',
        '{"a": {"dtype": "I8", "shape": "x", "data_offsets": [0, 0]}}',
        '{"a": {"dtype": [], "shape": [0], "data_offsets": [0, 0]}}',
        '{"a": {"dtype": "BF16", "shape": [0], "data_offsets": [0, 0]}}',
        '{"a": {"dtype": "I8", "shape": [99999999999999999999], "data_offsets": [0, 0]}}',
        '{"a": {"dtype": "I8", "shape": [0], "data_offsets": [0.5, 1]}}',
        '{"__metadata__": 1}',
        "[" * 100_000,
    ],
    ids=lambda header: header[:60],
)
def test_a_header_of_another_form_is_a_value_error(header: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + bytes(8))
    with pytest.raises(ValueError, match="its header has another form"):
        map_tensor_file(path)


def test_tensors_of_pytorch_are_written_too(tmp_path: Path) -> None:
    tensors = {
        "brain": torch.randn(3, 2).bfloat16(),
        "weight": torch.nn.Parameter(torch.randn(2, 3)),
        "row": torch.arange(12).reshape(3, 4)[:, 1],
        "step": torch.tensor(3.0),
        "expanded": torch.tensor(3).expand(1),
        "none": torch.zeros(0, dtype=torch.int32),
        "strides of nothing": torch.empty(1, dtype=torch.int64).expand(3)[:0],
        "strides of one": torch.arange(6).reshape(3, 2)[:1, 0],
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


def test_a_flipped_bit_of_any_byte_is_found_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensor_file(path, _ARRAYS, {"words": "déjà vu"})
    check_tensor_file(path)
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    unnoticed = 0
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        check = check_header if position < header else check_numbers
        try:
            check(path)
            with safe_open(path, "numpy") as opened:  # only the names of the digests can change unnoticed
                assert all((opened.get_tensor(name) == array).all() for name, array in _ARRAYS.items())
                assert opened.metadata()["words"] == "déjà vu"
        except (ValueError, SafetensorError):
            continue
        unnoticed += 1
    assert unnoticed <= len("header_sha256")


def test_a_file_of_another_writer_has_no_digests_and_is_not_checked(tmp_path: Path) -> None:
    save_file(_ARRAYS, tmp_path / "a.safetensors", {"words": "x"})
    check_tensor_file(tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes((1 << 40).to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match="longer than the file"):
        check_tensor_file(tmp_path / "b.safetensors")


def test_a_header_that_is_nested_too_deeply_is_damage(tmp_path: Path) -> None:
    header = b'{"a":' + b"[" * 100_000
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(ValueError, match="its header is nested too deeply"):
        check_tensor_file(tmp_path / "a.safetensors")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="it is a pipe"):
        check_tensor_file(tmp_path / "a.safetensors")
