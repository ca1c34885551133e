"""The values that pass between the parts: frozen, validated, and the same everywhere.

Axis letters, the suffix of every tensor and array name that has axes:

    B  images of a batch          R  regions of an image
    C  captions of a batch        D  joint width of words and regions
    W  words of a caption         V  width of a region's input or visual feature
    P  phrases of a caption       K  classes of a detector
    H  width of a word's state    E  columns of the semantic prior: classes, parts of persons, places
    Q  queries of a caption: the words or phrases that are compared with regions
    N  negatives of a caption, or things of any number

Boxes are `x1, y1, x2, y2` in pixels of the image as stored, upright (EXIF orientation applied), with continuous
edges: the left edge of the first pixel column is 0, the right edge of the last one is the width. A box of the inclusive
1-based pixel ranges `xmin..xmax` that Flickr30K Entities writes is therefore `xmin - 1, xmax`, and the plain
`(x2 - x1)` is the width in pixels that other codes write as `xmax - xmin + 1`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeGuard

import numpy as np
import numpy.typing as npt

from unboxed.errors import CaptionError, RegionsError

if TYPE_CHECKING:
    import torch

__all__ = [
    "LABELER",
    "MAX_CAPTION",
    "Array",
    "Caption",
    "CaptionBatch",
    "DescribedRegions",
    "Example",
    "ImageBatch",
    "PairedBatch",
    "Phrase",
    "Regions",
    "Units",
    "detected",
    "float32_array",
    "frozen_array",
]

Array = npt.NDArray[np.float32]

Units = Literal["words", "content", "phrases"]
"""The queries of a caption: all its words, its nouns and adjectives, or its phrases."""

MAX_CAPTION = 100_000
"""Characters of a caption, at most; the phrases of a caption of this size take seconds."""

_SAME_SHAPE = 0.01  # relative difference of aspect ratios that rounding to whole pixels explains


def float32_array(values: npt.ArrayLike) -> Array:
    """`values` as float32; those that are too large become infinite, without a warning."""
    with np.errstate(over="ignore"):
        return np.asarray(values, dtype=np.float32)


def frozen_array(values: npt.ArrayLike, shape: tuple[int | None, ...], name: str) -> Array:
    """`values` as a read-only float32 array, copied unless it is read-only already.

    Raises `RegionsError` unless their shape is `shape` (None: any size) and all are finite.
    """
    array = values if _is_frozen(values) else np.array(float32_array(values))
    if array.size == 0 and array.ndim != len(shape):
        array = array.reshape([0 if size is None else size for size in shape])
    if array.ndim != len(shape) or any(
        want is not None and got != want for got, want in zip(array.shape, shape, strict=True)
    ):
        raise RegionsError(f"{name} has shape {list(array.shape)}, expected {[s or 'any' for s in shape]}.")
    if not np.isfinite(array).all():
        raise RegionsError(f"{name} holds NaN or infinite values.")
    array.setflags(write=False)
    return array


def _is_frozen(values: npt.ArrayLike) -> TypeGuard[Array]:
    """Whether it is a read-only float32 array, and a view of nothing but such an array."""
    if not isinstance(values, np.ndarray) or values.dtype != np.float32 or values.flags.writeable:
        return False
    whole = values if values.base is None else values.base
    return isinstance(whole, np.ndarray) and whole.base is None and not whole.flags.writeable


LABELER = "labeler"
"""Classes of a labeler, which looks at the crops of regions, are called `labeler:NAME`."""


def detected(class_names: Sequence[str]) -> npt.NDArray[np.bool_]:
    """`[K]`: which classes are a detector's or segmenter's; a labeler's do not show whether a box is a thing's."""
    return np.array([not name.startswith(f"{LABELER}:") for name in class_names], dtype=np.bool_)


class DescribedRegions(Protocol):
    """The regions of one image as arrays: `Regions`, or rows of a store that are not validated again."""

    @property
    def boxes(self) -> npt.NDArray[np.floating]:
        """`[R, 4]` pixels."""

    @property
    def features(self) -> npt.NDArray[np.floating]:
        """`[R, V]`."""

    @property
    def class_probs(self) -> npt.NDArray[np.floating]:
        """`[R, K]` in [0, 1]."""

    @property
    def sources(self) -> Sequence[str]:
        """R names of what proposed each region."""

    @property
    def width(self) -> int:
        """Of the image in pixels."""

    @property
    def height(self) -> int:
        """Of the image in pixels."""


@dataclass(frozen=True, eq=False)
class Regions:
    """The candidate regions of one image, best first.

    Attributes:
        boxes: `[R, 4]` pixels of the stored image.
        scores: `[R]` in [0, 1], the confidence of the source; 1 for a source without scores.
        features: `[R, V]` visual features; V may be 0.
        class_probs: `[R, K]` in [0, 1], the class probabilities of a detector or segmenter; K may be 0.
        class_names: the K names.
        sources: R names of the sources that proposed the regions, such as `detector`, `segments`, `grid` or `image`.
        width, height: size of the stored image in pixels.

    Raises:
        RegionsError: shapes that do not agree, or values that are not finite.
    """

    boxes: Array
    scores: Array
    features: Array
    class_probs: Array
    class_names: tuple[str, ...]
    sources: tuple[str, ...]
    width: int
    height: int

    def __post_init__(self) -> None:
        count = len(self.sources)
        object.__setattr__(self, "boxes", frozen_array(self.boxes, (count, 4), "Regions.boxes"))
        object.__setattr__(self, "scores", frozen_array(self.scores, (count,), "Regions.scores"))
        object.__setattr__(self, "features", frozen_array(self.features, (count, None), "Regions.features"))
        class_probs = frozen_array(self.class_probs, (count, len(self.class_names)), "Regions.class_probs")
        object.__setattr__(self, "class_probs", class_probs)
        if self.width <= 0 or self.height <= 0:
            raise RegionsError(f"Regions of an image of {self.width} x {self.height} pixels.")

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, keep: npt.NDArray[np.bool_] | npt.NDArray[np.intp] | Sequence[int] | slice) -> Regions:
        """The regions selected by a mask, indices or a slice, as `Regions`."""
        index = np.arange(len(self))[keep]
        return Regions(
            boxes=self.boxes[index],
            scores=self.scores[index],
            features=self.features[index],
            class_probs=self.class_probs[index],
            class_names=self.class_names,
            sources=tuple(self.sources[i] for i in index),
            width=self.width,
            height=self.height,
        )

    @property
    def confidence(self) -> Array:
        """`[R]` in [0, 1]: the highest probability of a class that was detected, see `detected`; 0 without classes."""
        return np.asarray(self.class_probs[:, detected(self.class_names)].max(axis=1, initial=0))

    @property
    def names(self) -> tuple[str, ...]:
        """R names: the most probable class of each region, or "" where no class has any probability."""
        if not self.class_names:
            return ("",) * len(self)
        best = self.class_probs.argmax(axis=1)
        return tuple(self.class_names[k] if self.class_probs[r, k] > 0 else "" for r, k in enumerate(best))


@dataclass(frozen=True, eq=False)
class Phrase:
    """A phrase of a caption, with its character span and, if it is annotated, its gold boxes.

    Gold boxes are for evaluation and pictures only; training does not read them.

    Attributes:
        text: the words, equal to `caption.text[start:end]`.
        start, end: character offsets in the caption.
        types: Entities types such as `people` or `clothing`; most phrases have one, some two; empty when unknown.
        chain: id of the coreference chain; "0" for a phrase that is not visual, None when unknown.
        boxes: `[N, 4]` gold boxes, N = 0 when there are none.
    """

    text: str
    start: int
    end: int
    types: tuple[str, ...] = ()
    chain: str | None = None
    boxes: Array = field(default_factory=lambda: np.zeros((0, 4), np.float32))

    def __post_init__(self) -> None:
        object.__setattr__(self, "boxes", frozen_array(self.boxes, (None, 4), f"gold boxes of “{self.text}”"))


@dataclass(frozen=True, eq=False)
class Caption:
    """One caption and its phrases in reading order.

    Raises:
        CaptionError: the text has no word or too many characters, or the span of a phrase does not match it.
    """

    text: str
    phrases: tuple[Phrase, ...] = ()

    def __post_init__(self) -> None:
        if len(self.text) > MAX_CAPTION:
            raise CaptionError(
                f"A caption has {len(self.text):,} characters, the limit is {MAX_CAPTION:,}; shorten "
                f"{self.text[:40]!r}…"
            )
        if not any(character.isalnum() for character in self.text):
            raise CaptionError(f"The caption {self.text!r} has no words; give it at least one.")
        for phrase in self.phrases:
            if not 0 <= phrase.start < phrase.end <= len(self.text):
                raise CaptionError(
                    f"Phrase {phrase.text!r} spans characters {phrase.start}..{phrase.end}, outside its caption of "
                    f"{len(self.text)} characters; spans count characters of the caption from 0."
                )
            if self.text[phrase.start : phrase.end] != phrase.text:
                raise CaptionError(
                    f"Phrase {phrase.text!r} is not what characters {phrase.start}..{phrase.end} of the caption say "
                    f"({self.text[phrase.start : phrase.end]!r}); spans count characters of the caption from 0."
                )


@dataclass(frozen=True, eq=False)
class Example:
    """One image of a dataset with its captions.

    Attributes:
        image_id: unique in the dataset.
        path: the image's file.
        captions: at least one.
        width, height: size of the stored, upright image in pixels; gold boxes are in this frame.
        annotated_size: (width, height) that the annotations give the image, or None; the boxes of other models are in
            this frame.
    """

    image_id: str
    path: Path
    captions: tuple[Caption, ...]
    width: int
    height: int
    annotated_size: tuple[int, int] | None = None

    @property
    def original_size(self) -> tuple[int, int] | None:
        """The annotated size, where the image was stored with another aspect ratio, which detectors restore."""
        if self.annotated_size is None:
            return None
        width, height = self.annotated_size
        same_shape = abs((self.width / width) / (self.height / height) - 1) <= _SAME_SHAPE
        return None if same_shape else self.annotated_size


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """The regions of B images, padded to one number of regions.

    Attributes:
        inputs_BRV: what the model is given of each region, 0 where `mask_BR` is False.
        edges_BR4: the boxes as shares in [0, 1] of their image's width and height, 0 where `mask_BR` is False.
        mask_BR: True for a real region.
        class_score_BRE: the semantic prior's row of each region; E is 0 without a prior.
        label_BR: the vocabulary's id of each region's class, 0 for none; None where the model does not read them.
        blocks_BRM: the numbers of the M / 2 blocks that each region covers most, then the share of the region in each;
            None: they are computed from the boxes.
    """

    inputs_BRV: torch.Tensor
    edges_BR4: torch.Tensor
    mask_BR: torch.Tensor
    class_score_BRE: torch.Tensor
    label_BR: torch.Tensor | None = None
    blocks_BRM: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.mask_BR)

    def rows(self, rows: slice) -> Self:
        """Some of the images, padded as all are."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: value[rows] for name, value in values.items() if value is not None})

    def to(self, device: torch.device | str) -> Self:
        """The same batch with its tensors on `device`."""
        return replace(self, **_moved(self, device))


@dataclass(frozen=True, eq=False)
class CaptionBatch:
    """C captions, padded to one number of words and of phrases.

    Attributes:
        tokens_CW: word ids, 0 where `mask_CW` is False.
        mask_CW: True for a real word.
        content_CW: True for the nouns and adjectives that a word-level objective contrasts.
        phrase_CPW: True where word w belongs to phrase p; a row of False is padding.
        words_C: the words of each caption as text.
        affinity_CPE: the semantic prior's row of each phrase; E is 0 without a prior.
        slot_C: index of the word that `substitutes_CN` replace, -1 for a caption without substitutes.
        substitutes_CN: ids of words that make the caption false in that place, 0 for none; N may be 0.
    """

    tokens_CW: torch.Tensor
    mask_CW: torch.Tensor
    content_CW: torch.Tensor
    phrase_CPW: torch.Tensor
    words_C: tuple[tuple[str, ...], ...]
    affinity_CPE: torch.Tensor
    slot_C: torch.Tensor
    substitutes_CN: torch.Tensor

    def __len__(self) -> int:
        return len(self.mask_CW)

    def rows(self, rows: slice) -> Self:
        """Some of the captions, padded as all are."""
        return replace(self, **{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def to(self, device: torch.device | str) -> Self:
        """The same batch with its tensors on `device`."""
        return replace(self, **_moved(self, device))


@dataclass(frozen=True, eq=False)
class PairedBatch:
    """Images and their captions: what a training step is given.

    Attributes:
        images: B distinct images, so that two captions of one image are never each other's negatives.
        captions: C captions of these images.
        image_of_C: index of each caption's image.
        own_C: where several processes share a batch, the captions of this process; `images` are then those of these
            captions alone, while `captions` and `image_of_C` are of the whole batch. None: all.
        right_CPR: True for the regions that a phrase refers to according to a person's box; None where boxes do not
            train, which is the default.
        teacher_CPR: the probabilities by which a trained run chooses each phrase's region, in distillation from it.
    """

    images: ImageBatch
    captions: CaptionBatch
    image_of_C: torch.Tensor
    own_C: slice | None = None
    right_CPR: torch.Tensor | None = None
    teacher_CPR: torch.Tensor | None = None

    def own(self) -> PairedBatch:
        """The images and captions of this process; `image_of_C` are indices among the images of the whole batch."""
        rows = self.own_C or slice(None)
        return PairedBatch(self.images, self.captions.rows(rows), self.image_of_C[rows])

    def to(self, device: torch.device | str) -> Self:
        """The same batch with its tensors on `device`."""
        return replace(self, **_moved(self, device))


def _moved(batch: ImageBatch | CaptionBatch | PairedBatch, device: torch.device | str) -> dict[str, Any]:
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return {name: value.to(device) for name, value in values.items() if hasattr(value, "to")}
