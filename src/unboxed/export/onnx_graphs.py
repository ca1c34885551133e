"""A model as four modules that `torch.onnx` can write: regions, text, alignment, ranking.

They compute what the model computes, in operations that ONNX has: padded rows are computed and set to zero instead of
being left out, and the GRU or LSTM is the operator of ONNX, which takes the lengths of the captions.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from unboxed.attention.base import QueryEmbeddings, RegionEmbeddings
from unboxed.attention.ranking import RegionTerms, phrase_scores, ranked_scores
from unboxed.boxes import tensor_iou
from unboxed.text.recurrent import RecurrentEncoder, pooled
from unboxed.types import detected

if TYPE_CHECKING:
    from unboxed.inference.run_config import RunConfig
    from unboxed.recipes.model import MatchingModel

__all__ = ["OPSET", "AlignmentGraph", "RankingGraph", "RegionGraph", "TextGraph", "exportable"]

OPSET = 18
_BIASES = ("bias_ih", "bias_hh")


def exportable(model: MatchingModel) -> MatchingModel:
    """A copy of the model in evaluation mode, without gradients."""
    return deepcopy(model).eval().requires_grad_(False)


class RegionGraph(nn.Module):
    """From the regions of an extractor to their embeddings."""

    columns: torch.Tensor

    def __init__(self, config: RunConfig, model: MatchingModel) -> None:
        super().__init__()
        self.model = model
        self.features_alone = config.options.region_inputs == "features"
        self.register_buffer("columns", torch.from_numpy(config.columns.nonzero()[0]))

    def forward(
        self,
        boxes_BR4: torch.Tensor,
        size_B2: torch.Tensor,
        mask_BR: torch.Tensor,
        features_BRV: torch.Tensor | None = None,
        class_probs_BRK: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """The tensors of `RegionEmbeddings`; boxes are in pixels, `size_B2` has width and height of the images."""
        edges_BR4 = boxes_BR4 / torch.cat([size_B2, size_B2], dim=1)[:, None]
        extent_BR2 = (edges_BR4[..., 2:] - edges_BR4[..., :2]).clamp(min=0)
        area_BR1 = extent_BR2[..., :1] * extent_BR2[..., 1:]
        centre_BR2 = (edges_BR4[..., :2] + edges_BR4[..., 2:]) / 2 - 0.5
        distance_BR1 = centre_BR2.square().sum(dim=-1, keepdim=True).sqrt()
        parts = [] if features_BRV is None else [features_BRV[..., self.columns]]
        parts += [] if class_probs_BRK is None else [class_probs_BRK.clamp(0, 1).sqrt()]
        geometry = [edges_BR4, extent_BR2, area_BR1, area_BR1.sqrt(), distance_BR1]
        inputs_BRV = torch.cat(parts if self.features_alone else [*parts, *geometry], dim=-1)
        inputs_BRV = self.model.standardise(inputs_BRV, mask_BR)
        if self.model.region_layer is not None:
            inputs_BRV = self.model.region_layer(inputs_BRV).relu() * mask_BR[..., None]
        return self.model.aligner.embed_regions(inputs_BRV, edges_BR4 * mask_BR[..., None], mask_BR).tensors


class TextGraph(nn.Module):
    """From word ids to the states of words, and to the embeddings of queries: of words, or of words pooled."""

    weight_ih: torch.Tensor
    weight_hh: torch.Tensor
    bias: torch.Tensor

    def __init__(self, model: MatchingModel) -> None:
        super().__init__()
        self.model = model
        text = cast(RecurrentEncoder, model.text)
        self.reading, self.hidden_width = text.settings, text.network.hidden_size
        ways = ("", "_reverse") if self.reading.bidirectional else ("",)
        for name in ("weight_ih", "weight_hh"):
            rows = [_onnx_gates(getattr(text.network, f"{name}_l0{way}"), self.reading.cell) for way in ways]
            self.register_buffer(name, torch.stack(rows))
        biases = [
            torch.cat([_onnx_gates(getattr(text.network, f"{name}_l0{way}"), self.reading.cell) for name in _BIASES])
            for way in ways
        ]
        self.register_buffer("bias", torch.stack(biases))

    def forward(
        self, tokens_CW: torch.Tensor, mask_CW: torch.Tensor, member_CQW: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """The states of the words, the mask of the queries, and the tensors of `QueryEmbeddings`."""
        embedded_CWE = cast(RecurrentEncoder, self.model.text).embedding(tokens_CW)
        context_WDCH = self._context(embedded_CWE, mask_CW)
        if self.reading.word_state == "mean":
            words_CWH = context_WDCH.mean(dim=1).transpose(0, 1) * mask_CW[..., None]
        else:
            context_CWH = context_WDCH.permute(2, 0, 1, 3).flatten(2)
            words_CWH = torch.cat([embedded_CWE, context_CWH], dim=2) * mask_CW[..., None]
        mask_CQ = member_CQW.any(dim=-1)
        queries_CQH = pooled(words_CWH, member_CQW, self.reading.phrase_pooling)
        return words_CWH, mask_CQ, *self.model.aligner.embed_queries(queries_CQH, mask_CQ).tensors

    def _context(self, embedded_CWE: torch.Tensor, mask_CW: torch.Tensor) -> torch.Tensor:
        """The states `[W, D, C, H]` of the D directions, by the operator of ONNX."""
        rows_WCE, length_C = embedded_CWE.transpose(0, 1), mask_CW.sum(dim=1).to(torch.int32)
        both = self.reading.bidirectional
        attributes: dict[str, Any] = {"hidden_size": self.hidden_width}
        attributes["direction"] = "bidirectional" if both else "forward"
        if self.reading.cell == "gru":
            attributes["linear_before_reset"] = 1  # as in PyTorch
        found: torch.Tensor = torch.onnx.ops.symbolic(
            self.reading.cell.upper(),
            [rows_WCE, self.weight_ih, self.weight_hh, self.bias, length_C],
            attributes,
            dtype=torch.float32,
            shape=[rows_WCE.shape[0], 1 + both, rows_WCE.shape[1], self.hidden_width],
            version=OPSET,
        )
        return found


def _onnx_gates(weights: torch.Tensor, cell: str) -> torch.Tensor:
    """The rows of the gates in the order of ONNX. A GRU has update, reset, new there, and reset, update, new here; an
    LSTM input, output, forget, new there, and input, forget, new, output here."""
    if cell == "gru":
        reset, update, new = weights.detach().chunk(3)
        return torch.cat([update, reset, new])
    entering, forget, new, output = weights.detach().chunk(4)
    return torch.cat([entering, output, forget, new])


class AlignmentGraph(nn.Module):
    """From both embeddings to the fields of `Alignment` for every image and caption."""

    def __init__(self, model: MatchingModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        region_tensors: list[torch.Tensor],
        region_mask_BR: torch.Tensor,
        query_tensors: list[torch.Tensor],
        query_mask_CQ: torch.Tensor,
        prior_BCQR: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """The fields of `Alignment`, in order."""
        regions = RegionEmbeddings(tuple(region_tensors), region_mask_BR)
        queries = QueryEmbeddings(tuple(query_tensors), query_mask_CQ)
        return tuple(self.model.aligner.align(regions, queries, prior_BCQR=prior_BCQR))


class RankingGraph(nn.Module):
    """From the attention of one caption in one image to the scores of the regions of its phrases."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.ranking = config.ranking
        self.detected = [k for k, known in enumerate(detected(config.class_names).tolist()) if known]

    def forward(
        self,
        attention_QR: torch.Tensor,
        value_QR: torch.Tensor,
        member_PQ: torch.Tensor,
        content_Q: torch.Tensor,
        boxes_R4: torch.Tensor,
        class_probs_RK: torch.Tensor | None = None,
        prior_PR: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The scores `[P, R]`; `member_PQ` is True where query q belongs to phrase p."""
        score_PR = phrase_scores(attention_QR, value_QR, member_PQ, content_Q, self.ranking)
        confidence_R = None if class_probs_RK is None else class_probs_RK[:, self.detected].amax(dim=1)
        area_R = (boxes_R4[:, 2:] - boxes_R4[:, :2]).clamp(min=0).prod(dim=1) if self.ranking.area_weight else None
        terms = RegionTerms(tensor_iou(boxes_R4, boxes_R4), confidence_R, area_R)
        return ranked_scores(score_PR, terms, self.ranking, prior_PR)
