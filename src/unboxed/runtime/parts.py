"""Parts of a dataset that processes or machines work on without knowing of each other.

An image belongs to the part that the hash of its id names, so that parts need no list of who does what. What a process
writes of its part ends with a record of the part, so that `unboxed merge` can put all parts together in the order of
the dataset, and notices what is missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from unboxed.errors import StoreError, plain_reason

__all__ = ["FORMAT", "Part", "PartRecord", "require_all_parts"]

FORMAT, _VERSION = "unboxed-part", 1
_DIGITS = 9  # of a number, which may begin with zeros
_MOST = 1_000_000  # parts
_NAMED = 10  # missing parts in an error


@dataclass(frozen=True)
class Part:
    """Part number `number` of `count`.

    Attributes:
        number: from 1.
        count: of parts.
    """

    number: int
    count: int

    @staticmethod
    def parse(text: str) -> Part:
        """The part that a text `K/N` names.

        Raises:
            StoreError: another text, K outside 1..N, or N of more than a million.
        """
        number, _, count = text.partition("/")
        digits = all(part.isdecimal() and len(part) <= _DIGITS for part in (number, count))
        if not (digits and 1 <= int(number) <= int(count) <= _MOST):
            raise StoreError(
                f"There is no part {text[:50]!r}; expected K/N with 1 <= K <= N <= {_MOST:,}, such as 2/8."
            )
        return Part(int(number), int(count))

    def __contains__(self, image_id: object) -> bool:
        """Whether an image belongs to this part."""
        digest = hashlib.sha256(str(image_id).encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


class PartRecord(NamedTuple):
    """What a part holds.

    Attributes:
        part: which.
        dataset: sha256 of the ids of all images of the dataset, in order, and of what else all parts must share.
        places: the place in the dataset of each image of the part.
        finished: whether all its images were processed or skipped.
    """

    part: Part
    dataset: str
    places: dict[str, int]
    finished: bool = False

    @staticmethod
    def of(part: Part, image_ids: Sequence[str], made_with: Sequence[str] = ()) -> PartRecord:
        """The part of a dataset with these images; `made_with` is what else all parts must share, such as a caption."""
        places = {image_id: place for place, image_id in enumerate(image_ids) if image_id in part}
        shared = [list(image_ids), *made_with] if made_with else list(image_ids)
        return PartRecord(part, hashlib.sha256(json.dumps(shared).encode()).hexdigest(), places)

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON keeps it."""
        values = {"part": self.part.number, "of": self.part.count, "dataset": self.dataset, "finished": self.finished}
        return {"format": FORMAT, "version": _VERSION, **values, "images": self.places}

    @staticmethod
    def from_dict(values: Any, file: Path) -> PartRecord:
        """The record that `to_dict` gave.

        Args:
            values: what was read.
            file: where, for messages.

        Raises:
            StoreError: it is no such record, or one of a newer version.
        """
        try:
            if values["format"] != FORMAT or values["version"] > _VERSION:
                raise ValueError(f"format {values['format']!r}, version {values['version']!r}")
            places = {str(image_id): int(place) for image_id, place in values["images"].items()}
            part = Part.parse(f"{values['part']}/{values['of']}")
            return PartRecord(part, str(values["dataset"]), places, values["finished"] is True)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, StoreError) as error:
            raise StoreError(f"{file} cannot be read ({plain_reason(error)}); make this part again.") from error


def require_all_parts(records: Iterable[tuple[Path, PartRecord]]) -> None:
    """Raise an error unless the records are those of all parts of one dataset.

    Args:
        records: with where each was read.

    Raises:
        StoreError: a part is missing, given twice, unfinished, or made from another dataset or into another number of
            parts.
    """
    found = list(records)
    if not found:
        raise StoreError("There are no parts to merge; give all of them.")
    first, of_first = found[0]
    number_of: dict[int, Path] = {}
    for path, record in found:
        if not record.finished:
            raise StoreError(f"{path}: part {record.part} is not finished; run its command again, it goes on.")
        if record.part.count != of_first.part.count:
            raise StoreError(f"{first} is part {of_first.part} and {path} part {record.part}: not parts of one whole.")
        if record.part.number in number_of:
            raise StoreError(f"{number_of[record.part.number]} and {path} both hold part {record.part}.")
        number_of[record.part.number] = path
        if record.dataset != of_first.dataset:
            raise StoreError(
                f"{path} was made from another dataset than {first}, from other splits of it, or for another caption "
                "or run; run its command again as that of the others."
            )
    parts = of_first.part.count
    if missing := parts - len(number_of):
        first_missing = islice((number for number in range(1, parts + 1) if number not in number_of), _NAMED)
        named = ", ".join(f"{number}/{parts}" for number in first_missing)
        more = f" and {missing - _NAMED:,} more" if missing > _NAMED else ""
        raise StoreError(f"Parts are missing: {named}{more}. Make them with --part, and give all of them.")
