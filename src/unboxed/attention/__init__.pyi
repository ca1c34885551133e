from .base import Aligner, Alignment, QueryEmbeddings, RegionEmbeddings
from .best_region import BestRegion
from .key_value import KeyValueAttention
from .npair import MatchMap
from .ranking import Ranking
from .refinement import PriorRefinement
from .scan import CrossAttention
from .sgraf import SimilarityReasoning
from .vse import PooledEmbedding

__all__ = [
    "Aligner",
    "Alignment",
    "BestRegion",
    "CrossAttention",
    "KeyValueAttention",
    "MatchMap",
    "PooledEmbedding",
    "PriorRefinement",
    "QueryEmbeddings",
    "Ranking",
    "RegionEmbeddings",
    "SimilarityReasoning",
]
