"""The settings of a store whose regions other software found: where they came from, and what they do not allow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unboxed.errors import RegionsError
from unboxed.regions.settings import RegionSettings

__all__ = ["ImportedRegions", "settings_from_dict"]


@dataclass(frozen=True)
class ImportedRegions(RegionSettings):
    """Regions read from precomputed features; what proposes and describes them is not known here.

    Everything that `RegionSettings` adds is without meaning, except `class_names`.
    """

    imported: str = ""
    """The format they were read from: `scan`, `tsv` or `hdf5`."""
    boxes: bool = True
    """The source has boxes; without them every region is stored as the whole image."""

    def __post_init__(self) -> None:
        if not self.imported:
            raise RegionsError("Imported regions need the name of the format they were read from.")

    def refuse_images(self) -> None:
        """Say that a new image cannot be described.

        Raises:
            RegionsError: always.
        """
        raise RegionsError(
            f"These regions were imported from {self.imported} features, and nothing here computes such features for a "
            "new image. Import those of the image as well (`unboxed import`), or train on a store made by "
            "`unboxed regions`."
        )


def settings_from_dict(values: Mapping[str, Any], folder: Path | None = None) -> RegionSettings:
    """The settings of a store, found here or imported, that `RegionSettings.to_dict` wrote.

    Args:
        values: plain JSON values.
        folder: relative paths are taken from it.

    Raises:
        RegionsError: written by a newer version, an unknown name, or a value of the wrong kind.
    """
    return (ImportedRegions if "imported" in values else RegionSettings).from_dict(values, folder)
