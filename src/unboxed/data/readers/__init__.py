"""The dataset formats: one reader for each, listed in `READERS`.

Each reader declares the attributes of `Reader`; the dataset file, its messages and the table of formats in docs/data.md
derive from these declarations. A reader also works without a dataset file:

    reader = KarpathyReader(ImageFolder(Path("images")), annotations=Path("dataset_flickr30k.json"), ids="imgid")
    examples, search = reader.read("val")
"""

from __future__ import annotations

from unboxed.data.readers.archives import ArchiveReader
from unboxed.data.readers.base import Reader
from unboxed.data.readers.coco import CocoReader
from unboxed.data.readers.flickr30k_entities import EntitiesReader
from unboxed.data.readers.karpathy import KarpathyReader
from unboxed.data.readers.refcoco import RefcocoReader
from unboxed.data.readers.scan import ScanReader
from unboxed.data.readers.tables import TableReader

__all__ = [
    "READERS",
    "ArchiveReader",
    "CocoReader",
    "EntitiesReader",
    "KarpathyReader",
    "Reader",
    "RefcocoReader",
    "ScanReader",
    "TableReader",
    "format_table",
]

READERS: tuple[type[Reader], ...] = (
    TableReader,
    EntitiesReader,
    ScanReader,
    KarpathyReader,
    CocoReader,
    RefcocoReader,
    ArchiveReader,
)


def format_table() -> str:
    """The table of formats of the guide “Your data”, in Markdown: a line for each reader."""
    lines = ["| `format` | what | keys | splits | images | gold boxes |", "| --- | --- | --- | --- | --- | --- |"]
    for reader in READERS:
        keys = "; ".join(
            f"`{f'[{key.name}]' if key.kind == 'paths' else key.name}`: {key.meaning}"
            + ("" if key.required else " (optional)")
            for key in reader.keys
        )
        boxes = f"of {reader.gold_boxes}" if reader.gold_boxes else "none"
        cells = (f"`{reader.format}`", reader.title, keys, reader.splits, reader.images, boxes)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
