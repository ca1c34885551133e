"""Images and captions that `Grounder` is given: what is no list, or an empty one, is refused with the fix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import unboxed
from unboxed.errors import CaptionError, ImageError, UnboxedError
from unboxed.inference.arguments import as_captions, as_images
from unboxed.inference.grounder import Grounder
from unboxed.types import Caption

PIXELS = np.zeros((40, 60, 3), np.uint8)


@pytest.fixture(scope="module")
def grounder(tiny_run: Path) -> Grounder:
    return unboxed.load(tiny_run)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda g: g.encode_images([]), ImageError, "no images; give at least one"),
        (lambda g: g.encode_captions([]), CaptionError, "no captions; give at least one"),
        (lambda g: g.similarity([PIXELS], []), CaptionError, "no captions"),
        (lambda g: g.attention([], ["a box"]), ImageError, "no images"),
        (lambda g: g.encode_captions("a box"), CaptionError, r"are one caption, 'a box'; give a list"),
        (lambda g: g.score([PIXELS], Caption("a box")), CaptionError, r"are one caption, 'a box'; give a list"),
        (lambda g: g.ground_batch([PIXELS], "a box"), CaptionError, "are one caption"),
        (lambda g: g.encode_images("a.png"), ImageError, "are one image; give a list"),
        (lambda g: g.retrieve("a box", PIXELS), ImageError, "are one image; give a list"),
        (lambda g: g.score(Image.fromarray(PIXELS), ["a box"]), ImageError, "are one image; give a list"),
        (lambda g: g.encode_captions([None]), CaptionError, "A caption is None; expected a text"),
        (lambda g: g.ground(PIXELS, None), CaptionError, "A caption is None; expected a text"),
        (lambda g: g.encode_images([torch.zeros(3, 4, 4)]), ImageError, "is a Tensor; expected a path, a PIL image"),
    ],
)
def test_what_is_refused(
    grounder: Grounder, call: Callable[[Grounder], Any], error: type[UnboxedError], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(grounder)


def test_iterators_arrays_of_images_and_empty_lists(grounder: Grounder) -> None:
    assert len(grounder.encode_images(image for image in [PIXELS, PIXELS]).regions.mask_BR) == 2
    assert len(grounder.encode_images(np.stack([PIXELS] * 3)).regions.mask_BR) == 3
    assert grounder.score(iter([PIXELS]), iter(["a box", "a red box"])).shape == (1, 2)
    assert grounder.score([], ["a box"]).shape == (0, 1) and grounder.score([PIXELS], []).shape == (1, 0)
    assert grounder.retrieve("a box", []) == grounder.ground_batch([], []) == as_images([]) == as_captions([]) == []


def test_paired_rows_need_a_caption_each(grounder: Grounder) -> None:
    images, captions = grounder.encode_images([PIXELS] * 3), grounder.encode_captions(["a box", "two boxes"])
    with pytest.raises(ValueError, match="3 images and 2 captions; paired, each image has one"):
        grounder.align(images, captions, paired=True)


def test_a_very_long_caption_is_encoded_word_by_word(grounder: Grounder) -> None:
    similarity_BCQR = grounder.similarity([PIXELS], ["a box", "a red box beside a dog " * 300])
    assert similarity_BCQR.shape[:2] == (1, 2) and similarity_BCQR.shape[2] >= 600
    assert not torch.isnan(similarity_BCQR).any()
