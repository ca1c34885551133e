"""Graph (SGR) and gate (SAF) that reduce the similarity vectors of an image and a caption to one vector.

Diao et al., AAAI 2021 (SGRAF). Nodes are similarity vectors `[B, C, N, S]`: the first compares the whole image with the
whole caption, each further one a word with the vector that it attends to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import nn
from torch.nn.functional import linear

from unboxed.attention.normalize import CaptionBatchNorm, l2_normalize
from unboxed.attention.scan import xavier_linear

__all__ = ["AttentionFilter", "GraphReasoning", "GraphStep", "filtered"]


class GraphStep(nn.Module):
    """One step of self-attention among the nodes: `X ← ReLU(W (A X) + b)`, A the softmax of query–key products.

    Adding the same number to the logits of all keys does not change a softmax. With `q = Wq x + bq` and
    `k = Wk y + bk`, `q·k` may therefore be replaced by `(Wkᵀ Wq x + Wkᵀ bq)·y`: one layer instead of two, with the same
    result. The bias of the keys has no effect, and is left out.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.value = xavier_linear(width, width), xavier_linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        nn.init.xavier_uniform_(self.key.weight)
        self.kept: tuple[torch.Tensor, torch.Tensor] | None = None

    def merged(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight and bias of the layer that replaces queries and keys."""
        return self.key.weight.T @ self.query.weight, self.key.weight.T @ self.query.bias

    def forward(self, nodes: torch.Tensor, mask: torch.Tensor | None, first_only: bool = False) -> torch.Tensor:
        """`[..., N, S]` to the same, or with `first_only` to `[..., 1, S]`, the first node alone.

        Args:
            nodes: of which the first of each graph is real.
            mask: `[..., N]`, True for real nodes; broadcasts. None: all are.
            first_only: compute the first node only, as in the last step, after which the others are not used.
        """
        queries = nodes[..., :1, :] if first_only else nodes
        logit_vectors = linear(queries, *(self.kept if self.kept is not None else self.merged()))
        logits = logit_vectors @ nodes.transpose(-1, -2)
        if mask is not None:
            logits = logits.masked_fill(~mask[..., None, :], float("-inf"))
        found: torch.Tensor = self.value(logits.softmax(dim=-1) @ nodes)
        return found.relu()


class GraphReasoning(nn.Module):
    """SGR: a few graph steps; the first node is the result."""

    def __init__(self, width: int, steps: int = 3) -> None:
        super().__init__()
        self.steps = nn.ModuleList(GraphStep(width) for _ in range(steps))

    @contextmanager
    def merged(self) -> Iterator[None]:
        """A context in which the layers of each step are merged once and kept; the weights must not change in it."""
        steps = [cast(GraphStep, step) for step in self.steps]
        try:
            for step in steps:
                step.kept = step.merged()
            yield
        finally:
            for step in steps:
                step.kept = None

    def forward(self, nodes: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """`[..., N, S]` to `[..., S]`; without a mask, all nodes are real."""
        for number, step in enumerate(self.steps, start=1):
            nodes = step(nodes, mask, first_only=number == len(self.steps))
        return nodes[..., 0, :]


class AttentionFilter(nn.Module):
    """SAF: a gate in (0, 1) weights each node; the result is the weighted mean, scaled to unit length.

    In training, the batch norm of the gates computes its statistics from the real nodes of all pairs, or, with
    `by_caption`, from one caption with all images at a time, as in the reference implementation. In evaluation, both
    are equal.

    Args:
        width: S.
        by_caption: normalize the gates of each caption by themselves in training.
    """

    def __init__(self, width: int, by_caption: bool = False) -> None:
        super().__init__()
        self.gate = xavier_linear(width, 1)
        self.norm = CaptionBatchNorm()
        self.by_caption = by_caption

    def forward(self, nodes: torch.Tensor, mask: torch.Tensor | None = None, paired: bool = False) -> torch.Tensor:
        """`[B, C, N, S]` to `[B, C, S]`; without `by_caption`, `[..., N, S]` to `[..., S]`. No mask: all are real.

        With `paired`, of captions with one image each, `[C, 1, N, S]`, all are normalized together.
        """
        if mask is None:
            mask = torch.ones_like(nodes[..., 0], dtype=torch.bool)
        gate = self.gate(nodes)[..., 0]
        return filtered(nodes, self.opened(gate, mask, paired))

    def opened(self, gate: torch.Tensor, mask: torch.Tensor, paired: bool = False) -> torch.Tensor:
        """The normalized gates in (0, 1), 0 where not real, from the results `[B, C, N]` of `gate` and the mask."""
        real = mask.expand_as(gate)
        if self.by_caption and self.training and not paired:
            normal: torch.Tensor = self.norm(gate, real)
            return normal.sigmoid() * real
        opened = torch.zeros_like(gate)
        opened[real] = self.norm(gate[real][:, None])[:, 0].sigmoid()
        return opened

    def of_blocks(self, blocks: Sequence[torch.Tensor], masks: Sequence[torch.Tensor | None]) -> list[torch.Tensor]:
        """The results for blocks of nodes `[B, C, N, S]`; the batch norm's statistics are those of all real nodes.

        Args:
            blocks: the nodes.
            masks: `[C, N]` of each block, True for real nodes. None: all are.
        """
        gates = [self.gate(nodes)[..., 0] for nodes in blocks]
        reals = [
            torch.ones_like(gate, dtype=torch.bool) if mask is None else mask.expand_as(gate)
            for gate, mask in zip(gates, masks, strict=True)
        ]
        packed = torch.cat([gate[real] for gate, real in zip(gates, reals, strict=True)])
        opened = self.norm(packed[:, None])[:, 0].sigmoid().split([int(real.sum()) for real in reals])
        return [
            filtered(nodes, part.new_zeros(real.shape).masked_scatter(real, part))
            for nodes, real, part in zip(blocks, reals, opened, strict=True)
        ]


def filtered(nodes: torch.Tensor, opened: torch.Tensor) -> torch.Tensor:
    """The mean of nodes `[..., N, S]` weighted by gates `[..., N]`, scaled to unit length."""
    weight = opened / opened.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(opened.dtype).tiny)
    return l2_normalize((weight[..., None, :] @ nodes)[..., 0, :])
