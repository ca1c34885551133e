"""Captions as arrays: word ids, content words, and the words of each phrase."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unboxed.text.phrases import content_mask, content_or_all
from unboxed.text.tokens import Vocabulary
from unboxed.types import Array, Caption

__all__ = ["EncodedCaption", "encode_caption"]


@dataclass(frozen=True, eq=False)
class EncodedCaption:
    """A caption of W words and P phrases as arrays.

    Attributes:
        caption: the caption itself.
        words: its W lower-cased words.
        spans: W character spans.
        tokens_W: word ids.
        content_W: True for the content words, which objectives contrast; all words of a caption without any.
        phrase_PW: True where word w overlaps phrase p.
        affinities: the semantic prior's rows `[E]` of its P phrases, which captions share; empty without a prior.
    """

    caption: Caption
    words: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    tokens_W: npt.NDArray[np.int64]
    content_W: npt.NDArray[np.bool_]
    phrase_PW: npt.NDArray[np.bool_]
    affinities: tuple[Array, ...] = ()

    def __len__(self) -> int:
        return len(self.words)

    def word_at(self, character: int) -> int:
        """The index of the word that contains a character; raises `ValueError` where there is none."""
        for index, (start, end) in enumerate(self.spans):
            if start <= character < end:
                return index
        raise ValueError(f"No word of {self.caption.text!r} contains character {character}.")


def encode_caption(
    caption: Caption, vocabulary: Vocabulary, affinity: Callable[[str], Array] | None = None
) -> EncodedCaption:
    """The arrays of a caption.

    Args:
        caption: the caption with its phrases.
        vocabulary: splits the caption into words; other words than its own get the id of `<unk>`.
        affinity: from a phrase to the semantic prior's row `[E]`: `SemanticPrior.affinity`.
    """
    found = vocabulary.tokenizer(caption.text)
    texts = tuple(word.text for word in found)
    spans = tuple((word.start, word.end) for word in found)
    phrase_spans = [(phrase.start, phrase.end) for phrase in caption.phrases]
    content_W = content_or_all(np.ones(len(found), dtype=bool), content_mask(found, phrase_spans))
    first_P, stop_P = np.array(phrase_spans, dtype=np.int64).reshape(-1, 2).T
    start_W, end_W = np.array(spans, dtype=np.int64).reshape(-1, 2).T
    phrase_PW = np.zeros((len(phrase_spans), len(spans)), dtype=bool)
    words_P = zip(np.searchsorted(end_W, first_P, "right"), np.searchsorted(start_W, stop_P, "left"), strict=True)
    for phrase_W, (first, stop) in zip(phrase_PW, words_P, strict=True):
        phrase_W[first:stop] = True
    return EncodedCaption(
        caption=caption,
        words=texts,
        spans=spans,
        tokens_W=np.array(vocabulary.encode(texts), dtype=np.int64),
        content_W=content_W,
        phrase_PW=phrase_PW,
        affinities=() if affinity is None else tuple(affinity(phrase.text) for phrase in caption.phrases),
    )
