"""The images that a run is trained on and validated on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unboxed.data.dataset import Dataset, Split
from unboxed.errors import DatasetError
from unboxed.runtime.progress import Show, counted
from unboxed.runtime.seeds import generator
from unboxed.text.tokens import words
from unboxed.training.options import require_fraction
from unboxed.types import Caption

__all__ = ["sample_images", "training_and_validation", "with_short_captions"]

_MOST_WORDS = 200  # of a caption: all captions of a batch take the memory of the longest one


def training_and_validation(dataset: Dataset) -> tuple[Split, Split]:
    """The splits `train` and `val`; without a `val`, a tenth of the training images, sampled at random.

    Raises:
        DatasetError: no split `train`, or fewer than two images in either: images are contrasted with each other.
    """
    if dataset.find_split("train") is None:
        names = ", ".join(dataset.split_names)
        raise DatasetError(
            f"{dataset.path} has no split `train`, only {names}; name its list of images under [splits]."
        )
    training = dataset.split("train")
    if dataset.find_split("val") is not None:
        validation = dataset.split("val")
    else:
        order = generator(0, "held-out").permutation(len(training.examples))
        held_out = set(order[: max(len(order) // 10, 2)].tolist())
        kept = tuple(example for i, example in enumerate(training.examples) if i not in held_out)
        validation = Split("val", tuple(example for i, example in enumerate(training.examples) if i in held_out))
        training = replace(training, examples=kept)
    for split in (training, validation):
        if len(split.examples) < 2:
            found = len(training.examples) + len(validation.examples)
            raise DatasetError(
                f"{dataset.path} has {len(split.examples)} of its {found} images in the split {split.name!r}; "
                "training and validation contrast images with each other and need at least two each."
            )
    return training, validation


def sample_images(split: Split, fraction: float, seed: int) -> Split:
    """A fraction of the images, sampled at random, at least two.

    The smaller sample of a seed is part of every larger one.

    Args:
        split: the images.
        fraction: in (0, 1]; 1 keeps all.
        seed: of the sample.

    Raises:
        DatasetError: a fraction outside (0, 1].
    """
    require_fraction(fraction)
    if fraction == 1:
        return split
    count = max(round(fraction * len(split.examples)), 2)
    chosen = np.sort(generator(seed, "fraction").permutation(len(split.examples))[:count])
    return replace(split, examples=tuple(split.examples[i] for i in chosen))


def with_short_captions(split: Split, show: Show) -> Split:
    """The split with the first 200 words of each caption; a line shows how many captions were longer."""
    changed = {
        caption: short
        for example in split.examples
        for caption in example.captions
        if (short := _shortened(caption)) is not caption
    }
    if not changed:
        return split
    count = f"{counted(len(changed), 'caption')} of {split.name}"
    show(f"The first {_MOST_WORDS} words of {count} are read; the rest is left out")
    examples = (
        replace(example, captions=tuple(changed.get(caption, caption) for caption in example.captions))
        for example in split.examples
    )
    return replace(split, examples=tuple(examples))


def _shortened(caption: Caption) -> Caption:
    if len(caption.text) < 2 * _MOST_WORDS or len(found := words(caption.text)) <= _MOST_WORDS:
        return caption
    end = found[_MOST_WORDS - 1].end
    return Caption(caption.text[:end], tuple(phrase for phrase in caption.phrases if phrase.end <= end))
