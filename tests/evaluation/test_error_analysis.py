"""Error analysis: hand-made answers of each kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unboxed.evaluation.error_analysis import ERROR_KINDS, ErrorTable, count_errors, error_kind
from unboxed.evaluation.grounded_split import GroundedExample
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.types import Caption, Example, Phrase, Regions

MAN, OTHER_MAN, HAT = [0, 0, 10, 20], [50, 0, 60, 20], [0, 0, 10, 5]
HEAD = [0, 0, 10, 8]  # IoU 0.4 with the man
TREE = [80, 0, 99, 20]
TEXT = "A man in a hat beside a man"


def phrase(text: str, start: int, kind: str, box: list[int], chain: str | None = None) -> Phrase:
    return Phrase(text, start, start + len(text), (kind,), chain, np.array([box]))


def phrases(chains: bool = True) -> tuple[Phrase, ...]:
    one, two, three = ("1", "2", "3") if chains else (None, None, None)
    return (
        phrase("A man", 0, "people", MAN, one),
        phrase("a hat", 9, "clothing", HAT, two),
        phrase("a man", 22, "people", OTHER_MAN, three),
    )


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(MAN, "ok"), (OTHER_MAN, "wrong instance"), (HAT, "wrong object"), ([0, 5, 10, 12], "loose box"),
     (TREE, "background")],
)  # fmt: skip
def test_each_kind(answer: list[int], kind: str) -> None:
    man, *others = phrases()
    assert error_kind(man, others, np.array([answer], np.float32), np.array([MAN, TREE], np.float32)) == kind


def test_of_two_other_entities_the_one_that_the_answer_fits_best_decides() -> None:
    man, other_man, hat = phrases()[0], phrases()[2], phrases()[1]
    beside = replace(hat, boxes=np.array([[50, 0, 60, 18]], np.float32))
    proposals = np.array([MAN], np.float32)
    for answer, kind in (([50, 0, 60, 20], "wrong instance"), ([50, 0, 60, 18], "wrong object")):
        assert error_kind(man, [other_man, beside], np.array([answer], np.float32), proposals) == kind
    same = replace(hat, boxes=np.array([OTHER_MAN], np.float32))
    answer = np.array([OTHER_MAN], np.float32)
    assert error_kind(man, [same, other_man], answer, proposals) == "wrong instance", "of equal IoU, the same type"


def test_without_a_matching_proposal_the_proposals_are_the_error_and_no_answer_is_background() -> None:
    man, *others = phrases()
    tree = np.array([TREE], np.float32)
    assert error_kind(man, others, np.array([OTHER_MAN], np.float32), tree) == "no proposal"
    assert error_kind(man, others, tree[:0], None) == "no proposal"
    assert error_kind(man, others, tree[:0], np.array([MAN], np.float32)) == "background"


def grounded(answers: list[list[int]], chains: bool = True) -> GroundedExample:
    boxes = np.array([MAN, OTHER_MAN, HAT, TREE], np.float32)
    regions = Regions(boxes, np.ones(4), np.zeros((4, 0)), np.zeros((4, 0)), (), ("segments",) * 4, 100, 20)
    gold = phrases(chains)
    caption = Caption(TEXT, gold)
    answered = tuple(
        GroundedPhrase(p.text, p.start, p.end, np.array([a]), np.ones(1)) for p, a in zip(gold, answers, strict=True)
    )
    grounding = Grounding(TEXT, answered, ((0, 1),), regions, np.ones((1, 4), np.float32), 100, 20)
    return GroundedExample(Example("image", Path("image.jpg"), (caption,), 100, 20), (grounding,))


@pytest.mark.parametrize("chains", [True, False])
def test_answers_are_sorted_by_type(chains: bool) -> None:
    table = count_errors([grounded([MAN, MAN, MAN], chains)])
    assert table.counts == {"people": (1, 0, 1, 0, 0, 0), "clothing": (0, 0, 0, 1, 0, 0)}
    assert table.total == (1, 0, 1, 1, 0, 0)
    assert "| people | 2 | 50.0 | 0.0 | 50.0 | 0.0 | 0.0 | 0.0 |" in table.to_markdown()


@pytest.mark.parametrize(("chain", "kind"), [("1", "background"), ("4", "wrong instance")])
def test_chains_of_other_captions_give_the_other_entities(chain: str, kind: str) -> None:
    item = grounded([TREE, HAT, OTHER_MAN])
    elsewhere = Caption("The man", (Phrase("The man", 0, 7, ("people",), chain, np.array([TREE])),))
    both = replace(item.example, captions=(*item.example.captions, elsewhere))
    answer = replace(item.groundings[0], caption="The man", phrases=(GroundedPhrase("The man", 0, 7, [TREE], [1]),))
    table = count_errors([GroundedExample(both, (*item.groundings, answer))])
    assert table.total[ERROR_KINDS.index(kind)] == 1
    assert table.total[ERROR_KINDS.index("ok")] == 3


def test_an_image_without_regions_has_no_proposals() -> None:
    item = grounded([MAN, HAT, OTHER_MAN])
    assert count_errors([replace(item, groundings=())]).total == (0, 3, 0, 0, 0, 0)


def test_the_mean_of_runs() -> None:
    one, two = (count_errors([grounded(answers)]) for answers in ([MAN, HAT, OTHER_MAN], [MAN, MAN, MAN]))
    assert ErrorTable.mean([one, two]).total == (2, 0, 0.5, 0.5, 0, 0)


def test_phrases_without_gold_boxes_are_not_counted() -> None:
    item = grounded([MAN, HAT, OTHER_MAN])
    (caption,) = item.example.captions
    man, hat, other = caption.phrases
    bare = replace(caption, phrases=(man, replace(hat, boxes=np.zeros((0, 4))), other))
    assert count_errors([replace(item, example=replace(item.example, captions=(bare,)))]).total == (2, 0, 0, 0, 0, 0)
