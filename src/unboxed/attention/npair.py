"""The match map of words and grid cells (Das et al. 2019), and the convolutional networks that encode the cells.

`M[t, y, x] = <h_t, F[:, y, x]>` is how well word t fits the cell at row y and column x. No attention is trained: the
score of image and caption is a reduction of the map. Training for retrieval alone makes words localize.

Cells are regions in the row-by-row order of `regions.sources.geometry`. The networks look at neighbouring cells, so
they need the whole square grid.
"""

from __future__ import annotations

from math import isqrt
from typing import Literal

import torch
from torch import nn

from unboxed.attention.base import (
    Aligner,
    Alignment,
    QueryEmbeddings,
    RegionEmbeddings,
    mean_over_queries,
    pair_mask,
    pair_products,
)
from unboxed.errors import RegionsError
from unboxed.runtime.counts import require_literal

__all__ = ["FeatureCells", "MatchMap", "PixelCells", "Reduction", "pixels_of"]

_COLOURS = 3

Reduction = Literal["mean", "max-cells", "max-rows", "max-words", "soft-cells"]


class MatchMap(Aligner):
    """Products of queries and grid cells, reduced to a score.

    Reductions, over real queries and real cells only; a caption without queries scores 0:

        mean        mean over queries and cells (`Avg_Both`); equal to the product of the two means
        max-cells   the best cell of each query, over both axes of the map; mean over queries (what `Max_Img` means)
        max-rows    the best cell of each column of the map; mean over columns and queries (`Max_Img` as released)
        max-words   the best query of each cell; mean over cells (`Max_Text`)
        soft-cells  the logarithm of the mean exponential over cells, a smooth maximum whose gradient is the attention;
                    mean over queries (not in the paper)

    Vectors are not normalized, and the map is not scaled.

    Args:
        cells: a module from inputs `[B, R, V]` and their mask `[B, R]` to cells `[B, R, D]`: `PixelCells`,
            `FeatureCells`, or `MaskedMLP` for regions that are no grid.
        query_width: number of leading columns of a query's state that are used. The states of a recurrent encoder
            begin with the vectors of the words, which do not depend on the context.
        joint_width: width D of the cells.
        reduction: how the map becomes a score.
        hidden: share of the cells, in [0, 1), that are masked at random in each training step (hide-and-seek, not in
            the paper): where the best cell of a word is masked, other cells of the same thing learn to match it.

    Raises:
        ValueError: an unknown reduction.
    """

    uses_prior = True

    def __init__(
        self,
        cells: nn.Module,
        query_width: int | None,
        joint_width: int = 256,
        reduction: Reduction = "mean",
        hidden: float = 0.0,
    ) -> None:
        super().__init__()
        require_literal("reduction", reduction, Reduction)
        self.cells = cells
        self.query_width = query_width
        self.query = nn.Identity() if query_width is None else nn.Linear(query_width, joint_width)
        self.reduction = reduction
        self.hidden = hidden

    def embed_regions(
        self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor
    ) -> RegionEmbeddings:
        """One tensor: cells `[B, R, D]`, zero where padded. The boxes are not used; the order of the cells is."""
        cells_BRD = self.cells(inputs_BRV, mask_BR)
        if self.training and self.hidden:
            seen_BR = mask_BR & (torch.rand(mask_BR.shape, device=mask_BR.device) >= self.hidden)
            mask_BR = torch.where(seen_BR.any(dim=1, keepdim=True), seen_BR, mask_BR)
        return RegionEmbeddings((cells_BRD * mask_BR[..., None],), mask_BR)

    def embed_queries(self, states_CQH: torch.Tensor, mask_CQ: torch.Tensor) -> QueryEmbeddings:
        """One tensor: queries `[C, Q, D]`, zero where padded."""
        return QueryEmbeddings((self.query(states_CQH[..., : self.query_width]) * mask_CQ[..., None],), mask_CQ)

    def align(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        paired: bool = False,
        prior_BCQR: torch.Tensor | None = None,
    ) -> Alignment:
        """The map as similarity and value, and its softmax over cells as attention. A prior is added to the map."""
        (cells_BRD,), (queries_CQD,) = regions.tensors, queries.tensors
        map_BCQR = pair_products(queries_CQD, cells_BRD, paired)
        if prior_BCQR is not None:
            map_BCQR = map_BCQR + prior_BCQR
        mask_11R = pair_mask(regions.mask_BR, paired)
        # The map is large, and mostly all cells are real: masking is skipped then, to save passes over it.
        whole = bool(regions.mask_BR.all())
        similarity_BCQR = map_BCQR if whole else map_BCQR.masked_fill(~mask_11R, float("-inf"))
        attention_BCQR = similarity_BCQR.softmax(dim=-1)
        count_111 = mask_11R.sum(dim=-1).to(map_BCQR.dtype)
        if self.reduction == "max-cells":
            matched_BCQ = similarity_BCQR.amax(dim=-1)
        elif self.reduction == "max-rows":
            matched_BCQ = _best_of_columns(similarity_BCQR)
        elif self.reduction == "soft-cells":
            matched_BCQ = similarity_BCQR.logsumexp(dim=-1) - count_111.log()
        else:
            matched_BCQ = (map_BCQR if whole else map_BCQR * mask_11R).sum(dim=-1) / count_111
        if self.reduction == "max-words":
            best_BCR = map_BCQR.masked_fill(~queries.mask_CQ[..., None], float("-inf")).amax(dim=2)
            counted_BCR = mask_11R[:, :, 0] & queries.mask_CQ.any(dim=1)[:, None]
            score_BC = best_BCR.masked_fill(~counted_BCR, 0).sum(dim=-1) / count_111[..., 0]
        else:
            score_BC = mean_over_queries(matched_BCQ, queries.mask_CQ)
        return Alignment(similarity_BCQR, attention_BCQR, map_BCQR, matched_BCQ, score_BC)


class PixelCells(nn.Module):
    """A small convolutional network from the pixels of grid cells to cells, trained from scratch.

    A 3 x 3 stage of stride 2 for every halving from pixels to cells, then residual stages among the cells, all with
    batch norm. The receptive field of a cell must stay small: a cell beside a thing that sees the thing matches its
    word as well as the thing's own cells, and the peak of the map moves away from the thing. With a patch of 4 and one
    block of kernel width 3, the receptive field is 15 x 15 pixels.

    Args:
        patch: pixels of a cell in each direction, a power of two; the first `3 * patch**2` input columns are its RGB
            pixels, row by row. Further columns are ignored.
        joint_width: width D of the cells.
        channels: of the residual stages; each stage before them has half of the next one's.
        blocks: number of residual stages.
        reach: width of their kernels; with 3, the receptive field grows by one cell in each direction a stage.
        half: compute in bfloat16 while training.

    Raises:
        ValueError: a patch that is no power of two.
    """

    def __init__(
        self, patch: int, joint_width: int, channels: int = 64, blocks: int = 1, *, reach: int = 3, half: bool = False
    ) -> None:
        super().__init__()
        if patch < 2 or patch & (patch - 1):
            raise ValueError(f"patch is a power of two from 2 on, not {patch}.")
        self.patch = patch
        halvings = patch.bit_length() - 1
        widths = [_COLOURS, *(max(channels >> halvings - n, min(channels, 8)) for n in range(1, halvings + 1))]
        self.shrink = nn.Sequential(*(_stage(widths[n], widths[n + 1], stride=2) for n in range(halvings)))
        self.blocks = nn.ModuleList(_Residual(channels, reach) for _ in range(blocks))
        self.out = nn.Sequential(nn.Conv2d(channels, joint_width, 1, bias=False), nn.BatchNorm2d(joint_width))
        self.half_precision = half

    def forward(self, inputs_BRV: torch.Tensor, mask_BR: torch.Tensor) -> torch.Tensor:
        """`[B, R, V]` to `[B, R, D]`.

        Raises:
            RegionsError: the regions are not all cells of a square grid.
        """
        side = _side(mask_BR)
        pixels = pixels_of(inputs_BRV, self.patch, side)
        if not self.training:
            return _rows(self._planes(pixels))
        # Augmentation: the batch is shifted by up to a cell, and half of it mirrored (and its map mirrored back).
        down, across = (int(shift) for shift in torch.randint(2 * self.patch + 1, (2,)))
        height, width = pixels.shape[2:]
        padded = nn.functional.pad(pixels, (self.patch,) * 4, mode="replicate")
        pixels = padded[:, :, down : down + height, across : across + width]
        mirrored_B = (torch.rand(len(pixels)) < 0.5).to(pixels.device)[:, None, None, None]
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=self.half_precision):
            planes = self._planes(torch.where(mirrored_B, pixels.flip(3), pixels))
        planes = planes.float() if self.half_precision else planes
        return _rows(torch.where(mirrored_B, planes.flip(3), planes))

    def _planes(self, pixels: torch.Tensor) -> torch.Tensor:
        planes: torch.Tensor = self.shrink(pixels.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            planes = block(planes)
        out: torch.Tensor = self.out(planes)
        return out


class FeatureCells(nn.Module):
    """A 3 x 3 convolution with batch norm and ReLU over a stored map of features (Das et al. 2019).

    A 1 x 1 convolution before it, `reduce`, is not in the paper: it brings features of any width to the joint width.

    Args:
        width: width V of a cell's input.
        joint_width: width D of the cells.
    """

    def __init__(self, width: int, joint_width: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width, joint_width, 1)
        self.stage = _stage(joint_width, joint_width)

    def forward(self, inputs_BRV: torch.Tensor, mask_BR: torch.Tensor) -> torch.Tensor:
        """`[B, R, V]` to `[B, R, D]`.

        Raises:
            RegionsError: the regions are not all cells of a square grid.
        """
        side = _side(mask_BR)
        planes = inputs_BRV.transpose(1, 2).reshape(*inputs_BRV.shape[::2], side, side)
        return _rows(self.stage(self.reduce(planes)))


def pixels_of(inputs_BRV: torch.Tensor, patch: int, side: int) -> torch.Tensor:
    """Images `[B, 3, side * patch, side * patch]` of the pixels of their cells, in rows of `[y, x, RGB]`.

    Args:
        inputs_BRV: the first `3 * patch**2` columns are pixels.
        patch: pixels of a cell in each direction.
        side: cells of the grid in each direction.
    """
    images = len(inputs_BRV)
    tiles = inputs_BRV[..., : _COLOURS * patch * patch].reshape(images, side, side, patch, patch, _COLOURS)
    # [B, cell row, cell column, y, x, RGB] to [B, RGB, cell row, y, cell column, x]
    return tiles.permute(0, 5, 1, 3, 2, 4).reshape(images, _COLOURS, side * patch, side * patch)


class _Residual(nn.Module):
    def __init__(self, channels: int, reach: int) -> None:
        super().__init__()
        self.change = _stage(channels, channels, kernel=reach)

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        changed: torch.Tensor = planes + self.change(planes)
        return changed


def _stage(channels_in: int, channels_out: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU())


def _rows(planes_BDYX: torch.Tensor) -> torch.Tensor:
    """Planes `[B, D, Y, X]` as cells row by row, `[B, R, D]`."""
    return planes_BDYX.flatten(2).transpose(1, 2)


def _best_of_columns(map_XR: torch.Tensor) -> torch.Tensor:
    """The mean, over the columns of a square map with any real cell, of their best cell; padded cells are -inf."""
    side = isqrt(map_XR.shape[-1])
    if side * side != map_XR.shape[-1]:
        raise RegionsError(f"--reduction max-rows needs all cells of a square grid, not {map_XR.shape[-1]} regions.")
    best_XS = map_XR.reshape(*map_XR.shape[:-1], side, side).amax(dim=-2)
    real_XS = best_XS.isfinite()
    return best_XS.masked_fill(~real_XS, 0).sum(dim=-1) / real_XS.sum(dim=-1)


def _side(mask_BR: torch.Tensor) -> int:
    """Cells of the square grid in each direction."""
    side = isqrt(mask_BR.shape[1])
    if side * side != mask_BR.shape[1] or not bool(mask_BR.all()):
        raise RegionsError(
            f"A map needs all cells of a square grid and nothing else, not {mask_BR.shape[1]} regions; extract the "
            "regions with --grid N and without the whole image or any other source."
        )
    return side
