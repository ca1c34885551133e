"""Regions of a whole dataset into a store, on all cores, going on where an interrupted run stopped."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unboxed.data.images import open_image
from unboxed.errors import ImageError, UnboxedError
from unboxed.regions.extractor import SOURCE_NAMES, RegionExtractor
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store.region_store import RegionStore
from unboxed.runtime.prefetch import ordered_map
from unboxed.runtime.progress import track
from unboxed.types import Example, Regions

if TYPE_CHECKING:
    from unboxed.regions.extractor import RegionExtractor

__all__ = ["ExtractionSummary", "available_cores", "extract", "image_key"]


@dataclass(frozen=True)
class ExtractionSummary:
    """What an extraction did.

    Attributes:
        done: images extracted.
        reused: images that the store had already.
        skipped: (image id, reason) of those that could not be read.
        seconds: how long it took.
    """

    done: int
    reused: int
    skipped: tuple[tuple[str, str], ...]
    seconds: float

    def __str__(self) -> str:
        lines = [f"{self.done} images extracted in {self.seconds:.0f} s, {self.reused} were there already."]
        if self.skipped:
            lines.append(f"{len(self.skipped)} skipped:")
            lines += [f"  {image_id}: {reason}" for image_id, reason in self.skipped]
        return "\n".join(lines)


def extract(
    examples: Iterable[Example],
    settings: RegionSettings,
    out: Path,
    *,
    workers: int | None = None,
    strict: bool = False,
    progress: bool = True,
) -> ExtractionSummary:
    """Extracts the regions of every image into the store `out`, which is made or gone on with.

    An image whose file and settings are as before is not extracted again; one whose file changed is. The store's
    content does not depend on the number of workers.

    Args:
        examples: the images; of several with one image id the first counts.
        settings: sources and features.
        out: folder of the store.
        workers: threads; None: one for each core.
        strict: an image that cannot be read stops the extraction instead of being skipped.
        progress: show rate and time left.

    Raises:
        StoreError: `out` is a store made with other settings, damaged, or another folder.
        RegionsError: a model that cannot be used.
        PhotoError: with `strict`, the first image that cannot be read; else when none can.
    """
    start = time.monotonic()
    wanted = list({example.image_id: example for example in reversed(list(examples))}.values())[::-1]
    done, reused, skipped = 0, 0, []
    if not (out / "store.json").is_file():
        RegionExtractor(settings)  # a model that cannot be used is named before anything is written
    with RegionStore.create_or_resume(out, settings) as store:
        work = _Work(store)
        outcomes = ordered_map(work, wanted, workers or available_cores())
        for example, outcome in track(zip(wanted, outcomes, strict=True), "Regions", len(wanted), progress):
            if isinstance(outcome, UnboxedError):
                if strict:
                    raise outcome
                skipped.append((example.image_id, str(outcome)))
            elif outcome is None:
                reused += 1
            else:
                image, regions = outcome
                store.append(example.image_id, image, regions)
                done += 1
    if wanted and not done and not reused:
        raise ImageError(f"None of the {len(wanted)} images could be used; the first one: {skipped[0][1]}")
    return ExtractionSummary(done, reused, tuple(skipped), time.monotonic() - start)


def image_key(path: Path, original_size: tuple[int, int] | None) -> str:
    """What identifies a photograph's content: sha256 of its file, and the shape it is looked at in.

    Raises:
        PhotoError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ImageError(f"{path} cannot be read ({error.strerror}); check the path of the image.") from error
    return digest.hexdigest() + (":{}x{}".format(*original_size) if original_size else "")


_Outcome = tuple[str, Regions] | UnboxedError | None


class _Work:
    """One photograph's share of the extraction, done in any thread."""

    def __init__(self, store: RegionStore) -> None:
        self._store = store
        self._known = store.images()
        self._extractor: RegionExtractor | None = None
        self._opening = threading.Lock()

    def __call__(self, example: Example) -> _Outcome:
        """(image key, regions); None when the store has them; or why they cannot be had."""
        try:
            image = image_key(example.path, example.original_size)
            if self._store.image(example.image_id) == image:
                return None
            if image in self._known:  # the same picture under another name
                return image, self._store[self._known[image]]
            extractor = self._open_extractor()
        except ImageError as error:
            return error
        try:
            return image, extractor(open_image(example.path), example.original_size)
        except UnboxedError as error:
            return error

    def _open_extractor(self) -> RegionExtractor:
        """The extractor, opened for the first image that needs it: a finished store is gone through in no time."""
        with self._opening:
            if self._extractor is None:
                extractor = RegionExtractor(self._store.settings)
                self._store.describe(extractor.class_names, SOURCE_NAMES, extractor.feature_blocks)
                self._extractor = extractor
            return self._extractor


def available_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # what this process may use, which on a shared machine can be less
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
