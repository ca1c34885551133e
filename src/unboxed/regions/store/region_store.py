"""The feature store: the regions of a dataset's images, made once, read many times, complete in its folder.

    STORE/store.json          settings, class names, source names, feature blocks
    STORE/models/             copies of the model files that the settings name
    STORE/shards/*.safetensors

Nothing outside the folder is needed to read it, to go on with it, or to make the regions of a new image the same
way. One process writes at a time; any number may read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from unboxed.errors import RegionsError, StoreError
from unboxed.regions.settings import RegionSettings, settings_from_dict
from unboxed.regions.store.shards import RegionArrays, Shard, ShardEntry, to_half, write_shard
from unboxed.types import Regions

__all__ = ["RegionArrays", "RegionStore"]

_FORMAT, _VERSION = "unboxed-regions", 1
_SHARD_PHOTOGRAPHS = 128


class RegionStore:
    """Regions by image id, from a folder.

    Open one with `RegionStore.open` to read, with `RegionStore.create_or_resume` to add to it.

    Attributes:
        path: the folder.
        settings: what the regions were made with, model files inside the folder.
        class_names: the K classes of `class_probs`.
        source_names: what the source indices mean.
        feature_blocks: (name, width) of each run of feature columns.
    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        try:
            self.settings = settings_from_dict(header["settings"], path)
            self.class_names: tuple[str, ...] = tuple(header["class_names"])
            self.source_names: tuple[str, ...] = tuple(header["source_names"])
            self.feature_blocks: tuple[tuple[str, int], ...] = tuple(
                (str(name), int(width)) for name, width in header["feature_blocks"]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{path / 'store.json'} is damaged ({error!r}); extract the regions again.") from error
        except RegionsError as error:
            raise StoreError(f"{path / 'store.json'}: {error}") from error
        self._index: dict[str, tuple[Shard, ShardEntry]] = {}
        self._open_shard: list[tuple[str, str, int, int, RegionArrays]] = []
        self._next_shard = 0
        for file in sorted((path / "shards").glob("*.safetensors")):
            self._add(Shard(file))
            self._next_shard = int(file.stem) + 1 if file.stem.isdigit() else self._next_shard

    @staticmethod
    def open(path: Path) -> RegionStore:
        """A store to read.

        Raises:
            StoreError: no store there, a damaged one, or one of a newer version.
        """
        file = path / "store.json"
        if not file.is_file():
            raise StoreError(f"{path} is no feature store: it has no store.json. Make one with `unboxed regions`.")
        try:
            header = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"{file} is damaged ({error}); extract the regions again.") from error
        if not isinstance(header, dict) or header.get("format") != _FORMAT:
            raise StoreError(f"{file} does not describe a feature store of unboxed.")
        version = header.get("version")
        if not isinstance(version, int) or version > _VERSION:
            raise StoreError(f"{path} has version {version!r}; this unboxed reads up to {_VERSION}. Update unboxed.")
        return RegionStore(path, header)

    @staticmethod
    def create_or_resume(path: Path, settings: RegionSettings) -> RegionStore:
        """A store to add to: a new one, or the one that an earlier extraction with the same settings began.

        Raises:
            StoreError: a store made with other settings, a damaged one, or a folder with other things in it.
            RegionsError: a model file that is missing.
        """
        settings.fingerprint()  # a missing model file is named before anything is written
        if (path / "store.json").is_file():
            store = RegionStore.open(path)
            if changed := settings.differences(store.settings):
                raise StoreError(
                    f"{path} was made with other settings ({'; '.join(changed)}). Use the same settings to go on with "
                    "it, or choose another folder."
                )
            return store
        if path.exists() and (not path.is_dir() or any(p.name not in ("models", "shards") for p in path.iterdir())):
            raise StoreError(f"{path} exists and is no feature store; choose a new folder.")
        (path / "shards").mkdir(parents=True, exist_ok=True)
        own = settings.copied_to(path / "models")
        header = {
            "format": _FORMAT,
            "version": _VERSION,
            "settings": own.to_dict(path),
            "class_names": [],
            "source_names": [],
            "feature_blocks": [],
        }
        _write_json(path / "store.json", header)
        return RegionStore(path, header)

    def fingerprint(self) -> str:
        """The fingerprint of the settings, with the model files as they lie in the store."""
        return self.settings.fingerprint()

    @property
    def feature_width(self) -> int:
        """V, the width of the features."""
        return sum(width for _, width in self.feature_blocks)

    @property
    def image_ids(self) -> tuple[str, ...]:
        """The images stored, oldest first."""
        return tuple(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._index

    def __getitem__(self, image_id: str) -> Regions:
        """The regions of one image, checked.

        Raises:
            StoreError: not in the store, or damaged.
        """
        shard, entry = self._entry(image_id)
        arrays = shard.arrays(entry.start, entry.count)
        try:
            return Regions(
                boxes=arrays.boxes,
                scores=arrays.scores,
                features=arrays.features.astype(np.float32),
                class_probs=arrays.class_probs.astype(np.float32),
                class_names=self.class_names,
                sources=tuple(self.source_names[i] for i in arrays.sources.tolist()),
                width=entry.width,
                height=entry.height,
            )
        except (RegionsError, IndexError) as error:
            raise StoreError(
                f"{shard.path} is damaged: the regions of {image_id} are not usable ({error}). Delete this file and "
                "run the extraction again: only its images are done anew."
            ) from error

    def arrays(self, image_id: str) -> RegionArrays:
        """The regions of one image as they lie in the store, unchecked.

        Raises:
            StoreError: not in the store.
        """
        shard, entry = self._entry(image_id)
        return shard.arrays(entry.start, entry.count)

    def image(self, image_id: str) -> str | None:
        """What identifies the content that was extracted for this image id; None when it is not in the store."""
        return self._index[image_id][1].image_key if image_id in self._index else None

    def images(self) -> dict[str, str]:
        """Content -> the image id it is stored under."""
        return {entry.image_key: image_id for image_id, (_, entry) in self._index.items()}

    def describe(
        self,
        class_names: tuple[str, ...],
        source_names: tuple[str, ...],
        feature_blocks: tuple[tuple[str, int], ...],
    ) -> None:
        """Writes down what the columns mean, before the first image is added.

        Raises:
            StoreError: the store says something else already.
        """
        described = (class_names, source_names, feature_blocks)
        if self.source_names and described != (self.class_names, self.source_names, self.feature_blocks):
            raise StoreError(
                f"{self.path} holds other classes or features than its settings give now; extract into a new folder."
            )
        if not self.source_names:
            self.class_names, self.source_names, self.feature_blocks = described
            header = json.loads((self.path / "store.json").read_text(encoding="utf-8"))
            header.update(class_names=class_names, source_names=source_names, feature_blocks=feature_blocks)
            _write_json(self.path / "store.json", header)

    def append(self, image_id: str, image: str, regions: Regions) -> None:
        """Adds one image; a later one of the same id takes the place of an earlier one.

        It is on the disk after the 128th, or after `flush`.
        """
        arrays = RegionArrays(
            boxes=regions.boxes,
            features=to_half(regions.features),
            class_probs=to_half(regions.class_probs),
            scores=regions.scores,
            sources=np.array([self.source_names.index(name) for name in regions.sources], np.uint8),
        )
        self._open_shard.append((image_id, image, regions.width, regions.height, arrays))
        if len(self._open_shard) >= _SHARD_PHOTOGRAPHS:
            self.flush()

    def flush(self) -> None:
        """Writes the images added since the last full shard."""
        if self._open_shard:
            file = self.path / "shards" / f"{self._next_shard:06d}.safetensors"
            write_shard(file, self._open_shard)
            self._open_shard = []
            self._next_shard += 1
            self._add(Shard(file))

    def __enter__(self) -> RegionStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    def _entry(self, image_id: str) -> tuple[Shard, ShardEntry]:
        if image_id not in self._index:
            raise StoreError(
                f"{self.path} has no regions of {image_id!r}; run the extraction on the dataset that has this image."
            )
        return self._index[image_id]

    def _add(self, shard: Shard) -> None:
        if (shard.feature_width, shard.class_count) != (self.feature_width, len(self.class_names)):
            raise StoreError(
                f"{shard.path} has {shard.feature_width} features and {shard.class_count} classes, but the store has "
                f"{self.feature_width} and {len(self.class_names)}; it belongs elsewhere. Delete this file."
            )
        for entry in shard.entries:
            self._index[entry.image_id] = (shard, entry)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value, indent=1), encoding="utf-8")
    partial.replace(path)
