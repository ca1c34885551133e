"""Lists the images to index: those of a folder or of a dataset, with their captions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from unboxed.data.dataset import Dataset, load_dataset
from unboxed.data.image_addresses import is_url
from unboxed.data.image_files import list_folder
from unboxed.data.image_search import name_in
from unboxed.data.images import SUFFIXES
from unboxed.errors import DatasetError, SearchError

__all__ = ["ImageList", "ListedImage", "list_images"]


@dataclass(frozen=True)
class ListedImage:
    """The file of an image, its captions, and its id and original size where it comes from a dataset."""

    path: Path
    captions: tuple[str, ...] = ()
    image_id: str = ""
    original_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class ImageList:
    """The images to index.

    Attributes:
        root: the folder that names are relative to.
        images: by name, in alphabetical order.
        skipped: name -> why an image is not among them.
        notes: lines about captions that are left out.
    """

    root: Path
    images: Mapping[str, ListedImage]
    skipped: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def list_images(source: Path, split: str | None = None) -> ImageList:
    """List the images of a folder or a dataset.

    Args:
        source: a folder, of which all images are listed, those of subfolders too, with the captions that the folder
            has; or the file of a dataset.
        split: only this split of a dataset; None: all splits.

    Raises:
        DatasetError: a dataset that cannot be read.
        SearchError: there are no images.
    """
    if not source.is_dir():
        return _of_dataset(load_dataset(source), split)
    try:
        dataset = _of_dataset(load_dataset(source), split)
    except DatasetError:
        if split is not None or (source / "data.toml").is_file():
            raise
        dataset = ImageList(source, {})  # images without captions
    if split is not None:
        return dataset
    captioned = {image.path.resolve(): image for image in dataset.images.values()}
    listing = list_folder(source)
    found = {file.resolve(): ListedImage(file) for file in listing.images} | captioned
    if not found:
        raise SearchError(f"There are no images in {source}; expected files that end in {', '.join(SUFFIXES)}.")
    root = source.resolve()
    if not all(path.is_relative_to(root) for path in found):
        root = Path(root.anchor)
    named = {path.relative_to(root).as_posix(): image for path, image in found.items()}
    left_out = {name: f"It is a file {reason}." for reason, names in listing.left_out.items() for name in names}
    return ImageList(root, dict(sorted(named.items())), {**dataset.skipped, **left_out}, dataset.notes)


def _of_dataset(dataset: Dataset, split: str | None) -> ImageList:
    folder = dataset.require_image_files()
    found: dict[str, ListedImage] = {}
    skipped: dict[str, str] = {}
    for name in [split] if split else dataset.split_names:
        part = dataset.split(name)
        skipped |= part.left_out
        for example in part.examples:
            captions = tuple(caption.text for caption in example.captions)
            if is_url(example.path):
                skipped[example.image_id] = "It is at a URL, and an index needs files; copy it first."
                continue
            image = ListedImage(example.path, captions, example.image_id, example.original_size)
            found[name_in(folder, example.path)] = image
    return ImageList(folder.resolve(), dict(sorted(found.items())), skipped, dataset.notes)
