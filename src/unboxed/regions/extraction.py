"""Extraction of the regions of a whole dataset into a store, in parallel and resumable."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from unboxed.data.images import open_image
from unboxed.errors import ImageError, UnboxedError
from unboxed.regions.extractor import RegionExtractor
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store.region_store import RegionStore
from unboxed.runtime.cores import available_cores
from unboxed.runtime.prefetch import ordered_map
from unboxed.runtime.progress import track
from unboxed.types import Example, Regions

__all__ = ["ExtractionSummary", "extract", "image_key"]


@dataclass(frozen=True)
class ExtractionSummary:
    """The counts of an extraction.

    Attributes:
        done: images extracted.
        reused: images that the store had already.
        skipped: (image id, reason) of images that could not be read.
        seconds: duration.
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
    """Extracts the regions of every image into the store `out`, which is created or continued.

    An image is extracted again only when its file has changed. The content of the store does not depend on the number
    of workers.

    Args:
        examples: the images; of several with one image id the first counts.
        settings: sources and features.
        out: folder of the store.
        workers: threads; None: one for each core.
        strict: raise for an image that cannot be read, instead of skipping it.
        progress: show rate and time left.

    Raises:
        StoreError: `out` is a store made with other settings, a damaged one, or another folder.
        RegionsError: a model that cannot be used.
        ImageError: with `strict`, the first image that cannot be read; otherwise only when none can.
    """
    start = time.monotonic()
    wanted = list({example.image_id: example for example in reversed(list(examples))}.values())[::-1]
    done, reused, skipped = 0, 0, []
    if not (out / "store.json").is_file():
        RegionExtractor(settings)  # a model that cannot be used is reported before anything is written
    with RegionStore.create_or_resume(out, settings) as store:
        outcomes = ordered_map(_Worker(store), wanted, workers or available_cores())
        for example, outcome in track(zip(wanted, outcomes, strict=True), "Regions", len(wanted), progress):
            if isinstance(outcome, UnboxedError):
                if strict:
                    raise outcome
                skipped.append((example.image_id, str(outcome)))
            elif outcome is None:
                reused += 1
            else:
                store.append(example.image_id, *outcome)
                done += 1
    if wanted and not done and not reused:
        raise ImageError(f"None of the {len(wanted)} images could be used; the first one: {skipped[0][1]}")
    return ExtractionSummary(done, reused, tuple(skipped), time.monotonic() - start)


def image_key(path: Path, original_size: tuple[int, int] | None) -> str:
    """Identifies the content of an image: the sha256 of its file, and its original size where that differs.

    Raises:
        ImageError: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ImageError(f"{path} cannot be read ({error.strerror}); check the path of the image.") from error
    return digest + (":{}x{}".format(*original_size) if original_size else "")


class _Worker:
    """Extracts single images; safe to call from several threads at once."""

    def __init__(self, store: RegionStore) -> None:
        self._store = store
        self._ids_by_key = store.ids_by_key()
        self._extractor: RegionExtractor | None = None
        self._opening = threading.Lock()

    def __call__(self, example: Example) -> tuple[str, Regions] | UnboxedError | None:
        """(image key, regions) of an image; None when the store has it; or the error that it causes."""
        try:
            key = image_key(example.path, example.original_size)
            if self._store.image_key(example.image_id) == key:
                return None
            if key in self._ids_by_key:  # the same image under another id
                return key, self._store[self._ids_by_key[key]]
            extractor = self._open_extractor()
        except ImageError as error:
            return error
        try:
            return key, extractor(open_image(example.path), example.original_size)
        except UnboxedError as error:
            return error

    def _open_extractor(self) -> RegionExtractor:
        """Opens the extractor for the first image that needs it, so that a finished store is checked quickly."""
        with self._opening:
            if self._extractor is None:
                extractor = RegionExtractor(self._store.settings)
                self._store.define_columns(extractor.class_names, extractor.source_names, extractor.feature_blocks)
                self._extractor = extractor
            return self._extractor
