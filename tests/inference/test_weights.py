"""Weights carry a digest: a changed bit is noticed, and files without a digest are read."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import unboxed
from unboxed.errors import RunError, UnboxedError
from unboxed.inference.weights import check_shapes, load_weights, read_tensors, save_weights, write_tensors

TENSORS = {"weight": torch.arange(12.0).reshape(3, 4), "step": torch.tensor(7), "seen": torch.tensor([True, False])}


def test_tensors_and_metadata_are_read_as_written(tmp_path: Path) -> None:
    write_tensors(tmp_path / "m.safetensors", TENSORS, {"epoch": "3"})
    read, metadata = read_tensors(tmp_path / "m.safetensors")
    assert metadata == {"epoch": "3"}
    assert all(torch.equal(read[name], value) for name, value in TENSORS.items())


def test_a_flipped_bit_of_every_byte_is_noticed(tmp_path: Path) -> None:
    """In the tensors; `tests/runtime/test_tensor_file.py` flips those of the header."""
    path = tmp_path / "m.safetensors"
    write_tensors(path, TENSORS, {})
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for position in range(header, len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(RunError, match=r"m\.safetensors is damaged"):
            read_tensors(path)


def test_a_file_without_a_digest_is_read(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "m.safetensors")
    assert torch.equal(read_tensors(tmp_path / "m.safetensors")[0]["weight"], TENSORS["weight"])


def test_shapes_are_compared_before_memory_is_asked_for(tmp_path: Path) -> None:
    save_weights(tmp_path / "m.safetensors", torch.nn.Linear(3, 4))
    check_shapes(tmp_path / "m.safetensors", torch.nn.Linear(3, 4, device="meta"))
    with pytest.raises(RunError, match=r"weight has the shape \[4, 3\], and config.json gives \[1000000000, 3\]"):
        check_shapes(tmp_path / "m.safetensors", torch.nn.Linear(3, 10**9, device="meta"))
    (tmp_path / "m.safetensors").write_bytes(b"x")
    with pytest.raises(RunError, match="is damaged"):
        check_shapes(tmp_path / "m.safetensors", torch.nn.Linear(3, 4, device="meta"))


def test_models_without_values_load_no_compiler() -> None:
    """Which took half of the time of a search."""
    code = """
import sys
from unboxed.inference.weights import shapes_only
from unboxed.recipes import RECIPES
from unboxed.text.tokens import Vocabulary
for name, recipe in RECIPES.items():
    with shapes_only():
        recipe().build(Vocabulary(["<pad>", "<unk>", "<mask>", "a"]), 57 if name == "npair" else 90)
    assert "torch._dynamo" not in sys.modules, name
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_run_of_other_widths_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    config = tmp_path / "run" / "config.json"
    content = json.loads(config.read_text(encoding="utf-8"))
    content["feature_blocks"][0][1] = 900_000
    config.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(RunError, match=r"has the shape \[.*\], and config\.json gives"):
        unboxed.load(tmp_path / "run")


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 4)
    with torch.no_grad():
        model.bias[2] = torch.nan
    save_weights(tmp_path / "m.safetensors", model)
    with pytest.raises(RunError, match=r"m\.safetensors holds NaN or infinite values in bias"):
        load_weights(tmp_path / "m.safetensors", torch.nn.Linear(3, 4))


class _Program:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.json", "config.json"])
def test_a_pickle_in_a_run_is_not_read(name: str, tiny_run: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    torch.save({"weight": _Program(tmp_path / "was-run")}, tmp_path / "run" / name)
    with pytest.raises(UnboxedError, match=name):
        unboxed.load(tmp_path / "run")
    assert not (tmp_path / "was-run").exists()
