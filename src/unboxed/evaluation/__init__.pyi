from .attention import ATTENTION_METRICS, AttendedWord, AttentionScores, score_attention
from .attention_protocol import AttentionProtocol
from .audit import Audit, AuditedCaption, audit_dataset
from .baselines import BASELINES, untrained_baselines
from .bootstrap import MetricOfRuns, PairedDifference, PerImageMetric, mean_metric, paired_difference
from .box_sets import SET_METRICS, SetMention, SetScores, score_sets
from .error_analysis import ERROR_KINDS, ErrorTable, count_errors
from .evaluate import evaluate_run
from .evaluated_run import EvaluatedRun
from .grounded_split import GroundedExample, ground_split
from .grounding import METRICS, GroundedMention, GroundingScores, score_grounding
from .heatmap import HeatMention, HeatScores, score_heat
from .options import EvaluationOptions
from .pair_scores import PairScores, ensemble, score_pairs
from .predictions import Prediction, ScoredPredictions, read_predictions, score_predictions, write_predictions
from .presence import PresenceScores, score_presence
from .recalibration import Recalibration, recalibrate, recalibrated
from .report import GalleryItem, write_report
from .retrieval import RetrievalScores, score_retrieval

__all__ = [
    "ATTENTION_METRICS",
    "BASELINES",
    "ERROR_KINDS",
    "METRICS",
    "SET_METRICS",
    "AttendedWord",
    "AttentionProtocol",
    "AttentionScores",
    "Audit",
    "AuditedCaption",
    "ErrorTable",
    "EvaluatedRun",
    "EvaluationOptions",
    "GalleryItem",
    "GroundedExample",
    "GroundedMention",
    "GroundingScores",
    "HeatMention",
    "HeatScores",
    "MetricOfRuns",
    "PairScores",
    "PairedDifference",
    "PerImageMetric",
    "Prediction",
    "PresenceScores",
    "Recalibration",
    "RetrievalScores",
    "ScoredPredictions",
    "SetMention",
    "SetScores",
    "audit_dataset",
    "count_errors",
    "ensemble",
    "evaluate_run",
    "ground_split",
    "mean_metric",
    "paired_difference",
    "read_predictions",
    "recalibrate",
    "recalibrated",
    "score_attention",
    "score_grounding",
    "score_heat",
    "score_pairs",
    "score_predictions",
    "score_presence",
    "score_retrieval",
    "score_sets",
    "untrained_baselines",
    "write_predictions",
    "write_report",
]
