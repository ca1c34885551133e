from .cooccurrence import Cooccurrence
from .matching import ClassMap, MatchingResources, PhraseMatcher, classes_by_name, load_class_map
from .scoring import scores
from .semantic import SemanticPrior
from .settings import PriorSettings

__all__ = [
    "ClassMap",
    "Cooccurrence",
    "MatchingResources",
    "PhraseMatcher",
    "PriorSettings",
    "SemanticPrior",
    "classes_by_name",
    "load_class_map",
    "scores",
]
