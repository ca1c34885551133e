"""Random substitutes: their frequencies, the seed, what is never chosen."""

from __future__ import annotations

import numpy as np

from unboxed.negatives.base import CaptionNouns
from unboxed.negatives.random_words import RandomWords


def test_they_follow_the_frequency_of_the_nouns() -> None:
    captions = ["a dog"] * 60 + ["a cat"] * 30 + ["a cow"] * 10 + ["a pig"] * 2000
    images = [str(index) for index in range(len(captions))]
    nouns = CaptionNouns.from_texts(captions, [[1]] * len(captions), images)
    negatives = RandomWords(count=1, seed=3).find(nouns)
    sampled = [negatives.substitutions(index)[0].words[0] for index in range(100, len(captions))]
    shares = [sampled.count(word) / len(sampled) for word in ("dog", "cat", "cow")]
    np.testing.assert_allclose(shares, [0.6, 0.3, 0.1], atol=0.04)  # “pig” is the noun itself


def test_they_depend_on_the_nouns_and_the_seed_alone(nouns: CaptionNouns) -> None:
    one, same, other = (RandomWords(seed=seed).find(nouns) for seed in (1, 1, 2))
    assert np.array_equal(one.candidates, same.candidates)
    assert not np.array_equal(one.candidates, other.candidates)
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_captions_without_nouns_have_none() -> None:
    assert len(RandomWords().find(CaptionNouns.from_texts(["running"], [[]], ["x"]))) == 1
    assert len(RandomWords().find(CaptionNouns.from_texts([], [], []))) == 0
