"""The order in which labelled images are reviewed, and the precision that is estimated from the checked ones."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unboxed.export.corrections import CorrectedImage, Correction, apply
from unboxed.export.label_precision import CHECKED_IMAGES, precision
from unboxed.export.labels import LabelledBox, LabelledImage, Mention
from unboxed.export.review_order import order_for_review


def _image(name: str, *boxes: tuple[str, float | None]) -> LabelledImage:
    made = [
        LabelledBox(category, (0, 0, 9, 9), 0.5, Mention(category, 0, len(category), category), confidence=confidence)
        for category, confidence in boxes
    ]
    return LabelledImage(name, 10, 10, (), tuple(made))


def test_uncertain_images_of_different_names_come_first() -> None:
    images = [
        _image("sure", ("dog", 0.99)),
        _image("doubtful", ("dog", 0.55)),
        _image("also doubtful", ("dog", 0.56)),
        _image("another name", ("cat", 0.7)),
        _image("empty"),
    ]
    assert [images[i].name for i in order_for_review(images)] == [
        "doubtful", "another name", "also doubtful", "sure", "empty",
    ]  # fmt: skip


@given(st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.floats(0.5, 1)), max_size=3), max_size=30))
def test_the_order_has_every_image_once_and_those_without_boxes_last(
    boxes: list[list[tuple[str, float | None]]],
) -> None:
    images = [_image(str(number), *found) for number, found in enumerate(boxes)]
    order = order_for_review(images)
    assert sorted(order) == list(range(len(images))) and order == order_for_review(images)
    filled = [bool(images[i].boxes) for i in order]
    assert filled == sorted(filled, reverse=True)


def test_the_order_is_that_of_a_search_through_all_images() -> None:
    rng = np.random.default_rng(3)
    images = [
        _image(str(i), *((str(rng.integers(4)), float(rng.uniform(0.5, 1))) for _ in range(rng.integers(1, 4))))
        for i in range(60)
    ]
    order = order_for_review(images)
    seen: dict[str, int] = {}
    for place, i in enumerate(order):
        worth = {
            j: sum((2 - 2 * b.confidence) / (1 + seen.get(b.category, 0)) for b in images[j].boxes if b.confidence)
            / len(images[j].boxes) ** 0.5
            for j in order[place:]
        }
        if place % 5 != 4:  # the fifth ones are random
            assert np.isclose(worth[i], max(worth.values()))
        for box in images[i].boxes:
            seen[box.category] = seen.get(box.category, 0) + 1


def _checked(images: list[LabelledImage], wrong: np.ndarray) -> dict[str, CorrectedImage]:
    states = {}
    for image, is_wrong in zip(images, wrong, strict=True):
        state = apply(CorrectedImage.start(image), Correction("check"))
        states[image.name] = apply(state, Correction("reject", 0)) if is_wrong else state
    return states


def test_the_interval_has_the_true_precision_although_the_doubtful_images_are_checked_first() -> None:
    """The probability that a box is wrong is 1 - p. Counting the checked boxes alone would be far too low."""
    rng = np.random.default_rng(0)
    inside, plain = 0, []
    for _ in range(10):
        p = rng.uniform(0.5, 1, 250)
        images = [_image(str(i), ("dog", float(certainty))) for i, certainty in enumerate(p)]
        wrong = rng.uniform(size=250) > p
        first = order_for_review(images)[:100]
        found = precision(images, _checked([images[i] for i in first], wrong[first]))
        assert found is not None and (found.boxes, found.images) == (100, 100)
        inside += found.low <= 1 - wrong.mean() <= found.high
        plain.append(wrong.mean() - wrong[first].mean())
    assert inside >= 8
    assert np.mean(plain) < -0.05


def test_a_box_is_wrong_if_it_was_rejected_deleted_renamed_or_moved_far() -> None:
    image = _image("7", *[("dog", 0.9)] * 6)
    state = apply(CorrectedImage.start(image), Correction("check"))
    assert precision([image], {"7": state}) is not None and precision([image], {}) is None
    before = precision([image], {"7": state})
    for change, good in [
        (Correction("accept", 0), True),
        (Correction("move", 0, (0, 0, 9, 8)), True),
        (Correction("move", 0, (0, 0, 3, 3)), False),
        (Correction("rename", 0, text="cat"), False),
        (Correction("phrase", 0, text="a dog"), True),
        (Correction("reject", 0), False),
        (Correction("delete", 0), False),
        (Correction("add", edges=(0, 0, 5, 5), text="cat"), True),
    ]:
        after = precision([image], {"7": apply(state, change)})
        assert after is not None and before is not None
        assert (after.value < before.value) == (not good) and after.boxes == 6


def test_before_enough_images_are_checked_there_is_no_estimate() -> None:
    images = [_image(str(number), ("dog", 0.9)) for number in range(CHECKED_IMAGES + 5)]
    none_wrong = np.zeros(CHECKED_IMAGES, bool)
    assert precision(images, _checked(images[: CHECKED_IMAGES - 1], none_wrong[1:])) is None
    found = precision(images, _checked(images[:CHECKED_IMAGES], none_wrong))
    assert found is not None and found.low < 0.98 < found.high
    assert str(found).endswith("of all boxes, from 50 boxes of 50 images")
