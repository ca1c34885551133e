"""Ragged groups of rows (a caption's words, an image's regions) laid end to end in bins of one size.

A tile of the GPU kernel is one bin of queries against one bin of contexts. Groups never straddle bins, and where they
are longest first little is left over: three images of 36 regions fill 108 rows of 128, captions of 8 to 20 words about
nineteen in twenty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["SLOTS", "Bins", "plan_bins"]

SLOTS = 16  # groups in a bin; a sum over each of them is a matrix product of this width


@dataclass(frozen=True)
class Bins:
    """Where every real row of the groups goes.

    Attributes:
        size: rows of a bin.
        source_T: the real rows, as places in the flattened groups `[G · L]`.
        target_T: where each of them goes, as places in the flattened bins `[N · size]`.
        slot_NS: which of its bin's groups a row belongs to, `[N, size]`, int32; -1 where there is no row.
        group_NP: which group is in which slot, `[N, SLOTS]`, int32; -1 where there is none.
    """

    size: int
    source_T: torch.Tensor
    target_T: torch.Tensor
    slot_NS: torch.Tensor
    group_NP: torch.Tensor

    def __len__(self) -> int:
        return len(self.slot_NS)

    def packed(self, rows_GLD: torch.Tensor, width: int, dtype: torch.dtype) -> torch.Tensor:
        """The real rows in their bins, `[N · size, width]`; zero where there is no row and beyond the width D."""
        real_TD = rows_GLD.flatten(0, 1).index_select(0, self.source_T).to(dtype)
        if width > real_TD.shape[1]:
            real_TD = torch.nn.functional.pad(real_TD, (0, width - real_TD.shape[1]))
        return real_TD.new_zeros(len(self) * self.size, width).index_copy(0, self.target_T, real_TD)


def plan_bins(mask_GL: torch.Tensor, size: int) -> Bins:
    """Lay the groups into bins of `size` rows, longest first; groups without a real row are in none.

    The mask is read on the host, which waits for the device once.

    Args:
        mask_GL: True for real rows, on any device; the plan's tensors are put on the same one.
        size: at least the longest group's count of rows.

    Raises:
        ValueError: a group is longer than a bin.
    """
    mask = mask_GL.cpu().numpy()
    length_G: npt.NDArray[np.int64] = mask.sum(axis=1, dtype=np.int64)
    if len(length_G) and length_G.max() > size:
        raise ValueError(f"A group has {length_G.max()} rows; a bin has {size}.")
    order = np.argsort(-length_G, kind="stable")
    order = order[length_G[order] > 0]
    bin_of, slot_of, first_of = _next_fit(length_G[order].tolist(), size)
    count = bin_of[-1] + 1 if bin_of else 0
    group_NP = np.full((count, SLOTS), -1, np.int32)
    group_NP[bin_of, slot_of] = order
    first_G = np.zeros(len(length_G), np.int64)
    slot_G = np.zeros(len(length_G), np.int32)
    first_G[order] = np.array(bin_of, np.int64) * size + np.array(first_of, np.int64)
    slot_G[order] = slot_of
    group_T, place_T = np.nonzero(mask)
    target_T = first_G[group_T] + (mask.cumsum(axis=1) - 1)[group_T, place_T]
    slot_NS = np.full(count * size, -1, np.int32)
    slot_NS[target_T] = slot_G[group_T]
    device = mask_GL.device
    return Bins(
        size=size,
        source_T=torch.from_numpy(group_T * mask.shape[1] + place_T).to(device),
        target_T=torch.from_numpy(target_T).to(device),
        slot_NS=torch.from_numpy(slot_NS.reshape(count, size)).to(device),
        group_NP=torch.from_numpy(group_NP).to(device),
    )


def _next_fit(lengths: list[int], size: int) -> tuple[list[int], list[int], list[int]]:
    """The bin, the slot and the first row of each group: a new bin whenever the next group no longer fits."""
    bin_of, slot_of, first_of = [], [], []
    number, slot, used = -1, SLOTS, size
    for length in lengths:
        if slot == SLOTS or used + length > size:
            number, slot, used = number + 1, 0, 0
        bin_of.append(number)
        slot_of.append(slot)
        first_of.append(used)
        slot, used = slot + 1, used + length
    return bin_of, slot_of, first_of
