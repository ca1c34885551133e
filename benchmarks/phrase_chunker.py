"""How well the chunker's phrases agree with the gold phrases of Flickr30K Entities, and how fast it is.

    python benchmarks/phrase_chunker.py ANNOTATIONS LIST

ANNOTATIONS is the release's folder or tar file, LIST a split's list of image ids. No photograph is needed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from unboxed.data.flickr30k_entities import read_examples
from unboxed.data.photo_folder import StoredPhoto
from unboxed.phrases import noun_phrases, span_f1
from unboxed.types import Caption


def gold_captions(annotations: Path, split_list: Path) -> list[Caption]:
    """The captions of a split with their gold phrases; boxes are in no useful frame, for there is no photograph."""
    image_ids = split_list.read_text("utf-8").split()
    examples = read_examples(annotations, {image_id: StoredPhoto(Path(image_id), 1, 1) for image_id in image_ids})
    return [caption for example in examples for caption in example.captions]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("split_list", type=Path)
    arguments = parser.parse_args()
    gold = gold_captions(arguments.annotations, arguments.split_list)
    start = time.perf_counter()
    predicted = [Caption(caption.text, noun_phrases(caption.text)) for caption in gold]
    seconds = time.perf_counter() - start
    score = span_f1(predicted, gold)
    print(f"{len(gold):,} captions, {sum(len(caption.phrases) for caption in gold):,} gold phrases")
    print(f"precision {score.precision:.3f}  recall {score.recall:.3f}  F1 {score.f1:.3f}")
    print(f"{len(gold) / seconds:,.0f} captions a second")


if __name__ == "__main__":
    main()
