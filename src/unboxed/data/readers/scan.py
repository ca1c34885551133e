"""The reader of SCAN directories (Lee et al., ECCV 2018): captions and image ids of precomputed region features.

    {split}_ims.npy     [N, R, V] features, one row an image
    {split}_caps.txt    one caption a line; lines 5k to 5k + 4 belong to image k
    {split}_ids.txt     optional: one id for each row of the features

Two layouts have the same file names: N rows for 5N captions, or N rows for N captions, with each image five times. The
counts decide which one it is. SCAN calls its validation split `dev`; here it is `val`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unboxed.data.image_search import ImageFolder
from unboxed.data.readers.base import AnnotatedImage, AnnotationReader, Key, bare_caption, entry_of, has_words
from unboxed.errors import DatasetError, plain_reason
from unboxed.runtime.digests import ARCHIVE_ERRORS

__all__ = ["CAPTIONS_PER_IMAGE", "ScanFolder", "ScanImage", "ScanReader", "open_rows"]

CAPTIONS_PER_IMAGE = 5


@dataclass(frozen=True)
class ScanImage:
    """One image of a split.

    Attributes:
        image_id: from `{split}_ids.txt`; `{split}-{k}` for the k-th image, counted from 0, where there are no ids.
        row: its row, or the first of its rows, in the features.
        lines: its five captions as written.
    """

    image_id: str
    row: int
    lines: tuple[str, ...]


class ScanFolder:
    """The splits of a SCAN directory.

    Attributes:
        folder: the directory.
        stems: split -> how its file names begin: `train`, `val`, `test`, `testall`, as far as they exist.

    Raises:
        DatasetError: no folder, or none with captions.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        stems = sorted(path.name.removesuffix("_caps.txt") for path in folder.glob("*_caps.txt"))
        if not stems:
            raise DatasetError(
                f"{folder} has no files such as train_caps.txt; name the folder that holds train_ims.npy and "
                "train_caps.txt."
            )
        usual = ("train", "val", "dev", "test", "testall")
        stems.sort(key=lambda stem: usual.index(stem) if stem in usual else len(usual))
        self.stems = {("val" if stem == "dev" and "val" not in stems else stem): stem for stem in stems}

    def features(self, split: str) -> Path:
        """The file of a split's features. Where there are ids, captions can be read without it."""
        return self.folder / f"{self.stems[split]}_ims.npy"

    def images(self, split: str) -> list[ScanImage]:
        """The images of a split, each once, whichever layout the files have.

        Raises:
            DatasetError: counts that fit neither layout, or ids that do not fit the captions.
        """
        stem = self.stems[split]
        captions = self.folder / f"{stem}_caps.txt"
        lines = _lines(captions)
        ids_file = self.folder / f"{stem}_ids.txt"
        ids = [line.strip() for line in _lines(ids_file)] if ids_file.is_file() else None
        if self.features(split).is_file():
            rows = len(open_rows(self.features(split), 3))
        elif ids is not None:
            rows = len(ids)
        else:
            raise DatasetError(
                f"{self.folder} has neither {stem}_ims.npy nor {stem}_ids.txt, so it is not known how many images the "
                f"{len(lines):,} captions have; put one of them there."
            )
        count, rest = divmod(len(lines), CAPTIONS_PER_IMAGE)
        if rest or not count or rows not in (count, len(lines)):
            raise DatasetError(
                f"{captions} has {len(lines):,} lines for {rows:,} images; expected five lines for each image, or one "
                "line for each image with every image five times. Fetch the files again, all of one release."
            )
        step = 1 if rows == count else CAPTIONS_PER_IMAGE
        names = self._names(stem, ids, count)
        return [
            ScanImage(name, k * step, tuple(lines[k * CAPTIONS_PER_IMAGE : (k + 1) * CAPTIONS_PER_IMAGE]))
            for k, name in enumerate(names)
        ]

    def _names(self, stem: str, ids: list[str] | None, count: int) -> list[str]:
        if ids is None:
            return [f"{stem}-{k}" for k in range(count)]
        path = self.folder / f"{stem}_ids.txt"
        if len(ids) == count * CAPTIONS_PER_IMAGE:
            groups = [ids[k : k + CAPTIONS_PER_IMAGE] for k in range(0, len(ids), CAPTIONS_PER_IMAGE)]
            uneven = next((k for k, group in enumerate(groups) if len(set(group)) > 1), None)
            if uneven is not None:
                raise DatasetError(
                    f"{path}:{uneven * CAPTIONS_PER_IMAGE + 1}: the five ids from here on differ, but belong to one "
                    "image; fetch the files again, all of one release."
                )
            ids = [group[0] for group in groups]
        if len(ids) != count:
            raise DatasetError(f"{path} has {len(ids):,} ids for {count:,} images; expected one for each.")
        if len(set(ids)) != count:
            twice = next(name for k, name in enumerate(ids) if name in ids[:k])
            raise DatasetError(f"{path} gives the id {twice!r} to two images; expected distinct ids.")
        return ids


class ScanReader(AnnotationReader):
    """Reads the captions of a SCAN directory."""

    format = "scan"
    title = "directories of SCAN"
    keys = (Key("annotations", "the directory of `train_caps.txt` and `train_ims.npy`", required=True),)
    splits = "`train`, `val` (`dev`), `test`, `testall`"
    images = "none"

    def __init__(self, folder: ImageFolder, annotations: Path) -> None:
        super().__init__(folder)
        self._directory, self._scan = annotations, ScanFolder(annotations)
        self._splits = self._scan.stems

    def images_of(self, split: str) -> list[AnnotatedImage]:
        """The images of a split with their captions; lines without a word are left out."""
        images = []
        for number, image in enumerate(self._scan.images(split)):
            with entry_of(self._directory, f"image of {split!r}", number):
                captions = tuple(bare_caption(line.strip()) for line in image.lines if has_words(line))
            if captions:
                images.append(AnnotatedImage(image.image_id, captions))
        return images


def open_rows(path: Path, axes: int) -> npt.NDArray[np.floating]:
    """The numbers of a `.npy` file, mapped into memory: only rows that are used are read.

    Raises:
        DatasetError: not a `.npy` file of floating-point numbers with `axes` axes.
    """
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except ARCHIVE_ERRORS as error:
        raise DatasetError(f"{path} cannot be read as a .npy file ({plain_reason(error)}); fetch it again.") from None
    if not isinstance(values, np.ndarray) or values.ndim != axes or values.dtype.kind != "f":
        found = f"{values.dtype} {list(values.shape)}" if isinstance(values, np.ndarray) else "no single array"
        raise DatasetError(f"{path} holds {found}; expected floating-point numbers with {axes} axes.")
    return values


def _lines(path: Path) -> list[str]:
    """The lines of a text file. Only a line feed ends a line; one at the end of the file does not begin another."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read as UTF-8 text ({plain_reason(error)}); fetch it again.") from None
    return text.removesuffix("\n").split("\n") if text else []
