from .builder import IndexSummary, index_images
from .candidates import ExactSearch, LowRankScores, VectorSearch, anchor_captions
from .contact_sheet import draw_contact_sheet
from .faiss_search import FaissSearch
from .index import CANDIDATES, CaptionHit, Hit, Index
from .options import IndexOptions

__all__ = [
    "CANDIDATES",
    "CaptionHit",
    "ExactSearch",
    "FaissSearch",
    "Hit",
    "Index",
    "IndexOptions",
    "IndexSummary",
    "LowRankScores",
    "VectorSearch",
    "anchor_captions",
    "draw_contact_sheet",
    "index_images",
]
