"""The negatives of a recipe: the source of each kind, its file, and the small model that is trained for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unboxed.errors import ModelError
from unboxed.negatives import build
from unboxed.negatives.base import CaptionNouns, Negatives
from unboxed.negatives.build import make_negatives, negatives_file_name
from unboxed.negatives.masked_lm import MaskedLMSettings, train_masked_lm
from unboxed.negatives.substitution import LanguageModelWords, RandomWords, SubstitutionSettings
from unboxed.text.phrases import noun_phrases
from unboxed.types import Caption

TEXTS = ["a man plays a guitar", "a woman plays a drum", "a man rides a horse", "a woman rides a bike"]
IMAGES = ["a", "b", "c", "d"]


@pytest.fixture
def captions() -> list[Caption]:
    return [Caption(text, noun_phrases(text)) for text in TEXTS]


def test_random_negatives_are_those_of_random_words_and_are_kept(captions: list[Caption], tmp_path: Path) -> None:
    file = tmp_path / "negatives.safetensors"
    made = make_negatives("random", captions, IMAGES, file, seed=5)
    nouns = CaptionNouns.from_texts(TEXTS, [[1, 4]] * 4, IMAGES)
    assert made is not None
    assert np.array_equal(made.candidates, RandomWords(seed=5).find(nouns).candidates)
    assert Negatives.load(file).fingerprint == made.fingerprint == RandomWords(seed=5).fingerprint(nouns)
    assert make_negatives("none", captions, IMAGES, file) is None


def test_nouns_of_other_captions_of_the_image_are_substitutes_where_the_settings_say_so(
    captions: list[Caption],
) -> None:
    of_one_image = ["a"] * 4
    for seen in (False, True):
        settings = SubstitutionSettings(exclude_seen=not seen)
        made = make_negatives("random", captions, of_one_image, settings=settings)
        assert made is not None and bool(made.substitutions(0)) == seen


def test_without_a_language_model_a_small_one_is_trained_once(
    captions: list[Caption], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        build,
        "MaskedLMSettings",
        lambda seed: MaskedLMSettings(width=16, layers=1, heads=2, min_count=1, min_steps=3, epochs=1, seed=seed),
    )
    lines: list[str] = []
    for _ in range(2):
        made = make_negatives("lm", captions, IMAGES, tmp_path / "kept.safetensors", seed=2, show=lines.append)
    assert lines == ["Training a small language model on the captions, for negatives"]
    nouns = CaptionNouns.from_texts(TEXTS, [[1, 4]] * 4, IMAGES)
    model = train_masked_lm(TEXTS, build.MaskedLMSettings(seed=2))
    expected = LanguageModelWords(model).find(nouns)
    assert made is not None and np.array_equal(made.candidates, expected.candidates)
    assert made.fingerprint == expected.fingerprint  # known before the model is trained


def test_a_file_is_used_again_only_while_its_fingerprint_holds(
    captions: list[Caption], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "negatives.safetensors"
    seeds: list[int] = []

    class Counted(RandomWords):
        def find(self, nouns: CaptionNouns, *, progress: bool = False) -> Negatives:
            seeds.append(self.seed)
            return super().find(nouns, progress=progress)

    monkeypatch.setattr(build, "RandomWords", Counted)
    first = make_negatives("random", captions, IMAGES, path, seed=1)
    again = make_negatives("random", captions, IMAGES, path, seed=1)
    assert first is not None and again is not None and np.array_equal(again.candidates, first.candidates)
    assert seeds == [1]
    make_negatives("random", captions, IMAGES, path, seed=2)
    path.write_bytes(path.read_bytes()[:100])  # a damaged file is only a cache
    make_negatives("random", captions, IMAGES, path, seed=2)
    assert seeds == [1, 2, 2]
    make_negatives("random", captions, IMAGES, seed=2)  # without a file they are found each time
    assert seeds == [1, 2, 2, 2]


def test_the_small_models_settings_are_part_of_the_fingerprint(captions: list[Caption]) -> None:
    nouns = CaptionNouns.from_captions(captions, IMAGES)
    one, other = (LanguageModelWords(MaskedLMSettings(seed=seed)).fingerprint(nouns) for seed in (0, 1))
    assert one != other


def test_a_language_model_that_is_missing_is_a_model_error(captions: list[Caption], tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        make_negatives("lm", captions, IMAGES, language_model=tmp_path / "nothing")


def test_files_in_a_shared_folder_differ_by_kind_model_and_seed() -> None:
    choices = [("lm", None, 0), ("lm", "models/bert", 0), ("lm", None, 1), ("random", None, 0)]
    names = [negatives_file_name(*choice) for choice in choices]
    assert names[1] == "negatives-lm-bert-0.safetensors"
    assert len(set(names)) == 4
