"""The phrase chunker against gold phrases.

Agreement of the phrases that the chunker finds in the Flickr30K Entities validation captions with the gold phrases
(including `notvisual` ones), by exact spans, and the number of captions per second. No images are used. Where spaCy and
its model `en_core_web_sm` are installed, its noun chunks are measured beside them, also joined over "of" as the gold
phrases are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.harness import Result, Target, shared_folder
from unboxed.data.image_search import StoredImage
from unboxed.data.readers.flickr30k_entities import read_examples
from unboxed.text.phrases import noun_phrases
from unboxed.types import Caption, Phrase

TARGETS: tuple[Target, ...] = ()
_MODEL = "en_core_web_sm"


def measure(show: Callable[[str], None]) -> Result:
    """Precision, recall and F1 in [0, 1], and captions per second."""
    release = shared_folder() / "data" / "flickr30k_entities"
    gold = _gold_captions(release / "annotations.tar.gz", release / "val.txt")
    show(f"{len(gold):,} captions, {sum(len(caption.phrases) for caption in gold):,} gold phrases")
    start = time.perf_counter()
    predicted = [Caption(caption.text, noun_phrases(caption.text)) for caption in gold]
    seconds = time.perf_counter() - start
    found: Result = {"entities": {**span_scores(predicted, gold), "captions_per_second": len(gold) / seconds}}
    if find_spec("spacy") is None or find_spec(_MODEL) is None:
        show(f"spaCy or its model {_MODEL} is not installed, so its noun chunks are not measured")
        return found
    import spacy

    start = time.perf_counter()
    documents = list(spacy.load(_MODEL, disable=["ner", "lemmatizer"]).pipe(caption.text for caption in gold))
    seconds = time.perf_counter() - start
    for name, joined in (("spacy", False), ("spacy_joined", True)):
        chunks = [spacy_phrases(document, joined=joined) for document in documents]
        found[name] = {**span_scores(chunks, gold), "captions_per_second": len(gold) / seconds}
    return found


def spacy_phrases(document: Any, *, joined: bool) -> Caption:
    """The noun chunks of a spaCy document as phrases; `joined` makes "a group of people" one phrase instead of two."""
    spans: list[tuple[int, int]] = []  # of tokens
    for chunk in document.noun_chunks:
        of_follows = bool(spans) and spans[-1][1] == chunk.start - 1 and document[chunk.start - 1].text == "of"
        start = spans.pop()[0] if joined and of_follows else chunk.start
        spans.append((start, chunk.end))
    characters = [(document[s].idx, document[e - 1].idx + len(document[e - 1].text)) for s, e in spans]
    return Caption(document.text, tuple(Phrase(document.text[s:e], s, e) for s, e in characters))


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
