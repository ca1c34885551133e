"""Convolutions over the cells of an image: from pixels alone, or over a stored map of a frozen network.

Cells are regions like any others, row by row as `regions.grid` proposes them, so that stores, batches and read-outs
need not know of them. Both networks here look at neighbours, so they need the whole square grid.
"""

from __future__ import annotations

from math import isqrt

import torch
from torch import nn

from unboxed.errors import RegionsError

__all__ = ["FeatureCells", "PixelCells", "pixels_of"]

_COLOURS = 3


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
