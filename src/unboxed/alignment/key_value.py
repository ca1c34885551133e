"""Key–value attention of words over regions (InfoGround, section 3.2).

A word's query meets every region's key, the softmax over the regions is the attention, and the evidence for the word is
the product of its own value with the attended region value. With `t_r = <value of the word, value of region r>` that
product is `Σ_r a_r t_r`: the attended value itself, of the joint width, is never built.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

__all__ = ["Alignment", "KeyValueAttention", "MaskedPerceptron"]


class Alignment(NamedTuple):
    """How words and regions fit, for every image and caption of a batch.

    Attributes:
        similarity_BCWR: logits of the attention; -inf at padded regions.
        attention_BCWR: softmax of the similarity over real regions; 0 at padded ones.
        value_BCWR: products of the words' values with the regions'.
        evidence_BCW: how well each word is matched by what it attends to.
    """

    similarity_BCWR: torch.Tensor
    attention_BCWR: torch.Tensor
    value_BCWR: torch.Tensor
    evidence_BCW: torch.Tensor


class MaskedPerceptron(nn.Module):
    """Linear – batch norm – ReLU blocks and a last linear map, over real rows only.

    Padded rows neither enter the batch statistics nor cost time, and come out as zeros.

    Args:
        layers: number of linear maps; 1 is a single one.
    """

    def __init__(self, input_width: int, hidden_width: int, output_width: int, layers: int = 2) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        width = input_width
        for _ in range(layers - 1):
            blocks += [nn.Linear(width, hidden_width), nn.BatchNorm1d(hidden_width), nn.ReLU()]
            width = hidden_width
        self.map = nn.Sequential(*blocks, nn.Linear(width, output_width))
        self.output_width = output_width

    def forward(self, rows: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`[..., input_width]` and a mask `[...]` to `[..., output_width]`."""
        output = rows.new_zeros(*mask.shape, self.output_width)
        output[mask] = self.map(rows[mask])
        return output


class KeyValueAttention(nn.Module):
    """Keys and values of regions, queries and values of words, each from a network of its own.

    Args:
        region_width: width V of a region's input.
        word_width: width H of a contextual word.
        joint_width: width D that keys, queries and values share.
        layers: linear maps of each network (the paper's default: 2).
    """

    def __init__(self, region_width: int, word_width: int, joint_width: int = 384, layers: int = 2) -> None:
        super().__init__()
        self.region_key = MaskedPerceptron(region_width, joint_width, joint_width, layers)
        self.region_value = MaskedPerceptron(region_width, joint_width, joint_width, layers)
        self.word_query = MaskedPerceptron(word_width, joint_width, joint_width, layers)
        self.word_value = MaskedPerceptron(word_width, joint_width, joint_width, layers)
        self.scale = joint_width**-0.5

    def regions(self, features_BRV: torch.Tensor, mask_BR: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values `[B, R, D]` of the regions."""
        return self.region_key(features_BRV, mask_BR), self.region_value(features_BRV, mask_BR)

    def words(self, words_CWH: torch.Tensor, mask_CW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries and values `[C, W, D]` of the words."""
        return self.word_query(words_CWH, mask_CW), self.word_value(words_CWH, mask_CW)

    def align(
        self,
        regions: tuple[torch.Tensor, torch.Tensor],
        region_mask_BR: torch.Tensor,
        words: tuple[torch.Tensor, torch.Tensor],
        prior_BR: torch.Tensor | None = None,
    ) -> Alignment:
        """Every word of every caption against every region of every image: one matrix product for keys, one for values.

        Padded words get some attention too; their evidence must be masked by whoever reads it. A prior is added to the
        logits of the attention.
        """
        (keys_BRD, values_BRD), (queries_CWD, word_values_CWD) = regions, words
        # Computed as [C, W, B, R], as the products leave them, and seen as [B, C, W, R]: nothing is copied.
        similarity_CWBR = _products(queries_CWD, keys_BRD) * self.scale
        if prior_BR is not None:
            similarity_CWBR = similarity_CWBR + prior_BR
        value_CWBR = _products(word_values_CWD, values_BRD)
        computed = _attend(similarity_CWBR, value_CWBR, region_mask_BR)
        return Alignment(
            similarity_BCWR=computed.similarity_BCWR.permute(2, 0, 1, 3),
            attention_BCWR=computed.attention_BCWR.permute(2, 0, 1, 3),
            value_BCWR=computed.value_BCWR.permute(2, 0, 1, 3),
            evidence_BCW=computed.evidence_BCW.permute(2, 0, 1),
        )

    def align_own(
        self,
        regions: tuple[torch.Tensor, torch.Tensor],
        region_mask_CR: torch.Tensor,
        words: tuple[torch.Tensor, torch.Tensor],
        prior_CR: torch.Tensor | None = None,
    ) -> Alignment:
        """Each caption's words against its own image's regions only, given row by row: axes `[1, C, W, R]`."""
        (keys_CRD, values_CRD), (queries_CWD, word_values_CWD) = regions, words
        similarity_CWR = torch.einsum("crd,cwd->cwr", keys_CRD, queries_CWD) * self.scale
        if prior_CR is not None:
            similarity_CWR = similarity_CWR + prior_CR[:, None]
        value_CWR = torch.einsum("crd,cwd->cwr", values_CRD, word_values_CWD)
        return _attend(similarity_CWR[None], value_CWR[None], region_mask_CR[None, :, None, :])


def _products(words_CWD: torch.Tensor, regions_BRD: torch.Tensor) -> torch.Tensor:
    """Every word with every region, `[C, W, B, R]`, as one matrix product."""
    products = words_CWD.flatten(0, 1) @ regions_BRD.flatten(0, 1).T
    return products.view(*words_CWD.shape[:2], *regions_BRD.shape[:2])


def _attend(similarity: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> Alignment:
    """Softmax over the last axis, the regions, where `mask` is True, and the evidence that it gathers."""
    similarity = similarity.masked_fill(~mask, float("-inf"))
    attention = similarity.softmax(dim=-1)
    return Alignment(similarity, attention, value, (attention * value).sum(dim=-1))
