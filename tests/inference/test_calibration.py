"""Is a phrase in the photograph: the curve, what it is fitted on, and what it is worth."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import unboxed
from unboxed.attention.ranking import PRIOR_FLOOR
from unboxed.evaluation.presence import score_presence
from unboxed.inference.calibration import PresenceCalibration, fit_presence, phrase_match
from unboxed.text.phrases import noun_phrases
from unboxed.training.calibration import swapped_phrases
from unboxed.types import Caption, Example


def test_the_curve_finds_the_one_that_the_phrases_were_drawn_from() -> None:
    rng = np.random.default_rng(0)
    evidence = rng.normal(2, 3, size=20_000)
    present = rng.random(20_000) < 1 / (1 + np.exp(-(1.5 * evidence - 4)))
    # Kinds weigh the same, so the odds of the curve are those of the draw, divided by the odds of the kinds.
    found, odds = fit_presence(evidence, present), present.mean() / (1 - present.mean())
    assert found is not None
    assert found.slope == pytest.approx(1.5, rel=0.05)
    assert found.bias == pytest.approx(-4 - np.log(odds), rel=0.05)
    assert found.confidence(-1e9) < 1e-6 < 1 - 1e-6 < found.confidence(1e9)


@pytest.mark.parametrize(
    ("evidence", "present"),
    [([1, 2, 3], [True, True, True]), ([1, 1, 1], [True, False, True]), ([3, 2, 1, 0], [False, False, True, True])],
)
def test_nothing_is_claimed_where_nothing_can_be_told(evidence: list[float], present: list[bool]) -> None:
    assert fit_presence(evidence, present) is None


def test_phrases_that_evidence_tells_without_error_do_not_break_the_curve() -> None:
    found = fit_presence([0, 1, 8, 9], [False, False, True, True])
    assert found is not None
    assert found.confidence(1) < 0.5 < found.confidence(8)


def test_the_curve_rises_with_the_match_and_with_the_prior() -> None:
    rng = np.random.default_rng(1)
    present = rng.random(400) < 0.5
    match, prior = rng.normal(present, 1.5), np.where(rng.random(400) < 0.3, 0, rng.beta(1 + 2 * present, 3))
    curve = fit_presence(match, present, prior)
    assert curve is not None
    by_match = [curve.confidence(value, 0.3) for value in (-2, 0, 2)]
    by_prior = [curve.confidence(0.0, value) for value in (0.05, 0.3, 0.94)]
    assert by_match == sorted(by_match) and by_prior == sorted(by_prior)
    assert by_match[0] < by_match[-1] and by_prior[0] < by_prior[-1]
    assert curve.confidence(0.0, 0) == curve.confidence(0.0, None)
    # A prior that falls with presence is left out rather than followed.
    against = fit_presence(match, present, np.where(prior > 0, 1 - prior, 0))
    assert against is not None and against.prior_slope == 0 < against.slope


def test_few_phrases_are_shrunk_towards_the_curve_of_the_prior() -> None:
    towards = PresenceCalibration(slope=0, bias=1, phrases=500, prior_slope=1.5, unknown=-2)

    def slopes(phrases: int) -> tuple[float, float]:
        """Of phrases of which neither match nor prior tells anything."""
        rng = np.random.default_rng(2)
        present, match = np.arange(phrases) % 2 == 0, rng.normal(size=phrases)
        curve = fit_presence(match, present, rng.beta(2, 2, size=phrases), towards)
        assert curve is not None
        return curve.slope, curve.prior_slope

    few, many = slopes(6), slopes(20_000)
    assert few == pytest.approx((1, 1.5), abs=0.4)
    assert many[0] < 0.1 and many[1] < 0.1


def test_the_evidence_of_a_phrase_is_that_of_its_nouns_and_adjectives() -> None:
    phrase_PQ = np.array([[1, 1, 1, 0, 0], [0, 0, 0, 1, 1]], dtype=bool)
    content_Q = np.array([0, 1, 1, 0, 0], dtype=bool)
    np.testing.assert_allclose(phrase_match(np.array([9.0, 1, 3, 5, 7]), phrase_PQ, content_Q), [2, 6])


def test_the_evidence_of_many_phrases_takes_no_matrix_of_numbers() -> None:
    """Weights of 8,000 phrases for their 16,000 words would take 1 GB."""
    phrase_PQ = np.eye(1000, dtype=bool).repeat(2, axis=1)  # phrases of two words
    matched_Q = np.arange(2000.0)
    tracemalloc.start()
    try:
        match_P = phrase_match(matched_Q, phrase_PQ, np.ones(2000, dtype=bool))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(match_P, matched_Q.reshape(1000, 2).mean(axis=1))
    assert peak < 5 * phrase_PQ.nbytes  # a few masks of a byte each


class _Dogs:
    """Stands for a split embedded by a model that matches dogs alone."""

    def __init__(self) -> None:
        config = SimpleNamespace(presence=PresenceCalibration(slope=2, bias=-1, phrases=9))
        self.grounder = SimpleNamespace(config=config)

    def __contains__(self, image_id: object) -> bool:
        return True

    def ground(self, images: Iterable[tuple[str, list[Caption]]]) -> Iterator[list[SimpleNamespace]]:
        for _, captions in images:
            yield [SimpleNamespace(phrases=[_phrase(phrase.text) for phrase in own.phrases]) for own in captions]


def _phrase(text: str) -> SimpleNamespace:
    return SimpleNamespace(match=float("dog" in text), prior=None)


def _example(name: str, *captions: str) -> Example:
    return Example(name, Path(name), tuple(Caption(text, noun_phrases(text)) for text in captions), 9, 9)


def test_absent_is_what_another_image_shows_and_the_own_captions_do_not_speak_of() -> None:
    examples = [
        _example("1", "A man walks two dogs.", "The guy has it on a leash."),
        _example("2", "A woman with a dog and a red umbrella.", "Women on a street"),
    ]
    found = swapped_phrases(_Dogs(), examples, images=9)  # type: ignore[arg-type]
    # “it” is nobody's; of the other's phrases neither persons nor dogs count.
    present = ["A man", "two dogs", "The guy", "a leash", "A woman", "a dog", "a red umbrella", "Women", "a street"]
    absent = ["a red umbrella", "a street", "a leash"]
    assert (int(found.present_N.sum()), int((~found.present_N).sum())) == (len(present), len(absent))
    scores = score_presence(_Dogs(), examples)  # type: ignore[arg-type]
    assert scores is not None
    assert (scores.absent_recall, scores.present_recall) == (100, pytest.approx(100 * 2 / 9))
    assert scores.absent_precision == pytest.approx(100 * 1 / (1 + 7 / 9))
    assert scores.auc == pytest.approx(100 * (2 / 9 + 7 / 9 / 2))


def test_a_run_keeps_its_curve_and_its_phrases_say_what_it_means(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    grounder, image = unboxed.load(tiny_run), tiny_dataset.parent / "photos" / "3.png"
    (phrase,) = grounder.ground(image, "a red box").phrases
    assert phrase.match is not None
    assert phrase.confidence is None and phrase.present
    grounder.config = replace(grounder.config, presence=PresenceCalibration(1.0, -phrase.match - 1.0, 10))
    grounder.save(tmp_path / "copy")
    (told,) = unboxed.load(tmp_path / "copy").ground(image, "a red box").phrases
    assert told.confidence == pytest.approx(1 / (1 + np.e), rel=1e-4)
    assert not told.present and len(told.boxes) == len(phrase.boxes)


def test_a_phrase_alone_that_the_prior_knows_is_judged_by_the_prior() -> None:
    curve = PresenceCalibration(2.0, -1.0, 10, prior_slope=1.0, unknown=-2.0, alone_slope=1.5, alone_bias=3.0)
    assert curve.confidence(-5.0, 0.4, alone=True) == curve.confidence(5.0, 0.4, alone=True)
    assert curve.logit(0.0, 0.4, alone=True) == pytest.approx(1.5 * np.log(0.4 + PRIOR_FLOOR) + 3)
    assert curve.logit(0.3, 0, alone=True) == curve.logit(0.3, 0)  # the prior does not know it
    without = replace(curve, alone_slope=0.0)
    assert without.logit(0.3, 0.4, alone=True) == without.logit(0.3, 0.4)


def test_captions_of_one_phrase_alone_are_phrases_alone(
    tiny_run: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grounder, image = unboxed.load(tiny_run), tiny_dataset.parent / "photos" / "3.png"
    asked = []

    def confidence(_: PresenceCalibration, match: float, prior: float | None = None, *, alone: bool = False) -> float:
        asked.append(alone)
        return 0.5

    monkeypatch.setattr(PresenceCalibration, "confidence", confidence)
    grounder.config = replace(grounder.config, presence=PresenceCalibration(1.0, 0.0, 10))
    for caption in ("a red box", "A red box.", "a red box stands beside a blue box", "a red box is here"):
        grounder.ground(image, caption)
    assert asked == [True, True, False, False, False]
