"""Writes the files of an index: encodes images into shards, and makes the table from the shards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from unboxed.errors import SearchError, UnboxedError
from unboxed.inference.grounder import Grounder
from unboxed.recipes.embeddings import CaptionEmbeddings
from unboxed.regions.settings import ImportedRegions
from unboxed.regions.store import RegionStore
from unboxed.regions.stored_images import regions_of_image
from unboxed.runtime.progress import Show, track
from unboxed.runtime.threads import available_cores, ordered_map
from unboxed.search.candidates import LowRankScores, fitted_rows
from unboxed.search.cells import open_cells, remove_other_cells, same_vectors, write_cells
from unboxed.search.faiss_search import FaissSearch
from unboxed.search.image_embeddings import (
    Shard,
    ShardEntry,
    StoredImage,
    encode_for_index,
    image_batch,
    shard_path,
    write_shard,
)
from unboxed.search.image_list import ImageList, ListedImage
from unboxed.search.index_folder import IndexFolder
from unboxed.search.index_table import ImageTable, Texts
from unboxed.search.options import IndexOptions
from unboxed.types import Regions

__all__ = ["IndexWriter"]

_SHARD_IMAGES = 128  # at most so many images are lost when a call is killed
_BATCH_IMAGES = 32
_BATCH_CAPTIONS = 512
_SAMPLE_IMAGES = 256
_SCORED = 8192  # images whose scores for the anchor captions are in memory at a time
_MANY_CAPTIONS = 20 * _BATCH_CAPTIONS  # are announced, because encoding them takes a while


@dataclass(frozen=True)
class _Place:
    """Where the embeddings of an image are."""

    shard: int
    entry: ShardEntry


class IndexWriter:
    """Encodes images into shards, and makes the table of an index.

    Args:
        grounder: the model that encodes images and captions.
        folder: the part of the index to write.
        options: where regions come from, how many workers there are, and whether unreadable images are an error.

    Attributes:
        removed: names of damaged files, which are made again.
    """

    def __init__(self, grounder: Grounder, folder: IndexFolder, options: IndexOptions) -> None:
        self._grounder, self._folder, self._options = grounder, folder, options
        self._store = None if options.regions is None else RegionStore.open(options.regions)
        # Features that were imported are those of an image by its name; they may be older than its file.
        self._imported = self._store is not None and isinstance(self._store.settings, ImportedRegions)
        self._anchor_captions = folder.anchor_captions()  # read here: damage is reported also where none is needed
        self.removed: list[str] = []
        self._old = self._old_table()
        files = sorted(folder.shards.glob("[0-9]*.safetensors"))  # not the temporary file of a process that was killed
        self._last_number = max((int(file.stem) for file in files), default=-1)
        self._shards = {int(file.stem): shard for file in files if (shard := self._usable(file)) is not None}
        self._places = {
            entry.key: _Place(number, entry) for number, shard in self._shards.items() for entry in shard.entries
        }

    def _old_table(self) -> ImageTable | None:
        """The table of the last call; None where there is none, or a damaged one, which is made again."""
        try:
            return ImageTable.load(self._folder.table) if self._folder.table.is_file() else None
        except SearchError:
            self.removed.append(self._folder.table.name)
            return None

    def _usable(self, file: Path) -> Shard | None:
        """A shard; None for a damaged one, which is removed, so that its images are encoded again."""
        try:
            return Shard(file)
        except SearchError as error:
            if isinstance(error.__cause__, OSError):
                raise
            file.unlink(missing_ok=True)
            self.removed.append(file.name)
            return None

    def __contains__(self, key: str) -> bool:
        """Whether an image of this content is in a shard."""
        return key in self._places

    def key_of(self, key: str, image: ListedImage) -> str:
        """What identifies an image here, from the key of its content: with imported regions, these too."""
        return key if self._store is None or not self._imported else f"{key} {self._store.image_key(image.image_id)}"

    def encode(self, images: Mapping[str, ListedImage], progress: bool) -> dict[str, str]:
        """Encode images into new shards. Also when an error stops the call, all images until then are written.

        Args:
            images: by the key of their content.
            progress: show how many are done, the rate and the time left.

        Returns:
            key -> reason of the images that cannot be used.
        """
        if images and self._store is None:
            _ = self._grounder.extractor  # created here, and not by several threads at once
        workers = 1 if self._store is not None else self._options.workers or available_cores()
        buffer, unusable = _Buffer(self), {}
        try:
            outcomes = zip(images, ordered_map(self._regions_or_reason, images.items(), workers), strict=True)
            for key, outcome in track(outcomes, "Encoding images", len(images), progress and bool(images)):
                if isinstance(outcome, str):
                    unusable[key] = outcome
                else:
                    buffer.add(key, outcome)
        finally:
            buffer.close()
        return unusable

    def _regions_or_reason(self, item: tuple[str, ListedImage]) -> Regions | str:
        """The regions of an image, or why there are none. Called by several threads."""
        try:
            return self._regions(*item)
        except UnboxedError as error:
            if self._options.strict:
                raise
            return str(error)

    def _regions(self, key: str, image: ListedImage) -> Regions:
        if self._store is None:
            return self._grounder.extractor.of_file(image.path, image.original_size, key=key)
        return regions_of_image(self._store, image.image_id, key)

    def score_anchors(self, images: Sequence[StoredImage]) -> torch.Tensor:
        """Exact scores `[N, A]` of images for the anchor captions."""
        return self._score(images, self._anchors)

    @cached_property
    def _anchors(self) -> CaptionEmbeddings:
        return self._grounder.encode_captions(self._anchor_captions)

    @torch.inference_mode()
    def _score(self, images: Sequence[StoredImage], captions: CaptionEmbeddings) -> torch.Tensor:
        return self._grounder.model.score(image_batch(images), captions).float().cpu()

    def add_shard(self, keys: Sequence[str], images: Sequence[StoredImage], anchor_score_NA: torch.Tensor) -> None:
        """Write a shard; the arguments are those of `write_shard`."""
        number = self._last_number = self._last_number + 1
        file = shard_path(self._folder.shards, number)
        entries = write_shard(file, keys, images, anchor_score_NA)
        self._shards[number] = Shard(file)
        self._places |= {entry.key: _Place(number, entry) for entry in entries}

    def write_table(self, listed: ImageList, keys: Mapping[str, str], show: Show) -> ImageTable:
        """Write the table of images that are in shards, and delete what the shards have of others.

        Args:
            listed: the images and their captions.
            keys: name -> key of the content of each image of the table.
            show: called with lines of text.
        """
        self._rewrite_shards(set(keys.values()))
        names = sorted(keys)
        places = [self._places[keys[name]] for name in names]
        digests = [hashlib.sha256(keys[name].encode()).digest() for name in names]
        low_rank, sample_S = self._low_rank(digests, places)
        texts, image_C = [], []
        for row, name in enumerate(names):
            captions = [text for text in listed.images[name].captions if any(c.isalnum() for c in text)]
            texts += captions
            image_C += [row] * len(captions)
        sample = [self._image(places[row]) for row in sample_S.tolist()]
        entries = [place.entry for place in places]
        table = ImageTable(
            root=listed.root,
            names=Texts.of(names),
            digest_NK=torch.tensor([list(digest) for digest in digests], dtype=torch.uint8),
            shard_N=torch.tensor([place.shard for place in places], dtype=torch.int32),
            number_N=torch.tensor([entry.number for entry in entries], dtype=torch.int32),
            start_N=torch.tensor([entry.start for entry in entries], dtype=torch.int64),
            count_N=torch.tensor([entry.count for entry in entries], dtype=torch.int32),
            size_N2=torch.tensor([(entry.width, entry.height) for entry in entries], dtype=torch.int32),
            vectors_NE=torch.cat([low_rank.vectors(self._anchor_scores(part)).half() for part in _blocks(places)]),
            low_rank=low_rank,
            sample_S=sample_S,
            captions=Texts.of(texts),
            image_C=torch.tensor(image_C, dtype=torch.int32),
            weights_CF=self._caption_weights(texts, low_rank, sample, show),
        )
        table = replace(table, cells=self._cells(table, places, show))
        table.save(self._folder.table)
        remove_other_cells(self._folder.path, [table.cells, self._old.cells if self._old is not None else ""])
        for number in self._shards.keys() - set(table.shard_N.tolist()):
            self._shards[number].path.unlink(missing_ok=True)
        return table

    def _low_rank(self, digests: Sequence[bytes], places: Sequence[_Place]) -> tuple[LowRankScores, torch.Tensor]:
        """The approximation and its sample: the old one, unless its sample is incomplete or the size has doubled."""
        old = self._old
        if old is not None and len(old) <= 2 * len(digests) and len(digests) <= 2 * len(old):
            row_of = {digest: row for row, digest in enumerate(digests)}
            rows = [row_of.get(old.digests[row]) for row in old.sample_S.tolist()]
            if all(row is not None for row in rows):
                return old.low_rank, torch.tensor(rows, dtype=torch.int64)
        generator = torch.Generator().manual_seed(0)
        sample_S = torch.randperm(len(digests), generator=generator)[:_SAMPLE_IMAGES]
        fitted_M = fitted_rows(len(places))
        score_MA, score_SA = (
            self._anchor_scores([places[row] for row in rows.tolist()]) for rows in (fitted_M, sample_S)
        )
        return LowRankScores.of(score_MA, score_SA), sample_S

    def _cells(self, table: ImageTable, places: Sequence[_Place], show: Show) -> str:
        """Write the cells of faiss, and return the name of their file; empty if there are to be none."""
        old = self._old
        if not self._options.faiss and (old is None or not old.cells):
            return ""
        queries_QE = table.typical_weights(self._anchor_scores([places[row] for row in table.sample_S.tolist()]))
        try:
            cells = None if old is None or table.low_rank is not old.low_rank else self._old_cells(old)
            if old is None or cells is None or not cells.suits(table.vectors_NE):
                show(f"Making the cells of {len(table):,} vectors")
                cells = FaissSearch.build(table.vectors_NE, queries_QE)
            else:
                cells.update(same_vectors(old.digest_NK, table.digest_NK), table.vectors_NE, queries_QE)
            return write_cells(self._folder.path, cells)
        except SearchError:
            if self._options.faiss:
                raise
            show("The cells for --faiss are removed, because faiss is not installed here.")
            return ""

    def _old_cells(self, old: ImageTable) -> FaissSearch | None:
        try:
            return open_cells(self._folder.path / old.cells) if old.cells else None
        except SearchError:
            return None  # they are damaged, and are made again

    def _caption_weights(
        self, texts: Sequence[str], low_rank: LowRankScores, sample: Sequence[StoredImage], show: Show
    ) -> torch.Tensor:
        """The weights `[C, F]` of captions; those of the old table are kept if they belong to this approximation."""
        weights: dict[str, torch.Tensor] = {}
        if self._old is not None and low_rank is self._old.low_rank:
            weights = dict(zip(self._old.captions.all(), self._old.weights_CF, strict=True))
        new = [text for text in dict.fromkeys(texts) if text not in weights]
        if len(new) > _MANY_CAPTIONS:
            show(f"Encoding {len(new):,} captions")
        for first in range(0, len(new), _BATCH_CAPTIONS):
            batch = new[first : first + _BATCH_CAPTIONS]
            weights_FC = low_rank.weights(self._score(sample, self._grounder.encode_captions(batch)))
            weights |= dict(zip(batch, weights_FC.T.half(), strict=True))
        if not texts:
            return torch.zeros(0, len(low_rank.solver_FS), dtype=torch.float16)
        return torch.stack([weights[text] for text in texts])

    def _rewrite_shards(self, live: set[str]) -> None:
        """Copy the images to keep out of the shards that also have others, into new shards.

        Args:
            live: keys of the images to keep.
        """
        keys_of: dict[int, list[str]] = {}
        for key, place in self._places.items():
            keys_of.setdefault(place.shard, []).append(key)
        mixed = sorted(shard for shard, keys in keys_of.items() if not live.issuperset(keys))
        moving = [key for shard in mixed for key in keys_of[shard] if key in live]
        for first in range(0, len(moving), _SHARD_IMAGES):
            keys = moving[first : first + _SHARD_IMAGES]
            places = [self._places[key] for key in keys]
            self.add_shard(keys, [self._image(place) for place in places], self._anchor_scores(places))

    def _image(self, place: _Place) -> StoredImage:
        entry = place.entry
        return self._shards[place.shard].image(entry.number, entry.start, entry.count, entry.width, entry.height)

    def _anchor_scores(self, places: Sequence[_Place]) -> torch.Tensor:
        """Exact scores of images for the anchor captions, read from their shards."""
        return torch.stack([self._shards[place.shard].anchor_score_NA[place.entry.number] for place in places])


def _blocks(places: Sequence[_Place]) -> Iterator[Sequence[_Place]]:
    """Parts whose scores fit into memory."""
    return (places[first : first + _SCORED] for first in range(0, len(places), _SCORED))


class _Buffer:
    """Collects the regions of images, encodes them in batches, and writes a shard when enough are encoded."""

    def __init__(self, writer: IndexWriter) -> None:
        self._writer = writer
        self._waiting: list[tuple[str, Regions]] = []
        self._keys: list[str] = []
        self._images: list[StoredImage] = []
        self._scores: list[torch.Tensor] = []

    def add(self, key: str, regions: Regions) -> None:
        """Add an image by the key of its content."""
        self._waiting.append((key, regions))
        if len(self._waiting) >= _BATCH_IMAGES:
            self._encode()
        if len(self._keys) >= _SHARD_IMAGES:
            self._write()

    def close(self) -> None:
        """Encode and write what is left."""
        if self._waiting:
            self._encode()
        if self._keys:
            self._write()

    def _encode(self) -> None:
        images = encode_for_index(self._writer._grounder, [regions for _, regions in self._waiting])
        self._keys += [key for key, _ in self._waiting]
        self._images += images
        self._scores.append(self._writer.score_anchors(images))
        self._waiting = []

    def _write(self) -> None:
        self._writer.add_shard(self._keys, self._images, torch.cat(self._scores))
        self._keys, self._images, self._scores = [], [], []
