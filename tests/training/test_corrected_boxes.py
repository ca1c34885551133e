"""Training with corrected boxes: which regions are right, and that only a fit that is asked to uses them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unboxed.data.batches import collate_images
from unboxed.data.dataset import load_dataset
from unboxed.data.image_search import name_in
from unboxed.errors import RunError
from unboxed.evaluation.evaluate import evaluate_run
from unboxed.evaluation.options import EvaluationOptions
from unboxed.inference.hub import model_card
from unboxed.recipes import RecipeConfig
from unboxed.recipes.ckd import CKD
from unboxed.recipes.infoground import InfoGround
from unboxed.recipes.npair import NPair
from unboxed.recipes.schedule import Schedule
from unboxed.recipes.sprm import SPRM
from unboxed.training.corrected_boxes import CorrectedExamples, PhraseBox
from unboxed.training.fitting import FitSettings, fit
from unboxed.types import Caption, Example, Phrase

TEXT = "A man walks a dog."
EXAMPLE = Example(
    "7", Path("images/7.jpg"), (Caption("Two of them."), Caption(TEXT, (Phrase("A man", 0, 5),))), 200, 100
)
MAN = PhraseBox(TEXT, 0, 5, (0.0, 0.0, 0.5, 1.0))
DOG = PhraseBox(TEXT, 12, 17, (0.5, 0.5, 1.0, 1.0))
ELSEWHERE = PhraseBox("A cat.", 0, 5, (0.0, 0.0, 1.0, 1.0))


def test_a_box_belongs_to_its_phrase_which_its_caption_gets_if_it_lacks_it() -> None:
    found = CorrectedExamples.of([EXAMPLE], Path("images"), {"7.jpg": [MAN, DOG, ELSEWHERE], "8.jpg": [MAN]})
    assert [phrase.text for phrase in found.examples[0].captions[1].phrases] == ["A man", "a dog"]
    assert {place: boxes.tolist() for place, boxes in found.boxes["7"].items()} == {
        (1, 0): [list(MAN.edges)],
        (1, 1): [list(DOG.edges)],
    }
    assert found.unused == 2
    assert str(found).startswith("Corrections: 2 corrected boxes of 1 image train the attention; 2 are of no phrase")
    with pytest.raises(RunError, match="None of the 1 corrected boxes is of a phrase of a training caption"):
        CorrectedExamples.of([EXAMPLE], Path("images"), {"7.jpg": [ELSEWHERE]})


def test_a_region_is_right_if_its_overlap_with_a_corrected_box_is_one_half() -> None:
    found = CorrectedExamples.of([EXAMPLE], Path("images"), {"7.jpg": [MAN, DOG]})
    edges = [[0, 0, 1, 1], [0, 0, 0.5, 0.9], [0.5, 0.5, 1, 1], [0.9, 0.9, 1, 1]]
    images = collate_images([np.zeros((1, 2), np.float32), np.zeros((4, 2), np.float32)], None, [
        np.array([[0, 0, 1, 1]], np.float32), np.array(edges, np.float32),
    ])  # fmt: skip
    right_CPR = found.right_regions([("6", [0, 1]), ("7", [1, 0])], images, 2)
    assert right_CPR.shape == (4, 2, 4)
    assert right_CPR.nonzero().tolist() == [[2, 0, 0], [2, 0, 1], [2, 1, 2]]


@pytest.fixture(scope="module")
def gold(tiny_world: tuple[Path, Path]) -> dict[str, list[PhraseBox]]:
    """The gold boxes of the training images, as a person would draw them."""
    dataset = load_dataset(tiny_world[0])
    assert dataset.images is not None
    return {name_in(dataset.images, example.path): _drawn(example) for example in dataset.split("train").examples}


def _drawn(example: Example) -> list[PhraseBox]:
    size = np.array(2 * [example.width, example.height], dtype=np.float32)
    return [
        PhraseBox(caption.text, phrase.start, phrase.end, tuple((box / size).tolist()))
        for caption in example.captions
        for phrase in caption.phrases
        for box in phrase.boxes
    ]


OPTIONS = InfoGround(negatives="none", joint_width=32, schedule=Schedule(epochs=12, images_per_batch=8))


def test_corrected_boxes_train_the_attention_and_the_run_says_so(
    tiny_world: tuple[Path, Path], gold: dict[str, list[PhraseBox]], tmp_path: Path
) -> None:
    data, store = tiny_world
    settings = FitSettings(data, tmp_path / "captions", regions=store)
    fit("infoground", OPTIONS, settings)
    said: list[str] = []
    settings = replace(settings, out=tmp_path / "boxes")
    run = fit("infoground", OPTIONS, settings, corrections=gold, show=said.append)
    count = sum(map(len, gold.values()))
    assert any(f"Corrections: {count:,} corrected boxes of 24 images train the attention." in line for line in said)
    evaluation = EvaluationOptions(split="train", report=False)
    alone, corrected = (evaluate_run(tmp_path / name, data, evaluation) for name in ("captions", "boxes"))
    assert alone.scores is not None and corrected.scores is not None
    assert corrected.scores["recall_any@1"] > alone.scores["recall_any@1"] + 10
    assert corrected.to_dict()["corrected_boxes"] == count and "corrected_boxes" not in alone.to_dict()
    assert "boxes that people corrected" in corrected.facts["Supervision"] and "Supervision" not in alone.facts
    assert f"{count:,} boxes that people corrected were used too" in model_card(run.config)
    # The same run cannot be continued without them, nor with others.
    more = replace(OPTIONS, schedule=Schedule(epochs=13, images_per_batch=8))
    for other in (None, dict(list(gold.items())[:3])):
        with pytest.raises(RunError, match="started with other corrections; repeat --use-corrections"):
            fit("infoground", more, replace(settings, resume=True), corrections=other)


@pytest.mark.parametrize(
    ("recipe", "options", "devices", "reason"),
    [
        ("sprm", SPRM(untrained=True), 1, "train the attention to regions, and sprm with these options trains none"),
        ("npair", NPair(), 1, "and npair with these options trains none"),
        ("ckd", CKD(), 2, "train in one process; leave out --devices"),
    ],
)
def test_corrections_that_would_train_nothing_are_refused(
    tmp_path: Path, recipe: str, options: RecipeConfig, devices: int, reason: str
) -> None:
    settings = FitSettings(tmp_path / "unread.toml", tmp_path / "run", devices=devices)
    with pytest.raises(RunError, match=reason):  # before any data is read
        fit(recipe, options, settings, corrections={"7.jpg": [MAN]})
