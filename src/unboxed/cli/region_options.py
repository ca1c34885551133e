"""The options of `unboxed regions` and `unboxed fit` for the sources and features of regions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from unboxed.errors import RegionsError
from unboxed.regions.settings import PROPOSES, RegionSettings
from unboxed.runtime.counts import require_workers

__all__ = ["ExtractionOptions", "ImportOptions", "RegionOptions"]


@dataclass(frozen=True)
class RegionOptions(RegionSettings):
    """`RegionSettings` with the names of their options."""

    detectors: Annotated[tuple[Path, ...], arg(name="detector")] = field(default=(), metadata=PROPOSES)
    """Object detectors: ONNX files (layouts: boxes + scores, YOLO, RT-DETR, DETR), or a folder or hub
    name of transformers; among these also the zero-shot ones (OWLv2, Grounding DINO)."""
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


@dataclass(frozen=True)
class ExtractionOptions:
    """How `unboxed regions` extracts."""

    workers: int | None = None
    """Images processed at the same time; by default one for each core."""
    engine: Literal["local", "ray"] = "local"
    """What finds them: threads of this process, or the workers of Ray (the extra `ray`)."""
    ray_address: str | None = None
    """Of a running Ray cluster, `auto` or HOST:PORT; by default a local Ray is started."""
    strict: bool = False
    """Stop at the first image that cannot be read instead of skipping it."""
    part: str | None = None
    """K/N: find the regions of part K of N alone; `unboxed merge` makes one store of all parts."""
    int8: bool = False
    """Store features and class probabilities in 8 bits, with a scale for each region and kind of feature."""

    def __post_init__(self) -> None:
        require_workers(self.workers, RegionsError)


@dataclass(frozen=True)
class ImportOptions:
    """What `unboxed import` imports."""

    classes: Path | None = None
    """Text file with the names of the classes, one on each line, in the order of the class numbers."""
    first: int | None = None
    """Keep at most this many regions of an image, the first ones; by default all."""
    int8: bool = False
    """Store features in 8 bits, with a scale for each region."""
