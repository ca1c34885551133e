"""Features that describe regions: `FEATURES` in the order of their columns.

Each is a subclass of `RegionFeature` and opens itself from the region settings:

    described = [feature for kind in FEATURES if (feature := kind.open(settings)) is not None]
    blocks = described[0].blocks(view, outputs=(), maps=(), boxes=boxes_R4)      # (name, values [R, width]) each
"""

from unboxed.regions.base import FeatureBlock, RegionFeature
from unboxed.regions.features.backbones import NetworkFeatures
from unboxed.regions.features.pixels import ColourFeatures, PixelFeatures, TextureFeatures
from unboxed.regions.sources.labeler import LabelerFeatures

__all__ = [
    "FEATURES",
    "ColourFeatures",
    "FeatureBlock",
    "LabelerFeatures",
    "NetworkFeatures",
    "PixelFeatures",
    "RegionFeature",
    "TextureFeatures",
    "feature_table",
]

FEATURES: tuple[type[RegionFeature], ...] = (
    PixelFeatures,
    NetworkFeatures,
    LabelerFeatures,
    ColourFeatures,
    TextureFeatures,
)


def feature_table() -> str:
    """The table of features of the guide “Regions”, in Markdown: a line for each feature."""
    lines = ["| setting | features |", "| --- | --- |"]
    for feature in FEATURES:
        lines.append(f"| {', '.join(f'`{name}`' for name in feature.settings)} | {feature.describes} |")
    return "\n".join(lines)
