"""Images as a released annotation file lists them, and the examples they make, with or without their images.

Who has only the features of a data set and not its images trains on them as well: without a folder of images
every image is an example. Its size is what the annotation says of it; where that says nothing it is 1 x 1, and boxes of
its regions are shares of the image instead of pixels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from unboxed.data.image_folder import ImageSearch, StoredImage, find_images
from unboxed.errors import DatasetError
from unboxed.text.phrases import noun_phrases
from unboxed.types import Caption, Example, Phrase

__all__ = [
    "SAME_SHAPE",
    "UNKNOWN_SIZE",
    "ReleasedCaptions",
    "ReleasedImage",
    "bare_caption",
    "entry_of",
    "has_words",
    "read_json",
    "released_examples",
]

UNKNOWN_SIZE = (1, 1)
"""(width, height) of an example whose image is not stored and whose annotation says no size."""

SAME_SHAPE = 0.01
"""Relative difference of aspect ratios that rounding to whole pixels explains."""


@dataclass(frozen=True, eq=False)
class ReleasedImage:
    """One image of an annotation file.

    Attributes:
        image_id: unique in the dataset.
        captions: at least one; gold boxes are in pixels of the original image.
        files: names that its image may have in the folder of images, the likeliest first.
        size: (width, height) of the original image; None where the annotation does not say.
    """

    image_id: str
    captions: tuple[Caption, ...]
    files: tuple[str, ...] = ()
    size: tuple[int, int] | None = None


class ReleasedCaptions(Protocol):
    """An annotation of its own splits; captions are read when a split is asked for."""

    @property
    def split_names(self) -> tuple[str, ...]:
        """The splits, in the order of the files."""
        ...

    def images_of(self, split: str) -> list[ReleasedImage]:
        """The images of one of `split_names`."""
        ...


def released_examples(images: Sequence[ReleasedImage], folder: Path | None) -> tuple[tuple[Example, ...], ImageSearch]:
    """The examples of images, and what became of the search for their images.

    Args:
        images: with distinct ids.
        folder: of the images; those that are not in it are left out. None: every image is an example, whose path
            is a name without a file.
    """
    if folder is None:
        return tuple(_without_image(image) for image in images), ImageSearch({}, (), {})
    found: dict[str, StoredImage] = {}
    unreadable: dict[str, str] = {}
    waiting = {image.image_id: image for image in images}
    for choice in range(max((len(image.files) for image in images), default=0)):
        names = {i: image.files[choice] for i, image in waiting.items() if choice < len(image.files)}
        search = find_images(folder, names.values())
        found.update({i: search.found[name] for i, name in names.items() if name in search.found})
        unreadable.update({i: search.unreadable[name] for i, name in names.items() if name in search.unreadable})
        waiting = {i: image for i, image in waiting.items() if i not in found and i not in unreadable}
    examples = tuple(_with_image(image, found[image.image_id]) for image in images if image.image_id in found)
    return examples, ImageSearch(found, tuple(waiting), unreadable)


def has_words(text: str) -> bool:
    """Does a text say anything? Released files hold a few captions that do not, which are left out."""
    return any(character.isalnum() for character in text)


def bare_caption(text: str) -> Caption:
    """A caption with the noun phrases that the chunker finds in it."""
    return Caption(text, noun_phrases(text))


def read_json(path: Path, expected: str) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        DatasetError: no JSON, or no object; `expected` says what it should have been.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}); expected {expected}.") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is not JSON ({error}); expected {expected}.") from None
    if not isinstance(content, dict):
        raise DatasetError(f"{path} holds no JSON object; expected {expected}.")
    return content


@contextmanager
def entry_of(path: Path, what: str, number: int) -> Iterator[None]:
    """Within it, whatever malformed content raises is named as the `number`th `what` of a file, from 0.

    Raises:
        DatasetError: instead of a missing key or a value of the wrong kind.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise DatasetError(f"{path}: {what} number {number} is malformed ({reason}); fetch the file again.") from None


def _without_image(image: ReleasedImage) -> Example:
    path = Path(image.files[0] if image.files else image.image_id)
    width, height = image.size or UNKNOWN_SIZE
    return Example(image.image_id, path, image.captions, width, height)


def _with_image(image: ReleasedImage, photo: StoredImage) -> Example:
    if image.size is None:
        return Example(image.image_id, photo.path, image.captions, photo.width, photo.height)
    scale = np.array([photo.width / image.size[0], photo.height / image.size[1]] * 2)

    def scaled(phrases: Iterable[Phrase]) -> tuple[Phrase, ...]:
        return tuple(replace(phrase, boxes=phrase.boxes * scale) if len(phrase.boxes) else phrase for phrase in phrases)

    captions = tuple(Caption(caption.text, scaled(caption.phrases)) for caption in image.captions)
    same_shape = abs(scale[0] / scale[1] - 1) <= SAME_SHAPE
    original_size = None if same_shape else image.size
    return Example(image.image_id, photo.path, captions, photo.width, photo.height, original_size)
