from .base import CaptionNouns, MaskedLanguageModel, Negatives, NegativeSource, Substitution, load_or_find
from .build import SmallLanguageModelWords, make_negatives, negatives_file_name
from .masked_lm import MaskedLM, MaskedLMSettings, train_masked_lm
from .random_words import RandomWords
from .substitution import LanguageModelWords, SubstitutionSettings, format_examples
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
    "SmallLanguageModelWords",
    "Substitution",
    "SubstitutionSettings",
    "TransformersLM",
    "format_examples",
    "load_or_find",
    "make_negatives",
    "negatives_file_name",
    "train_masked_lm",
]
