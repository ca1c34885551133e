"""Keeps folders from other people to themselves: what they name or link to must lie inside them.

A run, a store or an export that came from elsewhere could name a private file of this disk, which would then be copied
into exports and uploads.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["is_file_name", "is_inside", "leads_into", "outside_links"]

_LONGEST = 100  # bytes of a name


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path lies in a folder, both as it is written and after all links are followed.

    The cache of the Hugging Face Hub keeps the files of a model next to its folder: links to these are inside.

    >>> is_inside(Path("run/regions/a.onnx"), Path("run")), is_inside(Path("run/../a.onnx"), Path("run"))
    (True, False)
    """
    if not Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder)):  # noqa: PTH100, links are not followed
        return False
    real, root = _resolved(path), _resolved(folder)
    if real is None or root is None:
        return False
    if real.is_relative_to(root):
        return True
    return root.parent.name == "snapshots" and real.is_relative_to(root.parents[1] / "blobs")


def leads_into(path: Path, folder: Path) -> bool:
    """Whether a path lies in a folder after all links are followed."""
    real, root = _resolved(path), _resolved(folder)
    return real is not None and root is not None and real.is_relative_to(root)


def outside_links(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """The links among these files and folders of `folder`, and in them, that lead out of it.

    Args:
        folder: of a run or an export.
        names: of its files and folders; those that are missing are left out.
    """
    for name in names:
        top = folder / name
        within = (Path(root) / entry for root, folders, files in os.walk(top) for entry in (*folders, *files))
        yield from (path for path in (top, *within) if path.is_symlink() and not is_inside(path, folder))


def is_file_name(name: str) -> bool:
    """Whether a text can be a part of a file name on every system: no separators, no control characters, not hidden.

    >>> is_file_name("test_2"), is_file_name("../test"), is_file_name("")
    (True, False, False)
    """
    return (
        bool(name)
        and len(name.encode("utf-8", "replace")) <= _LONGEST
        and not name.startswith(".")
        and not any(character in '/\\:*?"<>|' or not character.isprintable() for character in name)
    )


def _resolved(path: Path) -> Path | None:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # a link to itself, a null character
        return None
