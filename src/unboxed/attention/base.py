"""The interface of every attention, `Aligner`, and the tensors that it takes and returns.

An aligner embeds the regions of images and the queries of captions, each once, and then compares every query of every
caption with every region of every image. A query is a word or a phrase that looks for its region.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar, NamedTuple

import torch
from torch import nn

from unboxed.attention.chunks import in_chunks
from unboxed.errors import RunError

__all__ = [
    "BUDGET_BYTES",
    "Aligner",
    "Alignment",
    "QueryEmbeddings",
    "RegionEmbeddings",
    "block_scores",
    "mean_over_queries",
    "pair_mask",
    "pair_products",
    "used_columns",
]

BUDGET_BYTES = 2**28
"""Default of `budget_bytes`: the memory that `Aligner.scores` may take above its inputs and its result, about."""

_ARRAYS = 8  # of a block's shape [b, c, q, r] that exist at the same time, roughly


class RegionEmbeddings(NamedTuple):
    """Embedded regions of B images.

    Attributes:
        tensors: `[B, R, …]` each, or `[B, 1, …]` for one of the whole image; which ones is up to the aligner.
        mask_BR: True for real regions.
    """

    tensors: tuple[torch.Tensor, ...]
    mask_BR: torch.Tensor

    def of(self, image_of_C: torch.Tensor) -> RegionEmbeddings:
        """One row for each caption: the regions of the image that it is paired with."""

        def rows(tensor: torch.Tensor) -> torch.Tensor:
            # The gradient of `index_select` is faster than that of indexing, and that of rows is always contiguous.
            return tensor.flatten(1).index_select(0, image_of_C).view(len(image_of_C), *tensor.shape[1:])

        return RegionEmbeddings(tuple(rows(tensor) for tensor in self.tensors), self.mask_BR[image_of_C])


class QueryEmbeddings(NamedTuple):
    """Embedded queries of C captions.

    Attributes:
        tensors: `[C, Q, …]` each, or `[C, 1, …]` for one of the whole caption; which ones is up to the aligner.
        mask_CQ: True for real queries.
    """

    tensors: tuple[torch.Tensor, ...]
    mask_CQ: torch.Tensor

    def part(self, rows: slice | torch.Tensor) -> QueryEmbeddings:
        """The queries of some of the captions, which a slice or their positions name."""
        return QueryEmbeddings(tuple(tensor[rows] for tensor in self.tensors), self.mask_CQ[rows])


class Alignment(NamedTuple):
    """How well queries and regions fit, for every image and caption.

    Attributes:
        similarity_BCQR: logits or cosines; -inf at padded regions.
        attention_BCQR: weights over regions; rows sum to 1 over real regions and are 0 at padded ones.
        value_BCQR: what the attention weights are applied to: products of a query's and a region's values.
        matched_BCQ: how well each query is matched in the image; meaningless at padded queries.
        score_BC: how well image and caption fit.
    """

    similarity_BCQR: torch.Tensor
    attention_BCQR: torch.Tensor
    value_BCQR: torch.Tensor
    matched_BCQ: torch.Tensor
    score_BC: torch.Tensor

    def to(self, device: torch.device | str) -> Alignment:
        """The same alignment on `device`."""
        return Alignment(*(tensor.to(device) for tensor in self))


class Aligner(nn.Module, ABC):
    """Base class of all attentions. A subclass implements `embed_regions`, `embed_queries` and `align`.

    Attributes:
        exports_to_onnx: whether `torch.onnx` can write `embed_regions`, `embed_queries` and `align`.
        uses_prior: whether `align` uses `prior_BCQR`.
    """

    exports_to_onnx: ClassVar[bool] = False
    uses_prior: ClassVar[bool] = False

    @property
    def normalizes_pairs(self) -> bool:
        """Whether the score of a pair depends on the other pairs in training, through batch norms."""
        return False

    @abstractmethod
    def embed_regions(
        self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor
    ) -> RegionEmbeddings:
        """Embed regions.

        Args:
            inputs_BRV: standardized inputs, zero at padded regions.
            edges_BR4: the boxes' x1, y1, x2, y2 as shares of the image's width and height, in [0, 1].
            mask_BR: True for real regions.
        """

    @abstractmethod
    def embed_queries(self, states_CQH: torch.Tensor, mask_CQ: torch.Tensor) -> QueryEmbeddings:
        """Embed the contextual states of words or phrases; `mask_CQ` is True for real ones."""

    @abstractmethod
    def align(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        paired: bool = False,
        prior_BCQR: torch.Tensor | None = None,
    ) -> Alignment:
        """Align every caption with every image; with `paired`, each caption with the one image of its row.

        Args:
            regions: of B images; with `paired`, of C images, one row per caption (`RegionEmbeddings.of`).
            queries: of C captions.
            paired: the result then has the axes `[1, C, Q, R]`.
            prior_BCQR: scores of the semantic prior, which aligners with `uses_prior` combine with their own.
        """

    def cosines(
        self, regions: RegionEmbeddings, queries: QueryEmbeddings, paired: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines `[B, C, Q, R]` of all pairs (with `paired`, `[1, C, Q, R]`), and the mask of real regions.

        Raises:
            RunError: the attention is not one of cosines.
        """
        raise RunError(
            f"--student cosine is for attention by cosines, and {type(self).__name__} has none; leave it out."
        )

    def match(
        self, regions: RegionEmbeddings, queries: QueryEmbeddings, *, prior_BCQR: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`matched_BCQ` and `score_BC` of `align`. Override it if they can be computed without the attention."""
        alignment = self.align(regions, queries, prior_BCQR=prior_BCQR)
        return alignment.matched_BCQ, alignment.score_BC

    def scores(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        prior_BCQR: torch.Tensor | None = None,
        budget_bytes: int = BUDGET_BYTES,
    ) -> torch.Tensor:
        """`align(regions, queries).score_BC` `[B, C]`, with less memory and time: `fast_scores` or `block_scores`.

        Args:
            regions, queries, prior_BCQR: as for `align`.
            budget_bytes: approximate memory limit besides the inputs and the result, where no gradient is needed.
        """
        score_BC = self.fast_scores(regions, queries, budget_bytes) if prior_BCQR is None else None
        return block_scores(self.align, regions, queries, prior_BCQR, budget_bytes) if score_BC is None else score_BC

    def scores_in_chunks(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        chunk: int,
        prior_of: Callable[[slice], torch.Tensor | None],
    ) -> torch.Tensor:
        """`scores` with its gradient, in the memory of the pairs of `chunk` captions; see `in_chunks`.

        Args:
            regions, queries: as for `scores`.
            chunk: captions at a time.
            prior_of: `prior_BCQR` of some of the captions.

        Raises:
            RunError: an aligner that normalizes over pairs, and does not override this method.
        """
        if self.normalizes_pairs:
            raise RunError(
                f"--chunk would change the norms of {type(self).__name__}, whose statistics are those of all pairs; "
                "leave it out."
            )

        def scores(rows: slice) -> tuple[torch.Tensor]:
            return (self.scores(regions, queries.part(rows), prior_BCQR=prior_of(rows)),)

        return in_chunks(scores, len(queries.mask_CQ), chunk)[0]

    def fast_scores(
        self, regions: RegionEmbeddings, queries: QueryEmbeddings, budget_bytes: int
    ) -> torch.Tensor | None:
        """`score_BC` without a prior, computed faster than by `align`; None, the default, if there is no faster way."""
        return None


def pair_products(queries_CQD: torch.Tensor, regions_BRD: torch.Tensor, paired: bool) -> torch.Tensor:
    """Products `[B, C, Q, R]` of every query and region, a view of one matrix product; `[1, C, Q, R]` with `paired`."""
    if paired:
        return (queries_CQD @ regions_BRD.transpose(1, 2))[None]
    products = queries_CQD.flatten(0, 1) @ regions_BRD.flatten(0, 1).T
    return products.view(*queries_CQD.shape[:2], *regions_BRD.shape[:2]).permute(2, 0, 1, 3)


def pair_mask(mask_BR: torch.Tensor, paired: bool) -> torch.Tensor:
    """The mask of real regions beside `[B, C, Q, R]`: `[B, 1, 1, R]`, or with `paired` `[1, C, 1, R]`."""
    return mask_BR[None, :, None] if paired else mask_BR[:, None, None]


def mean_over_queries(matched_BCQ: torch.Tensor, mask_CQ: torch.Tensor) -> torch.Tensor:
    """Mean `[B, C]` over the real queries of each caption; 0 for a caption without any."""
    return (matched_BCQ * mask_CQ).sum(dim=-1) / mask_CQ.sum(dim=-1).clamp(min=1)


def block_scores(
    align: Callable[..., Alignment],
    regions: RegionEmbeddings,
    queries: QueryEmbeddings,
    prior_BCQR: torch.Tensor | None = None,
    budget_bytes: int = BUDGET_BYTES,
) -> torch.Tensor:
    """`align(regions, queries).score_BC`, computed block by block where no gradient is needed.

    An alignment is large, `[B, C, Q, R]`; only that of one block exists at a time. Images with similar numbers of
    regions, and captions with similar numbers of queries, share a block, so that little of it is padding.

    Args:
        align: `Aligner.align`.
        regions, queries, prior_BCQR: as for `Aligner.align`.
        budget_bytes: approximate memory limit of the alignment of a block. It does not change the result.
    """
    if torch.is_grad_enabled():
        return align(regions, queries, prior_BCQR=prior_BCQR).score_BC
    score_BC = regions.tensors[0].new_zeros(len(regions.mask_BR), len(queries.mask_CQ))
    width = max(1, regions.mask_BR.shape[1]) * max(1, queries.mask_CQ.shape[1])
    pairs = max(1, budget_bytes // (_ARRAYS * regions.tensors[0].element_size() * width))
    images = max(1, min(int(pairs**0.5), len(regions.mask_BR)))
    captions = max(1, min(pairs // images, len(queries.mask_CQ)))
    for rows in _by_length(regions.mask_BR, images):
        region_block = RegionEmbeddings(*_trimmed(regions.tensors, regions.mask_BR, rows))
        for columns in _by_length(queries.mask_CQ, captions):
            query_block = QueryEmbeddings(*_trimmed(queries.tensors, queries.mask_CQ, columns))
            prior = None
            if prior_BCQR is not None:
                prior = prior_BCQR[rows][:, columns, : query_block.mask_CQ.shape[1], : region_block.mask_BR.shape[1]]
            score_bc = align(region_block, query_block, prior_BCQR=prior).score_BC
            score_BC[rows[:, None], columns] = score_bc.to(score_BC.dtype)
    return score_BC


def used_columns(mask_GN: torch.Tensor) -> torch.Tensor:
    """`[G]` columns of each group up to its last real one; 0 for a group without any."""
    return (mask_GN * torch.arange(1, mask_GN.shape[1] + 1, device=mask_GN.device)).amax(dim=1)


def _by_length(mask_GN: torch.Tensor, size: int) -> Iterator[torch.Tensor]:
    """Indices of the groups, `size` at a time, groups of similar length together."""
    return iter(torch.split(used_columns(mask_GN).argsort(stable=True), size))


def _trimmed(
    tensors: tuple[torch.Tensor, ...], mask_GN: torch.Tensor, chosen: torch.Tensor
) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    """The chosen groups without the trailing columns that are padding in all; a tensor may have one column a group."""
    mask_GN = mask_GN[chosen]
    columns = max(1, int(used_columns(mask_GN).max()))
    return tuple(tensor[chosen, :columns] for tensor in tensors), mask_GN[:, :columns]
