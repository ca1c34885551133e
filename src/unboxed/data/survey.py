"""Surveys images and captions, for `unboxed init`, and writes a dataset file for them."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from unboxed.data.dataset import Dataset, Split, load_dataset
from unboxed.data.image_addresses import is_address
from unboxed.data.image_files import FolderImages, is_utf8, left_out_lines, list_folder, printable, some_of
from unboxed.data.image_search import name_in
from unboxed.data.images import require_decodable
from unboxed.data.readers.archives import names_archives
from unboxed.data.readers.caption_files import CaptionFolder, find_captions
from unboxed.data.readers.tables import TableReader
from unboxed.errors import DatasetError, ImageError, UnboxedError
from unboxed.runtime.atomic import require_output, write_text
from unboxed.runtime.locks import new_file_lock
from unboxed.runtime.progress import to_call, track
from unboxed.runtime.threads import available_cores, ordered_map
from unboxed.runtime.urls import refuse_url
from unboxed.text.language import foreign_language
from unboxed.text.tokens import words
from unboxed.types import Example

__all__ = ["Survey", "survey_folder", "write_dataset_file"]


@dataclass(frozen=True, eq=False)
class Survey:
    """What was found in a folder or table.

    Attributes:
        data: the folder or the table.
        found: where its images and captions are.
        splits: its splits with their examples.
        unreadable: image -> why its file cannot be read as an image.
        missing: image names in the captions without a file -> the near files, "" where there are none.
        renamed: image names in the captions -> the file that was found for them under another name.
        left_out: reason -> files of the folder of images that are left out for it.
        notes: lines about captions that are left out, and about the language.
        uncaptioned: images without a caption.
        duplicates: image -> an earlier image with the same bytes; these are left out.
        vocabulary: word -> number of times that it occurs in the captions.
        phrases: number of noun phrases in the captions.
    """

    data: Path
    found: CaptionFolder
    splits: tuple[Split, ...]
    unreadable: Mapping[str, str]
    missing: Mapping[str, str]
    renamed: Mapping[str, str]
    left_out: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]
    uncaptioned: tuple[str, ...]
    duplicates: Mapping[str, str]
    vocabulary: Mapping[str, int]
    phrases: int

    @property
    def name(self) -> str:
        """The name of the dataset: that of its folder, or of its table without the ending."""
        return self.data.resolve().name if self.data.is_dir() else self.data.stem

    @property
    def examples(self) -> list[Example]:
        """The examples of all splits."""
        return [example for split in self.splits for example in split.examples]

    @property
    def split_counts(self) -> dict[str, int]:
        """Split -> number of images without duplicates, `train` first."""
        return {
            split.name: sum(example.image_id not in self.duplicates for example in split.examples)
            for split in sorted(self.splits, key=lambda split: split.name != "train")
        }

    def lines(self) -> list[str]:
        """The survey as lines of text."""
        counts = [len(example.captions) for example in self.examples]
        repeated = sum(1 for count in self.vocabulary.values() if count > 1)
        spread = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
        lines = [
            f"Found: {self.found.described}",
            f"Images: {len(counts):,} with captions{f' in {self.found.images}' if self.data.is_dir() else ''}",
            f"Captions: {sum(counts):,}, {spread} an image, {self.phrases:,} noun phrases",
            f"Vocabulary: {len(self.vocabulary):,} words, {repeated:,} of them more than once",
            "Splits: " + ", ".join(f"{name} {count:,} images" for name, count in self.split_counts.items()),
        ]
        for label, names in (
            ("Unreadable", [f"{name} ({reason})" for name, reason in self.unreadable.items()]),
            (
                "Named in the captions, not found",
                [name + (f" ({hint})" if hint else "") for name, hint in self.missing.items()],
            ),
            ("Without a caption, not used", list(self.uncaptioned)),
            ("Duplicates, left out", [f"{name} (as {first})" for name, first in self.duplicates.items()]),
        ):
            lines.append(f"{label}: {len(names):,}" + (f": {some_of(names)}" if names else ""))
        if self.renamed:
            names = [f"{name} is {file}" for name, file in self.renamed.items()]
            lines.append(f"Found under another name: {len(names):,}: {some_of(names)}")
        return [*lines, *left_out_lines(self.left_out), *self.notes]


def survey_folder(data: Path, out: Path | None = None, *, progress: bool = False) -> Survey:
    """Read every caption, and decode every image.

    Args:
        data: a folder of images and their captions, or a table of captions.
        out: the dataset file that is to be written; whether it can be is checked before any image is read.
        progress: show how many images are decoded, the rate and the time left.

    Raises:
        DatasetError: no such folder or table, no images, no captions, or malformed ones; or `out` cannot be written.
    """
    dataset, found = _found(data)
    if out is not None:
        _require_new(out)
    splits = _without_damaged(tuple(dataset.split(name) for name in dataset.split_names), progress)
    examples = [example for split in splits for example in split.examples]
    duplicates = _duplicates(examples)
    used = {example.path.resolve() for example in examples}
    unreadable = {name: reason for split in splits for name, reason in split.unreadable.items()}
    renamed = {name: file for split in splits for name, file in split.renamed.items()}
    listed = {*unreadable, *renamed.values(), *(example.image_id for example in examples)}
    listing = list_folder(found.images) if data.is_dir() else FolderImages((), {})  # other images are of no concern
    uncaptioned = []
    for file in listing.images:
        name = name_in(found.images, file)
        if file.resolve() not in used and name not in listed and Path(name).stem not in listed:
            uncaptioned.append(name)
    language = foreign_language(caption.text for example in examples for caption in example.captions)
    return Survey(
        data=data,
        found=found,
        splits=splits,
        unreadable=unreadable,
        missing={name: split.hints.get(name, "") for split in splits for name in split.missing},
        renamed=renamed,
        left_out=listing.left_out,
        notes=(*dataset.notes, *([language] if language else [])),
        uncaptioned=tuple(uncaptioned),
        duplicates=duplicates,
        vocabulary=Counter(word.text for e in examples for caption in e.captions for word in words(caption.text)),
        phrases=sum(len(caption.phrases) for example in examples for caption in example.captions),
    )


def _found(data: Path) -> tuple[Dataset, CaptionFolder]:
    if data.is_dir():
        found = find_captions(data)
        return Dataset(data, data.name, TableReader, found.images, {"annotations": found.captions}), found
    if data.suffix.lower() == ".toml" or names_archives(data):
        raise DatasetError(
            f"{data} needs no survey; `{to_call('fit', '--data', data, '--out', 'run')}` reads it as it is."
        )
    refuse_url(data, "A folder or table", DatasetError)
    if not data.exists():
        raise DatasetError(f"{data} does not exist; name the folder that holds your images, or a table of captions.")
    dataset = load_dataset(data)
    return dataset, CaptionFolder(dataset.require_image_files(), data, f"the table {data.name}")


def write_dataset_file(survey: Survey, out: Path) -> None:
    """Write the TOML file of the dataset that was found.

    Raises:
        DatasetError: there is a file already, it cannot be written, or a path in it is not UTF-8.
    """
    lines = [
        "# Written by `unboxed init`; the guide “Your data” describes all keys.",
        f"format = {_quoted(TableReader.format)}",
        f"name = {_quoted(printable(survey.name))}",
        f"images = {_quoted(_from(survey.found.images, out))}",
        f"annotations = {_quoted(_from(survey.found.captions, out))}",
    ]
    if survey.duplicates:
        names = ", ".join(_quoted(name) for name in survey.duplicates)
        lines.append(f"exclude = [{names}]   # the same images as others")
    try:
        with new_file_lock(out, _exists_already(out)):
            write_text(out, "\n".join(lines) + "\n")
    except OSError as error:
        raise _not_written(out, error) from error


def _require_new(out: Path) -> None:
    if out.exists():
        raise _exists_already(out)
    try:
        require_output(out)
    except OSError as error:
        raise _not_written(out, error) from error


def _exists_already(out: Path) -> DatasetError:
    return DatasetError(f"{out} exists already; use it with --data, remove it, or choose another name with --out.")


def _not_written(out: Path, error: OSError) -> DatasetError:
    return DatasetError(f"{out} cannot be written ({error.strerror}); choose another name with --out.")


def _without_damaged(splits: tuple[Split, ...], progress: bool) -> tuple[Split, ...]:
    """The splits without the images whose pixels cannot be decoded, which are among `unreadable` then."""
    examples = [example for split in splits for example in split.examples if not is_address(example.path)]
    reasons = track(ordered_map(_damage, examples, available_cores()), "Reading images", len(examples), progress)
    damaged = {example.image_id: reason for example, reason in zip(examples, reasons, strict=True) if reason}
    if damaged and len(damaged) == sum(len(split.examples) for split in splits):
        raise DatasetError(f"None of the {len(damaged):,} images can be read; {next(iter(damaged.values()))}")
    return tuple(
        replace(
            split,
            examples=tuple(example for example in split.examples if example.image_id not in damaged),
            unreadable={
                **split.unreadable,
                **{e.image_id: damaged[e.image_id] for e in split.examples if e.image_id in damaged},
            },
        )
        for split in splits
    )


def _damage(example: Example) -> str:
    """Why an image cannot be decoded; "" if it can."""
    try:
        require_decodable(example.path)
    except ImageError as error:
        return str(error)
    return ""


def _duplicates(examples: list[Example]) -> dict[str, str]:
    """Image -> the first image with the same bytes. Only files of equal size are read."""
    of_size: dict[int, list[Example]] = {}
    for example in examples:
        if not is_address(example.path):
            of_size.setdefault(example.path.stat().st_size, []).append(example)
    duplicates = {}
    for group in of_size.values():
        first: dict[bytes, str] = {}
        for example in group if len(group) > 1 else []:
            try:
                content = hashlib.sha256(example.path.read_bytes()).digest()
            except OSError as error:
                raise UnboxedError(f"{example.path} cannot be read ({error.strerror}); fetch it again.") from error
            original = first.setdefault(content, example.image_id)
            if original != example.image_id:
                duplicates[example.image_id] = original
    return duplicates


def _from(path: Path, out: Path) -> str:
    """`path` relative to the folder of `out`."""
    return Path(os.path.relpath(path.resolve(), out.resolve().parent)).as_posix()


def _quoted(text: str) -> str:
    """A string of TOML: one of JSON, which leaves DEL as it is."""
    if not is_utf8(text):
        raise DatasetError(f"{printable(text)} is no UTF-8 text, which a dataset file needs; rename it.")
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
