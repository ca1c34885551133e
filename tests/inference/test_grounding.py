"""Captions grounded together beside each caption grounded alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unboxed
from unboxed.attention.points import covered_points
from unboxed.attention.ranking import Ranking, RegionTerms, phrase_scores, ranked_scores
from unboxed.data.dataset import load_dataset
from unboxed.inference import batching
from unboxed.inference.batching import caption_groups
from unboxed.inference.grounding import _whole_captions, ground_stream, ground_together
from unboxed.inference.results import Grounding
from unboxed.regions.store import RegionStore
from unboxed.text.encoding import encode_caption
from unboxed.text.phrases import given_phrases, noun_phrases
from unboxed.text.tokens import END, SPECIAL, START, Tokenizer, Vocabulary
from unboxed.types import Caption, Phrase


def assert_same(first: Grounding, second: Grounding) -> None:
    """The same up to the rounding of products of another size."""
    assert (first.caption, first.words, first.regions.boxes.shape) == (
        second.caption, second.words, second.regions.boxes.shape
    )  # fmt: skip
    np.testing.assert_allclose(first.attention_WR, second.attention_WR, atol=1e-6)
    for one, other in zip(first.phrases, second.phrases, strict=True):
        assert (one.text, one.start, one.end) == (other.text, other.start, other.end)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
        assert one.match == pytest.approx(other.match, abs=1e-4)
        clear = np.abs(np.diff(one.scores, prepend=np.inf, append=-np.inf)) > 1e-4  # elsewhere order is rounding
        np.testing.assert_array_equal(one.boxes[clear[:-1] & clear[1:]], other.boxes[clear[:-1] & clear[1:]])


@pytest.mark.parametrize("captions_at_once", [1, 7, 1000])
def test_images_grounded_together_are_grounded_as_alone(
    tiny_run: Path, tiny_dataset: Path, captions_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "_CAPTIONS", captions_at_once)
    grounder, store = unboxed.load(tiny_run), RegionStore.open(tiny_run / "store")
    images = []
    for number, example in enumerate(load_dataset(tiny_dataset).split("train").examples[:6]):
        regions = store[example.image_id][: 5 + 3 * number]  # of unequal numbers
        images.append((regions, example.captions[: number % 4]))
    odd = Caption("A dog — ! — runs.", (Phrase("!", 8, 9), Phrase("A dog", 0, 5)))  # a phrase without a word
    bare = Caption("A dog runs.")
    images.append((images[0][0], (odd, bare)))

    together = list(ground_stream(grounder.parts, images))

    assert [len(own) for own in together] == [len(captions) for _, captions in images]
    for (regions, captions), groundings in zip(images, together, strict=True):
        for caption, grounding in zip(captions, groundings, strict=True):
            assert_same(grounding, grounder.ground_regions(regions, [caption])[0])
            assert not any(phrase.boxes.flags.writeable for phrase in grounding.phrases)


def test_equal_scores_are_ordered_by_their_boxes(tiny_run: Path, tiny_dataset: Path) -> None:
    grounder, store = unboxed.load(tiny_run), RegionStore.open(tiny_run / "store")
    example = load_dataset(tiny_dataset).split("train").examples[0]
    regions = store[example.image_id]
    rng, twice = np.random.default_rng(0), np.repeat(np.arange(len(regions)), 2)  # each region has an equal one
    expected = grounder.ground_regions(regions[twice], example.captions)
    for _ in range(3):
        shuffled = grounder.ground_regions(regions[rng.permutation(twice)], example.captions)
        for one, other in zip(expected, shuffled, strict=True):
            for phrase, same in zip(one.phrases, other.phrases, strict=True):
                np.testing.assert_allclose(phrase.scores, same.scores, atol=1e-5)
                np.testing.assert_array_equal(phrase.boxes, same.boxes)
                assert (np.diff(same.scores) <= 0).all()


def test_two_threads_ground_as_one(tiny_run: Path, tiny_dataset: Path) -> None:
    grounder, store = unboxed.load(tiny_run), RegionStore.open(tiny_run / "store")
    example = load_dataset(tiny_dataset).split("train").examples[0]
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(grounder.ground_regions(store[example.image_id], example.captions)[0])
    finally:
        torch.set_num_threads(before)
    for one, other in zip(found[0].phrases, found[1].phrases, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
        np.testing.assert_array_equal(one.boxes, other.boxes)


def test_the_steps_for_a_caption_are_linear_in_its_words(tiny_run: Path) -> None:
    grounder = unboxed.load(tiny_run)
    store = RegionStore.open(tiny_run / "store")
    regions = store[next(iter(store))][:5]

    def steps(repeats: int) -> int:
        counted = 0

        def count(*_: object) -> None:
            nonlocal counted
            counted += 1

        text = "a man with a red box and a boy playing a guitar " * repeats
        sys.setprofile(count)
        try:
            grounder.ground_regions(regions, [Caption(text, noun_phrases(text))])
        finally:
            sys.setprofile(None)
        return counted

    steps(1)  # what is done once
    first, second, third = (steps(repeats) for repeats in (10, 50, 90))  # 990 words
    assert third - second == pytest.approx(second - first, rel=0.05)


def test_phrases_of_a_long_caption_are_scored_with_their_own_words(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All phrases with all words would take memory with the square of the words: gigabytes for 5,000."""
    grounder, store = unboxed.load(tiny_run), RegionStore.open(tiny_run / "store")
    regions = store[next(iter(store))]
    text = "a man with a red box and a boy playing a guitar " * 10
    captions = [Caption(text, noun_phrases(text)), given_phrases("A dog runs.", "A dog")]
    expected = grounder.ground_regions(regions, captions)
    sizes = []

    def scored(attention_CQR: torch.Tensor, *arguments: Any) -> torch.Tensor:
        sizes.append(arguments[1].numel())  # phrases x queries
        return phrase_scores(attention_CQR, *arguments)

    monkeypatch.setattr("unboxed.inference.phrase_boxes.phrase_scores", scored)
    monkeypatch.setattr("unboxed.inference.phrase_boxes._LARGEST", 1)
    found = grounder.ground_regions(regions, captions)
    assert len(sizes) == len(captions[0].phrases) and max(sizes) <= 2 * 8
    for one, other in zip(expected, found, strict=True):
        for phrase, same in zip(one.phrases, other.phrases, strict=True):
            np.testing.assert_allclose(phrase.scores, same.scores, atol=1e-6)
            np.testing.assert_array_equal(phrase.boxes, same.boxes)


def test_captions_of_an_image_agree_on_equal_head_nouns(tiny_run: Path, tiny_dataset: Path) -> None:
    grounder, store = unboxed.load(tiny_run), RegionStore.open(tiny_run / "store")
    options = grounder.config.options
    rule = replace(options.ranking, consensus=1e6, expected_overlap=False)
    grounder.config = replace(grounder.config, options=replace(options, ranking=rule))
    first, second = (store[example.image_id] for example in load_dataset(tiny_dataset).split("train").examples[:2])
    captions = [
        given_phrases("A dog runs by a tree.", "A dog, a tree"),
        given_phrases("The big dogs sleep.", "The big dogs"),
    ]

    alone = [grounder.ground_regions(first, [caption])[0] for caption in captions]
    together, of_other = ground_together(grounder.parts, [first, second], [captions, captions])

    # Nearly all weight is on the other caption's phrase; the tree has no other mention, and other images none of this.
    np.testing.assert_allclose(together[0].phrases[0].scores, alone[1].phrases[0].scores, atol=1e-4)
    np.testing.assert_allclose(together[1].phrases[0].scores, alone[0].phrases[0].scores, atol=1e-4)
    np.testing.assert_allclose(together[0].phrases[1].scores, alone[0].phrases[1].scores, atol=1e-4)
    other = grounder.ground_regions(second, [captions[1]])[0]
    np.testing.assert_allclose(of_other[0].phrases[0].scores, other.phrases[0].scores, atol=1e-4)


def test_phrases_are_pointed_at_where_their_regions_most_probably_are(tiny_run: Path, tiny_dataset: Path) -> None:
    grounder, store = unboxed.load(tiny_run), RegionStore.open(tiny_run / "store")
    options = grounder.config.options
    example = load_dataset(tiny_dataset).split("train").examples[0]
    regions = store[example.image_id]
    centred = grounder.ground_regions(regions, example.captions)[0].phrases
    rule = replace(options.ranking, expected_overlap=False, point="covered")
    grounder.config = replace(grounder.config, options=replace(options, ranking=rule))
    covered = grounder.ground_regions(regions, example.captions)[0].phrases

    assert all(phrase.point is None for phrase in centred)
    for phrase in covered:  # without the expected overlap, scores are probabilities
        np.testing.assert_allclose(phrase.point, covered_points(phrase.scores[None], phrase.boxes)[0], rtol=1e-4)


@pytest.mark.parametrize("ranking", [Ranking(value_weight=0.3, confidence_weight=1, area_weight=0.25), Ranking.plain()])
def test_padded_phrases_and_regions_take_no_part_in_a_ranking(ranking: Ranking) -> None:
    rng = torch.Generator().manual_seed(0)
    shapes = ((2, 3, 4), (4, 6, 7), (1, 2, 3))  # phrases, queries, regions of three captions

    def drawn(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=rng)

    alone, parts = [], []
    for phrases, queries, regions in shapes:
        attention, value = drawn(queries, regions).softmax(dim=1), drawn(queries, regions)
        member, content = drawn(phrases, queries) > 0.5, drawn(queries) > 0.5
        member[:, 0] = True
        overlap, sure, prior = drawn(regions, regions), drawn(regions), drawn(phrases, regions)
        area = 100 * drawn(regions)
        scores = phrase_scores(attention, value, member, content, ranking)
        alone.append(ranked_scores(scores, RegionTerms(overlap, sure, area), ranking, prior))
        real = (torch.ones(phrases, dtype=torch.bool), torch.ones(regions, dtype=torch.bool))
        parts.append((attention, value, member, content, overlap, sure, area, prior, *real))

    attention, value, member, content, *terms, prior, mask_P, mask_R = map(_padded, zip(*parts, strict=True))
    member[..., 0] = True  # as padded phrases have it
    scores = phrase_scores(attention, value, member, content, ranking)
    together = ranked_scores(scores, RegionTerms(*terms, mask_R), ranking, prior, mask_P)
    for own, row, (phrases, _, regions) in zip(alone, together, shapes, strict=True):
        torch.testing.assert_close(row[:phrases, :regions], own)


def _padded(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    shape = [max(sizes) for sizes in zip(*(part.shape for part in parts), strict=True)]
    padded = parts[0].new_zeros(len(parts), *shape)
    for row, part in zip(padded, parts, strict=True):
        row[tuple(slice(size) for size in part.shape)] = part
    return padded


@pytest.mark.parametrize("start_end_words", [False, True])
def test_a_phrase_that_is_a_whole_caption_is_one_also_between_start_and_end(start_end_words: bool) -> None:
    vocabulary = Vocabulary((*SPECIAL, START, END, "red", "box"), Tokenizer(start_end_words=start_end_words))
    for text, whole in {"red box": True, "a red box": False}.items():
        assert _whole_captions(encode_caption(given_phrases(text, "red box"), vocabulary)) == [whole]


def test_images_without_captions_fill_groups_too() -> None:
    assert [len(group) for group in caption_groups([0] * 300, lambda count: count)] == [128, 128, 44]
