"""Nouns of captions and their substitutes: what is refused, sampling, the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from unboxed.errors import StoreError
from unboxed.negatives.base import CaptionNouns, MaskedLanguageModel, Negatives
from unboxed.negatives.substitution import LanguageModelWords, SubstitutionSettings
from unboxed.text.phrases import noun_phrases
from unboxed.types import Caption, Phrase


def test_slots_are_numbered_caption_by_caption(nouns: CaptionNouns) -> None:
    assert nouns.offsets.tolist() == [0, 2, 4, 7, 9, 12]
    assert nouns.caption_of_S.tolist() == [0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4]
    found = [nouns.words[c][w] for c, w in zip(nouns.caption_of_S, nouns.position_S, strict=True)]
    assert found[:7] == ["man", "guitar", "guy", "instrument", "women", "horses", "beach"]


def test_the_slots_of_captions_are_the_head_nouns_of_their_phrases() -> None:
    texts = ["A man in a red shirt sees a man near a group of dogs.", "They see him on a bike"]
    captions = [Caption(text, noun_phrases(text)) for text in texts]
    nouns = CaptionNouns.from_captions(captions, ["a", "b"])
    assert [[nouns.words[c][w] for w in places] for c, places in enumerate(nouns.positions)] == [
        ["man", "shirt", "man", "dogs"],
        ["bike"],  # a pronoun is no noun
    ]
    assert nouns.captions == tuple(texts)


def test_a_head_noun_that_the_phrase_cuts_has_no_slot() -> None:
    caption = Caption("a T-shirt", (Phrase("a T", 0, 3),))
    assert CaptionNouns.from_captions([caption], ["a"]).positions == ((),)


def test_positions_and_images_must_fit_the_captions() -> None:
    with pytest.raises(ValueError, match="caption of 2 words"):
        CaptionNouns.from_texts(["a dog"], [[2]], ["x"])
    with pytest.raises(ValueError, match="one list a caption"):
        CaptionNouns.from_texts(["a dog"], [], ["x"])
    with pytest.raises(ValueError, match="one image id a caption"):
        CaptionNouns.from_texts(["a dog"], [[1]], [])


def test_the_digest_depends_on_settings_captions_nouns_and_images(nouns: CaptionNouns) -> None:
    captions, positions, images = nouns.captions, nouns.positions, nouns.image_ids
    others = [
        CaptionNouns.from_texts((*captions[:-1], "A dog chases a ball in the lake"), positions, images),
        CaptionNouns.from_texts(captions, ((1,), *positions[1:]), images),
        CaptionNouns.from_texts(captions, positions, ("other", *images[1:])),
    ]
    digests = {nouns.digest("a", 1), nouns.digest("a", 2), *(other.digest("a", 1) for other in others)}
    assert len(digests) == 5
    assert CaptionNouns.from_texts(captions, positions, images).digest("a", 1) in digests


def test_equal_generators_give_equal_samples_that_reach_every_noun_and_substitute(
    nouns: CaptionNouns, table_lm: MaskedLanguageModel
) -> None:
    negatives = LanguageModelWords(table_lm, SubstitutionSettings(pool=4, keep=3)).find(nouns)
    samples = [negatives.sample(4, np.random.default_rng((0, epoch, 4)), 2) for epoch in range(200)]
    assert samples == [negatives.sample(4, np.random.default_rng((0, epoch, 4)), 2) for epoch in range(200)]
    for position, best in negatives.substitutions(4):
        reached = {word for sample in samples if sample and sample.position == position for word in sample.words}
        assert reached == set(best)
    assert all(sample is not None and len(set(sample.words)) == 2 for sample in samples)
    everything = negatives.sample(4, np.random.default_rng(0), 100)
    assert everything is not None and len(everything.words) == 3


def test_a_fixed_noun_stays_while_its_substitutes_are_sampled_anew(
    nouns: CaptionNouns, table_lm: MaskedLanguageModel
) -> None:
    negatives = LanguageModelWords(table_lm, SubstitutionSettings(pool=4, keep=3)).find(nouns)
    assert len(negatives.substitutions(4)) > 1

    def samples(seed: int) -> list[tuple[int, tuple[str, ...]]]:
        found = []
        for epoch in range(50):
            noun = np.random.default_rng((seed, 4))
            sample = negatives.sample(4, np.random.default_rng((0, epoch, 4)), 2, noun)
            assert sample is not None
            found.append((sample.position, tuple(sample.words)))
        return found

    assert len({position for position, _ in samples(0)}) == 1
    assert len({words for _, words in samples(0)}) > 1
    # Another seed may choose another noun: all are reached.
    assert {samples(seed)[0][0] for seed in range(30)} == {position for position, _ in negatives.substitutions(4)}


def test_the_file_gives_them_back(nouns: CaptionNouns, table_lm: MaskedLanguageModel, tmp_path: Path) -> None:
    negatives = LanguageModelWords(table_lm).find(nouns)
    negatives.save(tmp_path / "run" / "negatives.safetensors")
    loaded = Negatives.load(tmp_path / "run" / "negatives.safetensors")
    assert (loaded.words, loaded.fingerprint) == (negatives.words, negatives.fingerprint)
    for name in ("offsets", "positions", "candidates"):
        assert np.array_equal(getattr(loaded, name), getattr(negatives, name))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["negatives.safetensors"]


def test_a_damaged_file_is_a_store_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "negatives.safetensors"
    with pytest.raises(StoreError, match="Cannot read"):
        Negatives.load(path)
    path.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{nonsense")
    with pytest.raises(StoreError, match=r"negatives\.safetensors"):
        Negatives.load(path)
    save_file({"offsets": np.zeros(1, np.int32)}, path, {"format": "something else"})
    with pytest.raises(StoreError, match="something else"):
        Negatives.load(path)
    metadata = {"format": "unboxed-negatives", "version": "1", "fingerprint": "", "words": '"dog"'}
    save_file({"offsets": np.zeros(1, np.int32)}, path, metadata)
    with pytest.raises(StoreError, match="not a list of words"):
        Negatives.load(path)
    with pytest.raises(StoreError, match="do not agree"):
        Negatives(("dog",), np.array([0, 1]), np.array([0]), np.array([[1]]))
