"""A zero-shot detector as a baseline: its boxes for each phrase, best first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unboxed.errors import EvaluationError
from unboxed.evaluation.zero_shot_baseline import named_detector, zero_shot_baseline
from unboxed.regions.base import Detections
from unboxed.regions.image_view import View
from unboxed.regions.sources.zero_shot import ZeroShotModel
from unboxed.types import Caption, Example, Phrase

DOG, HAT = [10, 10, 50, 50], [60, 10, 90, 40]


class Known(ZeroShotModel):
    """Finds dogs on the left and hats on the right."""

    def __init__(self) -> None:
        self.name, self.asked = "known", []

    def detect(self, view: View, queries: Sequence[str]) -> Detections:
        self.asked.append(tuple(queries))
        boxes = np.array([HAT, DOG, [11, 11, 50, 50], [0, 0, 0, 9]], np.float32)
        scores = {"a dog": [0.1, 0.9, 0.8, 1], "a hat": [0.7, 0.2, 0.1, 1], "a cat": [0.6, 0.5, 0.4, 1]}
        return Detections(boxes, np.array([scores[query] for query in queries], np.float32).T)

    def _run(self, inputs: dict[str, Any], asked: Any) -> tuple[Any, Any]:
        raise AssertionError("there is no network")


def phrase(caption: str, text: str, box: list[int]) -> Phrase:
    start = caption.index(text)
    return Phrase(text, start, start + len(text), ("other",), boxes=np.array([box], np.float32))


def example(path: Path, gold: dict[str, list[int]]) -> Example:
    caption = " and ".join(gold)
    phrases = tuple(phrase(caption, text, box) for text, box in gold.items())
    return Example(path.stem, path, (Caption(caption, phrases), Caption(caption, phrases)), 100, 60)


def test_each_phrase_is_answered_with_its_best_box(tmp_path: Path) -> None:
    Image.new("RGB", (100, 60)).save(tmp_path / "image.png")
    model = Known()
    scores = zero_shot_baseline(model, [example(tmp_path / "image.png", {"a dog": DOG, "a hat": HAT, "a cat": DOG})])
    assert model.asked == [("a dog", "a hat", "a cat")]  # once for an image, each phrase once
    assert scores["recall_any@1"] == pytest.approx(100 * 2 / 3)  # the best box of the cat is the hat
    assert scores["recall_any@5"] == 100


def test_phrases_of_an_image_that_cannot_be_read_are_wrong(tmp_path: Path) -> None:
    Image.new("RGB", (100, 60)).save(tmp_path / "image.png")
    readable, missing = (example(tmp_path / name, {"a dog": DOG}) for name in ("image.png", "missing.png"))
    assert zero_shot_baseline(Known(), [readable, missing])["recall_any@1"] == 50


@pytest.mark.parametrize("name", ["owlv2", "hf:", ""])
def test_a_baseline_without_a_model_is_refused(name: str) -> None:
    with pytest.raises(EvaluationError, match="name a zero-shot detector of transformers"):
        named_detector(name)
