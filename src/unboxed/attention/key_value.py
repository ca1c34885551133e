"""Key–value attention of words over regions (InfoGround, Gupta et al., ECCV 2020, section 3.2).

The softmax over regions of the products of a word's query with the regions' keys is the attention `a`. The word is
matched by the product of its own value with the attended region value. With `t_r = <value of the word, value of region
r>`, that product is `Σ_r a_r t_r`: the attended value, of the joint width, is never built.
"""

from __future__ import annotations

from typing import Literal

import torch

from unboxed.attention.base import (
    Aligner,
    Alignment,
    QueryEmbeddings,
    RegionEmbeddings,
    mean_over_queries,
    pair_mask,
    pair_products,
)
from unboxed.attention.dual_encoder import MaskedMLP, over_real_rows
from unboxed.runtime.counts import require_literal

__all__ = ["HiddenWidth", "KeyValueAttention"]

HiddenWidth = Literal["joint", "input"]


class KeyValueAttention(Aligner):
    """Keys and values of regions, queries and values of words, each from its own MLP.

    Args:
        region_width: width V of a region's input.
        state_width: width H of a contextual word.
        joint_width: width D of keys, queries and values.
        layers: linear layers of each MLP (the paper's default: 2).
        hidden: hidden width of each MLP: D (`joint`), or that of its input (`input`), as in the released weights.
        count_padding: in training, padded queries enter the batch statistics (the original code, where they are zeros).

    Raises:
        ValueError: an unknown hidden width.
    """

    exports_to_onnx = True

    def __init__(
        self,
        region_width: int,
        state_width: int,
        joint_width: int = 384,
        layers: int = 2,
        hidden: HiddenWidth = "joint",
        count_padding: bool = False,
    ) -> None:
        super().__init__()
        require_literal("hidden", hidden, HiddenWidth)

        def mlp(width: int) -> MaskedMLP:
            return MaskedMLP(width, joint_width if hidden == "joint" else width, joint_width, layers)

        self.region_key, self.region_value = mlp(region_width), mlp(region_width)
        self.word_query, self.word_value = mlp(state_width), mlp(state_width)
        self.width, self.scale, self.count_padding = joint_width, joint_width**-0.5, count_padding

    def embed_regions(
        self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor
    ) -> RegionEmbeddings:
        """Two tensors: keys and values `[B, R, D]`. The boxes are not used."""
        return RegionEmbeddings((self.region_key(inputs_BRV, mask_BR), self.region_value(inputs_BRV, mask_BR)), mask_BR)

    def embed_queries(self, states_CQH: torch.Tensor, mask_CQ: torch.Tensor) -> QueryEmbeddings:
        """Two tensors: queries and values `[C, Q, D]`."""
        counted_CQ = torch.ones_like(mask_CQ) if self.count_padding and self.training else mask_CQ
        both = (self.word_query(states_CQH, counted_CQ), self.word_value(states_CQH, counted_CQ))
        return QueryEmbeddings(both, mask_CQ)

    def align(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        paired: bool = False,
        prior_BCQR: torch.Tensor | None = None,
    ) -> Alignment:
        """One matrix product of queries and keys, one of values; the score is the mean of what the queries match."""
        (keys_BRD, values_BRD), (queries_CQD, query_values_CQD) = regions.tensors, queries.tensors
        logit_BCQR = pair_products(queries_CQD, keys_BRD, paired) * self.scale
        similarity_BCQR = logit_BCQR.masked_fill(~pair_mask(regions.mask_BR, paired), float("-inf"))
        value_BCQR = pair_products(query_values_CQD, values_BRD, paired)
        attention_BCQR = similarity_BCQR.softmax(dim=-1)
        matched_BCQ = (attention_BCQR * value_BCQR).sum(dim=-1)
        score_BC = mean_over_queries(matched_BCQ, queries.mask_CQ)
        return Alignment(similarity_BCQR, attention_BCQR, value_BCQR, matched_BCQ, score_BC)

    def match(
        self, regions: RegionEmbeddings, queries: QueryEmbeddings, *, prior_BCQR: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`matched_BCQ` and `score_BC` of `align`, of real queries only; 0 at padded ones."""
        keys_MD, values_MD = (tensor.flatten(0, 1) for tensor in regions.tensors)
        # The mask and the scale are part of the product: the logits are the largest array of a step.
        bias_M = keys_MD.new_zeros(len(keys_MD)).masked_fill_(~regions.mask_BR.flatten(), float("-inf"))

        def matched(both_N2D: torch.Tensor) -> torch.Tensor:
            logit_NM = torch.addmm(bias_M, both_N2D[:, : self.width], keys_MD.T, alpha=self.scale)
            attention_NBR = logit_NM.view(len(logit_NM), *regions.mask_BR.shape).softmax(dim=-1)
            value_NM = both_N2D[:, self.width :] @ values_MD.T
            return (attention_NBR * value_NM.view_as(attention_NBR)).sum(dim=-1)

        matched_BCQ = over_real_rows(matched, torch.cat(queries.tensors, dim=-1), queries.mask_CQ).permute(2, 0, 1)
        return matched_BCQ, mean_over_queries(matched_BCQ, queries.mask_CQ)
