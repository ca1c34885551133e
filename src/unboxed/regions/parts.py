"""Parts of an extraction that processes or machines make without knowing of each other, and their merged store.

An image belongs to the part that the hash of its id names, so that parts need no list of who does what. A part is a
store with one more file, `part.json`, which holds the places of its images in the dataset. The merged store has the
bytes of the store that one process writes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from unboxed.errors import StoreError, plain_reason
from unboxed.regions.store import RegionStore
from unboxed.runtime.atomic import atomic_folder, write_json
from unboxed.runtime.locks import file_lock
from unboxed.runtime.progress import track

__all__ = ["Part", "PartFile", "merge_parts"]

_FORMAT, _VERSION = "unboxed-part", 1


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
            StoreError: another text, or K outside 1..N.
        """
        number, slash, count = text.partition("/")
        if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise StoreError(f"There is no part {text!r}; expected K/N with 1 <= K <= N, such as 2/8.")
        return Part(int(number), int(count))

    def __contains__(self, image_id: object) -> bool:
        """Whether an image belongs to this part."""
        digest = hashlib.sha256(str(image_id).encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


class PartFile(NamedTuple):
    """The file `part.json` of a store that holds a part.

    Attributes:
        part: which.
        dataset: sha256 of the ids of all images of the dataset, in order.
        places: the place in the dataset of each image of the part.
        finished: whether all its images were extracted or skipped.
    """

    part: Part
    dataset: str
    places: dict[str, int]
    finished: bool = False

    @staticmethod
    def of(part: Part, image_ids: Sequence[str]) -> PartFile:
        """The part of a dataset with these images."""
        places = {image_id: place for place, image_id in enumerate(image_ids) if image_id in part}
        return PartFile(part, hashlib.sha256(json.dumps(list(image_ids)).encode()).hexdigest(), places)

    def write(self, store: RegionStore, *, finished: bool) -> None:
        """Write the file into the store.

        Raises:
            StoreError: the store holds another part, or images of no part.
        """
        present = PartFile.read(store.path)
        if present is None and len(store):
            raise StoreError(f"{store.path} is a store of a whole dataset; choose another folder for part {self.part}.")
        if present is not None and present.part != self.part:
            raise StoreError(f"{store.path} holds part {present.part}; choose another folder for part {self.part}.")
        values = {"part": self.part.number, "of": self.part.count, "dataset": self.dataset, "finished": finished}
        write_json(_file(store.path), {"format": _FORMAT, "version": _VERSION, **values, "images": self.places})

    @staticmethod
    def read(path: Path) -> PartFile | None:
        """The file of the store in `path`; None if it holds no part.

        Raises:
            StoreError: it is damaged, or of a newer version.
        """
        file = _file(path)
        if not file.is_file():
            return None
        try:
            values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            if values["format"] != _FORMAT or values["version"] > _VERSION:
                raise ValueError(f"format {values['format']!r}, version {values['version']!r}")
            places = {str(image_id): int(place) for image_id, place in values["images"].items()}
            part = Part.parse(f"{values['part']}/{values['of']}")
            return PartFile(part, str(values["dataset"]), places, values["finished"] is True)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, StoreError, RecursionError) as error:
            raise StoreError(
                f"{file} cannot be read ({plain_reason(error)}); extract this part again into a new folder."
            ) from error


def _file(path: Path) -> Path:
    return path / "part.json"


def merge_parts(paths: Sequence[Path], out: Path, *, progress: bool = True) -> RegionStore:
    """Write the store of a dataset from the stores of all its parts.

    Args:
        paths: of the parts, in any order.
        out: folder of the new store.
        progress: show rate and time left.

    Raises:
        StoreError: a part is missing, given twice, unfinished, or made from another dataset, with other settings or
            into another number of parts; or `out` exists. Nothing is written then.
    """
    if out.exists():
        raise StoreError(f"{out} exists already; choose a new folder for the merged store.")
    parts = [(RegionStore.open(path), _finished_part(path)) for path in paths]
    _require_all(parts)
    images = [
        (part.places[image_id], image_id, store)
        for store, part in parts
        for image_id in store
        if image_id in part.places
    ]
    images.sort(key=lambda image: image[0])
    columns = next((store for store, _ in parts if store.source_names), parts[0][0])
    with (
        file_lock(out, wait=True),
        atomic_folder(out) as partial,
        RegionStore.create_or_resume(partial, parts[0][0].settings) as merged,
    ):
        if columns.source_names:
            merged.define_columns(columns.class_names, columns.source_names, columns.feature_blocks)
        for _, image_id, store in track(images, "Merging", len(images), progress):
            merged.append_stored(image_id, store)
    return RegionStore.open(out)


def _finished_part(path: Path) -> PartFile:
    part = PartFile.read(path)
    if part is None:
        raise StoreError(f"{path} holds no part of an extraction; make parts with `unboxed regions --part K/N`.")
    if not part.finished:
        raise StoreError(f"{path}: part {part.part} is not finished; run its `unboxed regions` again, it goes on.")
    return part


def _require_all(parts: Sequence[tuple[RegionStore, PartFile]]) -> None:
    """Raise an error unless the stores are all parts of one extraction."""
    if not parts:
        raise StoreError("There are no parts to merge; give the folders of all of them.")
    first, of_first = parts[0]
    number_of: dict[int, Path] = {}
    for store, file in parts:
        if file.part.count != of_first.part.count:
            raise StoreError(
                f"{first.path} is part {of_first.part} and {store.path} part {file.part}: not of one extraction."
            )
        if file.part.number in number_of:
            raise StoreError(f"{number_of[file.part.number]} and {store.path} both hold part {file.part}.")
        number_of[file.part.number] = store.path
        if changed := first.settings.differences(store.settings):
            raise StoreError(f"{store.path} was made with other settings than {first.path} ({'; '.join(changed)}).")
        if file.dataset != of_first.dataset:
            raise StoreError(
                f"{store.path} was made from another dataset than {first.path}, or from other splits of it; run its "
                "`unboxed regions` again on the same dataset, which extracts only what is missing."
            )
        columns = [(s.class_names, s.feature_blocks) for s in (first, store) if s.source_names]
        if len(columns) == 2 and columns[0] != columns[1]:
            raise StoreError(f"{store.path} has other classes or features than {first.path}; extract this part again.")
    missing = sorted(set(range(1, of_first.part.count + 1)) - number_of.keys())
    if missing:
        named = ", ".join(f"{number}/{of_first.part.count}" for number in missing)
        raise StoreError(f"Parts are missing: {named}. Make them with `unboxed regions --part`, and give all folders.")
