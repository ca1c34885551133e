"""The negatives of a recipe: found once, kept in a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unboxed.negatives.base import CaptionNouns, Negatives, NegativeSource, load_or_find
from unboxed.negatives.masked_lm import MaskedLMSettings, small_model_fingerprint, train_masked_lm
from unboxed.negatives.random_words import RandomWords
from unboxed.negatives.substitution import LanguageModelWords, SubstitutionSettings, fingerprint
from unboxed.negatives.transformers_lm import TransformersLM
from unboxed.text.encoding import EncodedCaption

__all__ = ["SmallLanguageModelWords", "make_negatives", "negatives_file_name"]


@dataclass(frozen=True)
class SmallLanguageModelWords:
    """Substitutes chosen by a small language model that `find` trains on the captions. Implements `NegativeSource`.

    Attributes:
        training: size and training of the model.
        settings: how substitutes are chosen.
        show: called with a line of text before the training.
    """

    training: MaskedLMSettings = field(default_factory=MaskedLMSettings)
    settings: SubstitutionSettings = field(default_factory=SubstitutionSettings)
    show: Callable[[str], None] = lambda line: None

    def fingerprint(self, nouns: CaptionNouns) -> str:
        """See `NegativeSource`."""
        return fingerprint(nouns, self.settings, small_model_fingerprint(nouns.captions, self.training))

    def find(self, nouns: CaptionNouns, *, progress: bool = False) -> Negatives:
        """See `NegativeSource`."""
        self.show("Training a small language model on the captions, for negatives")
        model = train_masked_lm(nouns.captions, self.training, progress=progress)
        return LanguageModelWords(model, self.settings).find(nouns, progress=progress)


def make_negatives(
    kind: str,
    captions: Sequence[EncodedCaption],
    image_ids: Sequence[str],
    file: Path | None = None,
    *,
    language_model: str | Path | None = None,
    seed: int = 0,
    show: Callable[[str], None] = lambda line: None,
) -> Negatives | None:
    """The negatives of C captions, from `file` when it holds them already; else found, and saved to it.

    Args:
        kind: `lm` (chosen by a language model), `random` (random nouns) or `none`.
        captions: C encoded captions; the head nouns of their phrases get substitutes.
        image_ids: C ids of the captions' images.
        file: where they are kept; None keeps them nowhere.
        language_model: folder or hub name of a pretrained masked language model for `lm`; None trains a small one.
        seed: of the random nouns, or of the small model's training.
        show: called with a line of text before anything that takes long.

    Returns:
        None for the kind `none`.
    """
    if kind == "none":
        return None
    nouns = CaptionNouns.from_encoded(captions, image_ids)
    source = _SOURCES[kind](language_model, seed, show)
    return load_or_find(file, source.fingerprint(nouns), lambda: source.find(nouns, progress=True))


def negatives_file_name(kind: str, language_model: str | Path | None, seed: int) -> str:
    """A file name that differs for each kind, language model and seed, for a folder that several runs share."""
    model = "" if language_model is None else f"-{Path(language_model).name}"
    return f"negatives-{kind}{model}-{seed}.safetensors"


def _language_model_words(language_model: str | Path | None, seed: int, show: Callable[[str], None]) -> NegativeSource:
    if language_model is None:
        return SmallLanguageModelWords(MaskedLMSettings(seed=seed), show=show)
    return LanguageModelWords(TransformersLM.load(language_model))


def _random_words(language_model: str | Path | None, seed: int, show: Callable[[str], None]) -> NegativeSource:
    return RandomWords(seed=seed)


_SOURCES: dict[str, Callable[[str | Path | None, int, Callable[[str], None]], NegativeSource]] = {
    "lm": _language_model_words,
    "random": _random_words,
}
