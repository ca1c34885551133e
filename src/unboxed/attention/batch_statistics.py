"""Statistics of batch norms over a batch that is computed in shares: by chunks, by processes, or both."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from unboxed.attention.normalize import SharedBatchNorm
from unboxed.runtime.ranks import Ranks, sum_over_ranks

__all__ = ["BatchNorm", "Moments", "Statistics"]

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d


class Moments(NamedTuple):
    """What batch norms need of K shares, each of some values, by channel.

    Attributes:
        mean_KC: the means; 0 for a share without values.
        square_KC: the sums of squared differences from the means.
        count_K1: how many values a channel has.
    """

    mean_KC: torch.Tensor
    square_KC: torch.Tensor
    count_K1: torch.Tensor

    @staticmethod
    def of(norm: BatchNorm, values: torch.Tensor) -> Moments:
        """Those of one share, K = 1.

        Args:
            norm: the batch norm.
            values: its input, `[N, C, ...]`; for a `SharedBatchNorm` `[N, width]`.
        """
        values = values.to(norm.weight.dtype)
        values = values[:, None] if isinstance(norm, SharedBatchNorm) else values
        axes = [axis for axis in range(values.ndim) if axis != 1]
        count_K1 = values.new_tensor([[values.numel() // values.shape[1]]])
        mean = values.sum(dim=axes, keepdim=True) / count_K1.clamp(min=1).item()
        return Moments(mean.view(1, -1), (values - mean).square().sum(dim=axes)[None], count_K1)


class Statistics(NamedTuple):
    """Mean and variance of all shares, `[C]`."""

    mean_C: torch.Tensor
    variance_C: torch.Tensor

    @staticmethod
    def over_all(norm: BatchNorm, shares: Moments) -> Statistics:
        """Those of the shares of all processes, with gradients. The running statistics of the norm follow them.

        Values of which there are fewer than two have no variance: the result is then the running statistics, as in a
        norm of one process. All processes must call it for the same norms in the same order.
        """
        total = sum_over_ranks if Ranks.current().count > 1 else lambda own: own
        mean_KC, square_KC, count_K1 = shares
        sums = total(torch.cat([(mean_KC * count_K1).sum(dim=0), count_K1.sum(dim=0)]))
        count = float(sums[-1].detach())
        assert norm.running_mean is not None and norm.running_var is not None
        if count < 2:
            return Statistics(norm.running_mean.to(mean_KC.dtype), norm.running_var.to(mean_KC.dtype))
        mean_C = sums[:-1] / count
        variance_C = total((square_KC + count_K1 * (mean_KC - mean_C).square()).sum(dim=0)) / count
        _follow(norm, mean_C.detach(), variance_C.detach() * count / (count - 1))
        return Statistics(mean_C, variance_C)

    def normalized(self, norm: BatchNorm, values: torch.Tensor) -> torch.Tensor:
        """The output of the norm for the values of a share, see `Moments.of`."""
        if isinstance(norm, SharedBatchNorm):
            return self._normalized(norm, values[:, None])[:, 0]
        return self._normalized(norm, values)

    def _normalized(self, norm: BatchNorm, values: torch.Tensor) -> torch.Tensor:
        shape = [-1 if axis == 1 else 1 for axis in range(values.ndim)]
        normal = (values - self.mean_C.view(shape)) * (self.variance_C + norm.eps).rsqrt().view(shape)
        return (normal * norm.weight.view(shape) + norm.bias.view(shape)).to(values.dtype)


def _follow(norm: BatchNorm, mean_C: torch.Tensor, variance_C: torch.Tensor) -> None:
    """The running statistics, as PyTorch keeps them."""
    assert norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None
    with torch.no_grad():
        norm.num_batches_tracked += 1
        momentum = norm.momentum if norm.momentum is not None else 1 / float(norm.num_batches_tracked)
        norm.running_mean.lerp_(mean_C.to(norm.running_mean.dtype), momentum)
        norm.running_var.lerp_(variance_C.to(norm.running_var.dtype), momentum)
