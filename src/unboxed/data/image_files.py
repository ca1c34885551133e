"""Lists the image files of a folder and its subfolders, and names what it leaves out."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from unboxed.data.images import SUFFIXES
from unboxed.runtime.progress import one_line

__all__ = [
    "FolderImages",
    "image_files",
    "is_utf8",
    "left_out_lines",
    "list_folder",
    "printable",
    "skipped_lines",
    "some_of",
]

_OTHER_SUFFIXES = (
    ".arw", ".cr2", ".cr3", ".dng", ".eps", ".exr", ".hdr", ".ico", ".j2k", ".jp2", ".jxl", ".nef", ".orf", ".pgm",
    ".pnm", ".ppm", ".psd", ".raf", ".raw", ".rw2", ".srw", ".svg", ".tga", ".xcf",
)  # fmt: skip
_SYSTEM_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN")
_NAMED = 5


@dataclass(frozen=True)
class FolderImages:
    """The images of a folder.

    Attributes:
        images: in alphabetical order.
        left_out: reason -> the names of the files that are no images because of it, relative to the folder. A reason
            completes "A file …" and "3 files …".
    """

    images: tuple[Path, ...]
    left_out: Mapping[str, tuple[str, ...]]


def list_folder(folder: Path) -> FolderImages:
    """The images in `folder` and below, links to folders included, without hidden files and the system's folders."""
    images: list[Path] = []
    left_out: dict[str, list[str]] = {}
    denied: list[OSError] = []
    for file in _files(folder, denied):
        suffix = file.suffix.lower()
        if suffix not in SUFFIXES and suffix not in _OTHER_SUFFIXES:
            continue
        reason = _reason(file, suffix)
        if reason:
            left_out.setdefault(reason, []).append(printable(file.relative_to(folder).as_posix()))
        else:
            images.append(file)
    if denied:
        left_out["in a folder that may not be read"] = [printable(str(error.filename)) for error in denied]
    return FolderImages(tuple(sorted(images)), {reason: tuple(sorted(names)) for reason, names in left_out.items()})


def image_files(folder: Path) -> tuple[Path, ...]:
    """The images of `list_folder`."""
    return list_folder(folder).images


def left_out_lines(left_out: Mapping[str, Iterable[str]], what: str = "file") -> list[str]:
    """A line for each reason, with the first names: `Left out: 2 files with a hidden name (._1.jpg, ._2.jpg)`."""
    listed = [(reason, list(names)) for reason, names in left_out.items()]
    return [
        f"Left out: {len(names):,} {what}{'s' * (len(names) > 1)} {reason} ({some_of(names)})"
        for reason, names in listed
        if names
    ]


def skipped_lines(skipped: Mapping[str, str]) -> list[str]:
    """A line for each reason, with the number of its images and the first names; one image has its reason in full.

    Reasons are equal if they differ only in the name of the image or in the size of its file.

    Args:
        skipped: name or id of an image -> why it cannot be used.

    Examples:
        >>> skipped_lines({"1.png": "No file of that name is stored.", "2.png": "No file of that name is stored."})
        ['Skipped 2 images: No file of that name is stored. (1.png, 2.png)']
    """
    by_reason: dict[str, list[str]] = defaultdict(list)
    for name, reason in skipped.items():
        by_reason[_without_name(reason, name)].append(name)
    lines = [
        f"Skipped {names[0]}: {skipped[names[0]]}"
        if len(names) == 1
        else f"Skipped {len(names):,} images: {reason} ({some_of(names)})"
        for reason, names in by_reason.items()
    ]
    return [one_line(line) for line in lines]


def _without_name(reason: str, name: str) -> str:
    """The reason with "the image" for its path or name, and without the size of its file."""
    file = PurePosixPath(name)
    ending = re.escape(file.suffix) if file.suffix else r"(?:\.\w+)?"
    parts = re.split(rf"(?<!\w){re.escape(file.stem)}{ending}(?!\w)", reason)
    reason = "the image".join([*map(_without_path, parts[:-1]), parts[-1]])
    return re.sub(r" \([\d,]+ bytes\)", "", reason)


def _without_path(text: str) -> str:
    """A text without the folders at its end, whose first one has no spaces."""
    if not text.endswith("/"):
        return text
    before = text[: text.index("/", text.rfind("\n") + 1)]
    return before[: len(before) - len(re.split(r"\s", before)[-1])]


def some_of(names: list[str]) -> str:
    """The first names of a list, and the number of the others."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def printable(name: str) -> str:
    """A file name as text that any terminal and file can hold, on one line.

    Bytes that are not UTF-8, line breaks and the codes that control a terminal become escapes such as `\\xe9`.
    """
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return one_line(text)


def is_utf8(name: str) -> bool:
    """Whether a file name is UTF-8. Others cannot be written into JSON or TOML."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _files(folder: Path, denied: list[OSError]) -> Iterator[Path]:
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, onerror=denied.append, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # a link to a folder above, or to one that was listed
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _SYSTEM_FOLDERS)
        yield from (Path(parent) / name for name in files)


def _reason(file: Path, suffix: str) -> str:
    """Why a file is no image of the folder; "" for one that is."""
    if file.name.startswith("."):
        return "with a hidden name"
    if not is_utf8(str(file)):
        return "with a name that is not UTF-8"
    if suffix in _OTHER_SUFFIXES:
        return "in another format; convert to JPEG or PNG"
    if not file.is_file():
        return "behind a link to nothing" if file.is_symlink() else "of a special kind"
    return ""
