"""What grounding and retrieval return: phrases with ranked boxes, and ranked images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from unboxed.attention.heatmaps import positive_heat, upsampled
from unboxed.data.images import open_image
from unboxed.errors import CaptionError, ExportError, ImageError
from unboxed.text.phrases import content_mask, content_or_all
from unboxed.text.tokens import Word
from unboxed.types import Array, Regions, frozen_array
from unboxed.visualization.heat import heat_map

if TYPE_CHECKING:
    import supervision

__all__ = ["GroundedPhrase", "Grounding", "RankedImage", "joined_groundings", "span_heat"]


@dataclass(frozen=True, eq=False, repr=False)
class GroundedPhrase:
    """A phrase with its regions ranked.

    Attributes:
        text, start, end: the phrase and its character span in the caption.
        boxes: `[N, 4]` pixels, best first; also of a phrase that is absent.
        scores: `[N]`, not increasing. They rank the boxes of one phrase; they are no probability that it is present.
        match: how well the phrase matches the image; the scale depends on the model. None where it was not computed.
        confidence: the calibrated probability in [0, 1] that the phrase is in the image; None of a model that was not
            calibrated.
        types: Entities types such as `people`, if the given caption has them.
        set_ranks: the ranks of the boxes that the phrase refers to together: the best one, or several for "two people"
            (see `inference.phrase_sets`).
        prior: how well the best region fits by the semantic prior, in [0, 1]; 0: the prior does not know the phrase,
            1e-6: it knows the phrase, but no region shows anything of its class.
            None of a run without a prior.
        point: x and y in pixels, where the phrase is pointed at (`Ranking.point`); None: at the centre of its best box.
        unknown: words of the phrase that are not in the vocabulary, where its head noun is one of them and the prior
            does not know the phrase either: nothing tells where it is, and its probability is a guess.
    """

    text: str
    start: int
    end: int
    boxes: Array
    scores: Array
    match: float | None = None
    confidence: float | None = None
    types: tuple[str, ...] = ()
    set_ranks: tuple[int, ...] = (0,)
    prior: float | None = None
    point: tuple[float, float] | None = None
    unknown: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "boxes", frozen_array(self.boxes, (None, 4), f"boxes of “{self.text}”"))
        object.__setattr__(self, "scores", frozen_array(self.scores, (len(self.boxes),), f"scores of “{self.text}”"))

    def __repr__(self) -> str:
        best = [round(float(edge)) for edge in self.boxes[0]] if len(self.boxes) else None
        return f"GroundedPhrase({self.text!r}, best box {best}, confidence {self.confidence})"

    def chosen(self, top: int = 1) -> list[int]:
        """The ranks of the boxes to show, in order: `set_ranks`, and the `top` best where that is more than one."""
        return self.with_set(top if top > 1 else 0)

    def with_set(self, top: int) -> list[int]:
        """The ranks of the `top` best boxes and of `set_ranks`, in order."""
        return sorted({rank for rank in (*range(min(top, len(self.boxes))), *self.set_ranks) if rank < len(self.boxes)})

    @property
    def set_boxes(self) -> Array:
        """`[M, 4]`, the boxes of `set_ranks`: one for each thing that the phrase names, as far as they were found."""
        return self.boxes[[rank for rank in self.set_ranks if rank < len(self.boxes)]]

    @property
    def present(self) -> bool:
        """Whether the probability that the phrase is present is at least one half; True without a calibration."""
        return self.confidence is None or self.confidence >= 0.5

    @property
    def strength(self) -> str:
        """One number with its name, for people: `probability 0.93` that the phrase is in the image, which is below
        0.50 exactly if it is absent; without a calibration `match 0.42`, the score of its best box.
        """
        if self.confidence is None:
            return f"match {self.scores[0]:.2f}" if len(self.scores) else "no match"
        rounded = self.confidence if self.present else min(self.confidence, 0.494)
        return f"probability {rounded:.2f}"

    @property
    def guess(self) -> str:
        """For people, that box and probability are a guess, and for which words; "" where they are not."""
        return f"a guess: unknown {', '.join(self.unknown)}" if self.unknown else ""


@dataclass(frozen=True, eq=False, repr=False)
class Grounding:
    """The phrases of one caption grounded in one image.

    Attributes:
        caption: the caption's text.
        phrases: its phrases in reading order, each with ranked boxes.
        words: the words of the caption as (start, end) character spans.
        regions: the candidate regions that were ranked.
        attention_WR: `[W, R]` in [0, 1], the attention of each word over the regions; rows sum to 1.
        width, height: size of the image in pixels.
        heat_PYX: `[P, h, w]`, the match of each phrase with each cell of a grid over the image, any sign; None for
            recipes that choose among regions.
        image: the image or its file, for pictures in notebooks; None draws boxes on white.
    """

    caption: str
    phrases: tuple[GroundedPhrase, ...]
    words: tuple[tuple[int, int], ...]
    regions: Regions
    attention_WR: Array
    width: int
    height: int
    heat_PYX: Array | None = None
    image: str | Path | PIL.Image.Image | npt.NDArray[Any] | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        phrases = ", ".join(repr(phrase.text) for phrase in self.phrases)
        return f"Grounding({self.caption!r}, phrases [{phrases}], image {self.width} x {self.height})"

    @property
    def present(self) -> tuple[GroundedPhrase, ...]:
        """The phrases whose confidence is at least one half; all of them if the model was not calibrated."""
        return tuple(phrase for phrase in self.phrases if phrase.present)

    def to_dict(self, top: int | None = None) -> dict[str, object]:
        """The plain dictionary that `unboxed ground --json` prints; at most `top` boxes a phrase when given."""
        return {
            "phrases": [
                {
                    "text": phrase.text,
                    "start": phrase.start,
                    "end": phrase.end,
                    "boxes": [[round(float(x), 2) for x in box] for box in phrase.boxes[:top]],
                    "scores": [round(float(score), 6) for score in phrase.scores[:top]],
                    "set": [[round(float(x), 2) for x in box] for box in phrase.set_boxes],
                    "confidence": None if phrase.confidence is None else round(phrase.confidence, 4),
                    "present": phrase.present,
                    "unknown": list(phrase.unknown),
                    **({} if phrase.point is None else {"point": [round(edge, 2) for edge in phrase.point]}),
                }
                for phrase in self.phrases
            ]
        }

    def to_supervision(self, min_score: float = 0.0, top: int = 1) -> supervision.Detections:
        """The boxes of the phrases that are present, as `supervision.Detections`; of "two people", both.

        `class_id` is the phrase's place in the caption; `data` has `class_name` (the phrase, which supervision's
        annotators print), `start` and `end`.

        Args:
            min_score: boxes that score less are left out.
            top: where it is more than 1, also so many of the best boxes of every phrase.

        Raises:
            ExportError: the package supervision is missing.
        """
        try:
            from supervision import Detections
        except ImportError:
            raise ExportError('supervision is not installed; pip install "unboxed[supervision]"') from None
        boxes, scores, places = [], [], []
        for place, phrase in enumerate(self.phrases):
            if phrase.present:
                chosen = np.array(phrase.chosen(top), dtype=int)
                keep = chosen[phrase.scores[chosen] >= min_score]
                boxes.append(phrase.boxes[keep])
                scores.append(phrase.scores[keep])
                places += [place] * len(keep)
        kept = [self.phrases[place] for place in places]
        return Detections(
            xyxy=np.concatenate([np.zeros((0, 4), np.float32), *boxes]),
            confidence=np.concatenate([np.zeros(0, np.float32), *scores]),
            class_id=np.array(places, dtype=int),
            data={
                "class_name": np.array([phrase.text for phrase in kept], dtype=str),
                "start": np.array([phrase.start for phrase in kept], dtype=int),
                "end": np.array([phrase.end for phrase in kept], dtype=int),
            },
        )

    def _repr_png_(self) -> bytes:
        """The picture that a notebook shows: the image with its phrases boxed, and the caption in matching colours."""
        from unboxed.visualization.notebook import grounding_png  # loads Jinja

        return grounding_png(self._picture(), self.caption, self.present)

    def _repr_html_(self) -> str:
        """The same with the caption as text, and the phrases that are not in the image listed below it."""
        from unboxed.visualization.notebook import grounding_html  # loads Jinja

        absent = [phrase for phrase in self.phrases if not phrase.present]
        return grounding_html(self._picture(), self.caption, self.present, absent)

    def _picture(self) -> PIL.Image.Image:
        """The image, or a white image of its size if the image is not known or its file is gone."""
        if self.image is not None:
            try:
                return open_image(self.image)
            except ImageError:  # the file is gone
                pass
        return PIL.Image.new("RGB", (self.width, self.height), "#FFFFFF")


@dataclass(frozen=True, eq=False)
class RankedImage:
    """An image of a ranking for a text.

    Attributes:
        index: its position among the given images.
        score: how well it matches, higher is better, any sign; comparable between images of the same text.
        grounding: the text's phrases in this image.
    """

    index: int
    score: float
    grounding: Grounding


def joined_groundings(groundings: Sequence[Grounding]) -> Grounding:
    """Several captions of one image as one, separated by commas; the phrases keep their order.

    Args:
        groundings: at least one, all of the same regions.
    """
    first = groundings[0]
    starts = np.cumsum([0, *(len(grounding.caption) + 2 for grounding in groundings[:-1])]).tolist()
    pairs = list(zip(starts, groundings, strict=True))
    heats = [grounding.heat_PYX for grounding in groundings if grounding.heat_PYX is not None]
    return replace(
        first,
        caption=", ".join(grounding.caption for grounding in groundings),
        phrases=tuple(replace(p, start=p.start + at, end=p.end + at) for at, g in pairs for p in g.phrases),
        words=tuple((start + at, end + at) for at, g in pairs for start, end in g.words),
        attention_WR=np.concatenate([grounding.attention_WR for grounding in groundings]),
        heat_PYX=np.concatenate(heats) if len(heats) == len(groundings) else None,
    )


def span_heat(grounding: Grounding, span: tuple[int, int] | None = None) -> Array:
    """The heat `[H, W]` in [0, 1] of every pixel of the image; the maximum is 1.

    The attention of the span's nouns and adjectives (of all its words without any) is spread over the boxes of the
    regions. Models with heat maps use the mean map of the span's phrases instead.

    Args:
        grounding: of the image and the caption.
        span: characters (start, end) of the caption; None for all of it.

    Raises:
        CaptionError: no word of the caption lies in the span.
    """
    start, end = span or (0, len(grounding.caption))
    inside_W = np.array([first < end and last > start for first, last in grounding.words], dtype=bool)
    if not inside_W.any():
        raise CaptionError(
            f"No word of {grounding.caption!r} lies in characters {start}..{end}; spans count characters from 0."
        )
    size = (grounding.width, grounding.height)
    if grounding.heat_PYX is not None:
        inside = [p for p, phrase in enumerate(grounding.phrases) if phrase.start < end and phrase.end > start]
        if inside:
            return positive_heat(upsampled(grounding.heat_PYX[inside].mean(axis=0), *size))
    found = [Word(grounding.caption[first:last].lower(), first, last) for first, last in grounding.words]
    chosen_W = content_or_all(
        inside_W, content_mask(found, [(phrase.start, phrase.end) for phrase in grounding.phrases])
    )
    weight_R = grounding.attention_WR[chosen_W].mean(axis=0)
    return np.asarray(heat_map(grounding.regions.boxes, weight_R, size, size), dtype=np.float32)
