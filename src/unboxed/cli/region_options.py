"""The options of `unboxed regions` and `unboxed fit` for the sources and features of regions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from unboxed.regions.settings import PROPOSES, RegionSettings

__all__ = ["RegionOptions"]


@dataclass(frozen=True)
class RegionOptions(RegionSettings):
    """`RegionSettings` with the names of their options."""

    detectors: Annotated[tuple[Path, ...], arg(name="detector")] = field(default=(), metadata=PROPOSES)
    """Object detectors: ONNX files (layouts: boxes + scores, YOLO, RT-DETR, DETR), or a folder of transformers."""
    part_segmenter: Annotated[Path | None, arg(name="parts")] = None
    """Segmenter of body parts, an ONNX file, which runs on the crop of each person."""
    parts: Annotated[int, arg(name="persons")] = 3
    """Propose the body parts of at most this many persons; 0: none."""

    def given(self) -> RegionSettings | None:
        """The settings; None where no option was given.

        Raises:
            RegionsError: settings that propose nothing, or two folders of detectors.
        """
        settings = RegionSettings(**vars(self))
        return None if settings == RegionSettings() else settings.with_folders()
