"""The values that pass between the parts check themselves, and cannot be changed behind anyone's back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from unboxed.errors import CaptionError, RegionsError
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.types import Caption, Phrase, Regions


def _regions(count: int = 3, **changes: object) -> Regions:
    values: dict[str, object] = {
        "boxes": np.arange(count * 4).reshape(count, 4),
        "scores": np.linspace(1, 0.5, count),
        "features": np.zeros((count, 5)),
        "class_probs": np.tile([0.2, 0.7], (count, 1)),
        "class_names": ("cat", "dog"),
        "sources": ("detector",) * count,
        "width": 20,
        "height": 10,
    }
    return Regions(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "keep",
    [[2, 0], np.array([True, False, True]), slice(1, None), np.array([], np.intp)],
    ids=["list", "mask", "slice", "none"],
)
def test_regions_are_chosen_in_parallel(keep: object) -> None:
    chosen, index = _regions()[keep], np.arange(3)[keep]  # type: ignore[index]
    assert len(chosen) == len(index)
    assert chosen.boxes.tolist() == _regions().boxes[index].tolist()
    assert chosen.features.shape == (len(index), 5)
    assert chosen.names == ("dog",) * len(index)


def test_no_regions_at_all_are_regions() -> None:
    empty = _regions(0, boxes=[], scores=[], features=[], class_probs=[], class_names=())
    assert (len(empty), empty.boxes.shape, empty.features.shape, empty.names) == (0, (0, 4), (0, 0), ())


def test_a_region_of_no_class_has_no_name() -> None:
    assert _regions(1, class_probs=[[0, 0]]).names == ("",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": np.zeros((3, 5))}, r"Regions.boxes has shape \[3, 5\], expected \[3, 4\]"),
        ({"scores": np.zeros(2)}, r"Regions.scores has shape \[2\], expected \[3\]"),
        ({"class_probs": np.zeros((3, 1))}, r"Regions.class_probs has shape"),
        ({"features": np.full((3, 1), np.nan)}, "Regions.features holds NaN"),
        ({"width": 0}, "0 x 10 pixels"),
    ],
)
def test_regions_that_do_not_agree_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RegionsError, match=message):
        _regions(**changes)


def test_values_cannot_be_changed() -> None:
    given = np.zeros((3, 4), np.float32)
    regions = _regions(boxes=given)
    given[:] = 7
    assert regions.boxes.max() == 0, "a copy, not a view of what was given"
    with pytest.raises(ValueError, match="read-only"):
        regions.boxes[0, 0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        regions.width = 5  # type: ignore[misc]


def test_a_caption_needs_a_word() -> None:
    for text in ("", " . ", "—"):
        with pytest.raises(CaptionError, match="has no words; give it at least one"):
            Caption(text)


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (0, 99), (3, 3), (5, 2)])
def test_a_span_outside_its_caption_is_refused(start: int, end: int) -> None:
    with pytest.raises(CaptionError, match="outside its caption of 11 characters"):
        Caption("A man sits.", (Phrase("A man", start, end),))


def test_a_phrase_says_what_its_span_says() -> None:
    with pytest.raises(CaptionError, match=r"is not what characters 2\.\.7 of the caption say"):
        Caption("A man sits.", (Phrase("A man", 2, 7),))


def test_a_grounding_as_plain_values() -> None:
    phrase = GroundedPhrase("A man", 0, 5, np.array([[0, 0, 4, 4], [1, 1, 2, 2.126]]), np.array([0.9, 0.1]))
    grounding = Grounding("A man", (phrase,), ((0, 1), (2, 5)), _regions(), np.zeros((2, 3), np.float32), 20, 10)
    assert grounding.to_dict(top=1) == {
        "phrases": [
            {
                "text": "A man",
                "start": 0,
                "end": 5,
                "boxes": [[0, 0, 4, 4]],
                "scores": [0.9],
                "set": [[0, 0, 4, 4]],
                "confidence": None,
                "present": True,
                "unknown": [],
            }
        ]
    }
    assert [dataclasses.replace(phrase, confidence=told).present for told in (None, 0.6, 0.4)] == [True, True, False]
    assert grounding.to_dict()["phrases"][0]["boxes"][1] == [1, 1, 2, 2.13]  # type: ignore[index]
