"""Word vectors: read from a file, or counted from the training captions.

A file is GloVe text (`word v1 v2 … vN`, one word a line) or a NumPy archive `NAME.npz` whose array `vectors` has a row
for each line of `NAME.vocab.txt` beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unboxed.errors import ModelError, plain_reason
from unboxed.runtime.array_file import read_arrays
from unboxed.runtime.atomic import atomic_path, write_text
from unboxed.text.tokens import words
from unboxed.types import Array, float32_array

__all__ = ["WordVectors"]

_UNIT = 0.02  # a row whose length is this close to 1 is a unit vector that was rounded to half precision
_WINDOW, _MOST_WORDS, _MIN_COUNT = 4, 4000, 3


class WordVectors:
    """Vectors of words.

    Args:
        words: N different lower-cased words.
        vectors: `[N, D]`, of any length; a row of zeros for a word without a vector.
        unit: scale the vectors to length 1 and keep them in half precision; False keeps them as they are, so that
            longer vectors count more in the mean of a name (SPRM).

    Raises:
        ModelError: counts that do not agree, or values that are not finite.
    """

    def __init__(self, words: Sequence[str], vectors: npt.NDArray[np.floating], *, unit: bool = True) -> None:
        if vectors.ndim != 2 or len(vectors) != len(words) or vectors.shape[1] == 0:
            raise ModelError(f"{len(words)} words need vectors [{len(words)}, D]; found {list(vectors.shape)}.")
        if not np.isfinite(vectors).all():
            raise ModelError("The word vectors hold NaN or infinite values; get the file anew.")
        self.words = tuple(words)
        self._rows = {word: row for row, word in reversed(list(enumerate(self.words)))}
        self.unit = unit
        if not unit:
            self._vectors = vectors
            return
        length = np.linalg.norm(float32_array(vectors), axis=1, keepdims=True)
        done = (vectors.dtype == np.float16) & (np.abs(length - 1) < _UNIT)
        scaled = np.where(done, vectors, vectors / np.where((length == 0) | done, 1, length))
        self._vectors = scaled.astype(np.float16)

    @classmethod
    def open(cls, path: Path, *, unit: bool = True) -> WordVectors:
        """The vectors of a file: GloVe text, or `.npz` with its `.vocab.txt`; `unit` as in `WordVectors`.

        Raises:
            ModelError: no such file, or another form.
        """
        if not path.is_file():
            raise ModelError(f"There is no file of word vectors {path}; name GloVe text or an .npz file, or none.")
        words, vectors = _archive(path) if path.suffix == ".npz" else _glove(path)
        return cls(words, vectors, unit=unit)

    @classmethod
    def from_captions(cls, texts: Iterable[str], width: int = 64, *, unit: bool = True) -> WordVectors:
        """Vectors of the 4,000 most frequent words: words with the same neighbours get similar vectors.

        They are the positive pointwise mutual information of words at most 4 apart, reduced by a truncated singular
        value decomposition (`U √S`). A word that occurs less than 3 times has none. Equal captions give equal vectors.

        Args:
            texts: the captions.
            width: D, or less where there are fewer words.
            unit: as in `WordVectors`.

        Raises:
            ModelError: no word occurs often enough.
        """
        captions = [[word.text for word in words(text)] for text in texts]
        counts = Counter(word for caption in captions for word in caption)
        kept = sorted((w for w, n in counts.items() if n >= _MIN_COUNT), key=lambda w: (-counts[w], w))[:_MOST_WORDS]
        if not kept:
            raise ModelError(
                f"No word occurs {_MIN_COUNT} times in these captions, so that nothing can be counted; give more "
                "captions, or a file of word vectors."
            )
        ids = {word: i for i, word in enumerate(kept)}
        weight_VV = np.zeros((len(kept), len(kept)), np.float32)  # of two words beside each other: 1 / distance
        encoded = [np.array([ids.get(word, -1) for word in caption]) for caption in captions]
        line = np.concatenate([np.append(caption, [-1] * _WINDOW) for caption in encoded]).astype(np.intp)
        for distance in range(1, _WINDOW + 1):
            left, right = line[:-distance], line[distance:]
            both = (left >= 0) & (right >= 0)
            np.add.at(weight_VV, (left[both], right[both]), 1 / distance)
        weight_VV += weight_VV.T
        weight_V = np.maximum(weight_VV.sum(axis=1), 1e-9)
        smoothed_V = weight_V**0.75 / (weight_V**0.75).sum()  # gives rare neighbours less weight (Levy et al. 2015)
        with np.errstate(divide="ignore"):
            information_VV = np.log(weight_VV / weight_V[:, None] / smoothed_V) if weight_VV.any() else weight_VV
        return cls(kept, _reduced(np.maximum(information_VV, 0), width), unit=unit)

    def save(self, path: Path) -> None:
        """Write `path` (`NAME.npz`) and `NAME.vocab.txt`, from which `open` reads the very same vectors."""
        with atomic_path(path) as partial:
            np.savez_compressed(partial, vectors=self._vectors)
        write_text(path.with_suffix(".vocab.txt"), "".join(f"{word}\n" for word in self.words))

    @property
    def width(self) -> int:
        """D, the width of a vector."""
        return int(self._vectors.shape[1])

    def vector(self, text: str) -> Array | None:
        """`mean_vector`, scaled to length 1; None where no word has a vector."""
        vector = self.mean_vector(text)
        length = 0.0 if vector is None else float(np.linalg.norm(vector))
        return None if vector is None or not length else np.asarray(vector / length, dtype=vector.dtype)

    def mean_vector(self, text: str) -> Array | None:
        """The vector `[D]` of a word or a name; None where no word of it is known.

        The vector of a name that is no word itself is the mean over its variants, separated by commas, of the mean
        over their known words (SPRM, supplement).
        """
        text = " ".join(text.lower().split())
        if text in self._rows:
            return self._row(text)
        variants = []
        for variant in text.split(","):
            known = [self._row(word) for word in variant.split() if word in self._rows]
            if known:
                variants.append(np.mean(known, axis=0))
        return np.mean(variants, axis=0) if variants else None

    def matrix(self, texts: Sequence[str]) -> Array:
        """`vector` of each text, `[N, D]`; zeros where there is none."""
        rows = [self.vector(text) for text in texts]
        matrix = np.zeros((len(texts), self.width), dtype=self._row_type)
        for place, row in enumerate(rows):
            if row is not None:
                matrix[place] = row
        return matrix

    @property
    def _row_type(self) -> npt.DTypeLike:
        return np.float64 if self._vectors.dtype == np.float64 else np.float32

    def _row(self, word: str) -> Array:
        return np.asarray(self._vectors[self._rows[word]], dtype=self._row_type)


def _archive(path: Path) -> tuple[list[str], npt.NDArray[np.floating]]:
    listed = path.with_suffix(".vocab.txt")
    if not listed.is_file():
        raise ModelError(f"{path} needs {listed.name} beside it: the word of each row, one a line.")
    try:
        vectors = read_arrays(path)["vectors"]
        vocabulary = listed.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path} cannot be read as word vectors ({plain_reason(error)}); expected an array `vectors`."
        ) from error
    if vectors.dtype.kind != "f":
        raise ModelError(f"{path} holds values of type {vectors.dtype}; expected floating-point word vectors.")
    return vocabulary, vectors


def _glove(path: Path) -> tuple[list[str], npt.NDArray[np.floating]]:
    vocabulary: list[str] = []
    rows: list[Array] = []
    width = 0
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as lines:
            for number, line in enumerate(lines, start=1):
                fields = line.rstrip("\n").rstrip().split(" ")
                if number == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
                    continue  # the header of word2vec files: count and width
                width = width or len(fields) - 1
                word = " ".join(fields[: len(fields) - width]) if width else ""  # "at name@domain.com" is one word
                if width < 1 or not word:
                    raise ValueError(f"line {number} has {len(fields) - 1} numbers, the lines before it {width}")
                vocabulary.append(word)
                rows.append(float32_array(fields[-width:]))
    except (OSError, ValueError) as error:  # UnicodeDecodeError is a ValueError
        raise ModelError(
            f"{path} cannot be read as word vectors ({plain_reason(error)}); "
            "expected a word and its numbers on each line, as in "
            "GloVe's text files."
        ) from error
    if not rows:
        raise ModelError(f"{path} holds no vector of any word; name another file.")
    return vocabulary, np.stack(rows)


def _reduced(matrix: Array, width: int) -> Array:
    """`U √S` of the truncated singular value decomposition, by subspace iteration from a fixed start."""
    width = min(width, len(matrix))
    basis = np.random.default_rng(0).normal(size=(len(matrix), min(len(matrix), width + 16))).astype(np.float32)
    for _ in range(5):
        basis, _ = np.linalg.qr(matrix @ (matrix.T @ basis))
    left, strength, _ = np.linalg.svd(basis.T @ matrix, full_matrices=False)
    return np.asarray((basis @ left)[:, :width] * np.sqrt(strength[:width]), dtype=np.float32)
