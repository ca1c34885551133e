"""The negatives of a recipe: found once, kept in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unboxed.errors import StoreError
from unboxed.negatives.base import CaptionNouns, Negatives, NegativeSource
from unboxed.negatives.masked_lm import MaskedLMSettings
from unboxed.negatives.substitution import LanguageModelWords, RandomWords, SubstitutionSettings
from unboxed.negatives.transformers_lm import TransformersLM
from unboxed.runtime.progress import Show
from unboxed.types import Caption

__all__ = ["make_negatives", "negatives_file_name"]


def make_negatives(
    kind: str,
    captions: Sequence[Caption],
    image_ids: Sequence[str],
    file: Path | None = None,
    *,
    language_model: str | Path | None = None,
    seed: int = 0,
    settings: SubstitutionSettings | None = None,
    show: Show = lambda line: None,
) -> Negatives | None:
    """The negatives of C captions, from `file` when it holds them already; else found, and saved to it.

    Args:
        kind: `lm` (chosen by a language model), `random` (random nouns) or `none`.
        captions: C captions; the head nouns of their phrases get substitutes.
        image_ids: C ids of the captions' images.
        file: where they are kept; None keeps them nowhere.
        language_model: folder or hub name of a pretrained masked language model for `lm`; None trains a small one.
        seed: of the random nouns, or of the small model's training.
        settings: how substitutes are chosen; of the kind `random`, `exclude_seen` alone counts.
        show: called with a line of text before anything that takes long.

    Returns:
        None for the kind `none`.
    """
    if kind == "none":
        return None
    settings = settings if settings is not None else SubstitutionSettings()
    nouns = CaptionNouns.from_captions(captions, image_ids)
    source: NegativeSource
    if kind == "random":
        source = RandomWords(exclude_seen=settings.exclude_seen, seed=seed)
    else:
        model = MaskedLMSettings(seed=seed) if language_model is None else TransformersLM.load(language_model)
        source = LanguageModelWords(model, settings)
    if file is not None and (kept := _kept(file, source.fingerprint(nouns))) is not None:
        return kept
    if kind == "lm" and language_model is None:
        show("Training a small language model on the captions, for negatives")
    found = source.find(nouns, progress=True)
    if file is not None:
        found.save(file)
    return found


def negatives_file_name(kind: str, language_model: str | Path | None, seed: int) -> str:
    """A file name that differs for each kind, language model and seed, for a folder that several runs share."""
    model = "" if language_model is None else f"-{Path(language_model).name}"
    return f"negatives-{kind}{model}-{seed}.safetensors"


def _kept(file: Path, fingerprint: str) -> Negatives | None:
    """The negatives of a file; None for one that is missing, damaged, or made from other captions or settings."""
    try:
        loaded = Negatives.load(file)
    except StoreError:
        return None
    return loaded if loaded.fingerprint == fingerprint else None
