"""What a file format of box annotations declares, and how it is called to write a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from unboxed.export.labels import Selection

__all__ = ["LabelFormat", "Writer", "WriterOptions"]


class WriterOptions(Protocol):
    """The options that writers read; `LabelOptions` has them."""

    @property
    def image_files(self) -> str:
        """`links` or `copies`: how a folder has its images."""

    @property
    def label_studio_prefix(self) -> str:
        """Precedes an image's name in its address in Label Studio."""


Writer = Callable[[Path, "Selection", Mapping[str, Path], WriterOptions], None]
"""Writes a selection to a path; the mapping gives the file of each image by name, for formats that need images."""


@dataclass(frozen=True)
class LabelFormat:
    """A file format of box annotations.

    Attributes:
        key: its name on the command line.
        suffix: the usual ending of its file, such as `.json`; "" for a format that is a folder.
        write: writes it atomically.
        foreign: of a folder, the names in it that the format has not written; one with such names is not replaced.
        labels_are_phrases: labels are whole phrases, one box each, whatever the options of names and merging are.
        original_pixels: boxes are in pixels of the original images, where those that are stored have another size.
    """

    key: str
    suffix: str
    write: Writer
    foreign: Callable[[Path], Sequence[str]] = lambda folder: ()
    labels_are_phrases: bool = False
    original_pixels: bool = False
