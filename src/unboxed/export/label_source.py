"""The images that are labelled: with the captions of a dataset, or with phrases to find in every image of a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from unboxed.data.dataset import load_dataset
from unboxed.data.image_files import FolderImages, image_files, left_out_lines, list_folder
from unboxed.data.images import SUFFIXES, image_size
from unboxed.errors import DatasetError, ImageError
from unboxed.export.options import LabelOptions
from unboxed.text.phrases import listed_phrases
from unboxed.types import Caption, Example

__all__ = ["LabelSource", "label_source"]


@dataclass(frozen=True, eq=False)
class LabelSource:
    """The images to label.

    Attributes:
        examples: with the captions to ground.
        root: the folder that names of images are relative to; None: each image's own folder.
        skipped: image id -> why an image is not among them.
        notes: lines about what is left out.
        tables: the files that the captions are read from.
    """

    examples: tuple[Example, ...]
    root: Path | None
    skipped: Mapping[str, str]
    notes: tuple[str, ...]
    tables: tuple[Path, ...] = ()

    @property
    def files(self) -> Iterator[Path]:
        """All files that are read."""
        yield from self.tables
        yield from (example.path for example in self.examples)


def label_source(data: Path, options: LabelOptions) -> LabelSource:
    """The images of a dataset, or with `options.find` also those of a folder without captions.

    Raises:
        DatasetError: the dataset or the split cannot be read.
        ImageError: with `options.strict`, the first image that cannot be read; a folder without images.
        CaptionError: `options.find` lists no phrase.
    """
    captions = listed_phrases(options.find) if options.find is not None else None
    if captions is not None and options.split is None and _holds_images(data):
        return _images(data, options, captions)
    try:
        dataset = load_dataset(data)
    except DatasetError as error:
        if not _shows_images(data):
            raise
        raise DatasetError(f'{error} Or list what to find without captions: --find "laptop, red car".') from error
    dataset.require_images()
    splits = [dataset.split(name) for name in ([options.split] if options.split else dataset.split_names)]
    if options.strict:
        for split in splits:
            split.require_readable()
    examples = {example.image_id: example for split in splits for example in split.examples}
    skipped = {image_id: reason for split in splits for image_id, reason in split.left_out.items()}
    found = (replace(example, captions=captions or example.captions) for example in examples.values())
    return LabelSource(tuple(found), dataset.images, skipped, tuple(dataset.notes), dataset.files)


def _holds_images(data: Path) -> bool:
    """Whether it is a folder without a dataset file, or an image."""
    if data.is_dir():
        return not (data / "data.toml").is_file()
    return data.is_file() and data.suffix.lower() in SUFFIXES


def _shows_images(data: Path) -> bool:
    """Whether it is an image, or a folder without a dataset file that has some."""
    return _holds_images(data) and (data.is_file() or bool(image_files(data)))


def _images(data: Path, options: LabelOptions, captions: tuple[Caption, ...]) -> LabelSource:
    """The images of a folder, or one image."""
    folder, listing = (data, list_folder(data)) if data.is_dir() else (data.parent, FolderImages((data,), {}))
    if not listing.images:
        raise ImageError(f"There are no images in {folder}; name a folder with images, or one image.")
    examples: list[Example] = []
    skipped: dict[str, str] = {}
    for file in listing.images:
        name = file.relative_to(folder).as_posix()
        try:
            examples.append(Example(name, file, captions, *image_size(file)))
        except ImageError as error:
            if options.strict:
                raise
            skipped[name] = str(error)
    return LabelSource(tuple(examples), folder, skipped, tuple(left_out_lines(listing.left_out)))
