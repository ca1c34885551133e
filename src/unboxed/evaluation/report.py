"""The report: one HTML file with the numbers, the curves and a gallery to look at, and nothing to load from anywhere.

Pictures are inside as reduced JPEGs, drawings as SVG, and the heat of a word is painted in the page from the regions'
weights. Captions and names are data: everything is escaped, and the page's own policy forbids any request.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image

from unboxed.boxes import iou
from unboxed.data.images import open_image
from unboxed.errors import ImageError
from unboxed.evaluation.grounding import METRICS, RANKS, GroundedMention, GroundingScores, mention_outcomes
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.types import Array, Caption, Phrase
from unboxed.visualization.curves import Chart, training_charts
from unboxed.visualization.draw import PALETTE, heat_colours, ink

__all__ = ["GalleryItem", "write_report"]

_LONG_SIDE = 480  # of a picture in the file; 40 of them take about 2 MB
_JPEG_QUALITY = 80
_HEAT_REGIONS = 24  # regions kept per word: the rest of its attention would not be seen
_HEADLINES = {
    "recall_any@1": "of phrases: the first box has IoU ≥ 0.5 with a gold box",
    "pointing_any": "of phrases: the first box's centre is inside a gold box",
    "recall_any@5": "of phrases: one of the first five boxes has IoU ≥ 0.5 with a gold box",
    "upper_bound_any": "of phrases: some proposal has IoU ≥ 0.5 with a gold box, which bounds recall",
}
_COMPARED = (*(f"recall_any@{k}" for k in RANKS), "recall_union@1", "pointing_any", "pointing_union")

_Rectangle = tuple[float, float, float, float]  # x, y, width, height


@dataclass(frozen=True, eq=False)
class GalleryItem:
    """One image with one caption, as annotated and as grounded.

    Attributes:
        image: the stored image's file.
        caption: with its gold phrases; a gold phrase belongs to the grounded phrase of the same span.
        grounding: the answer for the same caption; boxes in pixels of the stored image.
        original_size: (width, height) before it was stored, when its shape was another; it is shown in this shape.
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
        path: the HTML file; its folder is made when missing.
        title: what was evaluated, such as "InfoGround on Scenes".
        scores: of the trained grounder.
        baselines: of untrained ones on the same split; may be empty.
        gallery: images to show, in this order. One whose file cannot be read is left out and named.
        log: entries of the training log, with `step` and, where known, `loss`, `val_loss` and other `val_…` figures;
            may be empty.
        facts: names and values for the top of the page, such as the run, the split and the time.
        curves: further charts beside those of training.
    """
    cards: list[_Card] = []
    unreadable: list[str] = []
    for item in gallery:
        try:
            cards.append(_card(item, number=len(cards)))
        except ImageError as error:
            unreadable.append(str(error))
    strongest = {metric: max((own[metric] for own in baselines.values()), default=None) for metric in METRICS}
    page = _template().render(
        title=title,
        facts=facts,
        scores=scores,
        headlines=_HEADLINES,
        compared=_COMPARED,
        baselines=baselines,
        strongest=strongest,
        charts=(*training_charts(log), *curves),
        cards=cards,
        types=sorted({name for card in cards for name in card.types}),
        unreadable=unreadable,
        palette=[(colour, ink(colour)) for colour in PALETTE],
        heat_colours=[[round(c) for c in colour] for colour in heat_colours(np.linspace(0, 1, 32)).tolist()],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(page, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(files("unboxed.evaluation").joinpath("report.html").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class _Answer:
    """A phrase as the page shows it; `right` and `overlap` are None without a gold box."""

    colour: int
    box: list[_Rectangle]
    gold: list[_Rectangle]
    types: tuple[str, ...]
    right: bool | None
    overlap: float | None


@dataclass(frozen=True)
class _Card:
    """An image as the page shows it."""

    number: int
    image: str
    width: int
    height: int
    shape: tuple[int, int]
    caption: str
    runs: list[dict[str, object]]
    phrases: list[_Answer]
    types: list[str]
    heat: dict[str, object]

    @property
    def judged(self) -> int:
        return sum(phrase.right is not None for phrase in self.phrases)

    @property
    def right(self) -> int:
        return sum(phrase.right is True for phrase in self.phrases)


def _card(item: GalleryItem, number: int) -> _Card:
    grounding = item.grounding
    gold = {(phrase.start, phrase.end): phrase for phrase in item.caption.phrases}
    return _Card(
        number=number,
        image=_data_uri(item.image),
        width=grounding.width,
        height=grounding.height,
        shape=item.original_size or (grounding.width, grounding.height),
        caption=grounding.caption,
        runs=_runs(grounding),
        phrases=[_answer(own, gold.get((own.start, own.end)), i) for i, own in enumerate(grounding.phrases)],
        types=sorted({name for phrase in item.caption.phrases if len(phrase.boxes) for name in phrase.types}),
        heat=_heat(grounding),
    )


def _answer(phrase: GroundedPhrase, gold: Phrase | None, place: int) -> _Answer:
    right, overlap = None, None
    if gold is not None and len(gold.boxes):
        mention = GroundedMention("", gold.types, gold.boxes, phrase.boxes, phrase.boxes)
        right = bool(mention_outcomes([mention])[0, METRICS.index("recall_any@1")])
        overlap = float(iou(phrase.boxes[:1], gold.boxes).max(initial=0))
    return _Answer(
        colour=place % len(PALETTE),
        box=_rectangles(phrase.boxes[:1]),
        gold=_rectangles(gold.boxes) if gold is not None else [],
        types=gold.types if gold is not None else (),
        right=right,
        overlap=overlap,
    )


def _rectangles(boxes: Array) -> list[_Rectangle]:
    """(x, y, width, height) of each box, to a tenth of a pixel."""
    return [(round(x1, 1), round(y1, 1), round(x2 - x1, 1), round(y2 - y1, 1)) for x1, y1, x2, y2 in boxes.tolist()]


def _runs(grounding: Grounding) -> list[dict[str, object]]:
    """The caption as runs inside or outside a phrase, each cut into words and what stands between them.

    Every character is in exactly one piece; where spans overlap, the earlier phrase or word keeps the character.
    """
    phrase_of = _owners([(phrase.start, phrase.end) for phrase in grounding.phrases], len(grounding.caption))
    word_of = _owners(grounding.words, len(grounding.caption))
    runs: list[dict[str, object]] = []
    pieces: list[dict[str, object]] = []
    for i, character in enumerate(grounding.caption):
        if i == 0 or phrase_of[i] != phrase_of[i - 1]:
            pieces = []
            runs.append({"phrase": phrase_of[i], "pieces": pieces})
        if not pieces or word_of[i] != word_of[i - 1]:
            pieces.append({"word": word_of[i], "text": ""})
        pieces[-1]["text"] = f"{pieces[-1]['text']}{character}"
    return runs


def _owners(spans: Sequence[tuple[int, int]], length: int) -> list[int | None]:
    owner: list[int | None] = [None] * length
    for place, (start, end) in reversed(list(enumerate(spans))):
        owner[start:end] = [place] * (end - start)
    return owner


def _heat(grounding: Grounding) -> dict[str, object]:
    """The regions in thousandths of the image; for each word [region, weight in 0..255, …] of the strongest."""
    extent = np.array([grounding.width, grounding.height] * 2)
    boxes = np.rint(grounding.regions.boxes / extent * 1000).astype(int)
    words = []
    for weights_R in grounding.attention_WR:
        strongest = np.argsort(-weights_R, kind="stable")[:_HEAT_REGIONS]
        level = np.rint(255 * weights_R[strongest] / max(float(weights_R.max(initial=0)), 1e-9)).astype(int)
        words.append([int(v) for r, w in zip(strongest, level, strict=True) if w > 0 for v in (r, w)])
    return {"boxes": boxes.tolist(), "words": words}


def _data_uri(path: Path) -> str:
    image = open_image(path)
    image.thumbnail((_LONG_SIDE, _LONG_SIDE), Image.Resampling.LANCZOS)  # the page stretches it to its original shape
    content = io.BytesIO()
    image.save(content, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")
