"""The images that are to be in an index: those of a folder, or of a dataset, with their captions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from unboxed.data.dataset import Dataset, load_dataset
from unboxed.data.images import SUFFIXES
from unboxed.data.readers.caption_files import image_files
from unboxed.errors import DatasetError, SearchError

__all__ = ["ListedImage", "Listing", "listed"]


@dataclass(frozen=True)
class ListedImage:
    """A photograph's file, its captions, and what its dataset says of it."""

    path: Path
    captions: tuple[str, ...] = ()
    image_id: str = ""
    original_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Listing:
    """What was found.

    Attributes:
        root: the folder that names are relative to.
        photos: by name.
        skipped: name -> why it is not among them.
    """

    root: Path
    photos: Mapping[str, ListedImage]
    skipped: Mapping[str, str] = field(default_factory=dict)


def listed(photos: Path, split: str | None = None) -> Listing:
    """Look for images.

    Args:
        photos: a folder, whose images, its subfolders' too, are all taken, with the captions that it has; or a
            dataset's file.
        split: only this split of a dataset; None: all.

    Raises:
        DatasetError: a dataset that cannot be read.
        SearchError: no images there.
    """
    if not photos.is_dir():
        return _of_dataset(load_dataset(photos), split)
    try:
        own: Listing | None = _of_dataset(load_dataset(photos), split)
    except DatasetError:
        if split is not None or (photos / "data.toml").is_file():
            raise
        own = None  # images without captions
    if own is not None and split is not None:
        return own
    root = photos.resolve()
    known = {image.path.resolve(): image for image in own.photos.values()} if own else {}
    found = {file.resolve(): ListedImage(file) for file in image_files(photos)} | known
    if not found:
        raise SearchError(f"There are no images in {photos}; expected files that end in {', '.join(SUFFIXES)}.")
    inside = all(path.is_relative_to(root) for path in found)
    root = root if inside else Path(root.anchor)
    named = {path.relative_to(root).as_posix(): image for path, image in found.items()}
    return Listing(root, dict(sorted(named.items())), own.skipped if own else {})


def _of_dataset(dataset: Dataset, split: str | None) -> Listing:
    dataset.require_images()
    assert dataset.images is not None
    found: dict[str, ListedImage] = {}
    skipped: dict[str, str] = {}
    for name in [split] if split else dataset.split_names:
        part = dataset.split(name)
        skipped |= dict(part.unreadable) | dict.fromkeys(part.missing, "No file of that name is stored.")
        for example in part.examples:
            captions = tuple(caption.text for caption in example.captions)
            image = ListedImage(example.path, captions, example.image_id, example.original_size)
            found[example.path.relative_to(dataset.images).as_posix()] = image
    return Listing(dataset.images.resolve(), dict(sorted(found.items())), skipped)
