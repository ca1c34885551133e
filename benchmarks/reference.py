"""Scoring as in the original implementations of SCAN, BFAN and SGRAF, in float32: the references of the benchmarks.

Captions are processed one by one: each is cut to its length, repeated for every image, attends, and the attended
features of the joint width D are built for every image, word and region. Images come in shards, as in the originals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn.functional import leaky_relu, normalize, softmax

from unboxed.attention.sgraf import SimilarityReasoning
from unboxed.attention.sgraf_heads import AttentionFilter, GraphReasoning, GraphStep

__all__ = ["attended", "cosine_scores", "focal_equal", "hinge", "reasoning_scores", "sharded"]

_EPSILON = 1e-8
Focal = Callable[[torch.Tensor], torch.Tensor]


def attended(
    queries_BQD: torch.Tensor, contexts_BND: torch.Tensor, sharpness: float, focal: Focal | None = None
) -> torch.Tensor:
    """Attended features `[B, Q, D]` of the queries: `func_attention` of SCAN and BFAN."""
    attention_BNQ = torch.bmm(contexts_BND, queries_BQD.transpose(1, 2))
    attention_BNQ = leaky_relu(attention_BNQ, 0.1)
    attention_BNQ = attention_BNQ / (attention_BNQ.pow(2).sum(dim=2, keepdim=True).sqrt() + _EPSILON)
    attention_BQN = softmax(attention_BNQ.transpose(1, 2).contiguous() * sharpness, dim=2)
    if focal is not None:
        attention_BQN = focal(attention_BQN)
    return torch.bmm(contexts_BND.transpose(1, 2), attention_BQN.transpose(1, 2).contiguous()).transpose(1, 2)


def focal_equal(attention_BQN: torch.Tensor) -> torch.Tensor:
    """`focal_equal` of BFAN: attention weights below the mean become 0."""
    above_mean_BQN = attention_BQN * attention_BQN.shape[2] - attention_BQN.sum(dim=2, keepdim=True)
    kept_BQN = torch.where(above_mean_BQN > 0, torch.ones_like(attention_BQN), torch.zeros_like(attention_BQN))
    focused_BQN = kept_BQN * attention_BQN
    return focused_BQN / focused_BQN.sum(dim=2, keepdim=True)


def cosine(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """`cosine_similarity` of the originals, along the last axis."""
    lengths: torch.Tensor = one.norm(dim=-1) * other.norm(dim=-1)
    return (one * other).sum(dim=-1) / lengths.clamp(min=_EPSILON)


def cosine_scores(method: str, regions_BRD: torch.Tensor, captions: Sequence[torch.Tensor]) -> torch.Tensor:
    """Scores `[B, C]` of `t2i` and `i2t` (SCAN, mean) and `bfan` (focal_equal), caption by caption.

    Args:
        method: `t2i`, `i2t` or `bfan`.
        regions_BRD: unit vectors.
        captions: unit vectors `[W, D]` of the words of each caption.
    """
    columns = []
    for words_WD in captions:
        words_BWD = words_WD[None].repeat(len(regions_BRD), 1, 1)
        score_B = regions_BRD.new_zeros(len(regions_BRD))
        if method in ("t2i", "bfan"):
            sharpness, focal = (9.0, None) if method == "t2i" else (20.0, focal_equal)
            attended_BWD = attended(words_BWD, regions_BRD, sharpness, focal).contiguous()
            score_B = score_B + cosine(words_BWD, attended_BWD).mean(dim=1)
        if method in ("i2t", "bfan"):
            sharpness, focal = (4.0, None) if method == "i2t" else (20.0, focal_equal)
            attended_BRD = attended(regions_BRD, words_BWD, sharpness, focal)
            score_B = score_B + cosine(regions_BRD, attended_BRD).mean(dim=1)
        columns.append(score_B)
    return torch.stack(columns, dim=1)


def sharded(method: str, regions_BRD: torch.Tensor, captions: Sequence[torch.Tensor], shard: int = 128) -> torch.Tensor:
    """`cosine_scores` of one shard of images at a time."""
    return torch.cat([cosine_scores(method, part, captions) for part in torch.split(regions_BRD, shard)])


def hinge(score_BC: torch.Tensor, margin: float = 0.2) -> torch.Tensor:
    """The hinge loss with hardest negatives of the originals; caption c is paired with image c."""
    paired_B = score_BC.diag()
    others = score_BC.masked_fill(torch.eye(len(score_BC), dtype=torch.bool), -1.0)
    to_captions = (margin + others - paired_B[:, None]).clamp(min=0).max(dim=1).values
    to_images = (margin + others - paired_B[None]).clamp(min=0).max(dim=0).values
    return to_captions.sum() + to_images.sum()


def reasoning_scores(
    model: SimilarityReasoning, regions_BRD: torch.Tensor, image_BD: torch.Tensor, captions: Sequence[torch.Tensor],
    caption_CD: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    """Scores `[B, C]` of SGRAF, caption by caption, with the weights of a `SimilarityReasoning` model.

    Args:
        model: in evaluation mode.
        regions_BRD, image_BD: unit vectors of the regions and of each whole image.
        captions, caption_CD: unit vectors of the words `[W, D]` of each caption and of each whole caption.
    """
    columns = []
    for words_WD, whole_D in zip(captions, caption_CD, strict=True):
        words_BWD = words_WD[None].repeat(len(regions_BRD), 1, 1)
        attended_BWD = normalize(attended(words_BWD, regions_BRD, 9.0), dim=-1)
        local_BWS = normalize(model.compare_local((attended_BWD - words_BWD).pow(2)), dim=-1)
        whole_BS = normalize(model.compare_whole((image_BD - whole_D).pow(2)), dim=-1)
        nodes_BNS = torch.cat([whole_BS[:, None], local_BWS], dim=1)
        if isinstance(model.head, GraphReasoning):
            for step in model.head.steps:
                assert isinstance(step, GraphStep)
                edges_BNN = softmax(torch.bmm(step.query(nodes_BNS), step.key(nodes_BNS).transpose(1, 2)), dim=-1)
                nodes_BNS = torch.relu(step.value(torch.bmm(edges_BNN, nodes_BNS)))
            result_BS = nodes_BNS[:, 0]
        else:
            assert isinstance(model.head, AttentionFilter)
            gate_BN = model.head.norm(model.head.gate(nodes_BNS)[..., 0].flatten()[:, None]).view(nodes_BNS.shape[:2])
            share_BN = torch.sigmoid(gate_BN)
            share_BN = share_BN / share_BN.sum(dim=1, keepdim=True)
            result_BS = normalize((share_BN[:, None] @ nodes_BNS)[:, 0], dim=-1)
        columns.append(torch.sigmoid(model.score(result_BS))[:, 0])
    return torch.stack(columns, dim=1)
