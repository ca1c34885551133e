"""The table of an index is read back as it was written, whatever its texts, with the names of its first version."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from unboxed.errors import SearchError
from unboxed.runtime.tensor_digests import plain_metadata
from unboxed.runtime.tensor_file import map_tensor_file, write_tensor_file
from unboxed.search import Index
from unboxed.search.candidates import LowRankScores
from unboxed.search.index_table import ImageTable, Texts

ASSET = Path(__file__).resolve().parents[1] / "assets" / "run_41071e2" / "index"


@given(st.lists(st.text()))
def test_texts_are_a_list_of_texts(texts: list[str]) -> None:
    packed = Texts.of(texts)
    assert len(packed) == len(texts) and packed.all() == texts
    assert [packed[i] for i in range(len(texts))] == texts


def test_names_of_files_that_are_no_text_are_kept() -> None:
    name = b"gr\xfcn.png".decode("utf-8", "surrogateescape")
    assert Texts.of([name, "b"]).all() == [name, "b"]


def _tensors(value: object) -> dict[str, object]:
    """Every tensor and path of a table, by name."""
    found: dict[str, object] = {}
    for field in fields(value):  # type: ignore[arg-type]
        part = getattr(value, field.name)
        if isinstance(part, Texts | LowRankScores):
            found |= {f"{field.name}.{name}": tensor for name, tensor in _tensors(part).items()}
        else:
            found[field.name] = part
    return found


def test_a_table_is_read_back_as_it_was_written(tiny_index: Index, tmp_path: Path) -> None:
    tiny_index.table.save(tmp_path / "table.safetensors")
    expected, found = _tensors(tiny_index.table), _tensors(ImageTable.load(tmp_path / "table.safetensors"))
    assert list(expected) == list(found) and len(expected) == 19
    for name, value in expected.items():
        same = torch.equal(value, found[name]) if isinstance(value, torch.Tensor) else value == found[name]  # type: ignore[arg-type]
        assert same, name
    assert [path.name for path in tmp_path.iterdir()] == ["table.safetensors"]


def test_the_file_has_the_names_of_the_first_version(tiny_index: Index, tmp_path: Path) -> None:
    tiny_index.table.save(tmp_path / "table.safetensors")
    names = []
    for file in (tmp_path / "table.safetensors", next(ASSET.glob("*/table.safetensors"))):
        with safe_open(str(file), framework="pt") as opened:
            names.append(set(opened.keys()))
            assert set(plain_metadata(opened.metadata())) == {"root"}
    assert names[0] == names[1]


@pytest.mark.parametrize("damage", ["cut", "empty", "another"])
def test_a_damaged_table_is_named_with_what_to_do(damage: str, tiny_index: Index, tmp_path: Path) -> None:
    path = tmp_path / "table.safetensors"
    tiny_index.table.save(path)
    content = {"cut": path.read_bytes()[:1000], "empty": b"", "another": b"\x02\0\0\0\0\0\0\0{}"}[damage]
    path.write_bytes(content)
    with pytest.raises(SearchError, match=r"table\.safetensors is damaged .* delete it and run `unboxed index` again"):
        ImageTable.load(path)


@pytest.mark.parametrize("name", [b"a\xffb", b"a\0b", b"caf\xc3"])
def test_a_name_that_is_none_is_damage(name: bytes, tiny_index: Index, tmp_path: Path) -> None:
    """Half a character, or one that no path has, where the digests fit."""
    path = tmp_path / "table.safetensors"
    tiny_index.table.save(path)
    tensors, metadata = map_tensor_file(path)
    characters = tensors["names.characters"].copy()
    characters[: len(name)] = np.frombuffer(name, np.uint8)
    write_tensor_file(path, {**tensors, "names.characters": characters}, plain_metadata(metadata))
    with pytest.raises(SearchError, match=r"table\.safetensors is damaged"):
        ImageTable.load(path)
