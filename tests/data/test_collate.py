"""Who meets whom in a batch, and what padding leaves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.data.collate import GEOMETRY_WIDTH, epoch_batches, region_inputs


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


def test_region_inputs_of_one_box_by_hand() -> None:
    inputs = region_inputs(np.array([[0, 10, 50, 20]]), np.array([[7.0, 8.0]]), np.array([[0.25]]), 100, 20)
    expected = [7, 8, 0.5, 0, 0.5, 0.5, 1, 0.5, 0.5, 0.25, 0.5, np.hypot(0.25, 0.25)]
    assert inputs.shape == (1, 2 + 1 + GEOMETRY_WIDTH)
    assert inputs[0].tolist() == pytest.approx(expected)
