"""Substitutes for nouns of captions, what they are made from, and what makes them.

A *slot* is one noun of one caption. A source of negatives gives each slot a list of substitutes: words that could stand
in its place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from unboxed.errors import StoreError, plain_reason
from unboxed.runtime.tensor_digests import check_tensor_file
from unboxed.runtime.tensor_file import write_tensor_file
from unboxed.text.phrases import content_mask, head_noun
from unboxed.text.tokens import Word, words
from unboxed.types import Array, Caption, Phrase

__all__ = ["CaptionNouns", "MaskedLanguageModel", "NegativeSource", "Negatives", "Substitution"]

_FORMAT = "unboxed-negatives"
_VERSION = "1"

Index = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class CaptionNouns:
    """C captions and the nouns in them that get substitutes.

    Attributes:
        captions: C texts.
        words: the lower-cased words of each caption, as `unboxed.text.tokens.words` splits it.
        positions: the slots of each caption, as indices into its words.
        image_ids: the id of each caption's image.

    Raises:
        ValueError: lengths that differ, or a position that is not a word of its caption.
    """

    captions: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]
    positions: tuple[tuple[int, ...], ...]
    image_ids: tuple[str, ...]

    def __post_init__(self) -> None:
        count = len(self.captions)
        if len(self.positions) != count:
            raise ValueError(f"{count} captions, but positions of {len(self.positions)}; give one list a caption.")
        if len(self.image_ids) != count:
            raise ValueError(f"{count} captions, but images of {len(self.image_ids)}; give one image id a caption.")
        for caption, texts, places in zip(self.captions, self.words, self.positions, strict=True):
            if any(not 0 <= place < len(texts) for place in places):
                raise ValueError(
                    f"Positions {list(places)} in a caption of {len(texts)} words: {caption!r}; they count from 0."
                )

    @classmethod
    def from_texts(
        cls, captions: Sequence[str], positions: Sequence[Sequence[int]], image_ids: Sequence[str]
    ) -> CaptionNouns:
        """The nouns at `positions` of C bare captions.

        Args:
            captions: C texts.
            positions: C lists of indices into `unboxed.text.tokens.words(caption)`.
            image_ids: C ids of the captions' images.
        """
        return cls(
            captions=tuple(captions),
            words=tuple(tuple(word.text for word in words(caption)) for caption in captions),
            positions=tuple(tuple(int(place) for place in places) for places in positions),
            image_ids=tuple(image_ids),
        )

    @classmethod
    def from_captions(cls, captions: Sequence[Caption], image_ids: Sequence[str]) -> CaptionNouns:
        """The head nouns of the phrases of C captions, for models of any tokenizer; `image_ids` as in `from_texts`."""
        found = [words(caption.text) for caption in captions]
        return cls(
            captions=tuple(caption.text for caption in captions),
            words=tuple(tuple(word.text for word in texts) for texts in found),
            positions=tuple(_head_positions(*given) for given in zip(captions, found, strict=True)),
            image_ids=tuple(image_ids),
        )

    @cached_property
    def offsets(self) -> Index:
        """`[C + 1]`: the slots of caption c have the numbers `offsets[c]` to `offsets[c + 1] - 1`."""
        return np.cumsum([0, *map(len, self.positions)], dtype=np.int32)

    @cached_property
    def position_S(self) -> Index:
        """`[S]`: the word number of each slot within its caption."""
        return np.array([place for places in self.positions for place in places], dtype=np.int32)

    @cached_property
    def caption_of_S(self) -> Index:
        """`[S]`: the caption of each slot."""
        return np.repeat(np.arange(len(self.captions), dtype=np.int32), np.diff(self.offsets))

    def digest(self, *settings: Any) -> str:
        """SHA-256 of settings (JSON values) and of the captions, their nouns and images."""
        digest = hashlib.sha256(json.dumps(settings).encode())
        for caption, places, image_id in zip(self.captions, self.positions, self.image_ids, strict=True):
            digest.update(json.dumps([caption, places, image_id]).encode())
        return digest.hexdigest()


def _head_positions(caption: Caption, found: Sequence[Word]) -> tuple[int, ...]:
    """The last content word of each phrase that equals the phrase's head noun, each position once."""
    content_W = content_mask(found, [(phrase.start, phrase.end) for phrase in caption.phrases])
    positions: set[int] = set()
    for phrase in caption.phrases:
        head = head_noun(phrase.text)
        places = [w for w, word in enumerate(found) if content_W[w] and word.text == head and _overlap(word, phrase)]
        positions.update(places[-1:])
    return tuple(sorted(positions))


def _overlap(word: Word, phrase: Phrase) -> bool:
    return phrase.start < word.end and phrase.end > word.start


class NegativeSource(Protocol):
    """A way to choose substitutes; equal sources find equal substitutes for equal nouns."""

    def fingerprint(self, nouns: CaptionNouns) -> str:
        """What `find(nouns).fingerprint` will be, without finding anything."""
        ...

    def find(self, nouns: CaptionNouns, *, progress: bool = False) -> Negatives:
        """Substitutes for the nouns.

        Args:
            nouns: C captions with S slots.
            progress: show a bar where it takes long.
        """
        ...


class MaskedLanguageModel(Protocol):
    """A model that gives the probability of words at a place of a caption."""

    @property
    def fingerprint(self) -> str:
        """Equal for models that give equal probabilities."""
        ...

    def in_vocabulary(self, candidates: Sequence[str]) -> npt.NDArray[np.bool_]:
        """`[V]`: True for each lower-cased word that the model has a probability for."""
        ...

    def log_probabilities(
        self, captions: Sequence[str], positions: Sequence[int], candidates: Sequence[str]
    ) -> tuple[Array, Array]:
        """Log-probabilities of each candidate at one word of each caption.

        Args:
            captions: N captions. One that occurs several times is best given in consecutive rows.
            positions: N indices into `unboxed.text.tokens.words(caption)`.
            candidates: V words for which `in_vocabulary` is True.

        Returns:
            `log p [N, V]` with the word masked, and `log q [N, V]` with the word visible. Each row is normalized over
            the candidates.
        """
        ...


class Substitution(NamedTuple):
    """Words that could stand at one position of a caption, in place of the word there."""

    position: int
    words: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Negatives:
    """Substitutes for the S slots of C captions, caption by caption.

    Attributes:
        words: the vocabulary of substitutes, lower-cased.
        offsets: `[C + 1]`; the slots of caption c are rows `offsets[c]:offsets[c + 1]`.
        positions: `[S]` indices into `unboxed.text.tokens.words(caption)`.
        candidates: `[S, N]` indices into `words`, best first, each at most once a row; rows with fewer end in -1.
        fingerprint: equal for negatives of the same captions, nouns and settings.

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
        if not self._is_consistent():
            raise StoreError(
                f"Negatives whose parts do not agree: offsets {list(self.offsets.shape)}, positions "
                f"{list(self.positions.shape)}, candidates {list(self.candidates.shape)} of {len(self.words)} words; "
                "delete the file, and they are made anew."
            )

    def _is_consistent(self) -> bool:
        slots = len(self.positions)
        return (
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

    def __len__(self) -> int:
        """C, the number of captions."""
        return len(self.offsets) - 1

    def substitutions(self, caption: int) -> tuple[Substitution, ...]:
        """The slots of caption number `caption` that have a substitute, in reading order, with all of them."""
        rows = range(int(self.offsets[caption]), int(self.offsets[caption + 1]))
        found = (Substitution(int(self.positions[row]), self._texts(self.candidates[row])) for row in rows)
        return tuple(substitution for substitution in found if substitution.words)

    def sample(
        self, caption: int, generator: np.random.Generator, count: int, noun: np.random.Generator | None = None
    ) -> Substitution | None:
        """A random slot of a caption, and `count` of its substitutes without repeats.

        The sample depends on `generator` alone: one made from (seed, epoch, caption) gives a resumed run the samples
        of an uninterrupted one. A new sample in every epoch uses all nouns of a caption. The paper samples one noun a
        caption once, which `noun` made from (seed, caption) does.

        Args:
            caption: its index.
            generator: the source of randomness.
            count: 1 or more; a slot with fewer substitutes gives all of them.
            noun: another source of randomness for the choice of the slot; None: `generator`.

        Returns:
            The slot and its words in random order; None when no noun of the caption has a substitute.
        """
        rows = np.arange(self.offsets[caption], self.offsets[caption + 1])
        rows = rows[(self.candidates[rows] >= 0).any(axis=1)]
        if len(rows) == 0:
            return None
        row = int((generator if noun is None else noun).choice(rows))
        real = self.candidates[row][self.candidates[row] >= 0]
        sampled = generator.permutation(real)[:count]
        return Substitution(int(self.positions[row]), self._texts(sampled))

    def _texts(self, candidates: Index) -> tuple[str, ...]:
        return tuple(self.words[index] for index in candidates if index >= 0)

    def save(self, path: Path) -> None:
        """Write one safetensors file, atomically."""
        metadata = {
            "format": _FORMAT,
            "version": _VERSION,
            "fingerprint": self.fingerprint,
            "words": json.dumps(self.words, ensure_ascii=False),
        }
        arrays = {"offsets": self.offsets, "positions": self.positions, "candidates": self.candidates}
        write_tensor_file(path, arrays, metadata)

    @classmethod
    def load(cls, path: Path) -> Negatives:
        """The negatives in a file that `save` wrote.

        Raises:
            StoreError: a file that is missing, damaged or of another version.
        """
        try:
            check_tensor_file(path)
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != _FORMAT or metadata.get("version") != _VERSION:
                    raise StoreError(
                        f"{path} holds {metadata.get('format')!r} version {metadata.get('version')!r}, expected "
                        f"{_FORMAT!r} version {_VERSION!r}; delete it, and the negatives are made anew."
                    )
                listed = json.loads(metadata["words"])
                if not isinstance(listed, list) or not all(isinstance(word, str) for word in listed):
                    raise ValueError("its word list is not a list of words")
                arrays = {name: file.get_tensor(name) for name in ("offsets", "positions", "candidates")}
            return cls(tuple(listed), **arrays, fingerprint=metadata["fingerprint"])
        except (OSError, SafetensorError, KeyError, ValueError, OverflowError, RecursionError) as error:
            raise StoreError(
                f"Cannot read the negatives {path} ({plain_reason(error)}); delete the file, and they are made anew."
            ) from None
