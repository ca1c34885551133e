"""Which boxes become labels, under which names, and that every box left out is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.boxes import iou
from unboxed.errors import ExportError
from unboxed.export.options import SelectionOptions
from unboxed.export.selection import select_boxes
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.types import Regions

Ground = Callable[..., Grounding]
MAN = [10, 20, 60, 90]
DOG = [100, 50, 150, 100]


def test_boxes_of_one_object_are_merged_under_its_usual_name(groundings: list[Grounding], names: list[str]) -> None:
    selection = select_boxes(groundings, names, SelectionOptions(min_score=0.5))
    assert selection.categories == ("man",)
    assert [image.name for image in selection.images] == ["7.jpg", "sub/12.jpg"]
    assert selection.images[0].captions == (groundings[0].caption, groundings[1].caption)
    (man,) = selection.images[0].boxes
    assert (man.category, man.box, man.score) == ("man", (10, 20, 60, 90), pytest.approx(0.9))
    assert (man.mention.phrase, man.mention.start, man.mention.end) == ("Two men", 0, 7)
    assert [(also.phrase, also.caption) for also in man.also] == [("A man", groundings[1].caption)]
    assert (selection.below_score, selection.unnamed, selection.merged, selection.boxes) == (1, 2, 1, 1)
    assert selection.describe() == (
        "2 images, 1 box of 1 name; left out: 1 below the score, 2 of phrases that name no object, "
        "1 merged with another"
    )


def test_absent_phrases_are_left_out_by_their_probability(ground: Ground) -> None:
    unlikely = [ground("A cat.", ("A cat", DOG, 0.9), confidence=0.1)]
    assert (select_boxes(unlikely, ["1.jpg"]).absent, select_boxes(unlikely, ["1.jpg"]).boxes) == (1, 0)
    assert select_boxes(unlikely, ["1.jpg"], SelectionOptions(min_confidence=0.1)).boxes == 1
    unknown = [ground("A cat.", ("A cat", DOG, 0.9), confidence=None)]
    assert select_boxes(unknown, ["1.jpg"], SelectionOptions(min_confidence=1)).boxes == 1


def test_the_confidence_of_merged_boxes_is_the_highest_one(ground: Ground) -> None:
    same = [ground("A dog.", ("A dog", DOG, 0.9 - c / 10), confidence=c) for c in (0.6, 0.8, 0.7)]
    ((box,),) = (image.boxes for image in select_boxes(same, ["1.jpg"] * 3).images)
    assert box.confidence == 0.8 and len(box.also) == 2


def test_names_may_be_phrases_or_types_and_rare_ones_are_left_out(
    groundings: list[Grounding], names: list[str], ground: Ground
) -> None:
    assert select_boxes(groundings, names, SelectionOptions(names="phrases")).categories == (
        "a dog", "a man", "it", "the background", "two men",
    )  # fmt: skip
    assert select_boxes(groundings, names, SelectionOptions(merge=1, min_boxes=2)).rare == 1
    phrase = GroundedPhrase("A man", 0, 5, [DOG], [1.0], types=("people", "other"))
    plain = ground("A man.")
    typed = Grounding("A man.", (phrase,), (), plain.regions, plain.attention_WR, 200, 100)
    assert select_boxes([typed], ["1.jpg"], SelectionOptions(names="types")).categories == ("people",)
    assert select_boxes(groundings, names, SelectionOptions(names="types")).categories == ("dog", "man")


def test_several_boxes_a_phrase(groundings: list[Grounding]) -> None:
    selection = select_boxes(groundings[:1], ["7.jpg"], SelectionOptions(top=2, merge=1))
    assert [round(box.score, 2) for box in selection.images[0].boxes] == [0.9, 0.4, 0.09, 0.04]


def test_a_plural_has_a_box_for_each_thing_unless_turned_off(ground: Ground) -> None:
    found = ground("Two men.", ("Two men", MAN, 1.0))
    phrase = replace(found.phrases[0], boxes=[[0, 0, 200, 100], MAN, DOG], scores=[1, 0.9, 0.8], set_ranks=(1, 2))
    grounding = replace(found, phrases=(phrase,))

    def boxes(**options: bool) -> list[list[float]]:
        selection = select_boxes([grounding], ["1.jpg"], SelectionOptions(**options))
        return [list(box.box) for box in selection.images[0].boxes]

    assert boxes() == [MAN, DOG]
    assert boxes(plurals=False) == [[0, 0, 200, 100]]


def test_a_plural_that_is_the_only_form_is_the_name(ground: Ground) -> None:
    assert select_boxes([ground("Two men.", ("Two men", DOG, 1.0))], ["1.jpg"]).categories == ("men",)


@pytest.mark.parametrize("options", [{"min_confidence": 2}, {"min_confidence": -0.1}])
def test_a_confidence_is_a_probability(options: dict[str, float]) -> None:
    with pytest.raises(ExportError, match=r"expected a probability in 0\.\.1, 0 for all"):
        SelectionOptions(**options)


def test_options_out_of_range_are_refused() -> None:
    for wrong in ({"top": 0}, {"min_boxes": 0}):
        with pytest.raises(ExportError, match="expected a number from 1"):
            SelectionOptions(**wrong)
    with pytest.raises(ExportError, match=r"overlap \(IoU\) in 0\.\.1"):
        SelectionOptions(merge=1.5)


def test_one_name_for_images_of_two_sizes_is_refused(ground: Ground) -> None:
    small = ground("A dog.")
    large = Grounding("A dog.", (), (), small.regions, small.attention_WR, 400, 300)
    with pytest.raises(ExportError, match=r"'1\.jpg' has \(200, 100\) pixels once and \(400, 300\) once"):
        select_boxes([small, large], ["1.jpg", "1.jpg"])


def test_a_tenth_of_the_images_with_boxes_is_held_out_and_stays_so(ground: Ground) -> None:
    dogs = [ground("A dog.", ("A dog", DOG, 1.0)) for _ in range(200)]
    files = [f"{i}.jpg" for i in range(200)]
    held_out = select_boxes([*dogs, ground("It.", ("It", DOG, 1.0))], [*files, "none.jpg"]).held_out
    assert 10 <= len(held_out) <= 30 and held_out < set(files)
    assert select_boxes(dogs[:150], files[:150]).held_out == held_out & set(files[:150])


_PHRASES = ("a dog", "two dogs", "a man", "it", "the background")
_box = st.tuples(st.integers(0, 80), st.integers(0, 80), st.integers(1, 40), st.integers(1, 40)).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)
_phrase = st.tuples(
    st.sampled_from(_PHRASES),
    st.lists(_box, min_size=1, max_size=3),
    st.none() | st.sampled_from((0.1, 0.6, 0.9)),
)
_options = st.builds(
    SelectionOptions,
    min_score=st.sampled_from((0.0, 0.4)),
    min_confidence=st.sampled_from((0.0, 0.5, 0.7)),
    top=st.integers(1, 3),
    names=st.sampled_from(("nouns", "phrases")),
    merge=st.sampled_from((0.0, 0.3, 0.6, 1.0)),
    min_boxes=st.integers(1, 3),
)


def _random_grounding(number: int, phrases: list[tuple[str, list[list[int]], float | None]]) -> Grounding:
    caption = " ".join(text for text, _, _ in phrases) or "nothing"
    rng, start, grounded = np.random.default_rng(number), 0, []
    for text, boxes, confidence in phrases:
        scores = np.sort(rng.random(len(boxes)))[::-1]
        grounded.append(GroundedPhrase(text, start, start + len(text), boxes, scores, confidence=confidence))
        start += len(text) + 1
    none = np.zeros((0, 0))
    regions = Regions(np.zeros((0, 4)), np.zeros(0), none, none, (), (), 120, 120)
    return Grounding(caption, tuple(grounded), (), regions, none, 120, 120)


@given(st.lists(st.lists(_phrase, max_size=4), min_size=1, max_size=5), _options, st.data())
def test_every_box_is_selected_or_counted_and_no_two_of_a_name_overlap(
    captions: list[list[tuple[str, list[list[int]], float | None]]], options: SelectionOptions, data: st.DataObject
) -> None:
    groundings = [_random_grounding(number, phrases) for number, phrases in enumerate(captions)]
    names = [data.draw(st.sampled_from(("1.jpg", "2.jpg"))) for _ in groundings]
    selection = select_boxes(groundings, names, options)
    phrases = [phrase for grounding in groundings for phrase in grounding.phrases]
    present = [p for p in phrases if p.confidence is None or p.confidence >= options.min_confidence]
    assert selection.absent == len(phrases) - len(present)
    left_out = selection.below_score + selection.unnamed + selection.merged + selection.rare
    assert selection.boxes + left_out == sum(min(options.top, len(phrase.boxes)) for phrase in present)
    for image in selection.images:
        scores = [box.score for box in image.boxes]
        assert scores == sorted(scores, reverse=True) and all(score >= options.min_score for score in scores)
        for i, box in enumerate(image.boxes):
            assert box.mention.caption[box.mention.start : box.mention.end] == box.mention.phrase
            for other in image.boxes[:i]:
                if other.category == box.category:
                    overlap = iou(np.array([box.box], np.float32), np.array([other.box], np.float32))[0, 0]
                    assert overlap <= options.merge
    for name in selection.categories:
        assert sum(box.category == name for image in selection.images for box in image.boxes) >= options.min_boxes


def test_abstract_nouns_name_no_box(ground: Callable[..., Grounding]) -> None:
    caption = "An overview of the usage, stuff on a table and the rest."
    box = [10, 10, 50, 50]
    phrases = [(text, box, 0.9) for text in ("An overview", "the usage", "stuff", "a table", "the rest")]
    selection = select_boxes([ground(caption, *phrases)], ["a.jpg"])
    assert selection.categories == ("table",) and selection.unnamed == 4


def test_the_text_of_a_long_caption_is_not_repeated_for_each_of_its_phrases(ground: Ground) -> None:
    texts = [f"dog {number}" for number in range(1000)]
    found = ground(" ".join(texts), *((text, [number % 90, 0, 100, 50], 0.9) for number, text in enumerate(texts)))
    (image,) = select_boxes([found], ["1.jpg"], SelectionOptions(names="phrases")).images
    mentions = [mention for box in image.boxes for mention in (box.mention, *box.also)]
    assert len(mentions) == 1000 and image.captions == (found.caption,)
    assert max(len(mention.caption) for mention in mentions) < 2100 < len(found.caption)
    for mention in mentions:
        assert mention.caption[mention.start : mention.end] == mention.phrase
        assert mention.caption in found.caption
