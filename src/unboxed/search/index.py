"""Searches an index: images for a sentence, captions for an image, each with the boxes that match its phrases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from unboxed.errors import SearchError
from unboxed.inference.arguments import ImageLike
from unboxed.inference.grounder import Grounder
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.recipes.embeddings import CaptionEmbeddings, ImageEmbeddings
from unboxed.runtime.progress import to_call
from unboxed.runtime.tensor_digests import numbers_digest
from unboxed.runtime.urls import refuse_url
from unboxed.search.candidates import ExactSearch, VectorSearch
from unboxed.search.cells import open_cells
from unboxed.search.faiss_search import FaissSearch
from unboxed.search.image_embeddings import (
    Shard,
    StoredImage,
    encode_for_index,
    ground_stored,
    image_batch,
    shard_path,
)
from unboxed.search.index_folder import IndexFolder
from unboxed.search.index_table import TYPICAL, ImageTable, spread
from unboxed.search.lance_search import LanceSearch
from unboxed.text.phrases import noun_phrases
from unboxed.types import Caption, Regions

__all__ = ["CANDIDATES", "CaptionHit", "Hit", "Index"]

CANDIDATES = 100
"""Images (or captions) that are ranked exactly for a query, by default."""

_RANK_ALL = 1000  # up to so many images or captions are all ranked exactly
_BATCH = 128
_POOL = 2048  # images among which candidates are chosen
_ROUNDS = 4


@dataclass(frozen=True, eq=False)
class _Result:
    """What both kinds of hits have.

    Attributes:
        image: the file of an image of the index.
        score: of the recipe, any sign; higher is better. Scores of one query can be compared.
        grounding: the phrases of the caption in the image, with their boxes.
    """

    image: Path
    score: float
    grounding: Grounding

    @property
    def phrases(self) -> tuple[GroundedPhrase, ...]:
        """The phrases of the caption with their boxes, best first."""
        return self.grounding.phrases


@dataclass(frozen=True, eq=False)
class Hit(_Result):
    """An image that was found for a text.

    Attributes:
        image: its file.
        score: of the recipe, any sign; higher is better. Scores of one query can be compared.
        grounding: the phrases of the text in this image.
        name: the file relative to the folder that was indexed.
    """

    name: str


@dataclass(frozen=True, eq=False)
class CaptionHit(_Result):
    """A caption that was found for an image.

    Attributes:
        image: the file of the image in the index that has this caption.
        score: of the recipe, any sign; higher is better. Scores of one query can be compared.
        grounding: the phrases of the caption in the image of the query.
        caption: the text.
    """

    caption: str


class Index:
    """An index of images, opened for searching.

    >>> index = Index.open("images.index")                                    # doctest: +SKIP
    >>> index.search("a man holding a guitar", k=3)[0].name                   # doctest: +SKIP
    'party/0012.jpg'

    Args:
        grounder: the model that encoded the images.
        table: the images.
        folder: the part of the index in use, which has their embeddings.
        faiss: find candidates with faiss, which is faster from some millions of images on. Its cells are
            read from the file that `unboxed index --faiss` wrote, or else made now.

    Attributes:
        grounder: the model.
        table: the images.
        vector_search: finds candidates.
    """

    def __init__(self, grounder: Grounder, table: ImageTable, folder: IndexFolder, *, faiss: bool = False) -> None:
        self.grounder = grounder
        self.table = table
        self._folder = folder
        self._shards: dict[int, Shard] = {}
        vectors_NE = table.vectors_NE
        self.vector_search: VectorSearch
        if not faiss:
            self.vector_search = ExactSearch(vectors_NE)
        elif table.cells:
            self.vector_search = open_cells(folder.path / table.cells)
        else:
            self.vector_search = FaissSearch.build(vectors_NE, self._typical_weights())

    @classmethod
    def open(cls, path: str | Path, *, faiss: bool = False, database: str | None = None) -> Index:
        """Open the index of a folder that `unboxed index` wrote.

        Args:
            path: the folder.
            faiss: find candidates with faiss.
            database: find candidates in this LanceDB database, which `write_database` wrote.

        Raises:
            SearchError: no index there, a damaged one, or one of a newer version; faiss or LanceDB is not installed;
                the database has other vectors.
        """
        path = Path(path)
        refuse_url(path, "An index", SearchError)
        folder = IndexFolder.of(path)
        if folder is None:
            begun = path.is_dir() and any(path.glob("*/probes.json"))
            raise SearchError(
                f"The index {path} was not finished; run the same `unboxed index` again, it goes on where it stopped."
                if begun
                else f"There is no index in {path}; make one with `{to_call('index', 'RUN', 'IMAGES', '--out', path)}`."
            )
        index = cls(Grounder.load(folder.run), ImageTable.load(folder.table), folder, faiss=faiss)
        if database is not None:
            index.vector_search = LanceSearch.open(database, numbers_digest(folder.table))
        return index

    def write_database(self, uri: str) -> None:
        """Write the vectors of the images to a LanceDB database, a folder or a URL; see `LanceSearch.write`.

        Raises:
            SearchError: LanceDB is not installed, or the database cannot be written.
        """
        of = numbers_digest(self._folder.table)
        self.vector_search = LanceSearch.write(uri, of, self.table.vectors_NE, self._typical_weights())

    def __len__(self) -> int:
        """The number of images."""
        return len(self.table)

    @property
    def captions(self) -> int:
        """The number of captions."""
        return len(self.table.captions)

    def search(self, text: str | Caption, k: int = 10, candidates: int = CANDIDATES) -> list[Hit]:
        """The k images that match a text best, best first.

        Args:
            text: a sentence, or a `Caption` with phrases of your own.
            k: how many at most.
            candidates: images that are ranked exactly, at least k. Up to 1,000 images, all are.

        Raises:
            CaptionError: the text has no words.
        """
        caption = _parsed(text)
        rows, scores = self.ranked(caption, k, self._exactly_ranked(len(self), k, candidates))
        found = ground_stored(self.grounder, [self.image(row) for row in rows], caption) if rows else []
        hits = []
        for row, score, grounding in zip(rows, scores, found, strict=True):
            path = self.table.path(row)
            hits.append(Hit(path, score, replace(grounding, image=path), self.table.names[row]))
        return hits

    @torch.inference_mode()
    def ranked(self, caption: Caption, k: int, candidates: int) -> tuple[list[int], list[float]]:
        """The rows of the k best of the candidates and their exact scores, best first.

        Args:
            caption: the query.
            k: how many at most.
            candidates: as many as there are images for a full ranking.
        """
        query = self.grounder.encode_captions([caption])
        if candidates >= len(self):
            rows = torch.arange(len(self))
            score_N = self._scores(rows, query)[:, 0]
        else:
            rows, score_N = self._candidates(query, candidates)
        best = score_N.argsort(descending=True, stable=True)[: max(k, 0)]
        return rows[best].tolist(), score_N[best].tolist()

    @torch.inference_mode()
    def captions_for(self, image: ImageLike, k: int = 10, candidates: int = CANDIDATES) -> list[CaptionHit]:
        """The k captions of the index that match an image best, best first, with their phrases boxed in it.

        Args:
            image: as for `Grounder.ground`; it need not be in the index.
            k: how many at most. A text that several images share counts once.
            candidates: captions that are ranked exactly, at least k. Up to 1,000 captions, all are.

        Raises:
            ImageError: the image cannot be read.
            SearchError: the index has no captions.
        """
        if not self.captions:
            raise SearchError(
                "The index has no captions; index a dataset that has some (a table image,caption; or texts beside the "
                "images) to find captions for an image."
            )
        regions = self.grounder.regions_of(image)
        query = image_batch(encode_for_index(self.grounder, [regions]))
        rows = self._caption_candidates(query, self._exactly_ranked(self.captions, k, candidates))
        captions = [_parsed(self.table.captions[row]) for row in rows]
        batches = (captions[first : first + _BATCH] for first in range(0, len(captions), _BATCH))
        encoded = (self.grounder.encode_captions(batch) for batch in batches)
        score_C = torch.cat([self._score(query, batch)[0] for batch in encoded])
        best = score_C.argsort(descending=True, stable=True)[: max(k, 0)].tolist()
        groundings = self.grounder.ground_regions(regions, [captions[c] for c in best])
        shown = None if isinstance(image, Regions) else image
        hits = []
        for c, grounding in zip(best, groundings, strict=True):
            path = self.table.path(int(self.table.image_C[rows[c]]))
            hits.append(CaptionHit(path, float(score_C[c]), replace(grounding, image=shown), captions[c].text))
        return hits

    def recall(self, queries: Sequence[str | Caption], k: int = 10, candidates: int = CANDIDATES) -> float:
        """The share in [0, 1] of the k best images of a full ranking that are among the candidates, mean over queries.

        Args:
            queries: texts, at least one.
            k: how many of the best count.
            candidates: images that are ranked exactly; unlike in `search`, also of few images.
        """
        with torch.inference_mode():
            encoded = self.grounder.encode_captions(queries)
            best_KC = self._scores(torch.arange(len(self)), encoded).topk(min(k, len(self)), dim=0).indices
            shares = []
            for c, best_K in enumerate(best_KC.T):
                rows, _ = self._candidates(encoded.part(slice(c, c + 1)), max(candidates, k))
                shares.append(float(torch.isin(best_K, rows).float().mean()))
            return sum(shares) / len(shares)

    def estimated_recall(self, queries: int, k: int = 10, candidates: int = CANDIDATES) -> float | None:
        """`recall` for captions of the index, or for anchor captions where it has none.

        Args:
            queries: how many.
            k, candidates: as for `recall`.

        Returns:
            None where all images are ranked exactly.
        """
        if self._exactly_ranked(len(self), k, candidates) == len(self):
            return None
        texts = [self.table.captions[row] for row in spread(self.captions, queries)]
        return self.recall(texts or self._anchors[:queries], k, candidates)

    def image(self, row: int) -> StoredImage:
        """The stored image of a row of the table.

        Raises:
            SearchError: its shard is damaged, or gone because the index was changed.
        """
        table = self.table
        number = int(table.shard_N[row])
        if number not in self._shards:
            self._shards[number] = Shard(shard_path(self._folder.shards, number))
        width, height = table.size_N2[row].tolist()
        place = int(table.number_N[row]), int(table.start_N[row]), int(table.count_N[row])
        return self._shards[number].image(*place, width, height)

    @staticmethod
    def _exactly_ranked(total: int, k: int, candidates: int) -> int:
        """How many of `total` images or captions are ranked exactly."""
        return total if total <= max(candidates, _RANK_ALL) else max(candidates, k)

    def _candidates(self, query: CaptionEmbeddings, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows of the candidates of one caption and their exact scores, unordered.

        They are chosen in a few rounds: the exact scores of one round improve the weights that choose the next.
        """
        low_rank, vectors_NE = self.table.low_rank, self.table.vectors_NE
        score_S = self._score(self._sample, query)[:, 0]
        weights_F = low_rank.weights(score_S[:, None])[:, 0]
        pool = self.vector_search.top(weights_F[:-1], max(_POOL, count))
        vectors_SE, vectors_PE = vectors_NE[self.table.sample_S].float(), vectors_NE[pool].float()
        chosen, score_K = pool[:0], score_S[:0]
        for part in torch.arange(min(count, len(pool))).tensor_split(_ROUNDS):
            if len(chosen):
                weights_F = low_rank.refined_weights(vectors_SE, score_S, vectors_PE[chosen], score_K)
            approximate_P = (vectors_PE @ weights_F[:-1]).index_fill(0, chosen, float("-inf"))
            new = approximate_P.topk(len(part)).indices
            chosen = torch.cat([chosen, new])
            score_K = torch.cat([score_K, self._scores(pool[new], query)[:, 0]]) if len(new) else score_K
        return pool[chosen], score_K

    def _caption_candidates(self, query: ImageEmbeddings, count: int) -> list[int]:
        """One row for each of at most `count` different texts that are candidates for an image."""
        rows_C = torch.arange(self.captions)
        if count < self.captions:
            anchor_score_1A = self._score(query, self._encoded_anchors)
            vector_E = self.table.low_rank.vectors(anchor_score_1A)[0]
            approximate_C = self.table.weights_CF.float() @ torch.cat([vector_E, torch.ones(1)])
            rows_C = approximate_C.argsort(descending=True, stable=True)
        row_of_text: dict[str, int] = {}
        for row in rows_C.tolist():
            row_of_text.setdefault(self.table.captions[row], row)
            if len(row_of_text) >= count:
                break
        return list(row_of_text.values())

    def _scores(self, rows: torch.Tensor, captions: CaptionEmbeddings) -> torch.Tensor:
        """The exact scores of images, `[rows, C]`."""
        batches = (image_batch([self.image(row) for row in batch.tolist()]) for batch in torch.split(rows, _BATCH))
        return torch.cat([self._score(batch, captions) for batch in batches])

    @torch.inference_mode()
    def _typical_weights(self) -> torch.Tensor:
        """Weights `[Q, E]` of captions of the index, or of anchor captions where it has none."""
        anchors = self.grounder.encode_captions(self._anchors[:TYPICAL])
        return self.table.typical_weights(self._score(self._sample, anchors))

    def _score(self, images: ImageEmbeddings, captions: CaptionEmbeddings) -> torch.Tensor:
        """The exact scores `[B, C]`, on the CPU as the table is."""
        return self.grounder.model.score(images, captions).cpu()

    @cached_property
    def _sample(self) -> ImageEmbeddings:
        return image_batch([self.image(row) for row in self.table.sample_S.tolist()])

    @cached_property
    def _anchors(self) -> tuple[str, ...]:
        return self._folder.anchor_captions()

    @cached_property
    def _encoded_anchors(self) -> CaptionEmbeddings:
        return self.grounder.encode_captions(self._anchors)


def _parsed(text: str | Caption) -> Caption:
    return text if isinstance(text, Caption) else Caption(text, noun_phrases(text))
