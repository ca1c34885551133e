"""Classes of several detectors that are one by what they mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unboxed.errors import ModelError
from unboxed.priors.class_scores import ClassScorer
from unboxed.priors.semantic import SemanticPrior
from unboxed.priors.settings import PriorSettings
from unboxed.text.wordnet import WordNet

LINES = """S\t1\tartifact\tfurniture\t
S\t2\tartifact\tsofa|couch\t1
S\t3\tanimal\tdog\t
S\t4\tanimal\tpoodle\t3
S\t5\tartifact\tball\t
L\tfurniture\t1
L\tsofa\t2
L\tcouch\t2
L\tdog\t3
L\tpoodle\t4
L\tball\t5
"""
CLASSES = ("couch", "sports ball", "detector2:Sofas", "detector2:poodle", "detector2:tennis ball", "segmenter:sofa")
PROBS_RK = np.array([[0.6, 0.2, 0.4, 0.1, 0.7, 0.9], [0.1, 0.0, 0.5, 0.3, 0.0, 0.2]], np.float32)
PLAIN = PriorSettings(background=0, stuff_weight=1, elsewhere_weight=1, cooccurrence=0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "nouns.tsv"
    path.write_text(LINES, encoding="utf-8")
    return path


def test_synonyms_get_the_mean_of_their_probabilities_and_a_segmenter_is_dropped(file: Path) -> None:
    scorer = ClassScorer(PLAIN, CLASSES, wordnet=WordNet.open(file))
    assert scorer.names == ("couch", "sports ball", "poodle", "tennis ball")  # other balls, and a kind of dog, stay
    expected = [max((probs[0] + probs[2]) / 2 for probs in PROBS_RK), 0.2, 0.3, 0.7]
    np.testing.assert_allclose(scorer.of_image(PROBS_RK), expected, rtol=1e-6)


def test_without_wordnet_names_decide(file: Path) -> None:
    assert ClassScorer(PLAIN, CLASSES).names == ("couch", "sports ball", "Sofas", "poodle", "tennis ball", "sofa")


def test_a_saved_prior_merges_the_same_classes(file: Path, tmp_path: Path) -> None:
    prior = SemanticPrior.build(PriorSettings(wordnet=file, classes="wordnet", cooccurrence=0), CLASSES)
    by_names = SemanticPrior.build(PriorSettings(wordnet=file, cooccurrence=0), CLASSES)
    assert prior.width == by_names.width - 2
    prior.save(tmp_path / "prior")
    again = SemanticPrior.load(tmp_path / "prior")
    assert again.width == prior.width
    np.testing.assert_array_equal(again.affinity("a couch"), prior.affinity("a couch"))


def test_without_a_file_it_is_an_error() -> None:
    with pytest.raises(ModelError, match="merge classes by WordNet, but names none; name its file"):
        SemanticPrior.build(PriorSettings(classes="wordnet"), CLASSES)
