"""Captions with their nouns, and a language model of random probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from unboxed.negatives.base import CaptionNouns
from unboxed.types import Array


class TableLM:
    """A masked language model with random probabilities, seeded by the caption, the position and the word."""

    fingerprint = "table"

    def __init__(self, unknown: Sequence[str] = ()) -> None:
        self.unknown = set(unknown)

    def in_vocabulary(self, candidates: Sequence[str]) -> npt.NDArray[np.bool_]:
        return np.array([word not in self.unknown for word in candidates], dtype=bool)

    def log_probabilities(
        self, captions: Sequence[str], positions: Sequence[int], candidates: Sequence[str]
    ) -> tuple[Array, Array]:
        assert not self.unknown.intersection(candidates)
        table = np.array(
            [
                [np.random.default_rng([*f"{caption} {place} {word}".encode()]).normal(size=2) for word in candidates]
                for caption, place in zip(captions, positions, strict=True)
            ]
        )
        log_NV2 = table - np.log(np.exp(table).sum(axis=1, keepdims=True))
        return log_NV2[:, :, 0].astype(np.float32), log_NV2[:, :, 1].astype(np.float32)


@pytest.fixture
def nouns() -> CaptionNouns:
    """Five captions of three images."""
    return CaptionNouns.from_texts(
        [
            "A man plays a guitar.",
            "A guy with an instrument",
            "Two women ride horses on the beach.",
            "A woman on a horse",
            "A dog chases a ball in the park",
        ],
        [[1, 4], [1, 4], [1, 3, 6], [1, 4], [1, 4, 7]],
        ["music", "music", "beach", "beach", "park"],
    )


@pytest.fixture
def table_lm() -> TableLM:
    """Has every word in its vocabulary."""
    return TableLM()


@pytest.fixture
def lm_without_ball_and_guy() -> TableLM:
    """Has neither "ball" nor "guy" in its vocabulary."""
    return TableLM(unknown=["ball", "guy"])
