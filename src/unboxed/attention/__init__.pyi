from unboxed.attention.base import Aligner, Alignment, QueryEmbeddings, RegionEmbeddings
from unboxed.attention.best_region import BestRegion
from unboxed.attention.key_value import KeyValueAttention
from unboxed.attention.npair import MatchMap
from unboxed.attention.ranking import Ranking
from unboxed.attention.refinement import PriorRefinement
from unboxed.attention.scan import CrossAttention
from unboxed.attention.sgraf import SimilarityReasoning
from unboxed.attention.vse import PooledEmbedding

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
