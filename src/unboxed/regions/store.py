"""The region store: a folder with the regions of a dataset's images, extracted once and read many times.

    STORE/store.json          settings, class names, source names, feature blocks
    STORE/models/             copies of the model files that the settings name
    STORE/shards/*.safetensors
    STORE/index.safetensors   where each image is, for a store of many shards; may be missing

The folder is complete: reading it, adding to it and extracting a new image in the same way need no file outside it. One
process may write at a time; any number may read. A store at a URL can be read (`remote_store`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType, TracebackType

import numpy as np
import numpy.typing as npt

from unboxed.errors import RegionsError, StoreError
from unboxed.regions.remote_store import RemoteStore
from unboxed.regions.settings import RegionSettings
from unboxed.regions.shards import RegionArrays, Shard, ShardEntry, to_half, write_shard
from unboxed.regions.store_header import StoreHeader
from unboxed.regions.store_index import StoreIndex, index_file, shard_sizes
from unboxed.regions.validity import first_fault
from unboxed.runtime.atomic import is_temporary
from unboxed.runtime.locks import folder_lock, remove_left_overs
from unboxed.runtime.urls import url_of
from unboxed.types import Array, Regions

__all__ = ["RegionArrays", "RegionStore"]

_IMAGES_PER_SHARD = 128
_MOST_SOURCES = 256
_FOLDERS = ("models", "shards")


class RegionStore:
    """Regions by image id, from a folder.

    `RegionStore.open` opens a store for reading, `RegionStore.create_or_resume` for adding images:

        with RegionStore.create_or_resume(folder, settings) as store:
            store.define_columns(extractor.class_names, extractor.source_names, extractor.feature_blocks)
            store.append("photo.jpg", key, extractor(image))

    Attributes:
        path: the folder; of a store at a URL, that of its copy.
        address: the URL, or the absolute path of the folder.
        settings: the settings of the regions, with model files inside the folder.
        class_names: the K classes of `class_probs`.
        source_names: the names that the source indices of the arrays refer to.
        feature_blocks: (name, width) of consecutive feature columns; the widths sum to V.
        int8: whether features and class probabilities are stored in 8 bits, with a scale for each region and block.
        removed: names of damaged shards that `create_or_resume` removed, so that their images are extracted again.
    """

    def __init__(
        self,
        path: Path,
        header: StoreHeader,
        shards: Mapping[Path, int] = MappingProxyType({}),
        remote: RemoteStore | None = None,
    ) -> None:
        self.path = path
        self.address = str(path.resolve()) if remote is None else remote.url
        self.settings, self.int8 = header.settings, header.int8
        self.class_names, self.source_names = header.class_names, header.source_names
        self.feature_blocks = header.feature_blocks
        self._remote = remote
        self._pending: list[tuple[ShardEntry, RegionArrays]] = []
        self._next_shard = max((int(file.stem) for file in shards if file.stem.isdigit()), default=-1) + 1
        self._lock = ExitStack()
        self.removed: tuple[str, ...] = ()
        self._index = StoreIndex(path, shards, self._opened)

    @staticmethod
    def open(path: Path) -> RegionStore:
        """Opens a store for reading.

        Args:
            path: the folder, or its URL.

        Raises:
            StoreError: no store there, a damaged one, or one of a newer version.
        """
        path = Path(path)
        url = url_of(path)
        remote = None if url is None else RemoteStore(url)
        if remote is not None:
            path = remote.folder
        # Listed before the header is read: a process that writes the store completes the header before the first shard.
        shards = shard_sizes(path) if remote is None else remote.shards
        return RegionStore(path, StoreHeader.read(path), shards, remote)

    @staticmethod
    def create_or_resume(path: Path, settings: RegionSettings, *, int8: bool | None = None) -> RegionStore:
        """Opens a store for adding images: a new one, or one that was made with the same settings.

        The store is locked until the end of its `with` block.

        Args:
            path: the folder.
            settings: of the regions.
            int8: store features and class probabilities in 8 bits; None: as the store does, a new one in 16 bits.

        Raises:
            BusyError: another process writes the store.
            StoreError: a store made with other settings, a damaged one, or a folder with other things in it.
            RegionsError: a model file that is missing.
        """
        path = Path(path)
        settings.identity()  # a missing model file is reported before anything is written
        lock = ExitStack()
        if not path.exists() or path.is_dir():
            lock.enter_context(folder_lock(path))
        try:
            store = RegionStore._opened_or_new(path, settings, int8)
        except BaseException:
            lock.close()
            raise
        remove_left_overs(path, _FOLDERS)
        store._lock = lock
        return store

    @staticmethod
    def _opened_or_new(path: Path, settings: RegionSettings, int8: bool | None) -> RegionStore:
        if (path / "store.json").is_file():
            removed = _remove_damaged(path / "shards")
            store = RegionStore.open(path)
            store.removed = removed
            if changed := settings.differences(store.settings):
                raise StoreError(
                    f"{path} was made with other settings ({'; '.join(changed)}). Use the same settings to go on with "
                    "it, or choose another folder."
                )
            if int8 not in (None, store.int8):
                raise StoreError(
                    f"{path} stores numbers in {8 if store.int8 else 16} bits. Go on with it so, or choose another "
                    "folder."
                )
            return store
        if path.exists() and (not path.is_dir() or not all(map(_is_unfinished, path.iterdir()))):
            raise StoreError(f"{path} exists and is not a region store; choose a new folder.")
        (path / "shards").mkdir(parents=True, exist_ok=True)
        header = StoreHeader(settings.copied_to(path / "models"), int8=bool(int8))
        header.write(path)
        return RegionStore(path, header)

    @property
    def feature_width(self) -> int:
        """V, the width of the features."""
        return sum(width for _, width in self.feature_blocks)

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[str]:
        """The image ids in the order in which they were first added."""
        return iter(self._index)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._index

    def __getitem__(self, image_id: str) -> Regions:
        """The regions of one image, validated.

        Raises:
            StoreError: not in the store, or damaged.
        """
        return self.read(*self._entry(image_id))

    def read(self, shard: Shard, entry: ShardEntry) -> Regions:
        """The regions of an image of a shard, validated; raises `StoreError` for a damaged one."""
        shard.check(len(self.source_names))
        arrays = shard.arrays(entry.start, entry.count)
        return Regions(
            boxes=arrays.boxes,
            scores=arrays.scores,
            features=_read_only(arrays.features),
            class_probs=_read_only(arrays.class_probs),
            class_names=self.class_names,
            sources=tuple(self.source_names[i] for i in arrays.sources.tolist()),
            width=entry.width,
            height=entry.height,
        )

    def arrays(self, image_id: str) -> RegionArrays:
        """The regions of one image as stored. All numbers of a shard are validated when it is first read.

        Raises:
            StoreError: not in the store, or damaged.
        """
        shard, entry = self._entry(image_id)
        return shard.arrays(entry.start, entry.count)

    def size(self, image_id: str) -> tuple[int, int]:
        """(width, height) of an image in pixels, as its regions were found.

        Raises:
            StoreError: not in the store, or damaged.
        """
        _, entry = self._entry(image_id)
        return entry.width, entry.height

    def region_count(self, image_id: str) -> int:
        """The number of regions of an image; raises `StoreError` for one that is not in the store."""
        return self._entry(image_id)[1].count

    def image_key(self, image_id: str) -> str | None:
        """The key of the content that was extracted for this image id (`cache.image_key`); None if absent."""
        return self._index[image_id][1].image_key if image_id in self._index else None

    def written(self, image_id: str) -> float:
        """The time when the regions of an image were written.

        Raises:
            KeyError: they are not in the store.
            OSError: the shard is gone, or was not copied from its URL yet.
        """
        return self._index.file_of(image_id).stat().st_mtime

    def by_key(self) -> dict[str, tuple[Shard, ShardEntry]]:
        """Image key -> what `read` needs, also after another image has taken the place of that id."""
        return {place[1].image_key: place for _, place in self._index.items()}

    def define_columns(
        self,
        class_names: tuple[str, ...],
        source_names: tuple[str, ...],
        feature_blocks: tuple[tuple[str, int], ...],
    ) -> None:
        """Writes what the columns of the arrays mean; to be called before the first image is added.

        Raises:
            StoreError: the store has other columns already.
        """
        columns = (class_names, source_names, feature_blocks)
        if self.source_names and (
            (class_names, feature_blocks) != (self.class_names, self.feature_blocks)
            or not set(source_names) <= set(self.source_names)
        ):
            raise StoreError(
                f"{self.path} holds other classes or features than its settings give now; extract into a new folder."
            )
        if not self.source_names:
            self.class_names, self.source_names, self.feature_blocks = columns
            StoreHeader(self.settings, *columns, self.int8).write(self.path)

    def append(self, image_id: str, image_key: str, regions: Regions) -> None:
        """Adds one image; it replaces an earlier one of the same id.

        Images are written in shards of 128; `flush` and the end of a `with` block write the rest.

        Args:
            image_id: as in the dataset.
            image_key: identifies the content of the image.
            regions: its regions, with the classes, sources and features of `define_columns`.

        Raises:
            RegionsError: values that no region can have.
        """
        arrays = RegionArrays(
            boxes=regions.boxes,
            features=to_half(regions.features),
            class_probs=to_half(regions.class_probs),
            scores=regions.scores,
            sources=np.array([self.source_names.index(name) for name in regions.sources], np.uint8),
        )
        if (fault := first_fault(arrays, len(self.source_names))) is not None:
            raise RegionsError(f"The regions of {image_id} are not usable: {fault[1]}. Fix them, or leave it out.")
        entry = ShardEntry(image_id, image_key, regions.width, regions.height, len(regions.boxes))
        self._append(entry, arrays)

    def remove(self, image_id: str) -> None:
        """Removes an image, such as one whose file cannot be read any more, if the store has it."""
        if image_id in self._index:
            rows = [(0, 4), (0, self.feature_width), (0, len(self.class_names)), (0,), (0,)]
            kinds = [np.float32, np.float16, np.float16, np.float32, np.uint8]
            nothing = RegionArrays(*(np.zeros(shape, kind) for shape, kind in zip(rows, kinds, strict=True)))
            self._append(ShardEntry(image_id, "", 1, 1, 0), nothing)

    def _append(self, entry: ShardEntry, arrays: RegionArrays) -> None:
        self._pending.append((entry, arrays))
        if len(self._pending) >= _IMAGES_PER_SHARD:
            self.flush()

    def append_stored(self, image_id: str, other: RegionStore) -> None:
        """Adds one image of another store with the same columns, as it is stored there.

        Raises:
            StoreError: the other store does not have it.
        """
        shard, entry = other._entry(image_id)
        self._append(entry, shard.arrays(entry.start, entry.count))

    def flush(self) -> None:
        """Writes the images added since the last full shard."""
        if self._pending:
            file = self.path / "shards" / f"{self._next_shard:06d}.safetensors"
            index_file(self.path).unlink(missing_ok=True)
            write_shard(file, self._pending, [width for _, width in self.feature_blocks] if self.int8 else None)
            self._pending = []
            self._next_shard += 1
            self._index.add(self._opened(file))

    def __enter__(self) -> RegionStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self.flush()
            if not index_file(self.path).exists():
                self._index.write(self.path)

    def _entry(self, image_id: str) -> tuple[Shard, ShardEntry]:
        if image_id not in self._index:
            raise StoreError(
                f"{self.path} has no regions of {image_id!r}; run the extraction on the dataset that has this image."
            )
        shard, entry = self._index[image_id]
        shard.check(len(self.source_names))
        return shard, entry

    def _opened(self, file: Path) -> Shard:
        if self._remote is not None:
            self._remote.fetch(file)
        shard = Shard(file)
        if (shard.feature_width, shard.class_count) != (self.feature_width, len(self.class_names)):
            raise StoreError(
                f"{shard.path} has {shard.feature_width} features and {shard.class_count} classes, but the store has "
                f"{self.feature_width} and {len(self.class_names)}; it belongs elsewhere. Delete this file."
            )
        return shard


def _is_unfinished(entry: Path) -> bool:
    """Whether it may be in the folder of a store that has no header yet."""
    return entry.name in (*_FOLDERS, ".lock") or is_temporary(entry.name)


def _remove_damaged(folder: Path) -> tuple[str, ...]:
    """Remove shards that are damaged, or whose numbers no region can have; one that cannot be read at all stays."""
    removed = []
    for file in sorted(folder.glob("[0-9]*.safetensors")):
        try:
            Shard(file).check(_MOST_SOURCES)
        except StoreError as error:
            if isinstance(error.__cause__, OSError):
                raise
            index_file(folder.parent).unlink(missing_ok=True)
            file.unlink()
            removed.append(file.name)
    return tuple(removed)


def _read_only(values: npt.NDArray[np.float16]) -> Array:
    """float32 that nobody can write to, so that `Regions` takes it as it is instead of a copy."""
    array = values.astype(np.float32)
    array.setflags(write=False)
    return array
