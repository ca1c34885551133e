"""Grounding of captions from stored regions.

CKD at its default size, untrained, on 200 drawn images with the regions of their detector and their 1,000 captions with
given phrases: from the store to ranked boxes, as in `unboxed evaluate`. The reference processes one caption at a time:
encode, pad, run the model, rank the regions of each phrase. Seconds are those of CPU time, with one thread of torch.
`max_difference` is the largest difference between region scores of ours and of the reference.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import Result, Target, alternate
from unboxed.attention.ranking import phrase_scores, rank_regions
from unboxed.data.dataset import load_dataset
from unboxed.evaluation.grounded_split import ground_split
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.inference.run_config import RunConfig
from unboxed.recipes.ckd import CKD
from unboxed.regions.extraction import extract
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.scenes import write_scenes
from unboxed.text.tokens import Vocabulary
from unboxed.types import Array, Example

TARGETS = (
    Target("captions per second of CPU time, CKD", "ckd.captions_per_second", "at least", 2000, "/s"),
    Target("largest difference of a score", "ckd.max_difference", "at most", 1e-5),
)


def measure(show: Callable[[str], None], images: int = 200, rounds: int = 5) -> Result:
    """Captions per second, and the ratio to the reference."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = load_dataset(write_scenes(Path(folder) / "scenes", train=images, val=1, test=1))
        examples = dataset.split("train").examples
        extract(examples, RegionSettings.default_for(dataset)[0], Path(folder) / "store", progress=False)
        store = RegionStore.open(Path(folder) / "store")
        grounder = _untrained(examples, store)

        def ours() -> list[Array]:
            found = [
                grounding
                for item in ground_split(EmbeddedSplit(grounder, store), examples)
                for grounding in item.groundings
            ]
            return [phrase.scores for grounding in found for phrase in grounding.phrases]

        def one_by_one() -> list[Array]:
            return [scores for example in examples for scores in _one_by_one(grounder, example, store)]

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            difference = max(float(np.abs(a - b).max()) for a, b in zip(ours(), one_by_one(), strict=True))
            seconds = alternate({"one by one": one_by_one, "ours": ours}, rounds, clock=time.process_time)
        finally:
            torch.set_num_threads(threads)
    captions = sum(len(example.captions) for example in examples)
    show(f"{captions:,} captions: one by one {seconds['one by one']:.2f} s, ours {seconds['ours']:.2f} s")
    return {
        "ckd": {
            "captions_per_second": captions / seconds["ours"],
            "ratio": seconds["one by one"] / seconds["ours"],
            "max_difference": difference,
        }
    }


def _untrained(examples: Sequence[Example], store: RegionStore) -> Grounder:
    vocabulary = Vocabulary.from_captions(caption.text for example in examples for caption in example.captions)
    config = RunConfig("ckd", CKD(), store.settings, store.feature_blocks, store.class_names, {})
    torch.manual_seed(0)
    return Grounder(config, config.options.build(vocabulary, config.region_width), vocabulary)


@torch.inference_mode()
def _one_by_one(grounder: Grounder, example: Example, store: RegionStore) -> list[Array]:
    """The sorted scores of each phrase of each caption."""
    config, found = grounder.config, []
    for caption in example.captions:
        regions = store[example.image_id]
        images = grounder.model.encode_images(grounder.batcher.images([regions]))
        captions = grounder.batcher.captions(grounder.batcher.encode([caption]))
        alignment = grounder.model.ground(images, captions).alignment
        phrases, ranking = len(caption.phrases), config.options.ranking
        attention_QR, value_QR = alignment.attention_BCQR[0, 0], alignment.value_BCQR[0, 0]
        itself_PQ, every_Q = torch.eye(phrases, dtype=torch.bool), torch.ones(phrases, dtype=torch.bool)
        score_PR = phrase_scores(attention_QR, value_QR, itself_PQ, every_Q, ranking)
        for ranked_R in rank_regions(score_PR, regions, ranking).numpy():
            found.append(ranked_R[np.argsort(-ranked_R, kind="stable")])
    return found
