"""A GRU over captions of different lengths in few large operations, for the CPU.

`torch.nn.GRU` reads the directions one after the other, and its gradient multiplies the matrices of every time step by
themselves. Here both directions are read together: the backward direction reads each caption from its last word, so
that at step t both have the captions of more than t words to read. The gradient of all weights is one product each, and
its factors, the derivatives of the gates, are computed for all words at once.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

__all__ = ["gates", "gru_states"]


def gru_states(gru: nn.GRU, inputs_CWE: torch.Tensor, mask_CW: torch.Tensor) -> torch.Tensor:
    """The states `[C, W, K H]` of a GRU of one layer in K directions, the forward one first; zero where padded.

    Equal to `gru` over a packed sequence, gradient included, but for rounding.

    Args:
        gru: of one layer, with biases.
        inputs_CWE: word vectors.
        mask_CW: True for real words, which stand before all padding.
    """
    directions = 2 if gru.bidirectional else 1
    weights = [
        torch.stack([getattr(gru, f"{name}_l0{suffix}") for suffix in ("", "_reverse")[:directions]])
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    length_C = mask_CW.sum(dim=1)
    place_KN, starts = _places(length_C, mask_CW.shape[1], directions)
    inputs_KNE = inputs_CWE.flatten(0, 1).index_select(0, place_KN.flatten()).view(*place_KN.shape, -1)
    entering_KNG = torch.baddbmm(weights[2][:, None], inputs_KNE, weights[0].transpose(1, 2))
    state_KNH: torch.Tensor = _Recurrence.apply(entering_KNG, weights[1], weights[3], starts)  # type: ignore[no-untyped-call]
    rows = mask_CW.numel()
    parts = [
        state_KNH.new_zeros(rows, state_KNH.shape[2]).index_copy(0, place_N, state_NH)
        for place_N, state_NH in zip(place_KN, state_KNH, strict=True)
    ]
    return torch.cat(parts, dim=1).view(*mask_CW.shape, -1)


def gates(entering: torch.Tensor, kept: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """The next state `[..., H]`; the same as that of `torch.nn.GRUCell`.

    Args:
        entering: `[..., 3 H]`, the linear map of the input, for the reset gate, the update gate and the new state.
        kept: `[..., 3 H]`, that of the state.
        state: `[..., H]`, the state before; broadcasts, as `kept` does.
    """
    reset_in, update_in, new_in = entering.chunk(3, dim=-1)
    reset_kept, update_kept, new_kept = kept.chunk(3, dim=-1)
    update = (update_in + update_kept).sigmoid()
    new = (new_in + (reset_in + reset_kept).sigmoid() * new_kept).tanh()
    return new + update * (state - new)


def _places(length_C: torch.Tensor, words: int, directions: int) -> tuple[torch.Tensor, list[int]]:
    """Rows of `[C W]` in the order in which they are read, step by step, `[K, N]`; and the first word of each step.

    At each step the longest captions come first, so that those still to be read are always the first ones.
    """
    order_C = length_C.argsort(descending=True, stable=True)
    sorted_C = length_C[order_C]
    step_T = torch.arange(int(sorted_C[0]) if len(sorted_C) else 0)
    reads_TC = step_T[:, None] < sorted_C
    step_N, caption_N = reads_TC.nonzero(as_tuple=True)
    first_N = order_C[caption_N] * words
    place_KN = torch.stack([first_N + step_N, first_N + sorted_C[caption_N] - 1 - step_N][:directions])
    starts = [0, *reads_TC.sum(dim=1).cumsum(0).tolist()]
    return place_KN, starts


def _by_step(starts: list[int], *parts: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
    """The words of each step of tensors `[K, N, …]`, cut at once: a slice at a time takes as long as the gates do."""
    sizes = [stop - first for first, stop in pairwise(starts)]
    return list(zip(*(torch.split(part, sizes, dim=1) for part in parts), strict=True))


class _Recurrence(torch.autograd.Function):
    """The states of K directions, read step by step, from the linear maps of the inputs."""

    @staticmethod
    def forward(
        ctx: Any, entering_KNG: torch.Tensor, weight_KGH: torch.Tensor, bias_KG: torch.Tensor, starts: list[int]
    ) -> torch.Tensor:
        directions, words, width = (*entering_KNG.shape[:2], weight_KGH.shape[2])
        state_KNH, before_KNH, new_KNH, kept_KNH = (entering_KNG.new_empty(directions, words, width) for _ in range(4))
        both_KNG = entering_KNG.new_empty(directions, words, 2 * width)
        weight_KHG, bias_K1G = weight_KGH.transpose(1, 2), bias_KG[:, None]
        last_KBH = entering_KNG.new_zeros(directions, starts[1] if words else 0, width)
        for before, to_both, both, reset, update, to_new, new, kept, state in _by_step(
            starts,
            before_KNH,
            entering_KNG[..., : 2 * width],
            both_KNG,
            both_KNG[..., :width],
            both_KNG[..., width:],
            entering_KNG[..., 2 * width :],
            new_KNH,
            kept_KNH,
            state_KNH,
        ):
            before.copy_(last_KBH[:, : before.shape[1]])
            kept_KBG = torch.baddbmm(bias_K1G, before, weight_KHG)
            kept_both, kept_new = torch.split(kept_KBG, [2 * width, width], dim=2)
            torch.add(to_both, kept_both, out=both).sigmoid_()
            kept.copy_(kept_new)
            torch.addcmul(to_new, reset, kept_new, out=new).tanh_()
            last_KBH = torch.lerp(new, before, update, out=state)
        ctx.starts = starts
        ctx.save_for_backward(weight_KGH, before_KNH, both_KNG, new_KNH, kept_KNH)
        return state_KNH

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_KNH: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        weight_KGH, before_KNH, both_KNG, new_KNH, kept_KNH = ctx.saved_tensors
        width = weight_KGH.shape[2]
        reset_KNH, update_KNH = both_KNG[..., :width], both_KNG[..., width:]
        # Derivatives of the state with respect to what enters the gates; those of the reset gate and of the new state
        # with respect to the map of the state before differ from these by the reset gate alone.
        to_new_KNH = (1 - update_KNH) * (1 - new_KNH.square())
        to_kept_KNH = to_new_KNH * reset_KNH
        factor_KN3H = torch.stack(
            [
                to_kept_KNH * (1 - reset_KNH) * kept_KNH,
                (before_KNH - new_KNH) * update_KNH * (1 - update_KNH),
                to_kept_KNH,
            ],
            dim=2,
        )
        total_KNH = gradient_KNH.contiguous().clone()
        gradient_KN3H = torch.empty_like(factor_KN3H)
        carried_KBH = None
        steps = _by_step(ctx.starts, total_KNH, total_KNH[:, :, None], factor_KN3H, gradient_KN3H, update_KNH)
        for total, total_1H, factor, gradient, update in reversed(steps):
            if carried_KBH is not None:
                total[:, : carried_KBH.shape[1]].add_(carried_KBH)
            torch.mul(total_1H, factor, out=gradient)
            carried_KBH = torch.baddbmm(total * update, gradient.flatten(2), weight_KGH)
        kept_KNG = gradient_KN3H.flatten(2)
        weight_gradient_KGH = kept_KNG.transpose(1, 2) @ before_KNH
        bias_gradient_KG = kept_KNG.sum(dim=1)
        torch.mul(total_KNH, to_new_KNH, out=gradient_KN3H[:, :, 2])  # in place: the map of the state is used up
        return kept_KNG, weight_gradient_KGH, bias_gradient_KG, None
