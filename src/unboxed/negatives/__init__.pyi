from .base import CaptionNouns, MaskedLanguageModel, Negatives, NegativeSource, Substitution
from .build import make_negatives, negatives_file_name
from .masked_lm import MaskedLM, MaskedLMSettings, train_masked_lm
from .substitution import LanguageModelWords, RandomWords, SubstitutionSettings, format_examples
from .transformers_lm import TransformersLM

__all__ = [
    "CaptionNouns",
    "LanguageModelWords",
    "MaskedLM",
    "MaskedLMSettings",
    "MaskedLanguageModel",
    "NegativeSource",
    "Negatives",
    "RandomWords",
    "Substitution",
    "SubstitutionSettings",
    "TransformersLM",
    "format_examples",
    "make_negatives",
    "negatives_file_name",
    "train_masked_lm",
]
