"""Selects the boxes of groundings that are written as labels, and counts what is left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from unboxed.boxes import iou
from unboxed.errors import ExportError
from unboxed.export.labels import LabelledBox, LabelledImage, Mention, Selection
from unboxed.export.names import BoxNames
from unboxed.export.options import SelectionOptions
from unboxed.inference.results import GroundedPhrase, Grounding

__all__ = ["select_boxes"]

_SAME_BOX = 0.9  # IoU
_LONG = 2_000  # characters of a caption


def select_boxes(
    groundings: Sequence[Grounding], images: Sequence[str], options: SelectionOptions | None = None
) -> Selection:
    """The boxes of groundings, by image, that are written as labels.

    Args:
        groundings: of any number of captions of any number of images.
        images: the name of the image of each grounding, such as its path; formats write it as the file name.
        options: which boxes; None selects the best box of every phrase that is present and names an object.

    Raises:
        ExportError: one name for images of different sizes; classes that cannot be used.
    """
    options = options or SelectionOptions()
    found: dict[str, _Found] = {}
    counts: Counter[str] = Counter()
    naming = BoxNames(options)
    for grounding, image in zip(groundings, images, strict=True):
        size = (grounding.width, grounding.height)
        known = found.setdefault(image, _Found(size))
        if known.size != size:
            raise ExportError(f"{image!r} has {known.size} pixels once and {size} once; give each image its own name.")
        known.captions.append(grounding.caption)
        known.boxes += _named_boxes(grounding, options, naming, counts)
    merged = {image: _merged(known.boxes, options.merge, options.classes is not None) for image, known in found.items()}
    counts["merged"] = sum(len(known.boxes) - len(merged[image]) for image, known in found.items())
    by_name = Counter(box.category for boxes in merged.values() for box in boxes)
    kept = {name for name, count in by_name.items() if count >= options.min_boxes}
    counts["rare"] = sum(count for name, count in by_name.items() if name not in kept)
    shown = naming.shown(kept, (box for known in found.values() for box in known.boxes))
    return Selection(
        tuple(
            LabelledImage(
                image,
                *known.size,
                tuple(known.captions),
                tuple(replace(box, category=shown[box.category]) for box in merged[image] if box.category in kept),
            )
            for image, known in found.items()
        ),
        tuple(sorted(set(shown.values()))) if naming.classes is None else naming.classes.names,
        mapping=naming.mapping(shown),
        **counts,
    )


@dataclass
class _Found:
    """The size, the captions and the named boxes of one image."""

    size: tuple[int, int]
    captions: list[str] = field(default_factory=list)
    boxes: list[LabelledBox] = field(default_factory=list)


def _named_boxes(
    grounding: Grounding, options: SelectionOptions, naming: BoxNames, counts: Counter[str]
) -> Iterator[LabelledBox]:
    """The boxes of a grounding with a good enough score and a name; `counts` counts the others."""
    for phrase in grounding.phrases:
        if phrase.confidence is not None and phrase.confidence < options.lowest_confidence:
            counts["absent"] += 1
            continue
        mention = _mention(phrase, grounding.caption)
        best = phrase.chosen(options.top) if options.plurals else list(range(min(options.top, len(phrase.boxes))))
        found = list(zip(phrase.boxes[best].tolist(), phrase.scores[best].tolist(), strict=True))
        good = [(box, score) for box, score in found if score >= options.lowest_score]
        counts["below_score"] += len(found) - len(good)
        name = naming.of(phrase, len(good))
        for box, score in good:
            if not name:
                counts["unnamed" if naming.classes is None else "unclassed"] += 1
            else:
                yield LabelledBox(name, tuple(box), score, mention, (), phrase.confidence, phrase.guess)


def _mention(phrase: GroundedPhrase, caption: str) -> Mention:
    """The phrase in its caption; of a long one, in the text around it, as every box has a copy of that."""
    first, last = (0, None) if len(caption) <= _LONG else (max(phrase.start - _LONG // 2, 0), phrase.end + _LONG // 2)
    return Mention(phrase.text, phrase.start - first, phrase.end - first, caption[first:last])


def _merged(boxes: Iterable[LabelledBox], threshold: float, one_name: bool) -> list[LabelledBox]:
    """The boxes, best first; a box whose IoU with a better one of its name exceeds the threshold is merged into it.

    Args:
        boxes: of one image.
        threshold: IoU.
        one_name: a box that a better one of another name nearly covers is merged into that one, too.
    """
    ordered = sorted(boxes, key=lambda box: -box.score)
    edges_N4 = np.array([box.box for box in ordered], np.float32).reshape(-1, 4)
    name_N = np.unique([box.category for box in ordered], return_inverse=True)[1]
    kept: list[LabelledBox] = []
    for n, box in enumerate(ordered):
        count = len(kept)  # the edges and names of the kept boxes are moved to the front
        overlap = iou(edges_N4[n : n + 1], edges_N4[:count])[0]
        elsewhere = overlap - _SAME_BOX if one_name else -1.0
        excess = np.where(name_N[:count] == name_N[n], overlap - threshold, elsewhere)
        if kept and float(excess.max()) > 0:
            place = int(excess.argmax())
            confidence = max((b.confidence for b in (kept[place], box) if b.confidence is not None), default=None)
            kept[place] = replace(kept[place], also=(*kept[place].also, box.mention), confidence=confidence)
        else:
            edges_N4[count], name_N[count] = edges_N4[n], name_N[n]
            kept.append(box)
    return kept
