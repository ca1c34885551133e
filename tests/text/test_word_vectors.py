"""Word vectors: the files they come in, the rule for unknown names by hand, and vectors counted from captions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.errors import ModelError
from unboxed.text.word_vectors import WordVectors

GLOVE = "dog 3 4 0\ncat 0 2 0\nfire 0 0 1\nhydrant 1 0 0\nat sign 0 0 -5\n"


@pytest.fixture
def vectors(tmp_path: Path) -> WordVectors:
    (tmp_path / "glove.txt").write_text(GLOVE, encoding="utf-8")
    return WordVectors.open(tmp_path / "glove.txt")


def test_rows_of_a_glove_file_are_unit_vectors(vectors: WordVectors) -> None:
    assert vectors.words == ("dog", "cat", "fire", "hydrant", "at sign")  # a word may hold a blank
    assert vectors.width == 3
    np.testing.assert_allclose(vectors.matrix(["dog", "at sign"]), [[0.6, 0.8, 0], [0, 0, -1]], atol=1e-3)


def test_a_name_that_is_no_word_is_the_mean_over_variants_of_the_mean_over_known_words(vectors: WordVectors) -> None:
    def unit(values: list[float]) -> np.ndarray:
        return np.array(values) / np.linalg.norm(values)

    def given_as(name: str) -> np.ndarray:
        found = vectors.vector(name)
        assert found is not None
        return found

    np.testing.assert_allclose(given_as("Fire hydrant"), unit([0.5, 0, 0.5]), atol=1e-3)
    np.testing.assert_allclose(given_as("yellow hydrant"), [1, 0, 0], atol=1e-3)
    by_hand = np.mean([[0.5, 0, 0.5], [0, 1, 0]], axis=0)
    np.testing.assert_allclose(given_as("fire hydrant, cat, unicorn"), unit(by_hand.tolist()), atol=1e-3)
    assert vectors.vector("unicorn") is None and vectors.vector("") is None
    assert vectors.matrix(["unicorn"]).tolist() == [[0, 0, 0]]


def test_the_header_of_word2vec_is_no_word(tmp_path: Path) -> None:
    (tmp_path / "w2v.txt").write_text("2 3\n" + "\n".join(GLOVE.splitlines()[:2]), encoding="utf-8")
    assert WordVectors.open(tmp_path / "w2v.txt").words == ("dog", "cat")


def test_a_byte_order_mark_is_no_part_of_a_word(tmp_path: Path) -> None:
    (tmp_path / "glove.txt").write_text(GLOVE, encoding="utf-8-sig")
    assert WordVectors.open(tmp_path / "glove.txt").words[0] == "dog"


@given(st.integers(0, 2**32 - 1))
def test_saving_and_opening_gives_the_very_same_vectors(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    generator = np.random.default_rng(seed)
    before = WordVectors([f"w{i}" for i in range(6)], generator.normal(size=(6, 4)) * generator.uniform(0.01, 100))
    path = tmp_path_factory.mktemp("vectors") / "v.npz"
    before.save(path)
    after = WordVectors.open(path)
    assert after.words == before.words
    np.testing.assert_array_equal(after.matrix(after.words), before.matrix(before.words))


def test_words_with_the_same_neighbours_are_alike() -> None:
    animals = [f"the {animal} eats {food} quietly" for animal in ("dog", "cat") for food in ("meat", "fish")]
    music = [f"a man plays his {thing} loudly" for thing in ("guitar", "piano")]
    captions = (animals + music) * 5
    vectors = WordVectors.from_captions(captions, width=6)
    like = vectors.matrix(["dog", "cat", "guitar", "piano"])
    cosine = like @ like.T
    assert cosine[0, 1] > 0.8 and cosine[2, 3] > 0.8 and cosine[:2, 2:].max() < 0.3
    again = WordVectors.from_captions(captions, width=6)
    np.testing.assert_array_equal(again.matrix(again.words), vectors.matrix(vectors.words))


def test_captions_too_few_to_count() -> None:
    with pytest.raises(ModelError, match="No word occurs 3 times"):
        WordVectors.from_captions(["a dog", "a cat"])
    alone = WordVectors.from_captions(["dog"] * 3)
    assert alone.words == ("dog",) and alone.vector("dog") is None  # without neighbours there is no vector


def test_unusable_files_are_model_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no file of word vectors .*missing"):
        WordVectors.open(tmp_path / "missing.txt")
    for content in ("", "dog one two\n", "dog 1 2\ncat 1\n", "dog nan 1\n", "dog\n"):
        (tmp_path / "bad.txt").write_text(content, encoding="utf-8")
        with pytest.raises(ModelError):
            WordVectors.open(tmp_path / "bad.txt")
    np.savez(tmp_path / "lonely.npz", vectors=np.ones((2, 2), np.float32))
    with pytest.raises(ModelError, match=r"lonely\.vocab\.txt beside it"):
        WordVectors.open(tmp_path / "lonely.npz")
    (tmp_path / "lonely.vocab.txt").write_text("one\n", encoding="utf-8")
    np.savez(tmp_path / "whole.npz", vectors=np.ones((1, 2), np.int64))
    (tmp_path / "whole.vocab.txt").write_text("one\n", encoding="utf-8")
    with pytest.raises(ModelError, match="values of type int64"):
        WordVectors.open(tmp_path / "whole.npz")
    with pytest.raises(ModelError, match="1 words need"):
        WordVectors.open(tmp_path / "lonely.npz")
    (tmp_path / "lonely.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(ModelError, match="cannot be read"):
        WordVectors.open(tmp_path / "lonely.npz")
    np.savez(tmp_path / "pickled.npz", vectors=np.array([{}], dtype=object))
    (tmp_path / "pickled.vocab.txt").write_text("one\n", encoding="utf-8")
    with pytest.raises(ModelError, match="cannot be read"):
        WordVectors.open(tmp_path / "pickled.npz")
