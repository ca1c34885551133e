"""Searching an index: images for a sentence, captions for an image, both with what matched what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from unboxed.errors import SearchError
from unboxed.inference.grounder import Grounder, ImageLike
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.recipes.embeddings import CaptionEmbeddings, ImageEmbeddings
from unboxed.search.candidates import ExactScan, FaissScan, Scan
from unboxed.search.embedding_shards import CodeShard
from unboxed.search.image_embeddings import StoredImage, ground_stored, stored_images, together
from unboxed.search.index_folder import IndexFolder
from unboxed.search.index_table import ImageTable
from unboxed.text.phrases import noun_phrases
from unboxed.types import Caption

__all__ = ["CANDIDATES", "CaptionHit", "Hit", "Index"]

CANDIDATES = 100
"""Images (or captions) that are ranked exactly for a query, by default."""

_ALL = 1000  # of so many, all are candidates
_TOGETHER = 128
_POOL = 2048  # images among which candidates are chosen
_ROUNDS = 4
_TYPICAL = 64  # queries that faiss's cells are tried with


@dataclass(frozen=True, eq=False)
class Hit:
    """An image that was found.

    Attributes:
        photo: its file.
        name: the file relative to what was indexed.
        score: the recipe's own; higher is better, any sign; comparable within one query.
        grounding: where the query's phrases are in it.
    """

    image: Path
    name: str
    score: float
    grounding: Grounding

    @property
    def phrases(self) -> tuple[GroundedPhrase, ...]:
        """The query's phrases with their boxes, best first."""
        return self.grounding.phrases


@dataclass(frozen=True, eq=False)
class CaptionHit:
    """A caption that was found for an image.

    Attributes:
        caption: the text.
        photo: the image of the index that it was written for.
        score: the recipe's own; higher is better, any sign.
        grounding: where its phrases are in the image that was asked about.
    """

    caption: str
    image: Path
    score: float
    grounding: Grounding

    @property
    def phrases(self) -> tuple[GroundedPhrase, ...]:
        """The caption's phrases with their boxes, best first."""
        return self.grounding.phrases


class Index:
    """Images that were encoded by a run.

    >>> index = Index.open("images.index")                                    # doctest: +SKIP
    >>> index.search("a man holding a guitar", k=3)[0].name                   # doctest: +SKIP
    'party/0012.jpg'

    Args:
        grounder: the run's model.
        table: the images.
        shards: folder of their codes.
        faiss: find candidates with faiss, which pays from some millions of images on; its cells are made now.

    Attributes:
        scan: what finds candidates.
    """

    def __init__(self, grounder: Grounder, table: ImageTable, shards: Path, *, faiss: bool = False) -> None:
        self.grounder = grounder
        self.table = table
        self._folder = shards
        self._shards: dict[int, CodeShard] = {}
        self.scan: Scan = FaissScan(table.vectors_NE, self._typical_weights()) if faiss else ExactScan(table.vectors_NE)

    @classmethod
    def open(cls, path: str | Path, *, faiss: bool = False) -> Index:
        """The index of a folder that `unboxed index` made.

        Raises:
            SearchError: no index there, a damaged one, or one of a newer version; no faiss.
        """
        path = Path(path)
        folder = IndexFolder.of(path)
        if folder is None:
            begun = path.is_dir() and any(path.glob("*/probes.json"))
            raise SearchError(
                f"The index {path} was not finished; run the same `unboxed index` again, it goes on where it stopped."
                if begun
                else f"There is no index in {path}; make one with `unboxed index RUN IMAGES --out {path}`."
            )
        return cls(Grounder.load(folder.run), ImageTable.load(folder.table), folder.shards, faiss=faiss)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def captions(self) -> int:
        """How many captions it has."""
        return len(self.table.captions)

    def search(self, text: str | Caption, k: int = 10, candidates: int = CANDIDATES) -> list[Hit]:
        """The k images that fit a text best, best first.

        Args:
            text: a sentence, or a `Caption` with phrases of your own.
            k: how many at most.
            candidates: images that are ranked exactly, at least k. Of up to 1,000 images all are.

        Raises:
            CaptionError: the text has no words.
        """
        caption = _caption(text)
        everyone = len(self) <= max(candidates, _ALL)
        rows, scores = self.ranked(caption, k, len(self) if everyone else max(candidates, k))
        found = ground_stored(self.grounder, [self.image(row) for row in rows], caption) if rows else []
        return [
            Hit(self.table.path(row), self.table.names[row], score, own)
            for row, score, own in zip(rows, scores, found, strict=True)
        ]

    @torch.inference_mode()
    def ranked(self, caption: Caption, k: int, candidates: int) -> tuple[list[int], list[float]]:
        """The rows of the k best among so many candidates, and their exact scores, best first.

        Args:
            caption: the query.
            k: how many at most.
            candidates: as many as there are images for a full ranking.
        """
        asked = self.grounder.encode_captions([caption])
        if candidates >= len(self):
            rows = torch.arange(len(self))
            score_N = self._scores(rows, asked)[:, 0]
        else:
            rows, score_N = self._candidates(asked, candidates)
        best = score_N.argsort(descending=True, stable=True)[: max(k, 0)]
        return rows[best].tolist(), score_N[best].tolist()

    @torch.inference_mode()
    def captions_for(self, image: ImageLike, k: int = 10, candidates: int = CANDIDATES) -> list[CaptionHit]:
        """The k captions of the index that fit an image best, best first, with their phrases boxed in it.

        Args:
            photo: a file, a PIL image, an array, or regions, as for `Grounder.ground`; it need not be in the index.
            k: how many at most. A text that several images share counts once.
            candidates: captions that are ranked exactly, at least k. Of up to 1,000 captions all are.

        Raises:
            PhotoError: the image cannot be read.
            SearchError: the index has no captions.
        """
        if not self.captions:
            raise SearchError(
                "The index has no captions; index a dataset that has some (a table image,caption; or texts beside the "
                "images) to find captions for an image."
            )
        regions = self.grounder.regions_of(image)
        stored = stored_images(self.grounder, [regions])
        asked = together(stored)
        rows_C = torch.arange(self.captions)
        if self.captions > max(candidates, _ALL):
            probes = self.grounder.encode_captions([_caption(text) for text in self._probes])
            vector_1E = self.table.sketch.vectors(self.grounder.model.score(asked, probes))
            close_C = self.table.weights_CF.float() @ torch.cat([vector_1E[0], torch.ones(1)])
            rows_C = close_C.argsort(descending=True, stable=True)
        texts: dict[str, int] = {}
        wanted = self.captions if self.captions <= max(candidates, _ALL) else max(candidates, k)
        for row in rows_C.tolist():
            texts.setdefault(self.table.captions[row], row)
            if len(texts) >= wanted:
                break
        captions = [_caption(text) for text in texts]
        parts = []
        for first in range(0, len(captions), _TOGETHER):
            some = self.grounder.encode_captions(captions[first : first + _TOGETHER])
            parts.append(self.grounder.model.score(asked, some)[0])
        score_C = torch.cat(parts)
        best = score_C.argsort(descending=True, stable=True)[: max(k, 0)].tolist()
        groundings = self.grounder.ground_regions(regions, [captions[c] for c in best])
        rows = list(texts.values())
        return [
            CaptionHit(captions[c].text, self.table.path(int(self.table.image_C[rows[c]])), float(score_C[c]), own)
            for c, own in zip(best, groundings, strict=True)
        ]

    def _candidates(self, asked: CaptionEmbeddings, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows of one query's candidates and their exact scores, in no order.

        They are chosen in a few rounds: the exact scores of one make the weights better that choose the next.
        """
        sketch, vectors_NE = self.table.sketch, self.table.vectors_NE
        score_S = self.grounder.model.score(self._sample, asked)[:, 0]
        weights_F = sketch.weights(score_S[:, None])[:, 0]
        pool = self.scan.top(weights_F[:-1], max(_POOL, count))
        vectors_SE, vectors_PE = vectors_NE[self.table.sample_S].float(), vectors_NE[pool].float()
        chosen, score_K = pool[:0], score_S[:0]
        for part in torch.arange(min(count, len(pool))).tensor_split(_ROUNDS):
            if len(chosen):
                weights_F = sketch.weights_with(vectors_SE, score_S, vectors_PE[chosen], score_K)
            close_P = (vectors_PE @ weights_F[:-1]).index_fill(0, chosen, float("-inf"))
            some = close_P.topk(len(part)).indices
            chosen = torch.cat([chosen, some])
            score_K = torch.cat([score_K, self._scores(pool[some], asked)[:, 0]]) if len(some) else score_K
        return pool[chosen], score_K

    @torch.inference_mode()
    def _typical_weights(self) -> torch.Tensor:
        """`[Q, E]`: of captions of the index, evenly chosen, or of made-up sentences where it has none."""
        if self.captions:
            step = max(1, self.captions // _TYPICAL)
            return self.table.weights_CF[::step, :-1][:_TYPICAL].float()
        probes = self.grounder.encode_captions([_caption(text) for text in self._probes[:_TYPICAL]])
        return self.table.sketch.weights(self.grounder.model.score(self._sample, probes))[:-1].T.contiguous()

    def _scores(self, rows: torch.Tensor, asked: CaptionEmbeddings) -> torch.Tensor:
        """The exact scores of images, `[rows, C]`."""
        blocks = (together([self.image(row) for row in some.tolist()]) for some in torch.split(rows, _TOGETHER))
        return torch.cat([self.grounder.model.score(block, asked) for block in blocks])

    @torch.inference_mode()
    def recall(self, queries: Sequence[str | Caption], k: int = 10, candidates: int = CANDIDATES) -> float:
        """Share in [0, 1] of the k best images of a full ranking that the two stages find, mean over queries.

        Args:
            queries: texts.
            k: how many of the best count.
            candidates: images that are ranked exactly; here also of few images.
        """
        asked = self.grounder.encode_captions([_caption(query) for query in queries])
        best_KC = self._scores(torch.arange(len(self)), asked).topk(min(k, len(self)), dim=0).indices
        shares = []
        for best_K, query in zip(best_KC.T, queries, strict=True):  # what is among the candidates is ranked exactly
            rows, _ = self._candidates(self.grounder.encode_captions([_caption(query)]), max(candidates, k))
            shares.append(float(torch.isin(best_K, rows).float().mean()))
        return sum(shares) / len(shares)

    def own_recall(self, queries: int, k: int = 10, candidates: int = CANDIDATES) -> float | None:
        """`recall` with captions of the index, evenly chosen, or made-up sentences where it has none.

        Args:
            queries: how many.
            k, candidates: as for `recall`.

        Returns:
            None where all images are candidates anyhow.
        """
        if len(self) <= max(candidates, _ALL):
            return None
        step = max(1, self.captions // queries)
        own = [self.table.captions[c] for c in range(0, self.captions, step)][:queries]
        return self.recall(own or self._probes[:queries], k, candidates)

    def image(self, row: int) -> StoredImage:
        """What the index keeps of an image.

        Args:
            row: in the table.
        """
        table = self.table
        number = int(table.shard_N[row])
        if number not in self._shards:
            self._shards[number] = CodeShard(self._folder / f"{number:06d}.safetensors")
        width, height = table.size_N2[row].tolist()
        place = int(table.number_N[row]), int(table.start_N[row]), int(table.count_N[row])
        return self._shards[number].image(*place, width, height)

    @cached_property
    def _sample(self) -> ImageEmbeddings:
        return together([self.image(row) for row in self.table.sample_S.tolist()])

    @cached_property
    def _probes(self) -> tuple[str, ...]:
        return IndexFolder(self._folder.parent.parent, self._folder.parent.name).probes()


def _caption(given: str | Caption) -> Caption:
    return given if isinstance(given, Caption) else Caption(given, noun_phrases(given))
