from .base import Aligner, Alignment, QueryEmbeddings, RegionEmbeddings
from .best_region import BestRegion
from .chunked_scores import score_matrix
from .cosine_attention import AttentionScorer
from .dual_encoder import DualEncoder, MaskedMLP
from .heatmaps import BoxReadOut
from .key_value import KeyValueAttention
from .matched import Constrainable, MatchedAttention
from .normalize import Standardize
from .npair import FeatureCells, MatchMap, PixelCells
from .positions import PositionFocusedRegions
from .ranking import Ranking
from .refinement import PriorRefinement
from .scan import CrossAttention
from .sgraf import ReasoningSettings, SimilarityReasoning
from .vse import PooledEmbedding, PoolingSettings

__all__ = [
    "Aligner",
    "Alignment",
    "AttentionScorer",
    "BestRegion",
    "BoxReadOut",
    "Constrainable",
    "CrossAttention",
    "DualEncoder",
    "FeatureCells",
    "KeyValueAttention",
    "MaskedMLP",
    "MatchMap",
    "MatchedAttention",
    "PixelCells",
    "PooledEmbedding",
    "PoolingSettings",
    "PositionFocusedRegions",
    "PriorRefinement",
    "QueryEmbeddings",
    "Ranking",
    "ReasoningSettings",
    "RegionEmbeddings",
    "SimilarityReasoning",
    "Standardize",
    "score_matrix",
]
