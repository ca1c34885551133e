"""Extraction of the regions of a whole dataset into a store, in parallel and resumable."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from unboxed.data.image_files import skipped_lines
from unboxed.data.images import opened_in_turn, read_image
from unboxed.errors import ImageError, RegionsError, StoreError, UnboxedError
from unboxed.regions.cache import RegionCache, image_key
from unboxed.regions.extractor import RegionExtractor
from unboxed.regions.parts import Part, read_part, write_part
from unboxed.regions.settings import RegionSettings
from unboxed.regions.silent_sources import SilentSources
from unboxed.regions.store import RegionStore
from unboxed.runtime.counts import require_workers
from unboxed.runtime.devices import current_device
from unboxed.runtime.parts import PartRecord
from unboxed.runtime.progress import counted, show, track
from unboxed.runtime.threads import available_cores, ordered_map
from unboxed.types import Example, Regions

__all__ = ["ExtractionSummary", "Outcome", "RegionExtractor", "Workers", "extract", "image_key"]

_CACHED_IMAGES = 20_000  # a store of more images would take the place of all others in the cache

Outcome = tuple[str, Regions] | UnboxedError | None
"""What is made of an image: its key and regions; the error that it causes; or None where the store has it."""


class Workers(Protocol):
    """What extracts many images."""

    def outcomes(self, store: RegionStore, examples: Sequence[Example], device: str) -> Generator[Outcome, None, None]:
        """The outcome of each image, in order; defines the columns of the store before the first regions.

        Args:
            store: that the regions will be added to.
            examples: the images.
            device: that the networks run on.
        """


@dataclass(frozen=True)
class ExtractionSummary:
    """The counts of an extraction.

    Attributes:
        done: images extracted.
        reused: images that the store had already.
        skipped: (image id, reason) of images that could not be read.
        seconds: duration.
        removed: names of damaged shards, whose images were extracted again.
        warnings: sources that found nothing in the first 20 images, with the likely causes.
    """

    done: int
    reused: int
    skipped: tuple[tuple[str, str], ...]
    seconds: float
    removed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def repairs(self) -> str:
        """A line that names the damaged shards; "" if there were none."""
        if not self.removed:
            return ""
        return f"Extracted again, because they were damaged: the images of {', '.join(self.removed)}"

    def __str__(self) -> str:
        lines = [f"{counted(self.done, 'image')} extracted in {self.seconds:.0f} s, {self.reused} were there already."]
        lines += self.warnings
        if self.skipped:
            lines.append(f"{len(self.skipped)} skipped:")
            lines += [f"  {line}" for line in skipped_lines(dict(self.skipped))]
        return "\n".join(lines)


def extract(
    examples: Iterable[Example],
    settings: RegionSettings,
    out: Path,
    *,
    workers: int | Workers | None = None,
    strict: bool = False,
    progress: bool = True,
    device: str | None = None,
    part: Part | None = None,
) -> ExtractionSummary:
    """Extracts the regions of every image into the store `out`, which is created or continued.

    An image is extracted again only when its file has changed. The content of the store does not depend on the number
    of workers.

    Args:
        examples: the images; of several with one image id the first counts.
        settings: sources and features.
        out: folder of the store.
        workers: threads, or other workers, such as `RayWorkers`; None: a thread for each core.
        strict: raise for an image that cannot be read, instead of skipping it.
        progress: show rate and time left, and warnings.
        device: that the networks run on, see `runtime.devices`; None: the current one.
        part: extract only the images of this part of the dataset; `merge_parts` makes one store of all parts.

    Raises:
        DeviceError: a device that is not there, or on which a network cannot run.
        BusyError: another process writes the store.
        StoreError: `out` is a store made with other settings, of another part, a damaged one, or another folder.
        RegionsError: a model that cannot be used, or a number of workers out of range.
        ImageError: with `strict`, the first image that cannot be read; otherwise only when none can.
    """
    start = time.monotonic()
    out = Path(out)
    wanted, record = _wanted(examples, part)
    done, reused, skipped = 0, 0, []
    # For a new store opened here: a model that cannot be used is reported before anything is written.
    extractor = None if (out / "store.json").is_file() else RegionExtractor(settings, device=device)
    silent = SilentSources(settings, show if progress else lambda line: None)
    with RegionStore.create_or_resume(out, settings) as store:
        _mark(store, record)
        with closing(_outcomes(workers, store, wanted, device, extractor)) as outcomes:  # an error starts no image more
            del extractor  # other workers open their own, and need the memory
            for example, outcome in track(zip(wanted, outcomes, strict=True), "Regions", len(wanted), progress):
                if outcome is None:
                    reused += 1
                elif (error := _added(store, silent, example.image_id, outcome)) is None:
                    done += 1
                elif strict:
                    raise error
                else:
                    store.remove(example.image_id)  # what it has is of another file of this name
                    skipped.append((example.image_id, str(error)))
    if record is not None:
        write_part(store, record._replace(finished=True))
    elif wanted and not done and not reused:
        raise ImageError(f"None of the {len(wanted)} images could be used; the first one: {skipped[0][1]}")
    return ExtractionSummary(done, reused, tuple(skipped), time.monotonic() - start, store.removed, silent.warnings)


def _wanted(examples: Iterable[Example], part: Part | None) -> tuple[list[Example], PartRecord | None]:
    """The images, each id once, and the record of the part; only those of the part if there is one."""
    wanted = list({example.image_id: example for example in reversed(list(examples))}.values())[::-1]
    if part is None:
        return wanted, None
    record = PartRecord.of(part, [example.image_id for example in wanted])
    return [example for example in wanted if example.image_id in record.places], record


def _outcomes(
    workers: int | Workers | None,
    store: RegionStore,
    wanted: Sequence[Example],
    device: str | None,
    extractor: RegionExtractor | None,
) -> Generator[Outcome, None, None]:
    if workers is None or isinstance(workers, int):
        require_workers(workers, RegionsError)
        worker = _Worker(store, device, extractor, cached=len(wanted) <= _CACHED_IMAGES)
        return ordered_map(worker, wanted, workers or available_cores())
    return workers.outcomes(store, wanted, device or current_device().name)


def _added(
    store: RegionStore, silent: SilentSources, image_id: str, outcome: tuple[str, Regions] | UnboxedError
) -> UnboxedError | None:
    """Adds what a worker made of an image to the store; the error where the image cannot be used."""
    if isinstance(outcome, UnboxedError):
        return outcome
    try:
        store.append(image_id, *outcome)
        silent.see(outcome[1])
    except RegionsError as error:
        return error
    return None


def _mark(store: RegionStore, record: PartRecord | None) -> None:
    """Write which part the store holds; a store of a part gets no other images."""
    if record is not None:
        write_part(store, record)
    elif (present := read_part(store.path)) is not None:
        raise StoreError(f"{store.path} holds part {present.part} alone; name it, or choose another folder.")


class _Worker:
    """Extracts single images; safe to call from several threads at once.

    Args:
        store: that has the settings, and the images that were extracted already.
        device: that the networks run on; None: the current one.
        extractor: that the images get; None: one is opened for the first that needs it, so that a finished store is
            checked quickly.
        cached: whether regions are read from the cache, and kept there.
    """

    def __init__(
        self, store: RegionStore, device: str | None, extractor: RegionExtractor | None, *, cached: bool
    ) -> None:
        self._store = store
        self._device = device or current_device().name  # read here: the threads do not see the context
        self._stored = store.by_key()
        self._cache = RegionCache.of(store.settings, self._device) if cached else None
        self._extractor = extractor
        self._defining = threading.Lock()

    def __call__(self, example: Example) -> Outcome:
        """(image key, regions) of an image; None when the store has it; or the error that it causes."""
        try:
            content = read_image(example.path)  # once: the key and the regions are of the same bytes
            key = image_key(content, example.original_size)
        except ImageError as error:
            return error
        if self._store.image_key(example.image_id) == key:
            return None
        if key in self._stored:  # the same image under another id
            return key, self._store.read(*self._stored[key])
        known = None if self._cache is None else self._cache.get(key)
        if known is not None and self._store.source_names:  # its columns are defined
            return key, known
        extractor = self._with_columns()
        if known is not None:
            return key, known
        try:
            with opened_in_turn(content, f"{example.path}") as image:
                found = extractor(image, example.original_size)
        except UnboxedError as error:
            return error
        if self._cache is not None:
            self._cache.put(key, found)
        return key, found

    def _with_columns(self) -> RegionExtractor:
        """The extractor, whose columns the store has from now on."""
        with self._defining:
            if self._extractor is None:
                self._extractor = RegionExtractor(self._store.settings, device=self._device)
            columns = (self._extractor.class_names, self._extractor.source_names, self._extractor.feature_blocks)
            self._store.define_columns(*columns)
            return self._extractor
