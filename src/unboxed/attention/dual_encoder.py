"""MLPs over the real rows of padded tensors, and the dual encoder: regions and queries compared by cosine."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from unboxed.attention.base import Aligner, QueryEmbeddings, RegionEmbeddings, pair_mask, pair_products

__all__ = ["DualEncoder", "MaskedMLP", "over_real_rows"]


class MaskedMLP(nn.Module):
    """Linear – batch norm – ReLU blocks and a last linear layer, over real rows only.

    Padded rows do not enter the batch statistics, are not computed, and come out as zeros.

    Args:
        input_width: width of a row.
        hidden_width: width of each hidden layer.
        output_width: width of an output row.
        layers: number of linear layers; with 1 there is no hidden layer, with 0 rows stay as they are.
        batch_norm: normalize the hidden layers over the rows of a batch.
    """

    def __init__(
        self, input_width: int, hidden_width: int, output_width: int, layers: int = 2, batch_norm: bool = True
    ) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        width = input_width
        for _ in range(layers - 1):
            blocks += [nn.Linear(width, hidden_width)]
            blocks += [nn.BatchNorm1d(hidden_width)] * batch_norm
            blocks += [nn.ReLU()]
            width = hidden_width
        blocks += [nn.Linear(width, output_width)] if layers else []
        self.map = nn.Sequential(*blocks)
        self.output_width = output_width

    def forward(self, rows: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`[..., input_width]` and a mask `[...]` to `[..., output_width]`."""
        return over_real_rows(self.map, rows, mask)


def over_real_rows(
    function: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """`function` of the real rows, `[N, V]` to `[N, D]`, in their places; zeros elsewhere.

    In a graph that is exported, `function` computes padded rows too.

    Args:
        function: of all real rows together.
        rows: `[..., V]`.
        mask: `[...]`, True for real rows.
    """
    if torch.compiler.is_compiling():
        all_ND = function(rows.flatten(0, -2))
        return all_ND.view(*mask.shape, all_ND.shape[1]).masked_fill(~mask[..., None], 0)
    real_N = mask.flatten().nonzero()[:, 0]
    if len(real_N) == mask.numel():
        all_ND = function(rows.flatten(0, -2))
        return all_ND.view(*mask.shape, all_ND.shape[1])
    # Whole rows are copied: indexing by the mask itself takes several times as long, above all for the gradient.
    output_ND = function(rows.flatten(0, -2).index_select(0, real_N))
    output = output_ND.new_zeros(mask.numel(), output_ND.shape[1]).index_copy(0, real_N, output_ND)
    return output.view(*mask.shape, output_ND.shape[1])


class DualEncoder(Aligner):
    """Base class of aligners that compare unit vectors of regions and queries, each from its own MLP.

    Args:
        region: from a region's input to the joint width D.
        query: from the state of a phrase or word to D.
    """

    exports_to_onnx = True

    def __init__(self, region: MaskedMLP, query: MaskedMLP) -> None:
        super().__init__()
        self.region, self.query = region, query

    def embed_regions(
        self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor
    ) -> RegionEmbeddings:
        """One tensor: unit vectors `[B, R, D]`. The boxes are not used."""
        return RegionEmbeddings((nn.functional.normalize(self.region(inputs_BRV, mask_BR), dim=-1),), mask_BR)

    def embed_queries(self, states_CQH: torch.Tensor, mask_CQ: torch.Tensor) -> QueryEmbeddings:
        """One tensor: unit vectors `[C, Q, D]`."""
        return QueryEmbeddings((nn.functional.normalize(self.query(states_CQH, mask_CQ), dim=-1),), mask_CQ)

    def cosines(
        self, regions: RegionEmbeddings, queries: QueryEmbeddings, paired: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines `[B, C, Q, R]` of all pairs (with `paired`, `[1, C, Q, R]`), and the mask of real regions."""
        cosine_BCQR = pair_products(queries.tensors[0], regions.tensors[0], paired)
        return cosine_BCQR, pair_mask(regions.mask_BR, paired)
