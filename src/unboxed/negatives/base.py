"""What every source of negatives gives: substitutes for chosen words of captions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from unboxed.errors import StoreError
from unboxed.text.tokens import words

__all__ = ["Negatives", "Substitution", "stored", "substituted"]

_FORMAT = "unboxed-negatives"
_VERSION = "1"

Index = npt.NDArray[np.int32]


class Substitution(NamedTuple):
    """Words that could stand at one place of a caption, none of them the word that does."""

    position: int
    words: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Negatives:
    """Substitutes for the nouns of C captions. A slot is one noun of one caption; S slots in all, caption by caption.

    Attributes:
        words: the vocabulary of substitutes, lower-cased.
        offsets: `[C + 1]`; the slots of caption c are rows `offsets[c]:offsets[c + 1]`.
        positions: `[S]` which word of `unboxed.text.tokens.words(caption)` each slot is.
        candidates: `[S, N]` indices into `words`, best first, each at most once a row; -1 fills rows that have fewer.
        fingerprint: equal when made from the same captions, nouns and settings.

    Raises:
        StoreError: arrays that do not agree.
    """

    words: tuple[str, ...]
    offsets: Index
    positions: Index
    candidates: Index
    fingerprint: str = ""

    def __post_init__(self) -> None:
        for name in ("offsets", "positions", "candidates"):
            array = np.array(getattr(self, name), dtype=np.int32)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        slots = len(self.positions)
        good = (
            self.offsets.ndim == 1
            and self.positions.ndim == 1
            and self.candidates.ndim == 2
            and len(self.offsets) > 0
            and len(self.candidates) == slots
            and self.offsets[0] == 0
            and self.offsets[-1] == slots
            and bool((np.diff(self.offsets) >= 0).all())
            and bool((self.positions >= 0).all())
            and bool(((self.candidates >= -1) & (self.candidates < len(self.words))).all())
        )
        if not good:
            raise StoreError(
                f"Negatives whose parts do not agree: offsets {list(self.offsets.shape)}, positions "
                f"{list(self.positions.shape)}, candidates {list(self.candidates.shape)} of {len(self.words)} words; "
                "delete the file, and they are made anew."
            )

    def __len__(self) -> int:
        """How many captions."""
        return len(self.offsets) - 1

    def substitutions(self, caption: int) -> tuple[Substitution, ...]:
        """Every slot of a caption that has a substitute, in reading order, with all its words, best first."""
        rows = range(int(self.offsets[caption]), int(self.offsets[caption + 1]))
        found = (Substitution(int(self.positions[row]), self._words(self.candidates[row])) for row in rows)
        return tuple(substitution for substitution in found if substitution.words)

    def sample(self, caption: int, generator: np.random.Generator, count: int) -> Substitution | None:
        """One slot of a caption at random, and `count` of its substitutes at random without repeats.

        The lot is drawn from `generator` alone: one made from (seed, epoch, caption) gives a resumed run what an
        uninterrupted one had. Drawing anew every epoch uses all nouns of a caption; the paper draws one noun a caption
        once, which a generator made from (seed, caption) does.

        Args:
            caption: its index.
            generator: the source of the lot.
            count: 1 or more; a slot that has fewer substitutes gives them all.

        Returns:
            The slot and its words in the order drawn; None when no noun of the caption has a substitute.
        """
        rows = np.arange(self.offsets[caption], self.offsets[caption + 1])
        rows = rows[(self.candidates[rows] >= 0).any(axis=1)]
        if len(rows) == 0:
            return None
        row = int(generator.choice(rows))
        real = self.candidates[row][self.candidates[row] >= 0]
        drawn = generator.permutation(real)[:count]
        return Substitution(int(self.positions[row]), self._words(drawn))

    def _words(self, candidates: Index) -> tuple[str, ...]:
        return tuple(self.words[index] for index in candidates if index >= 0)

    def save(self, path: Path) -> None:
        """Write one safetensors file, atomically."""
        from safetensors.numpy import save_file

        about = {
            "format": _FORMAT,
            "version": _VERSION,
            "fingerprint": self.fingerprint,
            "words": json.dumps(self.words, ensure_ascii=False),
        }
        arrays = {"offsets": self.offsets, "positions": self.positions, "candidates": self.candidates}
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, beside, about)
        beside.replace(path)

    @classmethod
    def load(cls, path: Path) -> Negatives:
        """Read what `save` wrote; raises `StoreError`, naming the file, when it is missing or damaged."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                about = file.metadata() or {}
                if about.get("format") != _FORMAT or about.get("version") != _VERSION:
                    raise StoreError(
                        f"{path} holds {about.get('format')!r} version {about.get('version')!r}, expected {_FORMAT!r} "
                        f"version {_VERSION!r}; delete it, and the negatives are made anew."
                    )
                listed = json.loads(about["words"])
                if not isinstance(listed, list) or not all(isinstance(word, str) for word in listed):
                    raise ValueError("its word list is not a list of words")
                arrays = {name: file.get_tensor(name) for name in ("offsets", "positions", "candidates")}
            return cls(tuple(listed), **arrays, fingerprint=about["fingerprint"])
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise StoreError(
                f"Cannot read the negatives {path} ({error}); delete the file, and they are made anew."
            ) from None


def stored(path: Path | None, fingerprint: str, make: Callable[[], Negatives]) -> Negatives:
    """The negatives kept at `path` when they have this fingerprint; otherwise made, and kept there.

    A file that is damaged, or was made from other captions or settings, is made anew: it is only a cache.
    """
    if path is None:
        return make()
    if path.is_file():
        try:
            kept = Negatives.load(path)
        except StoreError:
            kept = None
        if kept is not None and kept.fingerprint == fingerprint:
            return kept
    made = make()
    made.save(path)
    return made


def substituted(caption: str, position: int, word: str) -> str:
    """The caption with its word number `position` replaced.

    Examples:
        >>> substituted("A man plays a guitar.", 4, "drum")
        'A man plays a drum.'
    """
    old = words(caption)[position]
    return caption[: old.start] + word + caption[old.end :]


def slots(captions: Sequence[str], positions: Sequence[Sequence[int]]) -> tuple[Index, Index]:
    """`offsets [C + 1]` and `positions [S]` of the nouns of each caption.

    Raises:
        ValueError: not one list of positions a caption, or a position that is not a word of its caption.
    """
    if len(captions) != len(positions):
        raise ValueError(f"{len(captions)} captions, but positions of {len(positions)}; give one list a caption.")
    for caption, places in zip(captions, positions, strict=True):
        count = len(words(caption)) if places else 0
        if any(not 0 <= place < count for place in places):
            raise ValueError(f"Positions {list(places)} in a caption of {count} words: {caption!r}; they count from 0.")
    offsets = np.cumsum([0, *map(len, positions)], dtype=np.int32)
    return offsets, np.array([place for places in positions for place in places], dtype=np.int32)
