"""Unit vectors of images and captions of the shapes that the papers work with, drawn by lot."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from unboxed.alignment.unit import unit

__all__ = ["Codes", "draw"]


@dataclass(frozen=True, eq=False)
class Codes:
    """Regions and words, padded with their masks, and the captions' real words by themselves.

    Attributes:
        regions_BRD, mask_BR: every region is real.
        words_CWD, mask_CW: padded to the longest caption.
        captions: the real words `[w, D]` of each caption.
    """

    regions_BRD: torch.Tensor
    mask_BR: torch.Tensor
    words_CWD: torch.Tensor
    mask_CW: torch.Tensor
    captions: tuple[torch.Tensor, ...]


def draw(
    images: int, captions: int, shortest: int = 8, longest: int = 20, regions: int = 36, width: int = 1024
) -> Codes:
    """The same vectors every time; captions of `shortest` to `longest` words, each length as often."""
    rng = torch.Generator().manual_seed(0)
    length_C = torch.randint(shortest, longest + 1, (captions,), generator=rng)
    # A common part makes cosines of both signs, and contents that are not all alike.
    regions_BRD = unit(torch.randn(images, regions, width, generator=rng) + 0.3)
    words_CWD = unit(torch.randn(captions, longest, width, generator=rng) + 0.3)
    mask_CW = torch.arange(longest) < length_C[:, None]
    words_CWD = words_CWD.masked_fill_(~mask_CW[..., None], 0)
    own = tuple(words[:length].clone() for words, length in zip(words_CWD, length_C.tolist(), strict=True))
    return Codes(regions_BRD, torch.ones(images, regions, dtype=torch.bool), words_CWD, mask_CW, own)
