"""The match map of words and cells: a plain product, and what a caption scores by it (Das et al. 2019).

`M[t, y, x] = <h_t, F[:, y, x]>` says how well word t fits the cell at row y and column x. No attention is trained: the
score of image and caption is a reduction of the map, and where a word is follows from training for retrieval alone.
"""

from __future__ import annotations

from math import isqrt
from typing import Literal, get_args

import torch
from torch import nn

from unboxed.attention.base import Aligner, Alignment, QueryEmbeddings, RegionEmbeddings, pair_mask, pair_products
from unboxed.errors import RegionsError

__all__ = ["FeatureCells", "MatchMap", "PixelCells", "Reduction", "pixels_of"]

_COLOURS = 3

Reduction = Literal["mean", "max-cells", "max-words", "soft-cells"]


class MatchMap(Aligner):
    """Queries against the cells of a map, reduced to a score.

    Reductions, over real queries and real cells only:

        mean        mean over queries and cells (`Avg_Both`); it factorises into the product of two means
        max-cells   the best cell of each query, over both axes of the map; mean over queries (`Max_Img`)
        max-words   the best query of each cell, mean over cells (`Max_Text`)
        soft-cells  the logarithm of the mean exponential over cells, a smooth maximum whose gradient is the attention;
                    mean over queries (not in the paper)

    Products are taken as they are: vectors are not normalised, and nothing scales the map.

    Args:
        cells: turns inputs `[B, R, V]` and their mask `[B, R]` into cells `[B, R, D]`, such as
            `convolution.PixelCells`, or `MaskedMLP` for regions that are no grid.
        query_width: the first so many columns of a query's state are read. A recurrent encoder's states begin with
            the words' own vectors, free of their context.
        joint_width: width D of the cells.
        reduction: how the map becomes a score.
        hidden: share of the cells, at random, that do not count in a step of training, in [0, 1): the best cell of a
            word is hidden now and then, so that others must learn to show it too (hide-and-seek; not in the paper).
    """

    uses_prior = True

    def __init__(
        self,
        cells: nn.Module,
        query_width: int,
        joint_width: int = 256,
        reduction: Reduction = "mean",
        hidden: float = 0.0,
    ) -> None:
        super().__init__()
        if reduction not in get_args(Reduction):
            raise ValueError(f"reduction is one of {get_args(Reduction)}, not {reduction!r}.")
        self.cells = cells
        self.query = nn.Linear(query_width, joint_width)
        self.reduction = reduction
        self.hidden = hidden

    def embed_regions(
        self, inputs_BRV: torch.Tensor, edges_BR4: torch.Tensor, mask_BR: torch.Tensor
    ) -> RegionEmbeddings:
        """The cells `[B, R, D]`, zero at padded ones. The edges are not looked at: a cell is its place in the map."""
        cells_BRD = self.cells(inputs_BRV, mask_BR)
        if self.training and self.hidden:
            seen_BR = mask_BR & (torch.rand(mask_BR.shape, device=mask_BR.device) >= self.hidden)
            mask_BR = torch.where(seen_BR.any(dim=1, keepdim=True), seen_BR, mask_BR)
        return RegionEmbeddings((cells_BRD * mask_BR[..., None],), mask_BR)

    def embed_queries(self, states_CQH: torch.Tensor, mask_CQ: torch.Tensor) -> QueryEmbeddings:
        """The queries `[C, Q, D]`, zero at padded ones."""
        return QueryEmbeddings((self.query(states_CQH[..., : self.query.in_features]) * mask_CQ[..., None],), mask_CQ)

    def align(
        self,
        regions: RegionEmbeddings,
        queries: QueryEmbeddings,
        *,
        paired: bool = False,
        prior_BCQR: torch.Tensor | None = None,
    ) -> Alignment:
        """The map under `similarity_BCQR`; the attention, for read-out, is its softmax over the cells.

        A prior is added to the map before anything is reduced.
        """
        (cells_BRD,), (queries_CQD,) = regions.tensors, queries.tensors
        map_BCQR = pair_products(queries_CQD, cells_BRD, paired)
        if prior_BCQR is not None:
            map_BCQR = map_BCQR + prior_BCQR
        mask_11R = pair_mask(regions.mask_BR, paired)
        # The map is large, and most often all cells are real: each pass over it that is saved is time saved.
        whole = bool(regions.mask_BR.all())
        similarity_BCQR = map_BCQR if whole else map_BCQR.masked_fill(~mask_11R, float("-inf"))
        attention_BCQR = similarity_BCQR.softmax(dim=-1)
        count_111 = mask_11R.sum(dim=-1).to(map_BCQR.dtype)
        if self.reduction == "max-cells":
            matched_BCQ = similarity_BCQR.amax(dim=-1)
        elif self.reduction == "soft-cells":
            matched_BCQ = similarity_BCQR.logsumexp(dim=-1) - count_111.log()
        else:
            matched_BCQ = (map_BCQR if whole else map_BCQR * mask_11R).sum(dim=-1) / count_111
        if self.reduction == "max-words":
            best_BCR = map_BCQR.masked_fill(~queries.mask_CQ[..., None], float("-inf")).amax(dim=2)
            score_BC = best_BCR.masked_fill(~mask_11R[:, :, 0], 0).sum(dim=-1) / count_111[..., 0]
        else:
            score_BC = (matched_BCQ * queries.mask_CQ).sum(dim=-1) / queries.mask_CQ.sum(dim=-1)
        return Alignment(similarity_BCQR, attention_BCQR, map_BCQR, matched_BCQ, score_BC)


class PixelCells(nn.Module):
    """A small convolutional network, trained from scratch, whose cells are those that the pixels came in.

    A 3 x 3 stage of stride 2 for every halving from pixels to cells, then residual stages among the cells, all with
    batch norm. What a cell sees must stay small: one that sees its surroundings is as good for retrieval as the thing
    itself, and the peak of the map wanders off the thing. With a patch of 4 and one block of reach 3 it sees 15 x 15.

    Args:
        patch: pixels of a cell in each direction, a power of two; the first `3 * patch**2` input columns are its RGB
            pixels, row by row. Further columns are not looked at.
        joint_width: width D of the cells.
        channels: of the cells' stages; the stages before have half of the next one's each.
        blocks: residual stages among the cells.
        reach: width of their kernels: 1 mixes what a cell sees, 3 lets it see one cell further in each direction.
        half: compute in bfloat16 while training.
    """

    def __init__(
        self, patch: int, joint_width: int, channels: int = 64, blocks: int = 1, *, reach: int = 3, half: bool = False
    ) -> None:
        super().__init__()
        if patch < 2 or patch & (patch - 1):
            raise ValueError(f"patch is a power of two from 2 on, not {patch}.")
        self.patch = patch
        halvings = patch.bit_length() - 1
        widths = [_COLOURS, *(max(channels >> halvings - n, 8) for n in range(1, halvings + 1))]
        self.shrink = nn.Sequential(*(_stage(widths[n], widths[n + 1], stride=2) for n in range(halvings)))
        self.blocks = nn.ModuleList(_Residual(channels, reach) for _ in range(blocks))
        self.out = nn.Sequential(nn.Conv2d(channels, joint_width, 1, bias=False), nn.BatchNorm2d(joint_width))
        self.half_precision = half

    def forward(self, inputs_BRV: torch.Tensor, mask_BR: torch.Tensor) -> torch.Tensor:
        """`[B, R, V]` to `[B, R, D]`.

        Raises:
            RegionsError: the regions are no square grid.
        """
        side = _side(mask_BR)
        pixels = pixels_of(inputs_BRV, self.patch, side)
        if not self.training:
            return _rows(self._planes(pixels))
        # The batch is moved by up to a cell, and half of it seen in a mirror, whose maps are turned back.
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

    Args:
        width: V, columns of a cell's input.
        joint_width: width D of the cells.
    """

    def __init__(self, width: int, joint_width: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width, joint_width, 1)
        self.stage = _stage(joint_width, joint_width)

    def forward(self, inputs_BRV: torch.Tensor, mask_BR: torch.Tensor) -> torch.Tensor:
        """`[B, R, V]` to `[B, R, D]`.

        Raises:
            RegionsError: the regions are no square grid.
        """
        side = _side(mask_BR)
        planes = inputs_BRV.transpose(1, 2).reshape(*inputs_BRV.shape[::2], side, side)
        return _rows(self.stage(self.reduce(planes)))


def pixels_of(inputs_BRV: torch.Tensor, patch: int, side: int) -> torch.Tensor:
    """The images `[B, 3, side * patch, side * patch]` whose cells' pixels stand in rows, `[y, x, RGB]` each."""
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
    """Planes as cells row by row: `[B, R, D]`."""
    return planes_BDYX.flatten(2).transpose(1, 2)


def _side(mask_BR: torch.Tensor) -> int:
    """Cells in each direction of the grid; all must be there."""
    side = isqrt(mask_BR.shape[1])
    if side * side != mask_BR.shape[1] or not bool(mask_BR.all()):
        raise RegionsError(
            f"A map needs all cells of a square grid and nothing else, not {mask_BR.shape[1]} regions; extract the "
            "regions with --grid N and without the whole image or any other source."
        )
    return side
