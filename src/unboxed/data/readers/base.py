"""The protocol of dataset formats, `Reader`, and what several readers share: JSON files, entries, boxes in pixels."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from unboxed.data.image_search import ImageFolder, ImageSearch, StoredImage, find_images
from unboxed.data.images import UNKNOWN_SIZE
from unboxed.errors import CaptionError, DatasetError, plain_reason
from unboxed.text.phrases import noun_phrases
from unboxed.types import Caption, Example, Phrase

__all__ = [
    "AnnotatedImage",
    "AnnotationReader",
    "Key",
    "Reader",
    "bare_caption",
    "entry_of",
    "has_words",
    "read_json",
    "read_list",
]


@dataclass(frozen=True)
class Key:
    """A key of the dataset file that a format reads.

    Attributes:
        name: the key, and the argument of the reader's constructor that gets its value.
        meaning: what it holds, as the table of formats of the guide “Your data” prints it.
        kind: "path": an existing file or folder. "paths": a table of split names and paths. "text": a string.
            "location": a path or a URL, which may have `*`.
        required: whether the file must have it.
        example: of a table, its first line.
    """

    name: str
    meaning: str
    kind: Literal["path", "paths", "text", "location"] = "path"
    required: bool = False
    example: str = ""


class Reader(ABC):
    """The reader of one dataset format. A new format is a subclass, listed in `unboxed.data.readers.READERS`.

    Attributes:
        format: the value of `format` in the dataset file.
        title: what it reads, for the table of formats.
        keys: the keys of the dataset file that only some formats have; see `COMMON_KEYS` for those of all formats.
        splits: which splits it finds, for the table of formats.
        images: whether the dataset file names a folder of images: it must (or write `images = false`), may, or cannot.
        gold_boxes: what has gold boxes: "phrases", "categories" (all instances of a class that a phrase names), or "".
        ids_have_suffix: False where image ids are file names without their suffix.
        packed: whether images are parts of other files, or at URLs, and not in a folder of images.
        folder: the folder of images and the ids to leave out.
    """

    format: ClassVar[str]
    title: ClassVar[str]
    keys: ClassVar[tuple[Key, ...]]
    splits: ClassVar[str]
    images: ClassVar[Literal["required", "optional", "none"]] = "optional"
    gold_boxes: ClassVar[Literal["phrases", "categories", ""]] = ""
    ids_have_suffix: ClassVar[bool] = True
    packed: ClassVar[bool] = False

    def __init__(self, folder: ImageFolder, **keys: Any) -> None:
        """Subclasses have an argument for each of their keys, with a default for those that are not required.

        Raises:
            DatasetError: the annotation cannot be read.
        """
        self.folder = folder

    @property
    @abstractmethod
    def split_names(self) -> tuple[str, ...]:
        """The splits, in the order of the files."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines for people about annotations that are left out, by reason."""
        return ()

    @abstractmethod
    def read(self, split: str) -> tuple[tuple[Example, ...], ImageSearch]:
        """The examples of one of `split_names` whose image was found, and the result of the search for the images.

        Raises:
            DatasetError: a list or an annotation that is malformed.
        """


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One image of an annotation file.

    Attributes:
        image_id: unique in the dataset.
        captions: at least one; gold boxes are in pixels of the original image.
        files: file names to look for in the folder of images, the likeliest first.
        size: (width, height) of the original image in pixels; None where the annotation does not have it.
    """

    image_id: str
    captions: tuple[Caption, ...]
    files: tuple[str, ...] = ()
    size: tuple[int, int] | None = None


class AnnotationReader(Reader):
    """A reader of annotation files that list their images; a subclass gives the images of a split.

    Its constructor sets `_splits`: a mapping with the splits in their order, and what `images_of` needs of each.
    """

    _splits: Mapping[str, Any]

    @property
    def split_names(self) -> tuple[str, ...]:
        """The splits, in the order of the files."""
        return tuple(self._splits)

    @abstractmethod
    def images_of(self, split: str) -> list[AnnotatedImage]:
        """The images of one of `split_names`, with distinct ids.

        Raises:
            DatasetError: an annotation that is malformed.
        """

    def read(self, split: str) -> tuple[tuple[Example, ...], ImageSearch]:
        """The examples of a split, with boxes in pixels of the stored image.

        Without a folder of images, every image is an example. Its path then is a name without a file, and its size is
        the annotation's, or `UNKNOWN_SIZE`.
        """
        images = [image for image in self.images_of(split) if image.image_id not in self.folder.exclude]
        if self.folder.path is None:
            return tuple(_without_image(image) for image in images), ImageSearch({}, (), {})
        search = find_images(self.folder.path, {image.image_id: image.files for image in images})
        stored = (image for image in images if image.image_id in search.found)
        return tuple(_with_image(image, search.found[image.image_id]) for image in stored), search


def has_words(text: str) -> bool:
    """Whether a text has a letter or a digit. Released annotations hold a few captions without, which are left out."""
    return any(character.isalnum() for character in text)


def bare_caption(text: str) -> Caption:
    """A caption with the noun phrases that the chunker finds in it.

    Raises:
        CaptionError: the text has no word, or is too long.
    """
    return replace(Caption(text), phrases=noun_phrases(text))


def read_list(path: Path) -> list[str]:
    """The image ids of a split list, one a line; blank lines are ignored.

    Raises:
        DatasetError: a list that is empty or not text.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"The split list {path} cannot be read ({plain_reason(error)}); expected one image id per line."
        ) from None
    image_ids = [line.strip() for line in lines if line.strip()]
    if not image_ids:
        raise DatasetError(f"The split list {path} is empty; write one image id per line.")
    return image_ids


def read_json(path: Path, expected: str) -> dict[str, Any]:
    """The object of a JSON file.

    Args:
        path: the file.
        expected: what the file should have been, for the message.

    Raises:
        DatasetError: not JSON, or not an object.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}); expected {expected}.") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is not JSON ({plain_reason(error)}); expected {expected}.") from None
    if not isinstance(content, dict):
        raise DatasetError(f"{path} holds no JSON object; expected {expected}.")
    return content


@contextmanager
def entry_of(path: Path, what: str, number: int) -> Iterator[None]:
    """Errors that malformed content raises in the block become a DatasetError about the `number`th `what`, from 0.

    Raises:
        DatasetError: instead of a missing key or a value of the wrong kind.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, CaptionError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise DatasetError(f"{path}: {what} number {number} is malformed ({reason}); fetch the file again.") from None


def _without_image(image: AnnotatedImage) -> Example:
    path = Path(image.files[0] if image.files else image.image_id)
    width, height = image.size or UNKNOWN_SIZE
    return Example(image.image_id, path, image.captions, width, height)


def _with_image(image: AnnotatedImage, stored: StoredImage) -> Example:
    """The example of an image whose file was found, with boxes scaled to the size of the file."""
    if image.size is None:
        return Example(image.image_id, stored.path, image.captions, stored.width, stored.height)
    if (stored.width, stored.height) == UNKNOWN_SIZE:  # an address, whose image has not been read yet
        return Example(image.image_id, stored.path, image.captions, *image.size, image.size)
    scale = np.array([stored.width / image.size[0], stored.height / image.size[1]] * 2)

    def scaled(phrases: Iterable[Phrase]) -> tuple[Phrase, ...]:
        return tuple(replace(phrase, boxes=phrase.boxes * scale) if len(phrase.boxes) else phrase for phrase in phrases)

    captions = tuple(Caption(caption.text, scaled(caption.phrases)) for caption in image.captions)
    return Example(image.image_id, stored.path, captions, stored.width, stored.height, image.size)
