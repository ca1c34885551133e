"""Importers of precomputed region features: `IMPORTERS`, one for each format.

Each is a subclass of `FeatureImporter` and yields one image at a time:

    for image in BottomUpTSV(Path("features.tsv")).images({"36979", "65567"}):
        image.features, image.boxes                                              # [R, V], [R, 4]

`regions.importing.import_regions` writes them into a store.
"""

from unboxed.regions.base import FeatureImporter, PrecomputedImage
from unboxed.regions.importers.bottom_up_tsv import BottomUpTSV
from unboxed.regions.importers.infoground_hdf5 import InfoGroundHDF5
from unboxed.regions.importers.maf_hdf5 import MAFFeatures
from unboxed.regions.importers.scan_features import ScanFeatures

__all__ = [
    "IMPORTERS",
    "BottomUpTSV",
    "FeatureImporter",
    "InfoGroundHDF5",
    "MAFFeatures",
    "PrecomputedImage",
    "ScanFeatures",
    "importer_table",
]

IMPORTERS: tuple[type[FeatureImporter], ...] = (ScanFeatures, BottomUpTSV, InfoGroundHDF5, MAFFeatures)


def importer_table() -> str:
    """The table of feature formats of the guide “Regions”, in Markdown: a line for each importer."""
    lines = ["| `--format` | `--features` | boxes |", "| --- | --- | --- |"]
    lines += [f"| `{importer.format}` | {importer.reads} | {importer.boxes} |" for importer in IMPORTERS]
    return "\n".join(lines)
