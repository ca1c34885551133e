"""The cache of regions: what the sources found in an image file, kept on this disk for all commands.

    CACHE/regions/ID/about.json          which sources these are; ID is a digest of them, the version and the device
    CACHE/regions/ID/ab/KEY.safetensors  the regions of an image; KEY is the sha256 of its file

`UNBOXED_CACHE` names the folder, or is `off`; by default it is the system's folder for caches of a user. Regions are
kept exactly as they were found. The cache never stops a command: what cannot be read is found again, and what cannot be
written is not kept. Files are written atomically and have digests. When the cache is larger than `UNBOXED_CACHE_GB`, by
default 4, the images that were not used for the longest time are removed. Other files in the folder are left alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from platformdirs import user_cache_path

from unboxed import __version__
from unboxed.data.images import read_image
from unboxed.errors import UnboxedError
from unboxed.regions.region_tensors import from_tensors, to_tensors
from unboxed.regions.settings import RegionSettings
from unboxed.runtime.atomic import final_name, is_temporary, write_json
from unboxed.runtime.devices import running_on
from unboxed.runtime.tensor_digests import check_tensor_file
from unboxed.runtime.tensor_file import write_tensor_file
from unboxed.types import Regions

__all__ = [
    "CACHE_VARIABLE",
    "SIZE_VARIABLE",
    "CachedSettings",
    "RegionCache",
    "cache_folder",
    "cached_folders",
    "image_key",
]

CACHE_VARIABLE, SIZE_VARIABLE = "UNBOXED_CACHE", "UNBOXED_CACHE_GB"
_OFF = ("off", "0", "no", "none")
_GIGABYTES, _MOST_GIGABYTES = 4.0, 1e9
_PARTS = ("regions", "stores")  # the latter of `remote_store`
_CLEARED = ".cleared-"
_ID, _IMAGE = re.compile(r"[0-9a-f]{16}"), re.compile(r"[0-9a-f]{64}(-\d+x\d+)?\.safetensors")
_CLEARED_ID = re.compile(rf"{_ID.pattern}{re.escape(_CLEARED)}\d+")
_KEPT = 0.9  # of the size limit, after old files were removed
_LEFT_OVER = 3600  # seconds after which a temporary file is that of a killed process


def cache_folder() -> Path | None:
    """The folder of the cache; None where `UNBOXED_CACHE` turns it off."""
    named = os.environ.get(CACHE_VARIABLE, "")
    if named.lower() in _OFF:
        return None
    if named:
        return Path(named)
    return user_cache_path("unboxed", appauthor=False)


def image_key(image: Path | bytes, original_size: tuple[int, int] | None) -> str:
    """Identifies the content of an image: the sha256 of its file, and its original size where that differs.

    Args:
        image: the file, or its bytes.
        original_size: (width, height) before the image was stored, where its shape was another.

    Raises:
        ImageError: the file cannot be read.
    """
    content = image if isinstance(image, bytes) else read_image(image)
    return hashlib.sha256(content).hexdigest() + (":{}x{}".format(*original_size) if original_size else "")


def cached_folders(part: Path) -> list[Path]:
    """The folders in `regions` or `stores` that a cache has written, in order; others may lie beside them."""
    return [path for path in sorted(part.glob("*")) if _ID.fullmatch(path.name) and (path / "about.json").is_file()]


class CachedSettings(NamedTuple):
    """The cached images of one kind of regions: the names of its models, the number of images, and their bytes."""

    path: Path
    models: str
    images: int
    size: int


class RegionCache:
    """The regions of images that one extractor finds. Threads and processes may share it.

    Args:
        folder: of the cache.
        settings: the sources and features.
        device: what runs the networks, whose rounding the regions have.
    """

    def __init__(self, folder: Path, settings: RegionSettings, device: str) -> None:
        kind = json.dumps([__version__, settings.fingerprint(), device])
        self.path = folder / "regions" / hashlib.sha256(kind.encode()).hexdigest()[:16]
        self._folder = folder
        self._models = ", ".join(path.name for path in settings.model_files.values()) or "no models"
        self._size: int | None = None
        self._writing = threading.Lock()

    @staticmethod
    def of(settings: RegionSettings, device: str | None) -> RegionCache | None:
        """The cache that the environment names; None where it is turned off.

        Args:
            settings: the sources and features.
            device: that the networks run on; None: the current one.
        """
        folder = cache_folder()
        if folder is None:
            return None
        with running_on(device) as chosen:
            return RegionCache(folder, settings, chosen.providers()[0])

    def get(self, key: str) -> Regions | None:
        """The regions of an image; None where there are none, or a damaged file, which is removed.

        Args:
            key: of `image_key`.
        """
        path = self._file(key)
        try:
            check_tensor_file(path)
            regions = _read(path, key)
        except OSError:  # there is none, or it cannot be read now
            return None
        except Exception:  # safetensors raises its own kinds; whatever is wrong, the regions can be found again
            _remove(path)
            return None
        with suppress(OSError):  # of a cache that may only be read
            os.utime(path)  # it was used now
        return regions

    def put(self, key: str, regions: Regions) -> None:
        """Keep the regions of an image, if the disk allows it."""
        path = self._file(key)
        tensors, metadata = to_tensors(regions)
        try:
            with self._writing:
                if self._size is None or not (self.path / "about.json").exists():  # another process has cleared it
                    self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                    self.path.parent.mkdir(exist_ok=True, mode=0o700)
                    write_json(self.path / "about.json", {"unboxed": __version__, "models": self._models})
                    self._size = sum(size for *_, size in _all_files(self.path.parent))
                write_tensor_file(path, tensors, {"key": key, **metadata})
                self._size += path.stat().st_size
                if self._size > (limit := _limit()):
                    self._size = _trim(self.path.parent, int(_KEPT * limit))
        except OSError:
            return

    def _file(self, key: str) -> Path:
        return self.path / key[:2] / f"{key.replace(':', '-')}.safetensors"

    @staticmethod
    def contents(folder: Path) -> list[CachedSettings]:
        """What a cache holds, by the kind of regions."""
        found = []
        for path in cached_folders(folder / "regions"):
            try:
                models = str(json.loads((path / "about.json").read_text("utf-8"))["models"])
            except (OSError, ValueError, OverflowError, LookupError, TypeError, RecursionError):
                models = "unknown models"
            sizes = [size for *_, size in _files(path)]
            found.append(CachedSettings(path, models, len(sizes), sum(sizes)))
        return found

    @staticmethod
    def clear(folder: Path) -> None:
        """Remove all that a cache holds.

        Raises:
            OSError: a file cannot be removed.
        """
        for part in (folder / name for name in _PARTS):
            for kept in cached_folders(part):
                kept.rename(f"{kept}{_CLEARED}{os.getpid()}")  # in which no other process writes
            for cleared in [path for path in part.glob("*") if _CLEARED_ID.fullmatch(path.name)]:
                while cleared.exists():
                    with suppress(FileNotFoundError):  # another process has just made room in it
                        shutil.rmtree(cleared)
            with suppress(OSError):  # there is none, or something else in it
                part.rmdir()


def _read(path: Path, key: str) -> Regions:
    from safetensors import safe_open

    opened: Any = safe_open(str(path), framework="numpy")
    with opened as file:
        metadata = file.metadata()
        if metadata["key"] != key:
            raise UnboxedError(f"{path} is of another image.")
        return from_tensors({name: file.get_tensor(name) for name in file.keys()}, metadata)  # noqa: SIM118


def _files(folder: Path) -> Iterator[tuple[Path, float, int]]:
    """The cached images of one kind: path, time of the last use, bytes. Left-overs of killed processes are removed."""
    for path in folder.glob("*/*.safetensors"):
        if not _IMAGE.fullmatch(final_name(path).name):
            continue
        try:
            found = path.stat()
        except OSError:  # removed by another process
            continue
        if is_temporary(path.name):
            if time.time() - found.st_mtime > _LEFT_OVER:
                _remove(path)
            continue
        yield path, found.st_mtime, found.st_size


def _all_files(folder: Path) -> Iterator[tuple[Path, float, int]]:
    """The cached images of all kinds."""
    for kind in cached_folders(folder):
        yield from _files(kind)


def _trim(folder: Path, limit: int) -> int:
    """Remove the files that were not used for the longest time, until the others fit; returns their size."""
    files = sorted(_all_files(folder), key=lambda file: file[1])
    size = sum(bytes_ for *_, bytes_ in files)
    for path, _, bytes_ in files:
        if size <= limit:
            break
        _remove(path)
        size -= bytes_
    return size


def _limit() -> int:
    """The size limit in bytes."""
    try:
        gigabytes = float(os.environ.get(SIZE_VARIABLE) or _GIGABYTES)
    except ValueError:
        gigabytes = _GIGABYTES
    return int(max(gigabytes, 0) * 1e9) if gigabytes < _MOST_GIGABYTES else 2**62


def _remove(path: Path) -> None:
    with suppress(OSError):  # another process reads it, on Windows
        path.unlink(missing_ok=True)
