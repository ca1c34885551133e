"""Copies of model files and folders, and digests of their content."""

from __future__ import annotations

import hashlib
import shutil
from functools import lru_cache
from pathlib import Path

from unboxed.errors import RegionsError
from unboxed.regions.external_data import external_data
from unboxed.runtime.atomic import atomic_folder, atomic_path
from unboxed.runtime.digests import record_digest, require_unchanged

__all__ = ["content_digest", "copy_model", "require_intact"]


def require_intact(*paths: Path) -> None:
    """Raises `RegionsError` if one of these model files or folders changed after it was copied; some may be missing."""
    require_unchanged(*paths, error=RegionsError, fix="put the original model file in its place")


def copy_model(source: Path, target: Path, folder: Path) -> None:
    """Copy a model file or folder to `target`, with the files that belong to it, and record its digest in `folder`.

    Raises:
        RegionsError: it changed after it was copied, or the path names no file.
    """
    if not source.name:
        raise RegionsError(f"{source} names no model file; give the path of a file.")
    if (described := source.with_suffix(".toml")).is_file() and source.is_file() and source != described:
        copy_model(described, target.with_suffix(".toml"), folder)
    if target.exists() and target.samefile(source):
        return
    require_intact(source)
    for weights in external_data(source):
        copy_model(weights, target.parent / weights.relative_to(source.parent), folder)
    if source.is_dir():
        with atomic_folder(target) as partial:
            shutil.copytree(source, partial, dirs_exist_ok=True)
    else:
        with atomic_path(target) as partial:
            shutil.copyfile(source, partial)
    record_digest(folder, target)


def content_digest(path: Path) -> str:
    """sha256 of a file, or of the names and contents of a folder's files; computed again only when a file changes."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    if path.is_file() and (described := path.with_suffix(".toml")).is_file():  # see `networks.Network`
        files.append(described)
    files += external_data(path)
    stats = [file.stat() for file in files]
    return _digest(path, tuple((file, stat.st_size, stat.st_mtime_ns) for file, stat in zip(files, stats, strict=True)))


@lru_cache(maxsize=256)
def _digest(path: Path, files: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for file, _, _ in files:
        digest.update(file.relative_to(path).as_posix().encode() if path.is_dir() else b"")
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
