"""Scores of all pairs: batches of any size give what one big batch gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unboxed.data.dataset import load_dataset
from unboxed.errors import EvaluationError
from unboxed.evaluation import pair_scores
from unboxed.evaluation.pair_scores import ensemble, score_pairs
from unboxed.evaluation.retrieval import score_retrieval
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.regions.store import RegionStore


@pytest.mark.parametrize("memory", [1, 1 << 30])
def test_small_batches_equal_one_big_batch(
    tiny_run: Path, tiny_dataset: Path, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    grounder, store = Grounder.load(tiny_run), RegionStore.open(tiny_run / "store")
    examples = load_dataset(tiny_dataset).split("val").examples
    whole = score_pairs(EmbeddedSplit(grounder, store), examples, memory=1 << 40)
    monkeypatch.setattr(pair_scores, "_BATCH", 3)
    small = score_pairs(EmbeddedSplit(grounder, store), examples, memory=memory)
    assert whole.score_BC.shape == (8, 16)
    assert whole.image_of_C.tolist() == [b for b in range(8) for _ in range(2)]
    np.testing.assert_allclose(small.score_BC, whole.score_BC, rtol=1e-4, atol=1e-5)


def test_an_image_without_regions_ranks_last(tiny_run: Path, tiny_dataset: Path) -> None:
    grounder, store = Grounder.load(tiny_run), RegionStore.open(tiny_run / "store")
    examples = load_dataset(tiny_dataset).split("val").examples
    unknown = replace(examples[0], image_id="never seen")
    scores = score_pairs(EmbeddedSplit(grounder, store), [unknown, *examples[1:]])
    assert np.isneginf(scores.score_BC[0]).all()
    assert np.isfinite(scores.score_BC[1:]).all()
    retrieval = score_retrieval(scores.score_BC, scores.image_of_C)
    assert retrieval.rank_B[0] == 15  # behind all 14 captions of others
    assert retrieval.rank_C[:2].tolist() == [8, 8]
    with pytest.raises(EvaluationError, match="unboxed regions"):
        score_pairs(EmbeddedSplit(grounder, store), [unknown])


def test_an_ensemble_is_the_mean_of_scores_of_the_same_pairs() -> None:
    first, second = np.array([[0.9, 0.1]]), np.array([[0.7, 0.3]])
    np.testing.assert_allclose(ensemble(first, second), [[0.8, 0.2]])
    for scores in ((), (first, second.T)):
        with pytest.raises(EvaluationError, match="same pairs"):
            ensemble(*scores)
