"""Unit vectors of images and captions of the shapes that the papers work with, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from unboxed.attention.normalize import l2_normalize

__all__ = ["Codes", "draw"]


_AT_ONCE = 500  # images or captions that are drawn together, so that drawing needs little besides


@dataclass(frozen=True, eq=False)
class Codes:
    """Regions and words, padded, with their masks.

    Attributes:
        regions_BRD, mask_BR: every region is real.
        words_CWD, mask_CW: padded to the longest caption.
    """

    regions_BRD: torch.Tensor
    mask_BR: torch.Tensor
    words_CWD: torch.Tensor
    mask_CW: torch.Tensor

    @cached_property
    def captions(self) -> tuple[torch.Tensor, ...]:
        """The real words `[w, D]` of each caption."""
        return tuple(words[mask] for words, mask in zip(self.words_CWD, self.mask_CW, strict=True))


def draw(
    images: int, captions: int, shortest: int = 8, longest: int = 20, regions: int = 36, width: int = 1024
) -> Codes:
    """The same vectors every time; captions of `shortest` to `longest` words, each length as often."""
    rng = torch.Generator().manual_seed(0)
    length_C = torch.randint(shortest, longest + 1, (captions,), generator=rng)
    mask_CW = torch.arange(longest) < length_C[:, None]
    regions_BRD = _unit_vectors(images, regions, width, rng)
    words_CWD = _unit_vectors(captions, longest, width, rng).masked_fill_(~mask_CW[..., None], 0)
    return Codes(regions_BRD, torch.ones(images, regions, dtype=torch.bool), words_CWD, mask_CW)


def _unit_vectors(groups: int, rows: int, width: int, rng: torch.Generator) -> torch.Tensor:
    """`[groups, rows, width]`; a common part makes cosines of both signs, and contents that are not all alike."""
    vectors = torch.empty(groups, rows, width)
    for some in vectors.split(_AT_ONCE):
        some.copy_(l2_normalize(torch.randn(some.shape, generator=rng) + 0.3))
    return vectors
