"""The prior with a labeler's classes and with segmented parts of persons, on hand-made regions."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from unboxed.priors import PriorSettings, SemanticPrior, scores

CLASSES = ("person", "dog", "labeler:Shirt", "labeler:Dog")
BOXES = np.array([[0, 0, 40, 100], [5, 30, 35, 60], [5, 80, 20, 100], [60, 60, 90, 90]], np.float32)
SOURCES = ("detector", "torso", "feet", "proposal")
PROBABILITIES = np.array([[0.9, 0, 0.2, 0], [0, 0, 0.8, 0], [0, 0, 0, 0], [0, 0, 0.1, 0.9]], np.float32)


def prior(**settings: float) -> SemanticPrior:
    return SemanticPrior.build(
        PriorSettings(match=("names", "parts"), cooccurrence=0, **settings), CLASSES, finer_parts=True
    )


def score(phrase: str, built: SemanticPrior) -> np.ndarray:
    regions = SimpleNamespace(boxes=BOXES, class_probs=PROBABILITIES, sources=SOURCES, width=100, height=100)
    rows_RE = built.class_scores(regions)
    assert rows_RE.shape == (4, built.width)
    found: np.ndarray = scores(built.affinity(phrase)[None], rows_RE)[0]
    return found


def test_a_label_adds_to_what_detectors_and_parts_show() -> None:
    without, with_labels = score("a shirt", prior(label_weight=0)), score("a shirt", prior())
    assert without.argmax() == 1 and without[3] == 0  # the torso of the person
    np.testing.assert_allclose(with_labels - without, np.minimum([0.2, 0.8, 0, 0.1], 1 - without), atol=0.01)


def test_labels_count_less_for_what_a_detector_has_a_class_for() -> None:
    np.testing.assert_allclose(score("a dog", prior()), [0, 0, 0, 0.09], atol=1e-6)
    np.testing.assert_allclose(score("a dog", prior(label_beside=0)), 0, atol=1e-6)


def test_nouns_are_matched_with_the_finest_part() -> None:
    assert score("his shoes", prior()).argmax() == 2
    coarse = SemanticPrior.build(PriorSettings(match=("names", "parts"), cooccurrence=0), CLASSES)
    assert score("his shoes", coarse).tolist() == [0, 0, 0, 0]  # without segmented parts, shoes are at the legs
    # No region is a hand: it is sought in the arms, and as there are none, in the torso.
    assert score("his hand", prior()).argmax() == 1


def test_what_is_worn_is_any_region_that_overlaps_the_part() -> None:
    boxes, sources = np.concatenate([BOXES, [[5, 30, 35, 45]]]).astype(np.float32), (*SOURCES, "proposal")
    probabilities = np.concatenate([PROBABILITIES, np.zeros((1, 4))]).astype(np.float32)
    built = prior(label_weight=0)
    regions = SimpleNamespace(boxes=boxes, class_probs=probabilities, sources=sources, width=100, height=100)
    rows_RE = built.class_scores(regions)
    shirt_R, chest_R = scores(np.stack([built.affinity("a shirt"), built.affinity("his chest")]), rows_RE)
    person = (0.9 - 0.01) / 0.99
    overlap = 30 * 30 / (40 * 100)  # the torso's area in the person's box
    np.testing.assert_allclose(shirt_R[0], person * np.sqrt(overlap) * overlap, rtol=1e-5)
    np.testing.assert_allclose(shirt_R[[1, 4]], [person, person * np.sqrt(0.5)], rtol=1e-5)  # the upper half
    np.testing.assert_allclose(chest_R, [0, person, 0, 0, 0], rtol=1e-5)  # a part of the body is the part


def test_labels_and_parts_are_saved(tmp_path: Path) -> None:
    built = prior()
    built.save(tmp_path)
    again = SemanticPrior.load(tmp_path)
    for phrase in ("a shirt", "his shoes", "a dog"):
        np.testing.assert_array_equal(score(phrase, again), score(phrase, built))
