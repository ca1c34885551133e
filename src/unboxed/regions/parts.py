"""The stores of the parts of an extraction, and their merged store.

A part is a store with one more file, `part.json`, which holds the places of its images in the dataset. The merged store
has the bytes of the store that one process writes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from unboxed.errors import StoreError, plain_reason
from unboxed.regions.store import RegionStore
from unboxed.runtime.atomic import atomic_folder, write_json
from unboxed.runtime.locks import new_file_lock
from unboxed.runtime.parts import Part, PartRecord, require_all_parts
from unboxed.runtime.progress import track

__all__ = ["Part", "merge_parts", "read_part", "write_part"]


def write_part(store: RegionStore, record: PartRecord) -> None:
    """Write `part.json` into a store.

    Raises:
        StoreError: the store holds another part, or images of no part.
    """
    present = read_part(store.path)
    if present is None and len(store):
        raise StoreError(f"{store.path} is a store of a whole dataset; choose another folder for part {record.part}.")
    if present is not None and present.part != record.part:
        raise StoreError(f"{store.path} holds part {present.part}; choose another folder for part {record.part}.")
    write_json(_file(store.path), record.to_dict())


def read_part(path: Path) -> PartRecord | None:
    """The record of the part in the store `path`, from `part.json`; None if it holds no part.

    Raises:
        StoreError: it is damaged, or of a newer version.
    """
    file = _file(path)
    if not file.is_file():
        return None
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{file} cannot be read ({plain_reason(error)}); extract this part again.") from error
    return PartRecord.from_dict(values, file)


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
    with new_file_lock(out, StoreError(f"{out} exists already; choose a new folder for the merged store.")):
        return _merged(paths, out, progress)


def _merged(paths: Sequence[Path], out: Path, progress: bool) -> RegionStore:
    parts = [(store, _part_of(store)) for store in map(RegionStore.open, paths)]
    require_all_parts((store.path, part) for store, part in parts)
    _require_alike([store for store, _ in parts])
    images = [
        (part.places[image_id], image_id, store)
        for store, part in parts
        for image_id in store
        if image_id in part.places
    ]
    images.sort(key=lambda image: image[0])
    columns = next((store for store, _ in parts if store.source_names), parts[0][0])
    with (
        atomic_folder(out) as partial,
        RegionStore.create_or_resume(partial, parts[0][0].settings, int8=parts[0][0].int8) as merged,
    ):
        if columns.source_names:
            merged.define_columns(columns.class_names, columns.source_names, columns.feature_blocks)
        for _, image_id, store in track(images, "Merging", len(images), progress):
            merged.append_stored(image_id, store)
    return RegionStore.open(out)


def _part_of(store: RegionStore) -> PartRecord:
    part = read_part(store.path)
    if part is None:
        raise StoreError(
            f"{store.address} holds no part of an extraction; make parts with `unboxed regions --part K/N`."
        )
    return part


def _require_alike(stores: Sequence[RegionStore]) -> None:
    """Raise an error unless the stores were made with the same settings, and have the same columns."""
    first = stores[0]
    for store in stores:
        if changed := first.settings.differences(store.settings):
            raise StoreError(f"{store.path} was made with other settings than {first.path} ({'; '.join(changed)}).")
        if store.int8 != first.int8:
            raise StoreError(f"{store.path} and {first.path} differ in --int8; extract one of them again.")
        columns = [(s.class_names, s.feature_blocks) for s in (first, store) if s.source_names]
        if len(columns) == 2 and columns[0] != columns[1]:
            raise StoreError(f"{store.path} has other classes or features than {first.path}; extract this part again.")
