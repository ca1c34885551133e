"""Grounds the captions of images for labels: by the run, or from the file where an earlier call kept its groundings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from unboxed.data.images import read_image
from unboxed.errors import ImageError, UnboxedError
from unboxed.export.groundings_file import GroundingsFile, content_key
from unboxed.export.options import LabelOptions
from unboxed.inference.grounder import Grounder
from unboxed.inference.results import Grounding
from unboxed.inference.unknown_words import unknown_words_note
from unboxed.regions.cache import image_key
from unboxed.regions.ray_workers import chosen_workers
from unboxed.regions.store import RegionStore
from unboxed.regions.stored_images import regions_of_image
from unboxed.runtime.devices import current_device
from unboxed.runtime.parts import PartRecord
from unboxed.runtime.progress import Show, counted, track
from unboxed.runtime.threads import available_cores, ordered_map
from unboxed.types import Example, Regions

__all__ = ["Labeller"]


class _Known(NamedTuple):
    """What the groundings file has of an image.

    Attributes:
        content: the bytes of the image.
        image_key: of the bytes.
        key: of the image with its captions; empty where the image cannot be read.
        found: its groundings, or why it cannot be used; None for a new image.
    """

    content: bytes
    image_key: str
    key: str
    found: Sequence[Grounding] | str | None


class Labeller:
    """Grounds the captions of images, or reads from the groundings file what an earlier call found.

    Args:
        grounder: the run.
        file: what earlier calls found.
        options: where the regions come from, and how many workers look for them.
        show: called with lines of text.

    Attributes:
        grounder: the run.
        listed: the captions are phrases to find.
        note: the line about unknown words of the phrases to find, which is shown at once; or None.
    """

    def __init__(self, grounder: Grounder, file: GroundingsFile, options: LabelOptions, show: Show) -> None:
        self.grounder, self._file, self._options, self._show = grounder, file, options, show
        self._ray = chosen_workers(options.engine, options.workers, options.ray_address)
        self._regions = _region_source(grounder, options.regions)
        self.listed = options.find is not None
        self.note = None if options.find is None else unknown_words_note(grounder, options.find)
        if self.note is not None:
            show(self.note)

    def grounded(
        self, examples: Sequence[Example], progress: bool = True, record: PartRecord | None = None
    ) -> Iterator[tuple[Example, Sequence[Grounding] | str]]:
        """The groundings of each image's captions, or why there are none, in the order of `examples`.

        Args:
            examples: the images.
            progress: show how many images are done.
            record: of the part that the examples are, which the file then ends with.
        """
        places: dict[str, int] = {}
        reused = 0
        with self._file:
            outcomes = zip(examples, self._outcomes(examples), strict=True)
            for example, (key, found) in track(outcomes, "Labelling", len(examples), progress):
                if record is not None and key:
                    places.setdefault(key, record.places[example.image_id])
                if isinstance(found, Regions):
                    groundings = self.grounder.ground_regions(found, example.captions)
                    yield example, self._file.add(key, groundings)
                elif isinstance(found, str):
                    yield example, found
                else:
                    reused += 1
                    yield example, found
            if record is not None:
                self._file.finish(record._replace(places=places, finished=True))
            if reused:
                images = counted(reused, "image")
                self._show(f"{images} taken from {self._file.path}, where an earlier call had left them")

    def _outcomes(self, examples: Sequence[Example]) -> Iterator[tuple[str, Sequence[Grounding] | Regions | str]]:
        """As `_known_or_regions`, of each image, by the chosen engine."""
        if self._ray is None:
            workers = 1 if self._options.regions is not None else self._options.workers or available_cores()
            yield from ordered_map(self._known_or_regions, examples, workers)
            return
        known = [self._known(example)._replace(content=b"") for example in examples]
        missing = [example for example, one in zip(examples, known, strict=True) if one.found is None]
        outcomes = self._ray.found(self.grounder.config.regions, Path.cwd(), missing, current_device().name)
        with closing(outcomes):
            for _, of_image, key, found in known:
                outcome = next(outcomes) if found is None else (of_image, found)
                if isinstance(outcome, tuple) and outcome[0] != of_image:
                    outcome = ImageError("It was replaced meanwhile; run the command again.")
                if isinstance(outcome, tuple):
                    yield key, outcome[1]
                elif self._options.strict and outcome is not None:
                    raise outcome
                else:
                    yield "", str(outcome)

    def _known(self, example: Example) -> _Known:
        """What the file has of an image. Called by several threads."""
        try:
            content = read_image(example.path)
        except UnboxedError as error:
            if self._options.strict:
                raise
            return _Known(b"", "", "", str(error))
        of_image = image_key(content, example.original_size)
        key = content_key(example, of_image)
        return _Known(content, of_image, key, self._file.get(key))

    def _known_or_regions(self, example: Example) -> tuple[str, Sequence[Grounding] | Regions | str]:
        """The key of an image with its captions, and its groundings from the file; of a new image its regions.

        Instead of either, why there are none. Called by several threads.
        """
        content, of_image, key, known = self._known(example)
        if known is not None:
            return key, known
        try:
            return key, self._regions(example, content, of_image)
        except UnboxedError as error:
            if self._options.strict:
                raise
            return "", str(error)


def _region_source(grounder: Grounder, regions: Path | None) -> Callable[[Example, bytes, str], Regions]:
    """A thread-safe function of an image, its bytes and their key; it gives the regions, from a store or found now."""
    if regions is None:
        extractor = grounder.extractor
        return lambda example, content, key: extractor.of_bytes(content, f"{example.path}", key, example.original_size)
    store = RegionStore.open(regions)
    return lambda example, _, key: regions_of_image(store, example.image_id, key)
