"""A split of a dataset: its examples, and what is left out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from unboxed.errors import ImageError
from unboxed.runtime.progress import counted
from unboxed.types import Example

__all__ = ["ALL", "Split", "every_image"]

ALL = "all"
"""The name of the split of every image."""


@dataclass(frozen=True, eq=False)
class Split:
    """The images of a split.

    Attributes:
        name: as in the dataset file.
        examples: at least one.
        missing: names that are listed and not stored.
        unreadable: image id -> why its file cannot be read as an image.
        renamed: image id -> the file that is meant, where no file has exactly this name.
        hints: image id -> the near files of a missing one, as `there is b.jpg`.
    """

    name: str
    examples: tuple[Example, ...]
    missing: tuple[str, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> str:
        """One line: the number of images and captions, and of images that are left out."""
        captions = sum(len(example.captions) for example in self.examples)
        missing = f", {len(self.missing):,} listed but not stored" if self.missing else ""
        hint = next((f" ({name}: {hint})" for name, hint in self.hints.items()), "")
        unreadable = f", {len(self.unreadable):,} unreadable" if self.unreadable else ""
        renamed = next((f" ({name}: {file})" for name, file in self.renamed.items()), "")
        if renamed:
            renamed = f", {len(self.renamed):,} found under another name{renamed}"
        images, texts = counted(len(self.examples), "image"), counted(captions, "caption")
        return f"{self.name}: {images}, {texts}{missing}{hint}{unreadable}{renamed}"

    @property
    def left_out(self) -> dict[str, str]:
        """Image id -> why an image is not among the examples."""
        missing = {
            name: "No file of that name is stored" + (f"; {self.hints[name]}." if name in self.hints else ".")
            for name in self.missing
        }
        return {**self.unreadable, **missing}

    def require_readable(self) -> None:
        """Raise an error if there is an unreadable image, for the option `--strict`.

        Raises:
            ImageError: the reason of the first one.
        """
        for reason in self.unreadable.values():
            raise ImageError(f"{reason} Without --strict it is skipped.")


def every_image(parts: Sequence[Split]) -> Split:
    """The split of every image once, under the captions of its first split."""
    examples = {example.image_id: example for part in reversed(parts) for example in reversed(part.examples)}
    missing = tuple(dict.fromkeys(image_id for part in parts for image_id in part.missing))
    unreadable, renamed, hints = (
        {image_id: text for of_part in of_parts for image_id, text in of_part.items()}
        for of_parts in zip(*((part.unreadable, part.renamed, part.hints) for part in parts), strict=True)
    )
    return Split(ALL, tuple(reversed(examples.values())), missing, unreadable, renamed, hints)
