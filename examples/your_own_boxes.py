"""Score the boxes of any model under the named protocols of the library.

    python examples/your_own_boxes.py                                   # boxes that this file makes up
    python examples/your_own_boxes.py --data flickr.toml --split val --boxes answers.jsonl

A line of `answers.jsonl` is the answer for one phrase of one caption. `start` and `end` are characters of the caption.
Boxes are x1, y1, x2, y2, best first, in pixels of an image of `size`, such as the original image:

    {"image": "10009", "size": [500, 333], "caption": 0, "start": 0, "end": 15, "boxes": [[12, 30.5, 180, 300], …]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from unboxed import Example
from unboxed.data import load_dataset
from unboxed.evaluation import GroundedMention, score_grounding
from unboxed.scenes import write_scenes


def made_up_answers(examples: Iterable[Example]) -> Iterator[dict[str, Any]]:
    """Two boxes for every phrase, in the place of a model: the middle of the image, then all of it."""
    for example in examples:
        width, height = example.width, example.height
        boxes = [[width / 4, height / 4, width * 3 / 4, height * 3 / 4], [0, 0, width, height]]
        for number, caption in enumerate(example.captions):
            for phrase in caption.phrases:
                place = {"image": example.image_id, "caption": number, "start": phrase.start, "end": phrase.end}
                yield {**place, "size": [width, height], "boxes": boxes}


def main(
    data: Path | None = None, split: str = "test", boxes: Path | None = None, folder: Path = Path("example")
) -> None:
    """Score answers for the phrases of a split that have gold boxes.

    Args:
        data: a dataset file with gold boxes; without it, a dataset is drawn.
        split: the split to score.
        boxes: the answers, JSON Lines; without it, boxes are made up.
        folder: keeps the drawn dataset.
    """
    dataset = load_dataset(data or write_scenes(folder / "scenes-20", train=20, val=20, test=20))
    examples = dataset.split(split).examples
    lines = boxes.read_text(encoding="utf-8").splitlines() if boxes else []
    answers = map(json.loads, lines) if boxes else made_up_answers(examples)
    answer_of = {(answer["image"], answer["caption"], answer["start"], answer["end"]): answer for answer in answers}

    mentions = []
    for example in examples:
        for number, caption in enumerate(example.captions):
            for phrase in caption.phrases:
                ranked_boxes = np.zeros((0, 4))  # a phrase without an answer counts as wrong
                if answer := answer_of.get((example.image_id, number, phrase.start, phrase.end)):
                    width, height = answer["size"]
                    # Gold boxes are in pixels of the stored image, which may be smaller than the original one.
                    scale = [example.width / width, example.height / height] * 2
                    ranked_boxes = np.array(answer["boxes"]).reshape(-1, 4) * scale
                mentions.append(
                    GroundedMention(
                        image_id=example.image_id,
                        types=phrase.types,
                        gold_boxes=phrase.boxes,
                        ranked_boxes=ranked_boxes,
                        proposal_boxes=ranked_boxes,  # all boxes that the model chose from, for the upper bound
                    )
                )
    scores = score_grounding(mentions)
    print(f"{scores.phrases} phrases of {scores.images} images, in percent, with 95 % intervals over images")
    for metric, (low, high) in scores.intervals.items():
        print(f"{metric:20} {scores[metric]:5.1f} ({low:.1f} – {high:.1f})")
    for name, percent in scores.by_type.items():
        print(f"{name:20} {percent['recall_any@1']:5.1f} recall_any@1 of {scores.phrases_by_type[name]} phrases")
    print(f"{scores.without_gold} phrases without a gold box are not scored; {scores.without_answer} had no answer.")


if __name__ == "__main__":
    tyro.cli(main)
