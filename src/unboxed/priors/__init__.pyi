from .class_map import ClassMap, classes_by_name, load_class_map
from .cooccurrence import Cooccurrence
from .matching import MatchingResources, PhraseMatcher
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
