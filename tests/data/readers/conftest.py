"""What the tests of all readers share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from unboxed.data.dataset import Dataset


@pytest.fixture
def check_gold_boxes() -> Callable[[Dataset], None]:
    """Checks that a dataset has gold boxes if and only if its reader declares them."""

    def check(dataset: Dataset) -> None:
        examples = (example for name in dataset.split_names for example in dataset.split(name).examples)
        phrases = (phrase for example in examples for caption in example.captions for phrase in caption.phrases)
        assert any(len(phrase.boxes) for phrase in phrases) == bool(dataset.reader.gold_boxes)

    return check
