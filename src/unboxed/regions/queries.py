"""What zero-shot detectors are asked for: which models those are, and the nouns of captions as their queries."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from unboxed.errors import RegionsError
from unboxed.regions.settings import RegionSettings
from unboxed.runtime.hub import hub_cache, load_cached_first
from unboxed.text.lexicon import noun_key
from unboxed.text.phrases import head_noun, is_content
from unboxed.types import Example

__all__ = [
    "GROUNDING_DINO",
    "IMAGE_TEXT",
    "OTHER_ZERO_SHOT",
    "OWL",
    "caption_nouns",
    "is_zero_shot",
    "model_type",
    "with_queries",
]

OWL, GROUNDING_DINO = ("owlvit", "owlv2"), ("grounding-dino", "mm-grounding-dino")
"""The `model_type` of the zero-shot detectors that `sources.zero_shot` reads."""
OTHER_ZERO_SHOT = ("omdet-turbo",)
"""Those that it does not."""
IMAGE_TEXT = ("clip", "siglip")
"""The `model_type` of the image-text encoders that `sources.image_text` reads."""


def model_type(name: str) -> str:
    """The `model_type` in the config.json of a model of transformers, a hub name or a local folder; "" without one.

    A hub name that is not in the cache is looked up on the Hub, where the user named it.
    """
    try:
        text = (Path(name) / "config.json").read_text("utf-8") if Path(name).is_dir() else _hub_config(name)
        found = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return ""
    return str(found.get("model_type", "")) if isinstance(found, dict) else ""


def is_zero_shot(name: str) -> bool:
    """Whether a hub name or local folder is a zero-shot detector, one that is not read included."""
    return model_type(name) in (*OWL, *GROUNDING_DINO, *OTHER_ZERO_SHOT)


def caption_nouns(examples: Iterable[Example], limit: int) -> tuple[str, ...]:
    """The head nouns of the captions' phrases, most frequent first, at most `limit`.

    Singular and plural are one noun, in the form that is more frequent.
    """
    captions = (caption for example in examples for caption in example.captions)
    heads = (head_noun(phrase.text) for caption in captions for phrase in caption.phrases)
    forms: dict[str, Counter[str]] = {}
    for head in filter(is_content, heads):
        forms.setdefault(noun_key(head), Counter())[head] += 1
    ranked = sorted(forms.values(), key=lambda found: (-found.total(), min(found)))
    return tuple(min(found, key=lambda form: (-found[form], form)) for found in ranked[:limit])


def with_queries(settings: RegionSettings, examples: Iterable[Example]) -> RegionSettings:
    """The settings, with the nouns of captions as queries where a zero-shot detector or labeler has none yet.

    Raises:
        RegionsError: no caption has a noun, or queries are given without a model that is asked for them.
    """
    detector, labeler = settings.detector_hf, settings.labeler
    asks = detector is not None and is_zero_shot(detector)
    compares = labeler is not None and labeler.is_dir()
    if settings.queries and not (asks or compares):
        raise RegionsError(
            "--queries is for a zero-shot --detector or a --labeler with CLIP or SigLIP; name one, or leave it out."
        )
    if settings.queries or not (asks or compares):
        return settings
    name = detector if asks else labeler
    nouns = caption_nouns(examples, settings.query_limit)
    if not nouns:
        raise RegionsError(
            f"{name} is asked for the nouns of the captions, and these have none; name what to look for: --queries "
            "dog hat ..."
        )
    return replace(settings, queries=nouns)


def _hub_config(name: str) -> str:
    def load(local: bool) -> str:
        if local:
            found = next((hub_cache() / f"models--{name.replace('/', '--')}" / "snapshots").glob("*/config.json"))
            return found.read_text("utf-8")
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(name, "config.json")).read_text("utf-8")

    return load_cached_first(name, load)
