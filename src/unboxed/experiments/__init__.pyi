from .cells import Cell, parse_recipe, run_cell
from .claims import CLAIMS, Claim
from .comparison import compare
from .options import CompareSettings
from .outcomes import Outcome
from .results import Comparison, DatasetResult, RecipeResult
from .verdicts import ClaimResult, judge

__all__ = [
    "CLAIMS",
    "Cell",
    "Claim",
    "ClaimResult",
    "CompareSettings",
    "Comparison",
    "DatasetResult",
    "Outcome",
    "RecipeResult",
    "compare",
    "judge",
    "parse_recipe",
    "run_cell",
]
