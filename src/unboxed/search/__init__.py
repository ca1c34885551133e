"""Images looked at once and found by what is said of them, and captions by an image.

`building.index_images` makes an index on disk and keeps it up to date; `Index` asks it.
"""

from unboxed.search.builder import IndexSummary, index_images
from unboxed.search.index import CaptionHit, Hit, Index

__all__ = ["CaptionHit", "Hit", "Index", "IndexSummary", "index_images"]
