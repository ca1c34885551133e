"""Which images and captions meet in a batch."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unboxed.data.sampler import epoch_batches


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
