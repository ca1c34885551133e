"""Nouns and classes that go together: an example by hand, the update beside naive loops, the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unboxed.errors import ModelError
from unboxed.priors.cooccurrence import Cooccurrence
from unboxed.priors.matching import MatchingResources, PhraseMatcher
from unboxed.priors.settings import PriorSettings


def test_a_noun_that_occurs_where_a_class_is_seen_means_it() -> None:
    # Two classes are often seen together; where one is seen alone, only its noun occurs.
    images = [(["poodle"], np.array([0.9, 0.0])), (["toy"], np.array([0.0, 0.8]))] * 5
    images += [(["poodle", "toy"], np.array([0.9, 0.9]))] * 20 + [(["rare"], np.array([1.0, 0.0]))]
    learned = Cooccurrence.fit(images)
    poodle, toy = learned.of("poodle"), learned.of("toy")
    assert poodle is not None and toy is not None
    assert poodle[0] > 0.8 and toy[1] > 0.8
    assert learned.of("rare") is None and learned.of("unicorn") is None


def test_the_matrix_form_is_the_plain_algorithm() -> None:
    generator = np.random.default_rng(0)
    nouns = ["a", "b", "c"]
    images = [(generator.choice(nouns, 4).tolist(), generator.uniform(size=3)) for _ in range(12)]
    learned = Cooccurrence.fit(images, min_count=1)
    scores = [[*score, 0.2] for _, score in images]  # the last class is the empty one
    share = {n: sum(found.count(n) for found, _ in images) / 48 for n in nouns}
    noun_given = [dict(share) for _ in range(4)]
    for _ in range(15):
        expected = [dict.fromkeys(nouns, 0.0) for _ in range(4)]
        for (nouns_of_image, _), score in zip(images, scores, strict=True):
            for noun in nouns_of_image:
                total = sum(score[k] * noun_given[k][noun] for k in range(4))
                for k in range(4):
                    expected[k][noun] += score[k] * noun_given[k][noun] / total
        noun_given = [{n: row[n] / sum(row.values()) for n in nouns} for row in expected]
    for noun in nouns:
        by_loops = [expected[k][noun] / sum(row[noun] for row in expected) for k in range(3)]
        np.testing.assert_allclose(learned.of(noun), by_loops, rtol=1e-3)


def test_saving_loading_and_nothing_to_learn_from(tmp_path: Path) -> None:
    learned = Cooccurrence.fit([(["dog", "élan"] * 5, np.array([0.5, 0.1]))])
    learned.save(tmp_path / "c.npz")
    again = Cooccurrence.load(tmp_path / "c.npz")
    assert again.nouns == learned.nouns
    np.testing.assert_array_equal(again.weight_NK, learned.weight_NK)
    assert Cooccurrence.fit([]).nouns == ()
    for path in (tmp_path / "missing.npz", tmp_path / "bad.npz"):
        (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 no archive")
        with pytest.raises(ModelError, match=path.name):
            Cooccurrence.load(path)


def test_weights_that_are_no_probabilities_and_those_of_other_classes_are_refused(tmp_path: Path) -> None:
    for wrong in (np.nan, -1, 2):
        Cooccurrence(["dog"], np.array([[wrong, 0.5]], np.float32)).save(tmp_path / "c.npz")
        with pytest.raises(ModelError, match=r"weights outside 0\.\.1"):
            Cooccurrence.load(tmp_path / "c.npz")
    of_two = MatchingResources(cooccurrence=Cooccurrence(["dog"], np.array([[0.5, 0.5]], np.float32)))
    with pytest.raises(ModelError, match="has 1 classes, its co-occurrences 2"):
        PhraseMatcher(PriorSettings(), ["dog"], of_two)
