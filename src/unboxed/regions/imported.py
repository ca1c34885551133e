"""The settings of a store whose regions other software found: where they came from, and what they do not allow."""

from __future__ import annotations

from dataclasses import dataclass

from unboxed.errors import RegionsError
from unboxed.regions.settings import RegionSettings

__all__ = ["ImportedRegions"]


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
