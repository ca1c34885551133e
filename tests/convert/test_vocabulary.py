"""Vocabularies of released checkpoints: SCAN's JSON, and VSE++'s pickle without its class."""

from __future__ import annotations

import builtins
import codecs
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from unboxed.convert import read_words
from unboxed.errors import ModelError

from .originals import SPECIAL, write_vocabulary


@pytest.mark.parametrize("name", ["f30k_precomp_vocab.json", "f30k_precomp_vocab.pkl"])
def test_words_come_in_the_order_of_their_ids(tmp_path: Path, name: str) -> None:
    words = [*SPECIAL, "zebra", "a", ".", "naïve"]
    assert read_words(write_vocabulary(tmp_path / name, words)) == words


def test_a_byte_order_mark_is_no_part_of_the_vocabulary(tmp_path: Path) -> None:
    file = write_vocabulary(tmp_path / "vocab.json", [*SPECIAL, "a"])
    file.write_bytes(codecs.BOM_UTF8 + file.read_bytes())
    assert read_words(file) == [*SPECIAL, "a"]


class _Runs:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return builtins.exec, (f"open({str(self.mark)!r}, 'w').close()",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_of_anything_else_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    path, mark = tmp_path / "vocab.pkl", tmp_path / "mark"
    for value in (_Runs(mark), {"word2idx": _Runs(mark)}, Path("x")):
        path.write_bytes(pickle.dumps(value, protocol))
        with pytest.raises(ModelError, match="cannot be read as a vocabulary"):
            read_words(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], 'has no dictionary "word2idx"'),
        ({"word2idx": {"a": 0, "": 1}}, 'has no dictionary "word2idx"'),
        ({"word2idx": {"<pad>": 0, "a": 2}}, "the ids of its 2 words are not 0 to 1, each once"),
        ({"word2idx": {"<pad>": 0, "a": True}}, "not 0 to 1"),
        ({"word2idx": {"<pad>": 0, "a": "1"}}, "not 0 to 1"),
        ({"word2idx": {"<pad>": 0, "a": 0}}, "not 0 to 1"),
        ({"word2idx": {"<pad>": 0, "<unk>": 1}}, "lacks the words <start>, <end>"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "vocab.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=message):
        read_words(path)


@pytest.mark.parametrize("content", [b"", b"{", b"{\xff}", b"<html>", pickle.dumps([1])[:-3]])
def test_damaged_files_are_errors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vocab"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="vocabulary"):
        read_words(path)
    with pytest.raises(ModelError, match="No such file"):
        read_words(tmp_path / "none")
