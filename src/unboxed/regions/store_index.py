"""Finds the shard of an image: from the lists of all shards, or from the file `index.safetensors` that repeats them.

The file makes a store of a million images open without reading thousands of shards. It is deleted before shards change
and written after them, and it names the shards with their sizes: one that does not agree with the folder is not used.
A shard that was added later is read itself.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unboxed.errors import StoreError
from unboxed.regions.shards import Shard, ShardEntry
from unboxed.runtime.packed_texts import check_packed, packed, unpacked
from unboxed.runtime.tensor_digests import check_tensor_file
from unboxed.runtime.tensor_file import map_tensor_file, write_tensor_file

__all__ = ["StoreIndex", "index_file", "shard_sizes"]

_FROM_SHARDS = 8  # a store of fewer is opened as fast without the file


def index_file(path: Path) -> Path:
    """The file of a store in `path`."""
    return path / "index.safetensors"


def shard_sizes(path: Path) -> dict[Path, int]:
    """The shards of a store in `path` and their sizes in bytes, in their order."""
    folder = path / "shards"
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:  # faster than a `Path` for each
        sizes = {entry.name: entry.stat().st_size for entry in entries if _is_shard(entry.name)}
    return {folder / name: sizes[name] for name in sorted(sizes)}


def _is_shard(name: str) -> bool:
    return name.endswith(".safetensors") and not name.startswith(".")


class StoreIndex:
    """The images of a store by id, in the order in which they were first added.

    Args:
        path: the store.
        shards: its shards with their sizes in bytes, in their order (`shard_sizes`).
        open_shard: opens one, and raises an error if it is not one of this store.
    """

    def __init__(self, path: Path, shards: Mapping[Path, int], open_shard: Callable[[Path], Shard]) -> None:
        self._open_shard = open_shard
        self._opened: dict[Path, Shard] = {}
        self._listed = _Listed.read(path, shards)
        self._added: dict[str, tuple[Shard, int]] = {}
        self._removed: set[str] = set()
        covered = len(self._listed.shards) if self._listed is not None else 0
        for file in list(shards)[covered:]:
            self.add(self._shard(file))

    def add(self, shard: Shard) -> None:
        """Add the images of a shard; they replace those of the same id."""
        self._opened[shard.path] = shard
        for number, entry in enumerate(shard.entries):
            if entry.removes:
                self._removed.add(entry.image_id)
                self._added.pop(entry.image_id, None)
            else:
                self._removed.discard(entry.image_id)
                self._added[entry.image_id] = (shard, number)

    def __len__(self) -> int:
        if self._listed is None:
            return len(self._added)
        changed = [image_id in self._listed for image_id in (*self._added, *self._removed)]
        return len(self._listed) + changed[: len(self._added)].count(False) - changed[len(self._added) :].count(True)

    def __iter__(self) -> Iterator[str]:
        if self._listed is not None:
            yield from (name for name in self._listed if name not in self._removed)
        yield from (name for name in self._added if self._listed is None or name not in self._listed)

    def __contains__(self, image_id: object) -> bool:
        if image_id in self._added:
            return True
        return image_id not in self._removed and self._listed is not None and image_id in self._listed

    def __getitem__(self, image_id: str) -> tuple[Shard, ShardEntry]:
        """The shard and entry of an image.

        Raises:
            KeyError: it is not in the store.
            StoreError: the shard is damaged, gone, or not the one that was listed.
        """
        file, number = self._place(image_id)
        shard = self._shard(file)
        if number >= len(shard.entries) or shard.entries[number].image_id != image_id:
            raise StoreError(
                f"{index_file(file.parents[1])} does not list what {file} has; delete this index, it is made again."
            )
        return shard, shard.entries[number]

    def file_of(self, image_id: str) -> Path:
        """The shard that has an image, which is not opened; raises `KeyError` for an image that is not in the store."""
        return self._place(image_id)[0]

    def _place(self, image_id: str) -> tuple[Path, int]:
        """The shard of an image, and the number of its entry there."""
        if image_id in self._added:
            shard, number = self._added[image_id]
            return shard.path, number
        row = None if self._listed is None else self._listed.row(image_id)
        if self._listed is None or row is None or image_id in self._removed:
            raise KeyError(image_id)
        return self._listed.shards[int(self._listed.shard_N[row])], int(self._listed.number_N[row])

    def items(self) -> Iterator[tuple[str, tuple[Shard, ShardEntry]]]:
        """Every image with its shard and entry; opens all shards."""
        return ((image_id, self[image_id]) for image_id in self)

    def _shard(self, file: Path) -> Shard:
        if file not in self._opened:
            self._opened[file] = self._open_shard(file)
        return self._opened[file]

    def write(self, path: Path) -> None:
        """Write the file of a store with many shards."""
        listed = self._listed
        files = sorted(self._opened.keys() | set(listed.shards if listed is not None else ()))
        if len(files) < _FROM_SHARDS:
            return
        number_of = {file: number for number, file in enumerate(files)}
        places: dict[str, tuple[int, int]] = {}
        if listed is not None:
            numbers = [number_of[file] for file in listed.shards]
            for row, image_id in enumerate(listed):
                places[image_id] = (numbers[int(listed.shard_N[row])], int(listed.number_N[row]))
        places |= {image_id: (number_of[shard.path], number) for image_id, (shard, number) in self._added.items()}
        places = {image_id: place for image_id, place in places.items() if image_id not in self._removed}
        _write(index_file(path), files, places)


class _Listed:
    """What the file lists: N images, found by the hash of their id."""

    def __init__(self, shards: Sequence[Path], tensors: Mapping[str, npt.NDArray[Any]]) -> None:
        self.shards = shards
        self._characters, self._ends_N = tensors["characters"], tensors["ends"]
        self._hash_N, self._row_N = tensors["hashes"], tensors["rows"]
        self.shard_N, self.number_N = tensors["shards"], tensors["numbers"]
        check_packed(self._characters, self._ends_N)
        for name, end in (("hashes", None), ("rows", len(self)), ("shards", len(shards)), ("numbers", None)):
            array = tensors[name]
            if array.shape != (len(self),) or array.dtype.kind != "i":
                raise ValueError(f"{name} is {array.dtype} {list(array.shape)} for {len(self)} images")
            if end is not None and len(self) and not 0 <= array.min() <= array.max() < end:
                raise ValueError(f"{name} is not within 0..{end - 1}")

    @staticmethod
    def read(path: Path, shards: Mapping[Path, int]) -> _Listed | None:
        """The file of a store; None if there is none, or if it lists other shards than the first of these."""
        try:
            check_tensor_file(index_file(path))
            tensors, metadata = map_tensor_file(index_file(path))
            sizes = json.loads(metadata["shards"])
            listed = _Listed(list(shards)[: len(sizes)], tensors)
            now = [[shard.name, shards[shard]] for shard in listed.shards]
            return listed if now == sizes else None
        except (OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
            return None

    def __len__(self) -> int:
        return len(self._ends_N)

    def __iter__(self) -> Iterator[str]:
        return (self._name(row) for row in range(len(self)))

    def __contains__(self, image_id: object) -> bool:
        return isinstance(image_id, str) and self.row(image_id) is not None

    def row(self, image_id: str) -> int | None:
        """The row of an image; None if it is not listed."""
        wanted = _hash(image_id)
        place = int(np.searchsorted(self._hash_N, wanted))
        while place < len(self) and self._hash_N[place] == wanted:
            row = int(self._row_N[place])
            if self._name(row) == image_id:
                return row
            place += 1
        return None

    def _name(self, row: int) -> str:
        return unpacked(self._characters, self._ends_N, row)


def _write(file: Path, shards: list[Path], places: Mapping[str, tuple[int, int]]) -> None:
    characters, ends_N = packed(places)
    hash_N = np.array([_hash(image_id) for image_id in places], np.int64)
    order_N = hash_N.argsort(kind="stable")
    place_N2 = np.array(list(places.values()), np.int32)
    tensors: dict[str, npt.NDArray[Any]] = {
        "characters": characters,
        "ends": ends_N,
        "hashes": hash_N[order_N],
        "rows": order_N.astype(np.int32),
        "shards": place_N2[:, 0],
        "numbers": place_N2[:, 1],
    }
    write_tensor_file(file, tensors, {"shards": json.dumps([[shard.name, shard.stat().st_size] for shard in shards])})


def _hash(image_id: str) -> int:
    digest = hashlib.blake2b(image_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
