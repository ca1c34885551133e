"""The report of an evaluation: one HTML file with metrics, training curves and a gallery of grounded images.

The file loads nothing: images are inside it as reduced JPEGs, plots as SVG, and a script of the page draws the heat map
of a word from the attention weights of the regions. Captions and names are escaped, and the content security policy of
the page forbids every request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unboxed.data.images import open_image
from unboxed.errors import ImageError
from unboxed.evaluation.box_rules import BoxRule
from unboxed.evaluation.grounding import METRICS, RANKS, GroundedMention, GroundingScores, mention_outcomes
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.runtime.locks import write_locked
from unboxed.types import Array, Caption, Phrase
from unboxed.visualization.curves import Chart, training_charts
from unboxed.visualization.draw import PALETTE, ink
from unboxed.visualization.heat import heat_colours
from unboxed.visualization.html import html_template, thumbnail_data_uri

__all__ = ["GalleryItem", "write_report"]

_LONG_SIDE, _JPEG_QUALITY = 480, 80  # of an image in the file; 40 images take about 2 MB
_HEAT_REGIONS = 24  # regions in the file per word, those with the largest attention weights
_HEADLINES = {
    "recall_any@1": "of phrases: the first box has {iou} with a gold box",
    "pointing_any": "of phrases: the point of the answer, by default the centre of its box, is inside a gold box",
    "recall_any@5": "of phrases: one of the first five boxes has {iou} with a gold box",
    "upper_bound_any": "of phrases: one of all proposals has {iou} with a gold box; no recall can exceed it",
}
_COMPARED = (*(f"recall_any@{k}" for k in RANKS), "recall_union@1", "pointing_any", "pointing_union")

_Rectangle = tuple[float, float, float, float]  # x, y, width, height


@dataclass(frozen=True, eq=False)
class GalleryItem:
    """One image with one caption, its annotation and its grounding.

    Attributes:
        image: the image's file.
        caption: with its gold phrases; a gold phrase belongs to the grounded phrase of the same span.
        grounding: of the same caption; boxes are in pixels of the stored image.
        original_size: (width, height) before it was stored, if its aspect ratio was different; the report shows the
            image with this aspect ratio.
    """

    image: Path
    caption: Caption
    grounding: Grounding
    original_size: tuple[int, int] | None = None


def write_report(
    path: Path,
    *,
    title: str,
    scores: GroundingScores,
    baselines: Mapping[str, GroundingScores],
    gallery: Sequence[GalleryItem],
    log: Sequence[Mapping[str, object]],
    facts: Mapping[str, str],
    curves: Sequence[Chart] = (),
) -> None:
    """Writes the report as one file; an older one at `path` is replaced only when the new one is complete.

    Args:
        path: the HTML file; its folder is created if needed.
        title: such as "infoground on scenes, test".
        scores: of the trained model. The page names their convention of boxes, and marks phrases by it.
        baselines: scores of the untrained baselines on the same split; may be empty.
        gallery: images to show, in this order. One whose file cannot be read is left out and named.
        log: entries of the training log with `step` and, where known, `loss`, `val_loss` and other `val_…` metrics; may
            be empty.
        facts: names and values for the top of the page, such as the run, the split and the duration.
        curves: precision and recall of the attention of words.
    """
    cards: list[_Card] = []
    unreadable: list[str] = []
    for item in gallery:
        try:
            cards.append(_card(item, len(cards), scores.rule))
        except ImageError as error:
            unreadable.append(str(error))
    strongest = {metric: max((scores[metric] for scores in baselines.values()), default=None) for metric in METRICS}
    least = f"IoU {'≥' if scores.rule.overlap == 'at-least' else '>'} 0.5"
    page = html_template("unboxed.evaluation", "report.html").render(
        title=title,
        facts={**facts, "Boxes": str(scores.rule)},
        scores=scores,
        headlines={metric: text.format(iou=least) for metric, text in _HEADLINES.items()},
        compared=_COMPARED,
        baselines=baselines,
        strongest=strongest,
        charts=training_charts(log),
        curves=curves,
        cards=cards,
        types=sorted({name for card in cards for name in card.types}),
        unreadable=unreadable,
        palette=[(colour, ink(colour)) for colour in PALETTE],
        heat_colours=[[round(c) for c in colour] for colour in heat_colours(np.linspace(0, 1, 32)).tolist()],
    )
    write_locked(path, page)


@dataclass(frozen=True)
class _Answer:
    """A phrase on the page; `right` and `overlap` (IoU) are None without a gold box."""

    colour: int
    box: list[_Rectangle]
    gold: list[_Rectangle]
    types: tuple[str, ...]
    right: bool | None
    overlap: float | None


@dataclass(frozen=True)
class _Card:
    """An image on the page."""

    number: int
    image: str
    width: int
    height: int
    shape: tuple[int, int]
    caption: str
    parts: list[dict[str, object]]
    phrases: list[_Answer]
    types: list[str]
    heat: dict[str, object]

    @property
    def scored(self) -> int:
        """Number of phrases with a gold box."""
        return sum(phrase.right is not None for phrase in self.phrases)

    @property
    def right(self) -> int:
        """Number of phrases that are grounded correctly."""
        return sum(phrase.right is True for phrase in self.phrases)


def _card(item: GalleryItem, number: int, rule: BoxRule) -> _Card:
    grounding = item.grounding
    gold = {(phrase.start, phrase.end): phrase for phrase in item.caption.phrases}
    # The page restores the original aspect ratio.
    image = thumbnail_data_uri(open_image(item.image), _LONG_SIDE, _JPEG_QUALITY)
    phrases = [
        _answer(phrase, gold.get((phrase.start, phrase.end)), i, rule) for i, phrase in enumerate(grounding.phrases)
    ]
    return _Card(
        number=number,
        image=image,
        width=grounding.width,
        height=grounding.height,
        shape=item.original_size or (grounding.width, grounding.height),
        caption=grounding.caption,
        parts=_parts(grounding),
        phrases=phrases,
        types=sorted({name for phrase in item.caption.phrases if len(phrase.boxes) for name in phrase.types}),
        heat=_heat(grounding),
    )


def _answer(phrase: GroundedPhrase, gold: Phrase | None, number: int, rule: BoxRule) -> _Answer:
    right, overlap = None, None
    if gold is not None and len(gold.boxes):
        mention = GroundedMention("", gold.types, gold.boxes, phrase.boxes, phrase.boxes)
        right = bool(mention_outcomes([mention], rule)[0, METRICS.index("recall_any@1")])
        overlap = float(rule.intersection_over_union(phrase.boxes[:1], gold.boxes).max(initial=0))
    return _Answer(
        colour=number % len(PALETTE),
        box=_rectangles(phrase.boxes[:1]),
        gold=_rectangles(gold.boxes) if gold is not None else [],
        types=gold.types if gold is not None else (),
        right=right,
        overlap=overlap,
    )


def _rectangles(boxes: Array) -> list[_Rectangle]:
    """(x, y, width, height) of each box, rounded to a tenth of a pixel."""
    return [(round(x1, 1), round(y1, 1), round(x2 - x1, 1), round(y2 - y1, 1)) for x1, y1, x2, y2 in boxes.tolist()]


def _parts(grounding: Grounding) -> list[dict[str, object]]:
    """The caption as parts inside or outside a phrase, each split into words and the text between them.

    Each character is in exactly one piece of one part; where spans overlap, it belongs to the first phrase or word.
    """
    phrase_of = _span_of_characters([(phrase.start, phrase.end) for phrase in grounding.phrases], grounding.caption)
    word_of = _span_of_characters(grounding.words, grounding.caption)
    parts: list[dict[str, object]] = []
    pieces: list[dict[str, object]] = []
    for i, character in enumerate(grounding.caption):
        if i == 0 or phrase_of[i] != phrase_of[i - 1]:
            pieces = []
            parts.append({"phrase": phrase_of[i], "pieces": pieces})
        if not pieces or word_of[i] != word_of[i - 1]:
            pieces.append({"word": word_of[i], "text": ""})
        pieces[-1]["text"] = f"{pieces[-1]['text']}{character}"
    return parts


def _span_of_characters(spans: Sequence[tuple[int, int]], text: str) -> list[int | None]:
    """The index of the first span that contains each character of the text; None where there is none."""
    index: list[int | None] = [None] * len(text)
    for number, (start, end) in reversed(list(enumerate(spans))):
        index[start:end] = [number] * (end - start)
    return index


def _heat(grounding: Grounding) -> dict[str, object]:
    """Regions in thousandths of the image, and for each word [region, weight in 0..255, …] of the largest weights."""
    extent = np.array([grounding.width, grounding.height] * 2)
    boxes = np.rint(grounding.regions.boxes / extent * 1000).astype(int)
    words = []
    for weights_R in grounding.attention_WR:
        largest = np.argsort(-weights_R, kind="stable")[:_HEAT_REGIONS]
        level = np.rint(255 * weights_R[largest] / max(float(weights_R.max(initial=0)), 1e-9)).astype(int)
        words.append([int(v) for r, w in zip(largest, level, strict=True) if w > 0 for v in (r, w)])
    return {"boxes": boxes.tolist(), "words": words}
