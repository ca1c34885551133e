"""Region sources: `SOURCES` in the order in which their boxes are listed.

Each is a subclass of `RegionSource` and opens itself from the region settings:

    source = Grid.open(RegionSettings(grid=3))
    proposals = source.propose(View(image, image.size), outputs=(), detected=Detected.none())
    proposals.boxes, proposals.scores, proposals.sources                         # [9, 4], [9], 9 names
"""

from unboxed.regions.base import RegionSource
from unboxed.regions.sources.body_parts import BODY_PARTS, PersonParts
from unboxed.regions.sources.detectors import Detectors
from unboxed.regions.sources.geometry import Grid, Unions, WholeImage
from unboxed.regions.sources.labeler import LABELER, Labeler
from unboxed.regions.sources.proposer import Proposer
from unboxed.regions.sources.segmenter import Segmenter
from unboxed.regions.sources.segments import Segments

__all__ = [
    "BODY_PARTS",
    "LABELER",
    "SOURCES",
    "Detectors",
    "Grid",
    "Labeler",
    "PersonParts",
    "Proposer",
    "RegionSource",
    "Segmenter",
    "Segments",
    "Unions",
    "WholeImage",
    "source_table",
]

SOURCES: tuple[type[RegionSource], ...] = (
    Detectors,
    WholeImage,
    Segmenter,
    PersonParts,
    Unions,
    Proposer,
    Segments,
    Grid,
    Labeler,
)


def source_table() -> str:
    """The table of region sources of the guide “Regions”, in Markdown: a line for each source."""
    lines = ["| source | setting | needs | what it is for |", "| --- | --- | --- | --- |"]
    for source in SOURCES:
        names, settings = (", ".join(f"`{item}`" for item in items) for items in (source.names, source.settings))
        lines.append(f"| {names} | {settings} | {source.needs} | {source.finds} |")
    return "\n".join(lines)
