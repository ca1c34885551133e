"""Which images and captions meet in a batch, and what padding leaves: the rows of each, and zeros."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unboxed.data.batches import (
    GEOMETRY_WIDTH,
    caption_batches,
    collate_captions,
    collate_images,
    epoch_batches,
    region_inputs,
)
from unboxed.text.encoding import EncodedCaption
from unboxed.types import Caption


@given(counts=st.lists(st.integers(1, 6), min_size=1, max_size=7), width=st.integers(0, 3), seed=st.integers(0, 99))
def test_images_are_padded_with_zeros_behind_their_rows(counts: list[int], width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = [rng.random((count, 3 + GEOMETRY_WIDTH), np.float32) for count in counts]
    scores = [rng.random((count, width), np.float32) for count in counts]
    batch = collate_images(inputs, scores if width else None)
    assert len(batch) == len(counts)
    assert batch.inputs_BRV.shape[1] == max(counts)
    assert batch.mask_BR.sum(dim=1).tolist() == counts
    for b, count in enumerate(counts):
        np.testing.assert_array_equal(batch.inputs_BRV[b, :count], inputs[b])
        np.testing.assert_array_equal(batch.edges_BR4[b, :count], inputs[b][:, 3:7])
        np.testing.assert_array_equal(batch.class_score_BRE[b, :count], scores[b])
        assert not batch.inputs_BRV[b, count:].any() and not batch.class_score_BRE[b, count:].any()


@st.composite
def encoded_captions(draw: st.DrawFn) -> EncodedCaption:
    words, phrases = draw(st.integers(1, 5)), draw(st.integers(0, 3))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return EncodedCaption(
        caption=Caption("w"),
        words=("w",) * words,
        spans=((0, 1),) * words,
        tokens_W=rng.integers(1, 9, words),
        content_W=rng.random(words) < 0.5,
        phrase_PW=rng.random((phrases, words)) < 0.5,
        affinities=tuple(rng.random((phrases, 4), np.float32)),
    )


@given(captions=st.lists(encoded_captions(), min_size=1, max_size=5), width=st.sampled_from([0, 4]))
def test_captions_are_padded_with_zeros_behind_their_words(captions: list[EncodedCaption], width: int) -> None:
    batch = collate_captions(captions, prior_width=width)
    assert len(batch) == len(captions)
    assert batch.mask_CW.sum(dim=1).tolist() == [len(caption) for caption in captions]
    assert batch.affinity_CPE.shape[2] == width
    assert batch.slot_C.tolist() == [-1] * len(captions) and batch.substitutes_CN.shape[1] == 0
    for c, caption in enumerate(captions):
        phrases, words = caption.phrase_PW.shape
        np.testing.assert_array_equal(batch.tokens_CW[c, :words], caption.tokens_W)
        np.testing.assert_array_equal(batch.content_CW[c, :words], caption.content_W)
        np.testing.assert_array_equal(batch.phrase_CPW[c, :phrases, :words], caption.phrase_PW)
        assert not batch.tokens_CW[c, words:].any() and not batch.phrase_CPW[c, phrases:].any()
        assert not batch.phrase_CPW[c, :, words:].any()
        if width and phrases:
            np.testing.assert_array_equal(batch.affinity_CPE[c, :phrases], caption.affinities)


def test_a_caption_without_substitutes_has_none_beside_one_that_has_some() -> None:
    caption = EncodedCaption(
        Caption("w"), ("w", "w"), ((0, 1), (0, 1)), np.array([3, 4]), np.ones(2, bool), np.ones((1, 2), bool)
    )
    batch = collate_captions([caption, caption], slots=[-1, 1], substitutes=[np.array([], int), np.array([7, 8])])
    assert batch.slot_C.tolist() == [-1, 1]
    assert batch.substitutes_CN.tolist() == [[0, 0], [7, 8]]


def test_a_batch_moves_to_a_device_with_all_its_tensors() -> None:
    batch = collate_images([np.ones((2, GEOMETRY_WIDTH), np.float32)]).to("meta")
    assert {value.device.type for value in vars(batch).values() if isinstance(value, torch.Tensor)} == {"meta"}


def test_region_inputs_of_one_box_by_hand() -> None:
    boxes, features, class_probs = np.array([[0, 10, 50, 20]]), np.array([[7.0, 8.0]]), np.array([[0.25]])
    regions = SimpleNamespace(boxes=boxes, features=features, class_probs=class_probs, width=100, height=20)
    inputs = region_inputs(regions)
    expected = [7, 8, 0.5, 0, 0.5, 0.5, 1, 0.5, 0.5, 0.25, 0.5, np.hypot(0.25, 0.25)]
    assert inputs.shape == (1, 2 + 1 + GEOMETRY_WIDTH)
    assert inputs[0].tolist() == pytest.approx(expected)


@given(
    counts=st.lists(st.integers(1, 6), min_size=2, max_size=30),
    images=st.integers(2, 7),
    captions=st.integers(1, 4),
    seed=st.integers(0, 100),
)
def test_an_epoch_holds_every_caption_once_and_no_image_twice_in_a_batch(
    counts: list[int], images: int, captions: int, seed: int
) -> None:
    batches = epoch_batches(counts, images, captions, np.random.default_rng(seed))
    seen = [(image, number) for batch in batches for image, numbers in batch for number in numbers]
    assert len(set(seen)) == len(seen)
    second_most = sorted(counts)[-2]
    turns = -(-second_most // captions)  # after these turns, at most one image has captions left, alone
    for image, count in enumerate(counts):
        assert sum(other == image for other, _ in seen) == min(count, turns * captions)
    for batch in batches:
        assert len({image for image, _ in batch}) == len(batch)
        assert 2 <= len(batch) <= images + 1
        assert all(len(numbers) <= captions for _, numbers in batch)


@given(counts=st.lists(st.integers(1, 6), min_size=2, max_size=30), size=st.integers(2, 9), seed=st.integers(0, 100))
def test_an_epoch_of_captions_holds_every_caption_once_in_full_batches(counts: list[int], size: int, seed: int) -> None:
    batches = caption_batches(counts, size, np.random.default_rng(seed))
    seen = [(image, number) for batch in batches for image, (number,) in batch]
    every = {(image, number) for image, count in enumerate(counts) for number in range(count)}
    assert len(set(seen)) == len(seen) and set(seen) <= every
    assert len(every) - len(seen) == (len(every) % size == 1)  # one pair alone has nothing to contrast
    assert all(len(batch) == size for batch in batches[:-1])


def test_captions_drawn_with_replacement_fill_every_batch_and_differ_by_chance() -> None:
    batches = caption_batches([5, 1, 5], 8, np.random.default_rng(0), 100)
    assert [len(batch) for batch in batches] == [8] * 100
    seen = [(image, number) for batch in batches for image, (number,) in batch]
    times = [seen.count((image, number)) for image, count in enumerate([5, 1, 5]) for number in range(count)]
    assert sum(times) == 800 and min(times) > 40 and max(times) < 110  # 73 expected of each of the 11
