"""The phrase chunker against gold phrases.

Agreement of the phrases that the chunker finds in the Flickr30K Entities validation captions with the gold phrases
(including `notvisual` ones), by exact spans, and the number of captions per second. No images are used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.harness import Result, Target, shared_folder
from unboxed.data.image_search import StoredImage
from unboxed.data.readers.flickr30k_entities import read_examples
from unboxed.text.phrases import noun_phrases
from unboxed.types import Caption

TARGETS: tuple[Target, ...] = ()


def measure(show: Callable[[str], None]) -> Result:
    """Precision, recall and F1 in [0, 1], and captions per second."""
    release = shared_folder() / "data" / "flickr30k_entities"
    gold = _gold_captions(release / "annotations.tar.gz", release / "val.txt")
    show(f"{len(gold):,} captions, {sum(len(caption.phrases) for caption in gold):,} gold phrases")
    start = time.perf_counter()
    predicted = [Caption(caption.text, noun_phrases(caption.text)) for caption in gold]
    seconds = time.perf_counter() - start
    return {"entities": {**span_scores(predicted, gold), "captions_per_second": len(gold) / seconds}}


def span_scores(predicted: Sequence[Caption], gold: Sequence[Caption]) -> dict[str, float]:
    """Micro `precision`, `recall` and `f1` in [0, 1] over exact phrase spans of captions, paired in order."""
    right = found = wanted = 0
    for ours, theirs in zip(predicted, gold, strict=True):
        our_spans = {(phrase.start, phrase.end) for phrase in ours.phrases}
        their_spans = {(phrase.start, phrase.end) for phrase in theirs.phrases}
        right += len(our_spans & their_spans)
        found += len(our_spans)
        wanted += len(their_spans)
    return {
        "precision": right / found if found else 0.0,
        "recall": right / wanted if wanted else 0.0,
        "f1": 2 * right / (found + wanted) if found + wanted else 0.0,
    }


def _gold_captions(annotations: Path, split_list: Path) -> list[Caption]:
    """The captions of a split with their gold phrases; boxes are meaningless, because image sizes are unknown."""
    image_ids = split_list.read_text("utf-8").split()
    examples = read_examples(annotations, {image_id: StoredImage(Path(image_id), 1, 1) for image_id in image_ids})
    return [caption for example in examples for caption in example.captions]
