"""From the similarity vectors of a pair to one vector: by a graph (SGR) or by a gate (SAF).

Diao et al., AAAI 2021 (SGRAF). Nodes are similarity vectors `[B, C, N, S]`: the first compares the whole image with the
whole caption, each further one a word with what it attends to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import nn
from torch.nn.functional import linear

from unboxed.attention.normalize import SharedBatchNorm, l2_normalize
from unboxed.attention.scan import xavier_linear

__all__ = ["AttentionFilter", "GraphReasoning", "GraphStep"]


class GraphStep(nn.Module):
    """One exchange among all nodes: `X ← ReLU(W (A X) + b)`, A the softmax of the products of queries and keys.

    The softmax over keys does not see what is the same for all keys. With `q = Wq x + bq` and `k = Wk y + bk`, `q·k`
    may therefore be `(Wkᵀ Wq x + Wkᵀ bq)·y`: one map instead of two, and the same result. A key's bias has no part in
    it, and there is none.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.value = xavier_linear(width, width), xavier_linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        nn.init.xavier_uniform_(self.key.weight)
        self.held: tuple[torch.Tensor, torch.Tensor] | None = None

    def merged(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight and bias of the one map."""
        return self.key.weight.T @ self.query.weight, self.key.weight.T @ self.query.bias

    def forward(self, nodes: torch.Tensor, mask: torch.Tensor, first_only: bool = False) -> torch.Tensor:
        """`[..., N, S]` to the same, or with `first_only` to `[..., 1, S]`, the first node alone.

        Args:
            nodes: the first of each graph is real.
            mask: `[..., N]`, True for real nodes; broadcasts.
            first_only: the other nodes are not looked at any more after the last step.
        """
        asking = nodes[..., :1, :] if first_only else nodes
        asked = linear(asking, *(self.held if self.held is not None else self.merged()))
        logits = (asked @ nodes.transpose(-1, -2)).masked_fill(~mask[..., None, :], float("-inf"))
        found: torch.Tensor = self.value(logits.softmax(dim=-1) @ nodes)
        return found.relu()


class GraphReasoning(nn.Module):
    """SGR: a few steps of exchange, and the first node is the result."""

    def __init__(self, width: int, steps: int = 3) -> None:
        super().__init__()
        self.steps = nn.ModuleList(GraphStep(width) for _ in range(steps))

    @contextmanager
    def merged(self) -> Iterator[None]:
        """While it is open, each step's maps are merged once and held; the weights must stay what they are."""
        steps = [cast(GraphStep, step) for step in self.steps]
        try:
            for step in steps:
                step.held = step.merged()
            yield
        finally:
            for step in steps:
                step.held = None

    def forward(self, nodes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`[..., N, S]` to `[..., S]`."""
        for number, step in enumerate(self.steps, start=1):
            nodes = step(nodes, mask, first_only=number == len(self.steps))
        return nodes[..., 0, :]


class AttentionFilter(nn.Module):
    """SAF: each node has a gate in (0, 1), and the result is their weighted mean, of unit length.

    The gates' batch norm takes its statistics in training from the real nodes of all pairs at once. The reference works
    caption by caption and takes them from one caption with all images; trained, in evaluation, both are the same.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = xavier_linear(width, 1)
        self.norm = SharedBatchNorm()

    def forward(self, nodes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`[..., N, S]` to `[..., S]`."""
        gate = self.gate(nodes)[..., 0]
        real = mask.expand_as(gate)
        opened = torch.zeros_like(gate)
        opened[real] = self.norm(gate[real][:, None])[:, 0].sigmoid()
        weight = opened / opened.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(opened.dtype).tiny)
        return l2_normalize((weight[..., None, :] @ nodes)[..., 0, :])
