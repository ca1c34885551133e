"""The rule of each untrained baseline, on hand-made regions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unboxed.evaluation.baselines import BASELINES, baselines_markdown, untrained_baselines
from unboxed.evaluation.grounding import GroundingScores
from unboxed.types import Caption, Example, Phrase, Regions

DOG, SMALL_DOG, PERSON, GRASS = [0, 60, 40, 90], [70, 70, 80, 80], [50, 0, 90, 60], [0, 40, 100, 100]

REGIONS = Regions(
    boxes=[SMALL_DOG, DOG, PERSON, GRASS, [0, 0, 100, 100]],
    scores=[0.4, 0.7, 0.9, 1.0, 1.0],
    features=np.zeros((5, 0)),
    class_probs=[[0.4, 0.1], [0.7, 0.2], [0.0, 0.9], [0, 0], [0, 0]],
    class_names=("dog", "person"),
    sources=("detector", "detector", "detector", "segments", "image"),
    width=100,
    height=100,
)


def example(text: str, gold: list[list[float]], image: str = "image") -> Example:
    phrase = Phrase(text, 0, len(text), ("other",), boxes=np.array(gold, dtype=np.float32))
    return Example(image, Path("image.jpg"), (Caption(text, (phrase,)),), 100, 100)


def scores(*examples: Example, regions: Regions | None = REGIONS) -> dict[str, GroundingScores]:
    return untrained_baselines(examples, lambda _: regions, resamples=20)


def test_the_detector_name_finds_what_the_phrase_names():
    found = scores(example("two brown dogs", [DOG]))
    assert found["detector name"]["recall_any@1"] == 100
    assert found["top-scoring region"]["recall_any@1"] == 0  # the person
    assert found["top-scoring region"]["recall_any@5"] == 100


def test_without_a_class_of_that_name_the_score_decides():
    assert scores(example("a sleeping cat", [PERSON]))["detector name"]["recall_any@1"] == 100


def test_a_region_whose_source_has_no_score_is_not_top_scoring():
    assert scores(example("grass", [GRASS]))["top-scoring region"]["recall_any@1"] == 0


def test_the_largest_region_is_not_the_whole_image():
    found = scores(example("grass", [GRASS]))
    assert found["largest region"]["recall_any@1"] == 100
    assert found["image centre"]["recall_any@1"] == 100  # 6,000 of 10,000 pixels
    assert scores(example("a dog", [DOG]))["image centre"]["pointing_any"] == 0
    assert scores(example("a scene", [[40, 40, 60, 60]]))["image centre"]["pointing_any"] == 100


def test_the_random_region_depends_on_the_seed_and_hits_one_time_in_five():
    examples = [example("a dog", [DOG], f"image {i}") for i in range(500)]
    once, again = scores(*examples)["random region"], scores(*examples)["random region"]
    assert once.estimates == again.estimates
    assert once["recall_any@1"] == pytest.approx(20, abs=5)
    assert once["recall_any@5"] == 100


def test_an_image_without_regions_is_wrong_and_counted():
    found = scores(example("a dog", [DOG]), regions=None)
    assert found["detector name"].without_answer == 1
    assert found["detector name"]["upper_bound_any"] == 0
    assert tuple(found) == BASELINES


@pytest.mark.parametrize(
    ("phrase", "first"),
    [
        ("a dog", DOG),
        ("the small dogs", DOG),
        ("a hot dog", PERSON),
        ("two hot dogs", PERSON),
        ("a group of dogs", DOG),
        ("hot chocolate", SMALL_DOG),
        ("a plate", DOG),
    ],
)
def test_which_class_a_phrase_names(phrase, first):
    regions = Regions(
        boxes=[SMALL_DOG, DOG, PERSON],
        scores=[0.9, 0.5, 0.1],
        features=np.zeros((3, 0)),
        class_probs=[[0.1, 0.0, 0.2], [0.5, 0.0, 0.9], [0.0, 0.1, 0.0]],
        class_names=("dog", "hot dog", "segmenter:plate"),
        sources=("detector",) * 3,
        width=100,
        height=100,
    )
    assert scores(example(phrase, [first]), regions=regions)["detector name"]["recall_any@1"] == 100


def test_the_table_has_a_row_per_baseline():
    table = baselines_markdown(scores(example("a dog", [DOG])))
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == list(BASELINES)
