"""The match map of words and cells: a plain product, and what a caption scores by it (Das et al. 2019).

`M[t, y, x] = <h_t, F[:, y, x]>` says how well word t fits the cell at row y and column x. No attention is trained: the
score of image and caption is a reduction of the map, and where a word is follows from training for retrieval alone.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import nn

from unboxed.attention.base import Aligner, Alignment, QueryEmbeddings, RegionEmbeddings, pair_mask, pair_products

__all__ = ["MatchMap", "Reduction"]

Reduction = Literal["mean", "max-cells", "max-words", "soft-cells"]


class MatchMap(Aligner):
    """Queries against the cells of a map, reduced to a score.

    Reductions, over real queries and real cells only:

        mean        mean over queries and cells (`Avg_Both`); it factorises into the product of two means
        max-cells   the best cell of each query, over both axes of the map; mean over queries (`Max_Img`)
        max-words   the best query of each cell, mean over cells (`Max_Text`)
        soft-cells  the logarithm of the mean exponential over cells, a smooth maximum whose gradient is the attention;
                    mean over queries (not in the paper)

    Products are taken as they are: vectors are not normalised, and nothing scales the map.

    Args:
        cells: turns inputs `[B, R, V]` and their mask `[B, R]` into cells `[B, R, D]`, such as
            `convolution.PixelCells`, or `MaskedMLP` for regions that are no grid.
        query_width: the first so many columns of a query's state are read. A recurrent encoder's states begin with
            the words' own vectors, free of their context.
        joint_width: width D of the cells.
        reduction: how the map becomes a score.
        hidden: share of the cells, at random, that do not count in a step of training, in [0, 1): the best cell of a
            word is hidden now and then, so that others must learn to show it too (hide-and-seek; not in the paper).
    """

    uses_prior = True

    def __init__(
        self,
        cells: nn.Module,
        query_width: int,
        joint_width: int = 256,
        reduction: Reduction = "mean",
        hidden: float = 0.0,
    ) -> None:
        super().__init__()
        if reduction not in get_args(Reduction):
            raise ValueError(f"reduction is one of {get_args(Reduction)}, not {reduction!r}.")
        self.cells = cells
        self.query = nn.Linear(query_width, joint_width)
        self.reduction = reduction
        self.hidden = hidden

    def embed_regions(
        self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor
    ) -> RegionEmbeddings:
        """The cells `[B, R, D]`, zero at padded ones. The edges are not looked at: a cell is its place in the map."""
        cells_BRD = self.cells(inputs_BRV, mask_BR)
        if self.training and self.hidden:
            seen_BR = mask_BR & (torch.rand(mask_BR.shape, device=mask_BR.device) >= self.hidden)
            mask_BR = torch.where(seen_BR.any(dim=1, keepdim=True), seen_BR, mask_BR)
        return RegionEmbeddings((cells_BRD * mask_BR[..., None],), mask_BR)

    def embed_queries(self, states_CQH: torch.Tensor, mask_CQ: torch.Tensor) -> QueryEmbeddings:
        """The queries `[C, Q, D]`, zero at padded ones."""
        return QueryEmbeddings((self.query(states_CQH[..., : self.query.in_features]) * mask_CQ[..., None],), mask_CQ)

    def align(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        paired: bool = False,
        prior_BCQR: torch.Tensor | None = None,
    ) -> Alignment:
        """The map under `similarity_BCQR`; the attention, for read-out, is its softmax over the cells.

        A prior is added to the map before anything is reduced.
        """
        (cells_BRD,), (queries_CQD,) = regions.tensors, queries.tensors
        map_BCQR = pair_products(queries_CQD, cells_BRD, paired)
        if prior_BCQR is not None:
            map_BCQR = map_BCQR + prior_BCQR
        mask_11R = pair_mask(regions.mask_BR, paired)
        # The map is large, and most often all cells are real: each pass over it that is saved is time saved.
        whole = bool(regions.mask_BR.all())
        similarity_BCQR = map_BCQR if whole else map_BCQR.masked_fill(~mask_11R, float("-inf"))
        attention_BCQR = similarity_BCQR.softmax(dim=-1)
        count_111 = mask_11R.sum(dim=-1).to(map_BCQR.dtype)
        if self.reduction == "max-cells":
            matched_BCQ = similarity_BCQR.amax(dim=-1)
        elif self.reduction == "soft-cells":
            matched_BCQ = similarity_BCQR.logsumexp(dim=-1) - count_111.log()
        else:
            matched_BCQ = (map_BCQR if whole else map_BCQR * mask_11R).sum(dim=-1) / count_111
        if self.reduction == "max-words":
            best_BCR = map_BCQR.masked_fill(~queries.mask_CQ[..., None], float("-inf")).amax(dim=2)
            score_BC = best_BCR.masked_fill(~mask_11R[:, :, 0], 0).sum(dim=-1) / count_111[..., 0]
        else:
            score_BC = (matched_BCQ * queries.mask_CQ).sum(dim=-1) / queries.mask_CQ.sum(dim=-1)
        return Alignment(similarity_BCQR, attention_BCQR, map_BCQR, matched_BCQ, score_BC)
