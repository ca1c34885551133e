"""Random embeddings of images and captions with the shapes of the papers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from unboxed.attention.normalize import l2_normalize

__all__ = ["RandomEmbeddings", "random_embeddings"]

_CHUNK = 500  # images or captions that are sampled at once, to bound the temporary memory


@dataclass(frozen=True, eq=False)
class RandomEmbeddings:
    """Unit vectors of regions and words, padded, with their masks.

    Attributes:
        regions_BRD, mask_BR: without padding; the mask is True everywhere.
        words_CWD, mask_CW: padded to the longest caption.
    """

    regions_BRD: torch.Tensor
    mask_BR: torch.Tensor
    words_CWD: torch.Tensor
    mask_CW: torch.Tensor

    @cached_property
    def captions(self) -> tuple[torch.Tensor, ...]:
        """The words `[W, D]` of each caption without padding."""
        return tuple(words_WD[mask_W] for words_WD, mask_W in zip(self.words_CWD, self.mask_CW, strict=True))


def random_embeddings(
    images: int, captions: int, shortest: int = 8, longest: int = 20, regions: int = 36, width: int = 1024
) -> RandomEmbeddings:
    """The same embeddings for the same sizes; lengths of captions are uniform from `shortest` to `longest` words."""
    rng = torch.Generator().manual_seed(0)
    length_C = torch.randint(shortest, longest + 1, (captions,), generator=rng)
    mask_CW = torch.arange(longest) < length_C[:, None]
    regions_BRD = _unit_vectors(images, regions, width, rng)
    words_CWD = _unit_vectors(captions, longest, width, rng).masked_fill_(~mask_CW[..., None], 0)
    return RandomEmbeddings(regions_BRD, torch.ones(images, regions, dtype=torch.bool), words_CWD, mask_CW)


def _unit_vectors(groups: int, rows: int, width: int, rng: torch.Generator) -> torch.Tensor:
    """`[groups, rows, width]`; the common offset makes most cosines positive, as those of trained models are."""
    vectors = torch.empty(groups, rows, width)
    for chunk in torch.split(vectors, _CHUNK):
        chunk.copy_(l2_normalize(torch.randn(chunk.shape, generator=rng) + 0.3))
    return vectors
