"""From the attention of words to the scores of a phrase's regions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    import torch

__all__ = ["Pooling", "mean_weights", "pool_words"]

Pooling = Literal["max", "mean", "sum-log"]


def mean_weights(member_PQ: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """`[…, P, Q]` weights that make the mean over each phrase's own rows of Q; 0 for a phrase without any."""
    weight_PQ = member_PQ.to(dtype)
    return weight_PQ / weight_PQ.sum(dim=-1, keepdim=True).clamp(min=1)


def pool_words(attention_WR: torch.Tensor, phrase_PW: torch.Tensor, pooling: Pooling = "max") -> torch.Tensor:
    """Scores `[P, R]` of every region for every phrase, from the attention `[W, R]` of the phrase's words.

    Axes before these are kept.

    Args:
        attention_WR: rows sum to 1 over regions.
        phrase_PW: True where word w belongs to phrase p; each phrase has at least one word.
        pooling: `max` over the words (InfoGround's rule), their `mean`, or `sum-log`, the mean of their logarithms,
            under which a region must suit every word.
    """
    if pooling == "max":
        return attention_WR[..., None, :, :].masked_fill(~phrase_PW[..., None], 0).amax(dim=-2)
    weight_PW = mean_weights(phrase_PW, attention_WR.dtype)
    if pooling == "mean":
        return weight_PW @ attention_WR
    if pooling == "sum-log":
        return (weight_PW @ attention_WR.clamp(min=1e-9).log()).exp()
    raise ValueError(f"pooling is one of {get_args(Pooling)}, not {pooling!r}.")
