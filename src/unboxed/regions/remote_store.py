"""The files of a region store at a URL, which are copied to this machine when they are first read.

    CACHE/stores/ID/    a copy; ID is a digest of the URL and of the files that it lists, with their sizes and times

All commands and processes share a copy (`regions.cache`); where the cache is turned off, each command makes its own. A
store that has changed at its URL gets another copy, so that what is read is of one state.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from unboxed.errors import StoreError, UnboxedError
from unboxed.regions.cache import cache_folder, cached_folders
from unboxed.runtime.atomic import atomic_path, write_json
from unboxed.runtime.file_systems import file_system, not_read

__all__ = ["RemoteStore", "StoreCopy", "store_copies"]

_PARTS = re.compile(r"(store\.json|index\.safetensors|part\.json|shards/\d+\.safetensors|models/.+)")
_SHARD = re.compile(r"shards/\d+\.safetensors")
_WITHOUT_VERSION = {"name", "size", "type"}  # what a listing that knows no times or tags says of a file


class StoreCopy(NamedTuple):
    """The copy of a store: its folder, the URL, and the bytes of the files that were read so far."""

    path: Path
    url: str
    size: int


class RemoteStore:
    """A store at a URL. All its files but the shards are copied when it is opened.

    Args:
        url: of the folder.

    Attributes:
        url: as given.
        folder: of the copy.
        shards: the paths of the shards in the copy and their sizes, in order; they may not be there yet.

    Raises:
        StoreError: the URL cannot be read, or is not that of a store.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self._system = file_system(url)
            listed = self._listed()
        except UnboxedError as error:
            raise StoreError(str(error)) from error
        except Exception as error:  # each file system raises errors of its own
            raise StoreError(not_read(url, error)) from error
        if "store.json" not in listed:
            raise self._no_store()
        self._sources = {name: str(found["name"]) for name, found in listed.items()}
        self._sizes: dict[str, int | None] = {name: found.get("size") for name, found in listed.items()}
        self.folder = self._new_folder(listed)
        self.shards = {self.folder / name: self._sizes[name] or 0 for name in listed if _SHARD.fullmatch(name)}
        for name in listed:
            if not _SHARD.fullmatch(name):
                self.fetch(self.folder / name)

    def fetch(self, file: Path) -> None:
        """Copy a file of the store, unless it is there already.

        Raises:
            StoreError: it cannot be read, or is not as long as it was listed.
        """
        if file.exists():
            return
        name = file.relative_to(self.folder).as_posix()
        address = f"{self.url.rstrip('/')}/{name}"
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as partial:
            try:
                self._system.get_file(self._sources[name], str(partial))
            except Exception as error:
                raise StoreError(not_read(address, error)) from error
            expected, found = self._sizes[name], partial.stat().st_size
            if expected is not None and found != expected:
                raise StoreError(f"{address} has {found:,} bytes and was listed with {expected:,}; read it again.")

    def _no_store(self) -> StoreError:
        """Why the URL lists no store: some file systems list nothing where they get no answer, or list no folders."""
        try:
            self._system.info(f"{self.url.rstrip('/')}/store.json")
        except Exception as error:
            missing = error.__cause__ is None or getattr(error.__cause__, "status", None) == HTTPStatus.NOT_FOUND
            if isinstance(error, FileNotFoundError) and missing:
                return StoreError(
                    f"{self.url} is not a region store: it has no store.json. Make one with `unboxed regions`."
                )
            return StoreError(not_read(self.url, error))
        return StoreError(f"The server of {self.url} does not list its files; copy the store to this machine.")

    def _listed(self) -> dict[str, Mapping[str, Any]]:
        """What the file system says of the files that a store has, by their names in the store, in order."""
        root = str(self._system._strip_protocol(self.url)).rstrip("/")
        found = {}
        for path, about in sorted(self._system.find(self.url, detail=True).items()):
            name = path.removeprefix(root).strip("/")
            if not _PARTS.fullmatch(name) or ".." in name.split("/"):
                continue
            found[name] = about if about.keys() - _WITHOUT_VERSION else {**self._system.info(path), "name": path}
        return found

    def _new_folder(self, listed: Mapping[str, Mapping[str, Any]]) -> Path:
        state = json.dumps([self.url, listed], sort_keys=True, default=str)
        cache = cache_folder()
        if cache is None:
            folder = Path(tempfile.mkdtemp(prefix="unboxed-store-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            return folder
        folder = _copies(cache) / hashlib.sha256(state.encode()).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (about := folder / "about.json").is_file():  # a cache that may only be read has it
            write_json(about, {"url": self.url})
        return folder


def store_copies(cache: Path) -> list[StoreCopy]:
    """The copies of stores that a cache holds."""
    found = []
    for folder in cached_folders(_copies(cache)):
        try:
            url = str(json.loads((folder / "about.json").read_text("utf-8"))["url"])
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            url = "an unknown URL"
        found.append(StoreCopy(folder, url, sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())))
    return found


def _copies(cache: Path) -> Path:
    return cache / "stores"
