"""Blocks of any size give what one big batch gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unboxed.data.dataset import load_dataset
from unboxed.errors import EvaluationError
from unboxed.evaluation.pair_scores import score_pairs
from unboxed.evaluation.retrieval import score_retrieval
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.regions.store.region_store import RegionStore


@pytest.mark.parametrize("memory", [1, 1 << 20])
def test_blocks_equal_one_big_batch(tiny_run: Path, tiny_dataset: Path, memory: int) -> None:
    grounder, store = Grounder.load(tiny_run), RegionStore.open(tiny_run / "store")
    examples = load_dataset(tiny_dataset).split("val").examples
    whole = score_pairs(EmbeddedSplit(grounder, store), examples, memory=1 << 40)
    blocks = score_pairs(EmbeddedSplit(grounder, store), examples, memory=memory)
    assert whole.score_BC.shape == (8, 16)
    assert whole.image_of_C.tolist() == [b for b in range(8) for _ in range(2)]
    np.testing.assert_allclose(blocks.score_BC, whole.score_BC, rtol=1e-4, atol=1e-5)


def test_a_image_without_regions_is_found_last(tiny_run: Path, tiny_dataset: Path) -> None:
    from dataclasses import replace

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
