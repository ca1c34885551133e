"""Prior settings: ranges, and the JSON that earlier versions wrote."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unboxed.errors import ModelError
from unboxed.priors.settings import PriorSettings

SAVED = Path(__file__).resolve().parents[1] / "assets" / "run_41071e2" / "run"

GOLDEN = (
    '{"word_vectors": "a.txt", "wordnet": null, "class_map": null, "match": ["names", "vectors"], "cooccurrence": 1.0, '
    '"evidence": "label", "temperature": 0, "vector_threshold": 0.35, "background": 0.01, "stuff_weight": 0.5, '
    '"stuff_size": 0.5, "elsewhere_weight": 0.9, "single_union": 0.5, "plural_union": 1.0, "part_weight": 1.0, '
    '"spatial": false, "spatial_score": 0.3}'
)


LATER = {
    "unit_vectors": True,
    "affinities": "shares",
    "places": "words",
    "label_weight": 1.0,
    "label_beside": 0.1,
    "classes": "names",
    "heads": "one",
}
"""Options that came after version 0.1, in their order, as the earlier versions behaved."""


def test_settings_are_written_as_they_always_were() -> None:
    settings = PriorSettings(
        word_vectors=Path("a.txt"),
        match=("names", "vectors"),
        evidence="label",
        temperature=0,
        stuff_weight=0.5,
        spatial=False,
    )
    assert json.dumps(settings.to_dict()) == json.dumps(json.loads(GOLDEN) | LATER)
    assert PriorSettings.from_dict(json.loads(GOLDEN)) == settings


@pytest.mark.parametrize(
    ("file", "keys", "vectors"),
    [
        ("prior/prior.json", ["settings"], Path("word_vectors.npz")),
        ("config.json", ["choices", "semantic"], None),
    ],
)
def test_settings_of_an_earlier_version_are_read_and_written_alike(
    file: str, keys: list[str], vectors: Path | None
) -> None:
    values = json.loads((SAVED / file).read_text(encoding="utf-8"))
    for key in keys:
        values = values[key]
    settings = PriorSettings.from_dict(values)
    assert settings == replace(PriorSettings(), word_vectors=vectors)
    assert json.dumps(settings.to_dict()) == json.dumps(values | LATER)


def test_fields_that_are_left_out_take_their_defaults() -> None:
    assert PriorSettings.from_dict({"background": 0.5}) == PriorSettings(background=0.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stuff_weight": 2}, r"stuff_weight is 2; expected a value in 0\.\.1"),
        ({"temperature": -1}, r"temperature is -1; expected a value in 0\.\.1000000"),
        ({"cooccurrence": 1e300}, r"cooccurrence is 1e\+300; expected a value in 0\.\."),
        ({"label_beside": float("nan")}, r"label_beside is nan; expected a value in 0\.\."),
        (
            {"match": ("guess",)},
            "cannot match by 'guess'; expected some of map, names, parts, wordnet, vectors, synonyms",
        ),
        ({"background": 1}, "background is 1, which leaves no score"),
    ],
)
def test_values_outside_their_range_are_model_errors(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        PriorSettings(**values)
    with pytest.raises(ModelError, match=message):
        PriorSettings.from_dict(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"unheard": 1}, "unknown name 'unheard'; update unboxed"),
        ({"stuff_weight": "much"}, "value of the wrong kind .*stuff_weight is 'much'"),
        ({"match": 3}, "value of the wrong kind .*match is 3"),
        ({"word_vectors": 3}, "value of the wrong kind .*word_vectors is 3"),
        ({"evidence": "guess"}, "value of the wrong kind .*evidence is 'guess'"),
    ],
)
def test_unknown_names_and_wrong_kinds_are_model_errors(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        PriorSettings.from_dict(values)
