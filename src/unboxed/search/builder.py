"""An index made and kept up to date: what is new is looked at, what is gone is dropped, what is known stays."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from unboxed.data.images import open_image
from unboxed.errors import ImageError, UnboxedError
from unboxed.inference.grounder import Grounder
from unboxed.recipes.embeddings import CaptionEmbeddings
from unboxed.regions.extraction import image_key
from unboxed.regions.store.region_store import RegionStore
from unboxed.runtime.prefetch import ordered_map
from unboxed.runtime.progress import track
from unboxed.search.embedding_shards import CodeShard, ShardImage, shard_number, write_code_shard
from unboxed.search.image_embeddings import StoredImage, stored_images, together
from unboxed.search.image_list import ListedImage, Listing, listed
from unboxed.search.index_folder import IndexFolder
from unboxed.search.index_table import ImageTable, Texts
from unboxed.search.low_rank import Sketch
from unboxed.text.phrases import noun_phrases
from unboxed.types import Caption, Regions

__all__ = ["IndexSummary", "index_images"]

_SHARD = 128  # images of a file: so many at most are lost when a call is killed
_TOGETHER = 32  # images encoded at a time
_SAMPLE = 256
_CAPTIONS = 512  # scored at a time
_NAMED = 10  # of the images that were skipped


@dataclass(frozen=True)
class IndexSummary:
    """What a call did.

    Attributes:
        images, captions: in the index now.
        added, updated, removed, kept: images by what became of them; an updated one has another content.
        skipped: (name, reason) of images that cannot be used; they are not in the index.
        seconds: how long it took.
    """

    images: int
    captions: int
    added: int
    updated: int
    removed: int
    kept: int
    skipped: tuple[tuple[str, str], ...] = field(default=())
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """What `unboxed index --json` prints."""
        counts = {name: getattr(self, name) for name in ("captions", "added", "updated", "removed", "kept")}
        skipped = [{"name": name, "reason": reason} for name, reason in self.skipped]
        return {"photos": self.images, **counts, "skipped": skipped}

    def __str__(self) -> str:
        captions = f" and {self.captions:,} captions" if self.captions else ""
        line = (
            f"{self.images:,} images{captions} in the index: {self.added:,} added, {self.updated:,} updated, "
            f"{self.removed:,} removed, {self.kept:,} as before, {len(self.skipped):,} skipped; {self.seconds:.0f} s"
        )
        named = [f"  skipped {name}: {reason}" for name, reason in self.skipped[:_NAMED]]
        more = [f"  and {len(self.skipped) - _NAMED:,} more"] if len(self.skipped) > _NAMED else []
        return "\n".join([line, *named, *more])


@dataclass(frozen=True)
class _Place:
    """Where a photograph's codes are."""

    shard: int
    entry: ShardImage


def index_images(
    run: Path,
    photos: Path,
    out: Path,
    *,
    split: str | None = None,
    regions: Path | None = None,
    again: bool = False,
    workers: int | None = None,
    strict: bool = False,
    progress: bool = True,
    show: Callable[[str], None] = lambda line: None,
) -> IndexSummary:
    """Let the index `out` hold exactly the images of `photos`, each encoded once by the run.

    Images are told apart by their content: one that was moved or renamed is not looked at again. A call that is
    killed leaves an index that answers as before, and the next one takes over what was finished. One process writes at
    a time; any number may search meanwhile.

    Args:
        run: folder of the run.
        photos: a folder of images, or a dataset's file.
        out: folder of the index.
        split: only this split of a dataset.
        regions: store of the dataset's regions, found the run's way; without one they are found in the images.
        again: encode anew where another run made the index; it answers as before until that is done.
        workers: threads that look at images; None: one for each core.
        strict: an image that cannot be read stops the call instead of being skipped.
        progress: show rate and time left.
        say: is told what is going on.

    Raises:
        RunError: no run there.
        SearchError: another run made the index, something else is in its place, or there are no images.
        PhotoError: with `strict`, the first image that cannot be read; else when none can.
    """
    start = time.monotonic()
    listing = listed(photos, split)
    if strict and listing.skipped:
        raise ImageError(f"{next(iter(listing.skipped.items()))} cannot be used; without --strict it is skipped.")
    grounder = Grounder.load(run)
    folder = IndexFolder.begin(out, run, grounder, again=again)
    old = ImageTable.load(folder.table) if folder.table.is_file() else None
    before = _names_before(out)
    work = _Work(grounder, folder, regions, old)
    skipped = dict(listing.skipped)
    key_of, unreadable = _hashed(listing, workers, strict)
    skipped |= unreadable
    fresh = {key: listing.photos[name] for name, key in key_of.items() if key not in work.places}
    unusable = dict(work.encode(fresh, workers, strict, progress))
    skipped |= {name: unusable[key] for name, key in key_of.items() if key in unusable}
    key_of = {name: key for name, key in key_of.items() if key not in unusable}
    if not key_of:
        first = next(iter(skipped.items()))
        raise ImageError(f"None of the {len(skipped):,} images could be used; {first[0]}: {first[1]}")
    digest_of = {name: hashlib.sha256(key.encode()).digest() for name, key in key_of.items()}
    table = work.table(listing, key_of, digest_of, old, show)
    table.save(folder.table)
    work.drop_unused(table)
    folder.finish(run.resolve())
    same = sum(before.get(name) == digest for name, digest in digest_of.items())
    return IndexSummary(
        images=len(table),
        captions=len(table.captions),
        added=sum(name not in before for name in digest_of),
        updated=sum(name in before and before[name] != digest for name, digest in digest_of.items()),
        removed=sum(name not in digest_of for name in before),
        kept=same,
        skipped=tuple(sorted(skipped.items())),
        seconds=time.monotonic() - start,
    )


def _names_before(out: Path) -> dict[str, bytes]:
    """The images that the index has, whichever run encoded them."""
    there = IndexFolder.of(out)
    if there is None or not there.table.is_file():
        return {}
    table = ImageTable.load(there.table)
    return dict(zip(table.names.all(), table.keys, strict=True))


def _hashed(listing: Listing, workers: int | None, strict: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Name -> content of every image, and name -> reason of those whose file cannot be read."""

    def key(image: ListedImage) -> str | ImageError:
        try:
            return image_key(image.path, image.original_size)
        except ImageError as error:
            if strict:
                raise
            return error

    found = zip(listing.photos, ordered_map(key, listing.photos.values(), workers or os.cpu_count() or 1), strict=True)
    outcomes = dict(found)
    key_of = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, str)}
    return key_of, {name: str(outcome) for name, outcome in outcomes.items() if name not in key_of}


class _Work:
    """Encodes images into shards, and makes the table of them."""

    def __init__(self, grounder: Grounder, folder: IndexFolder, regions: Path | None, old: ImageTable | None) -> None:
        self._grounder, self._folder = grounder, folder
        self._store = RegionStore.open(regions) if regions is not None else None
        self._probes = self._encoded(folder.probes())
        self._shards: dict[int, CodeShard] = {}
        self.places: dict[str, _Place] = {}
        self._next = 0
        for file in sorted(folder.shards.glob("*.safetensors")):
            number = shard_number(file)
            self._shards[number] = CodeShard(file)
            self.places |= {entry.key: _Place(number, entry) for entry in self._shards[number].images}
            self._next = max(self._next, number + 1)

    def encode(
        self, photos: Mapping[str, ListedImage], workers: int | None, strict: bool, progress: bool
    ) -> Iterator[tuple[str, str]]:
        """Look at images, given by content; gives (content, reason) of those that cannot be used."""

        def look(item: tuple[str, ListedImage]) -> Regions | str:
            try:
                return self._look(*item)
            except UnboxedError as error:
                if strict:
                    raise
                return str(error)

        if photos and self._store is None:
            _ = self._grounder.extractor  # made here, not by several threads at once
        count = 1 if self._store is not None else workers or os.cpu_count() or 1
        writer = _Writer(self)
        try:
            outcomes = zip(photos, ordered_map(look, photos.items(), count), strict=True)
            for key, outcome in track(outcomes, "Looking at photos", len(photos), progress and bool(photos)):
                if isinstance(outcome, str):
                    yield key, outcome
                else:
                    writer.add(key, outcome)
        finally:
            writer.close()

    def _look(self, key: str, image: ListedImage) -> Regions:
        if self._store is None:
            return self._grounder.extractor(open_image(image.path), image.original_size)
        if self._store.image_key(image.image_id) != key:
            raise ImageError(
                f"{self._store.path} has no regions of this image as it is now; run `unboxed regions` on it, or "
                "leave out --regions."
            )
        return self._store[image.image_id]

    def write(self, keys: Sequence[str], photos: Sequence[StoredImage], probes_NA: torch.Tensor) -> None:
        """Write a shard, and know where its images are from now on."""
        file = self._folder.shards / f"{self._next:06d}.safetensors"
        entries = write_code_shard(file, keys, photos, probes_NA)
        self._shards[self._next] = CodeShard(file)
        self.places |= {entry.key: _Place(self._next, entry) for entry in entries}
        self._next += 1

    def probed(self, regions: Sequence[Regions]) -> tuple[list[StoredImage], torch.Tensor]:
        """Images encoded, and their scores for the probes."""
        photos = stored_images(self._grounder, regions)
        return photos, self._scores(photos, self._probes)

    @torch.inference_mode()
    def _scores(self, photos: Sequence[StoredImage], captions: CaptionEmbeddings) -> torch.Tensor:
        return self._grounder.model.score(together(photos), captions).float()

    def _encoded(self, texts: Sequence[str]) -> CaptionEmbeddings:
        return self._grounder.encode_captions([Caption(text, noun_phrases(text)) for text in texts])

    def _image(self, key: str) -> StoredImage:
        place = self.places[key]
        entry = place.entry
        return self._shards[place.shard].image(entry.number, entry.start, entry.count, entry.width, entry.height)

    def table(
        self,
        listing: Listing,
        key_of: Mapping[str, str],
        digest_of: Mapping[str, bytes],
        old: ImageTable | None,
        show: Callable[[str], None],
    ) -> ImageTable:
        """Everything that a search reads first."""
        self._without_dead(set(key_of.values()))
        names = sorted(key_of)
        places = [self.places[key_of[name]] for name in names]
        probes_NA = torch.stack([self._shards[place.shard].probes_NA[place.entry.number] for place in places])
        sketch, sample_S = self._sketch(names, digest_of, probes_NA, old)
        texts, image_C = [], []
        for row, name in enumerate(names):
            own = [text for text in listing.photos[name].captions if any(c.isalnum() for c in text)]
            texts += own
            image_C += [row] * len(own)
        known = old if old is not None and sketch is old.sketch else None
        sample = [self._image(key_of[names[row]]) for row in sample_S.tolist()]
        return ImageTable(
            root=listing.root,
            names=Texts.of(names),
            key_NK=torch.tensor([list(digest_of[name]) for name in names], dtype=torch.uint8),
            shard_N=torch.tensor([place.shard for place in places], dtype=torch.int32),
            number_N=torch.tensor([place.entry.number for place in places], dtype=torch.int32),
            start_N=torch.tensor([place.entry.start for place in places], dtype=torch.int64),
            count_N=torch.tensor([place.entry.count for place in places], dtype=torch.int32),
            size_N2=torch.tensor([(place.entry.width, place.entry.height) for place in places], dtype=torch.int32),
            vectors_NE=sketch.vectors(probes_NA).half(),
            sketch=sketch,
            sample_S=sample_S,
            captions=Texts.of(texts),
            image_C=torch.tensor(image_C, dtype=torch.int32),
            weights_CF=self._caption_weights(texts, sketch, sample, known, show),
        )

    def _sketch(
        self, names: Sequence[str], digest_of: Mapping[str, bytes], probes_NA: torch.Tensor, old: ImageTable | None
    ) -> tuple[Sketch, torch.Tensor]:
        """The old one, as long as its sample is there and the index has not grown or shrunk to another."""
        if old is not None and len(old) <= 2 * len(names) and len(names) <= 2 * len(old):
            row_of = {digest_of[name]: row for row, name in enumerate(names)}
            rows = [row_of.get(old.keys[row]) for row in old.sample_S.tolist()]
            if all(row is not None for row in rows):
                return old.sketch, torch.tensor(rows, dtype=torch.int64)
        lots = torch.Generator().manual_seed(0)
        sample_S = torch.randperm(len(names), generator=lots)[:_SAMPLE]
        return Sketch.fit(probes_NA, sample_S), sample_S

    def _caption_weights(
        self,
        texts: Sequence[str],
        sketch: Sketch,
        sample: Sequence[StoredImage],
        known: ImageTable | None,
        show: Callable[[str], None],
    ) -> torch.Tensor:
        """`[C, F]`: those of new captions from their scores on the sample, the others as before."""
        weights: dict[str, torch.Tensor] = {}
        if known is not None:
            weights = dict(zip(known.captions.all(), known.weights_CF, strict=True))
        fresh = [text for text in dict.fromkeys(texts) if text not in weights]
        if len(fresh) > 20 * _CAPTIONS:
            show(f"Reading {len(fresh):,} captions")
        for first in range(0, len(fresh), _CAPTIONS):
            some = fresh[first : first + _CAPTIONS]
            found_FC = sketch.weights(self._scores(sample, self._encoded(some)))
            weights |= dict(zip(some, found_FC.T.half(), strict=True))
        if not texts:
            return torch.zeros(0, len(sketch.solver_FS), dtype=torch.float16)
        return torch.stack([weights[text] for text in texts])

    def _without_dead(self, live: set[str]) -> None:
        """Write what is left of shards from which images were removed into new ones."""
        of_shard: dict[int, list[str]] = {}
        for key, place in self.places.items():
            of_shard.setdefault(place.shard, []).append(key)
        dead = {shard for shard, keys in of_shard.items() if not live.issuperset(keys)}
        moving = [key for shard in sorted(dead) for key in of_shard[shard] if key in live]
        for first in range(0, len(moving), _SHARD):
            keys = moving[first : first + _SHARD]
            places = [self.places[key] for key in keys]
            probes_NA = torch.stack([self._shards[place.shard].probes_NA[place.entry.number] for place in places])
            self.write(keys, [self._image(key) for key in keys], probes_NA)

    def drop_unused(self, table: ImageTable) -> None:
        """Delete the shards that no image of the table is in."""
        used = set(table.shard_N.tolist())
        for number, shard in self._shards.items():
            if number not in used:
                shard.path.unlink(missing_ok=True)


class _Writer:
    """Gathers looked-at images, encodes them some at a time, and writes a shard when it is full."""

    def __init__(self, work: _Work) -> None:
        self._work = work
        self._waiting: list[tuple[str, Regions]] = []
        self._keys: list[str] = []
        self._images: list[StoredImage] = []
        self._probes: list[torch.Tensor] = []

    def add(self, key: str, regions: Regions) -> None:
        self._waiting.append((key, regions))
        if len(self._waiting) >= _TOGETHER:
            self._encode()
        if len(self._keys) >= _SHARD:
            self._flush()

    def close(self) -> None:
        if self._waiting:
            self._encode()
        if self._keys:
            self._flush()

    def _encode(self) -> None:
        photos, probes_NA = self._work.probed([regions for _, regions in self._waiting])
        self._keys += [key for key, _ in self._waiting]
        self._images += photos
        self._probes.append(probes_NA)
        self._waiting = []

    def _flush(self) -> None:
        self._work.write(self._keys, self._images, torch.cat(self._probes))
        self._keys, self._images, self._probes = [], [], []
