"""What every attention gives the rest of the library, and is given by it.

An aligner turns regions and queries into embeddings once each, and then compares all queries of all captions with all
regions of all images at once. A query is whatever looks for a region: a word, or a phrase.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch

__all__ = [
    "Aligner",
    "Alignment",
    "QueryEmbeddings",
    "RegionEmbeddings",
    "all_products",
    "mean_over_queries",
    "pair_products",
    "paired_products",
]


class RegionEmbeddings(NamedTuple):
    """Encoded regions: tensors `[B, R, …]` that the aligner understands, and which regions are real."""

    tensors: tuple[torch.Tensor, ...]
    mask_BR: torch.Tensor

    def of(self, image_of_C: torch.Tensor) -> RegionEmbeddings:
        """One row for each caption: the regions of its own image."""
        return RegionEmbeddings(tuple(tensor[image_of_C] for tensor in self.tensors), self.mask_BR[image_of_C])


class QueryEmbeddings(NamedTuple):
    """Encoded queries: tensors `[C, Q, …]` that the aligner understands, and which queries are real."""

    tensors: tuple[torch.Tensor, ...]
    mask_CQ: torch.Tensor


class Alignment(NamedTuple):
    """How queries and regions fit, for every image and caption.

    Attributes:
        similarity_BCQR: logits or cosines; -inf at padded regions.
        attention_BCQR: weights over regions; rows sum to 1 over real regions and are 0 at padded ones.
        value_BCQR: what the attention gathers the evidence from.
        matched_BCQ: how well each query is matched; meaningless at padded queries.
        score_BC: how well image and caption fit.
    """

    similarity_BCQR: torch.Tensor
    attention_BCQR: torch.Tensor
    value_BCQR: torch.Tensor
    matched_BCQ: torch.Tensor
    score_BC: torch.Tensor


class Aligner(Protocol):
    """One kind of attention."""

    def embed_regions(
        self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor
    ) -> RegionEmbeddings:
        """Encode regions.

        Args:
            inputs_BRV: standardised inputs, zero at padded regions.
            edges_BR4: the boxes' x1, y1, x2, y2 as shares of the photograph's width and height.
            mask_BR: True for real regions.
        """

    def embed_queries(self, states_CQH: torch.Tensor, mask_CQ: torch.Tensor) -> QueryEmbeddings:
        """Encode the contextual states of words or phrases."""

    def align(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        paired: bool = False,
        prior_BCQR: torch.Tensor | None = None,
    ) -> Alignment:
        """Every caption against every image; with `paired`, each caption against the one image of its own row.

        Args:
            regions: of B images; with `paired`, of C images, row by row with the captions (`RegionEmbeddings.of`).
            queries: of C captions.
            paired: the result's axes are then `[1, C, Q, R]`.
            prior_BCQR: untrained scores of every query's regions, for the aligners that mix them in.
        """

    def scores(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        prior_BCQR: torch.Tensor | None = None,
        budget_bytes: int = ...,
    ) -> torch.Tensor:
        """`align(regions, queries).score_BC` without the rest, and so with less memory and time.

        Args:
            regions, queries, prior_BCQR: as for `align`.
            budget_bytes: about how much may be taken above inputs and result where no gradient is asked.
        """


def all_products(queries_CQD: torch.Tensor, regions_BRD: torch.Tensor) -> torch.Tensor:
    """Every query with every region, `[B, C, Q, R]`, as one matrix product (seen, not copied, in this order)."""
    products = queries_CQD.flatten(0, 1) @ regions_BRD.flatten(0, 1).T
    return products.view(*queries_CQD.shape[:2], *regions_BRD.shape[:2]).permute(2, 0, 1, 3)


def paired_products(queries_CQD: torch.Tensor, regions_CRD: torch.Tensor) -> torch.Tensor:
    """Each caption's queries with the regions of its own row, `[1, C, Q, R]`."""
    return (queries_CQD @ regions_CRD.transpose(1, 2))[None]


def pair_products(queries_CQD: torch.Tensor, regions_BRD: torch.Tensor, paired: bool) -> torch.Tensor:
    """`paired_products` or `all_products`."""
    return paired_products(queries_CQD, regions_BRD) if paired else all_products(queries_CQD, regions_BRD)


def mean_over_queries(matched_BCQ: torch.Tensor, mask_CQ: torch.Tensor) -> torch.Tensor:
    """Mean evidence `[B, C]` of the real queries of each caption; 0 for a caption without any."""
    return (matched_BCQ * mask_CQ).sum(dim=-1) / mask_CQ.sum(dim=-1).clamp(min=1)
