"""Boxes of any model, read from a file and scored under the protocols of `grounding`; and the file of a run's boxes.

A file of JSON lines has one phrase a line, its boxes best first, in pixels of the original image:

    {"image": "7.jpg", "caption": "Two men walk a dog.", "start": 13, "end": 18, "boxes": [[100, 50, 150, 100]]}

`set` has the boxes that the phrase refers to together, such as two for "Two men", where a model gives them.
`width` and `height` give the size of the image that the boxes are in, where it is another one.
`scores`, one a box, order the boxes where they are given. In place of `start` and `end` there may be `phrase`, and
without `caption` a box belongs to every phrase of the image with the same words. The rows of `label --format hf` are
read, too. A JSON list is read as COCO results: `image_id`, `bbox` (x, y, width, height), `score`, and `sentence` with
`start` and `end`, or `phrase`, as `label --format coco-results` writes them. An image is named by its id or file name.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from unboxed.errors import EvaluationError, plain_reason
from unboxed.evaluation.box_rules import CONTINUOUS_RULE, BoxRule
from unboxed.evaluation.box_sets import SetMention, SetScores, score_sets
from unboxed.evaluation.grounded_split import GroundedExample
from unboxed.evaluation.grounding import RANKS, GroundedMention, GroundingScores, score_grounding
from unboxed.runtime.locks import write_locked
from unboxed.types import Array, Caption, Example, Phrase, float32_array

__all__ = ["Prediction", "ScoredPredictions", "read_predictions", "score_predictions", "write_predictions"]

_EXPECTED = (
    '{"image": "7.jpg", "caption": "A dog.", "start": 0, "end": 5, "boxes": [[x1, y1, x2, y2], …]} on a line for each '
    "phrase, or a list of COCO results with `image_id`, `bbox`, `score` and `sentence`, `start`, `end` or `phrase`"
)


@dataclass(frozen=True, eq=False)
class Prediction:
    """The boxes of one phrase.

    Attributes:
        image: id or file name of the image.
        boxes: `[M, 4]` x1 y1 x2 y2 in pixels of the original image, best first.
        phrase: its words; "" where the span identifies the phrase.
        caption: the caption; None for all captions of the image.
        span: first character of the phrase in the caption and the one after its last; None: only `phrase` is known.
        set_boxes: `[N, 4]`, the boxes that the phrase refers to together; None where they are not given.
        size: (width, height) of the image that the boxes are in; None: of the original image.
    """

    image: str
    boxes: Array
    phrase: str = ""
    caption: str | None = None
    span: tuple[int, int] | None = None
    set_boxes: Array | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class ScoredPredictions:
    """The scores of the boxes of a file.

    Attributes:
        path: the file.
        scores: of all phrases of the split that have gold boxes; one without predicted boxes is wrong.
        unused: reason -> number of predictions that belong to no phrase of the split.
        sets: scores of the sets of boxes, of phrases without one of the best box; None without sets, or where no phrase
            has several gold boxes.
    """

    path: Path
    scores: GroundingScores
    unused: Mapping[str, int] = field(default_factory=dict)
    sets: SetScores | None = None

    @property
    def lines(self) -> list[str]:
        """A line for each reason why predictions are not used, and one for the sets of boxes."""
        unused = [f"{count:,} predictions {reason} are not used" for reason, count in self.unused.items()]
        return unused if self.sets is None else [*unused, f"Sets of boxes: {self.sets}"]

    def to_dict(self) -> dict[str, object]:
        """The dictionary that `unboxed evaluate --json` prints under `predictions`; percentages are 0-100."""
        sets = {} if self.sets is None else {"sets": self.sets.to_dict()}
        return {"file": str(self.path), **self.scores.to_dict(), **sets}


def read_predictions(path: Path) -> list[Prediction]:
    """The predictions of a file, in its order.

    Raises:
        EvaluationError: no such file, or content of another form.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(
            f"{path} cannot be read as predictions ({plain_reason(error)}); expected {_EXPECTED}."
        ) from None
    if text.lstrip().startswith("["):
        return _coco_results(_parsed(text, str(path)), path)
    places = {f"{path}, line {number}": line for number, line in enumerate(text.split("\n"), start=1) if line.strip()}
    return [prediction for where, line in places.items() for prediction in _of_row(_parsed(line, where), where)]


def score_predictions(path: Path, examples: Sequence[Example], *, rule: BoxRule = CONTINUOUS_RULE) -> ScoredPredictions:
    """Scores the boxes of a file on the phrases of a split.

    Args:
        path: the file.
        examples: the images with their captions and gold boxes.
        rule: when a box is right.

    Raises:
        EvaluationError: a file of another form, or of which no prediction belongs to a phrase of the split.
    """
    predictions = read_predictions(path)
    by_name = _images_by_name(examples)
    boxes: dict[tuple[str, int, int], list[Array]] = defaultdict(list)
    sets: dict[tuple[str, int, int], list[Array]] = defaultdict(list)
    unused: dict[str, int] = defaultdict(int)
    for prediction in predictions:
        example = by_name.get(prediction.image) or by_name.get(_number(prediction.image))
        if example is None:
            unused["of images that are not in the split"] += 1
            continue
        places, factor = [*_places(example, prediction)], _stored_factor(example, prediction.size)
        for place in places:
            boxes[example.image_id, *place].append(float32_array(prediction.boxes * factor))
            if prediction.set_boxes is not None:
                sets[example.image_id, *place].append(float32_array(prediction.set_boxes * factor))
        unused["of phrases that are not in the captions"] += not places
    if not boxes:
        such = (f", such as {one.image!r}: {one.phrase or one.caption!r}" for one in predictions)
        first = next(such, "")
        raise EvaluationError(
            f"None of the {len(predictions)} predictions of {path}{first} is of a phrase of the split, whose images "
            f"are named like {examples[0].image_id!r}. Expected {_EXPECTED}."
        )
    mentions = {
        (example.image_id, c, p): _mention(example, phrase, boxes.get((example.image_id, c, p), []))
        for example in examples
        for c, caption in enumerate(example.captions)
        for p, phrase in enumerate(caption.phrases)
    }
    scores = score_grounding(mentions.values(), rule=rule)
    reasons = {reason: count for reason, count in unused.items() if count}
    given = (_set_mention(mention, sets.get(place, [])) for place, mention in mentions.items())
    return ScoredPredictions(path, scores, reasons, score_sets(given, rule) if sets else None)


def write_predictions(path: Path, grounded: Iterable[GroundedExample]) -> None:
    """Writes the boxes of a run as JSON lines that `read_predictions` reads."""
    lines = []
    for item in grounded:
        for caption, grounding in item.pairs:
            for number, phrase in enumerate(caption.phrases if grounding is not None else ()):
                assert grounding is not None
                answer = grounding.phrases[number]
                boxes = _original(answer.boxes[: max(RANKS)], item.example)
                row = {
                    "image": item.example.image_id,
                    "caption": caption.text,
                    "start": phrase.start,
                    "end": phrase.end,
                    "phrase": phrase.text,
                    "boxes": boxes,
                    "set": _original(answer.set_boxes, item.example),
                    "scores": np.round(answer.scores[: max(RANKS)].astype(float), 6).tolist(),
                }
                lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    write_locked(path, "".join(lines))


def _mention(example: Example, phrase: Phrase, predicted: Sequence[Array]) -> GroundedMention:
    boxes = np.concatenate(predicted) if predicted else np.zeros((0, 4), np.float32)
    return GroundedMention(example.image_id, phrase.types, phrase.boxes, boxes[: max(RANKS)], boxes)


def _set_mention(mention: GroundedMention, given: Sequence[Array]) -> SetMention:
    best = mention.ranked_boxes[:1]
    return SetMention(mention.image_id, mention.gold_boxes, np.concatenate(given) if given else best, best)


def _original(boxes: Array, example: Example) -> list[list[float]]:
    rows: list[list[float]] = np.round(boxes / _stored_factor(example), 3).tolist()
    return rows


def _stored_factor(example: Example, size: tuple[int, int] | None = None) -> npt.NDArray[np.float64]:
    """`[4]`: what boxes in an image of `size`, by default of the original size, are multiplied by in the stored one."""
    width, height = size or example.annotated_size or (example.width, example.height)
    return np.tile([example.width / width, example.height / height], 2)


def _places(example: Example, prediction: Prediction) -> Iterator[tuple[int, int]]:
    """(caption, phrase) of each phrase of an image that a prediction is for."""
    words = _words(prediction.phrase)
    for c, caption in enumerate(example.captions):
        if prediction.caption is not None and not _same_caption(caption, prediction.caption):
            continue
        for p, phrase in enumerate(caption.phrases):
            same_span = prediction.span == (phrase.start, phrase.end)
            if same_span if prediction.span is not None else _words(phrase.text) == words:
                yield c, p


def _same_caption(caption: Caption, text: str) -> bool:
    return caption.text == text or _words(caption.text) == _words(text)


def _words(text: str) -> str:
    return " ".join(text.casefold().split())


def _images_by_name(examples: Sequence[Example]) -> dict[str, Example]:
    """The images by id, by file name and by its stem, and by their number where it is one."""
    found: dict[str, Example] = {}
    for example in examples:
        path = PurePosixPath(example.path.as_posix())
        for name in (example.image_id, path.name, path.stem, _number(example.image_id), _number(path.stem)):
            found.setdefault(name, example)
    return found


def _number(name: str) -> str:
    stem = PurePosixPath(name).stem
    return str(int(stem)) if stem.isascii() and stem.isdigit() else PurePosixPath(name).name


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EvaluationError(f"{where} is not JSON ({error}); expected {_EXPECTED}.") from None


def _of_row(row: Any, where: str) -> list[Prediction]:
    """The predictions of a line: of one phrase, or of an image as `unboxed label --format hf` writes it."""
    try:
        size = _size(row)
        if "objects" in row:
            found = [
                _one(row["images"], [[entry["box"][edge] for edge in ("xmin", "ymin", "xmax", "ymax")]], entry)
                for entry in sorted(row["objects"], key=lambda entry: -entry["score"])
            ]
            return [replace(one, size=size) for one in found]
        boxes = np.array(row["boxes"], float).reshape(-1, 4)
        scores_N = None if row.get("scores") is None else np.array(row["scores"], float)
        if scores_N is not None and (scores_N.shape != boxes.shape[:1] or not np.isfinite(scores_N).all()):
            raise ValueError(f"scores are {len(boxes)} finite numbers, one for each box")
        order = np.arange(len(boxes)) if scores_N is None else np.argsort(-scores_N, kind="stable")
        one = _one(row.get("image", row.get("image_id")), boxes[order], row)
        return [replace(one, size=size, set_boxes=None if row.get("set") is None else _boxes(row["set"]))]
    except (KeyError, TypeError, ValueError, OverflowError, IndexError, AttributeError, RecursionError) as error:
        raise EvaluationError(f"{where}: {_reason(error)}; expected {_EXPECTED}.") from None


def _coco_results(entries: Any, path: Path) -> list[Prediction]:
    """The predictions of COCO results, each of one box, best first."""
    found = []
    try:
        for entry in sorted(entries, key=lambda entry: -entry.get("score", 0)):
            x, y, width, height = entry["bbox"]
            for mention in (entry, *entry.get("mentions", ())):
                found.append(_one(entry["image_id"], [[x, y, x + width, y + height]], mention))
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise EvaluationError(f"{path}: {_reason(error)}; expected {_EXPECTED}.") from None
    return found


def _one(image: Any, boxes: Any, entry: Mapping[str, Any]) -> Prediction:
    span = (int(entry["start"]), int(entry["end"])) if "start" in entry and "end" in entry else None
    phrase, caption = str(entry.get("phrase", entry.get("label", ""))), entry.get("sentence", entry.get("caption"))
    if image is None or (span is None and not phrase) or (span is not None and caption is None):
        raise KeyError("an image, and a caption with start and end, or a phrase")
    if not isinstance(caption, str | None):
        raise TypeError(f"the caption is {repr(caption)[:60]}")
    return Prediction(str(image), _boxes(boxes), phrase, caption, span)


def _size(row: Mapping[str, Any]) -> tuple[int, int] | None:
    if row.get("width") is None or row.get("height") is None:
        return None
    width, height = int(row["width"]), int(row["height"])
    if min(width, height) < 1:
        raise ValueError(f"an image of {width} x {height} pixels")
    return width, height


def _boxes(boxes: Any) -> Array:
    array = float32_array(boxes).reshape(-1, 4)
    if not np.isfinite(array).all():
        raise ValueError("boxes that are not finite numbers")
    return array


def _reason(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
