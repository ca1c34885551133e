"""The prior that compares phrases with crops of regions, with an encoder whose embeddings are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from unboxed.errors import ModelError
from unboxed.priors import PriorSettings, SemanticPrior, scores
from unboxed.priors.crop_evidence import CropEvidence

WORDS = ("dog", "kite", "drum")
BOXES = np.array([[0, 0, 40, 40], [50, 0, 90, 40], [0, 50, 40, 90]], np.float32)


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """An axis for each word, and one that all texts and crops share, as in CLIP; opening it needs no folder."""

    def phrases(texts: Sequence[str]) -> np.ndarray:
        return embedding([next(word for word in WORDS if word in text) for text in texts])

    monkeypatch.setattr(CropEvidence, "_encoder", SimpleNamespace(phrases=phrases))


def embedding(words: Sequence[str]) -> np.ndarray:
    rows = np.array([[2, *(name == word for name in WORDS)] for word in words], np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


IMAGES = [(["a dog"], embedding(["dog", "kite", "drum"])), (["a kite", "the drum"], embedding(["drum", "kite", "dog"]))]


def prior(names: Sequence[str] = (), **settings: float) -> SemanticPrior:
    evidence = CropEvidence.fit(Path("clip"), IMAGES)
    return SemanticPrior.build(PriorSettings(cooccurrence=0, **settings), names, crops=evidence)


def score(built: SemanticPrior, phrase: str, class_probs: np.ndarray) -> np.ndarray:
    regions = SimpleNamespace(boxes=BOXES, class_probs=class_probs, sources=("proposal",) * 3, width=100, height=100)
    rows_RE = built.class_scores(regions, embedding(["drum", "dog", "kite"]))
    assert rows_RE.shape == (3, built.width)
    found: np.ndarray = scores(built.affinity(phrase)[None], rows_RE)[0]
    return found


def test_the_crop_that_a_phrase_names_wins_without_any_class() -> None:
    for phrase, best in (("a red kite", 2), ("Two Drums", 0), ("the dog", 1)):
        found = score(prior(), phrase, np.zeros((3, 0), np.float32))
        np.testing.assert_allclose(found[best], 1, atol=1e-5)  # the best region of an image: 1 on average
        np.testing.assert_allclose(found.sum(), 0, atol=1e-5)  # the mean of all regions: 0


def test_the_evidence_is_added_to_that_of_classes() -> None:
    detected = np.array([[0.3, 0], [0, 0.5], [0, 0]], np.float32)
    names = ("person", "dog")
    without, both = (score(prior(names, label_beside=weight), "a dog", detected) for weight in (0, 0.2))
    assert without.argmax() == 1 and without[2] == 0
    np.testing.assert_allclose(both - without, [-0.1, 0.2, -0.1], atol=1e-5)  # 0.2 of 1, and of -1/2
    np.testing.assert_allclose(score(prior(names), "a kite", detected), [-0.5, -0.5, 1], atol=1e-5)


def test_labels_of_the_same_encoder_do_not_count_twice() -> None:
    labels = np.array([[1], [0], [0]], np.float32)
    built = prior(("labeler:kite",))
    np.testing.assert_allclose(score(built, "a kite", labels), score(prior(), "a kite", labels[:, :0]), atol=1e-6)


def test_many_phrases_are_encoded_together() -> None:
    built, alone = prior(), prior()
    built.prepare(["a dog", "a kite", "a dog"])
    for phrase in ("a dog", "a kite"):
        np.testing.assert_array_equal(built.affinity(phrase), alone.affinity(phrase))


def test_an_encoder_to_which_all_crops_look_alike_is_not_blown_up() -> None:
    same = CropEvidence.fit(Path("clip"), [(["a dog"], embedding(["dog", "dog"]))])
    assert np.abs(same.phrases(["a dog"]) @ same.regions(embedding(["dog"])).T).max() < 1e-4


def test_how_well_the_encoder_tells_images_apart_is_shown() -> None:
    images = [(["a dog", "a drum"], embedding(["dog", "kite"])), (["a kite"], embedding(["drum", "kite"]))]
    lines: list[str] = []
    CropEvidence.fit(Path("clip"), images, lines.append)  # the dog alone: the drum is elsewhere, the kite in both
    assert lines == ["Crops: 33 % of 3 phrases fit the paired image better than another (chance: 50 %)"]
    CropEvidence.fit(Path("clip"), images[:1], lines.append)
    assert len(lines) == 1, "one image cannot be compared with another"


def test_captions_without_phrases_are_an_error() -> None:
    with pytest.raises(ModelError, match="no noun phrases to compare with crops"):
        CropEvidence.fit(Path("clip"), [([], embedding(["dog"]))])


def test_it_is_saved_without_the_encoder(tmp_path: Path) -> None:
    built = prior(("dog",))
    built.save(tmp_path)
    loaded = SemanticPrior.load(tmp_path, Path("clip"))
    np.testing.assert_array_equal(loaded.affinity("a dog"), built.affinity("a dog"))
    with pytest.raises(ModelError, match="compares phrases with crops by the labeler of its run"):
        SemanticPrior.load(tmp_path)
    CropEvidence(Path("clip"), np.zeros(3, np.float32)).save(tmp_path / "crops.npz")
    with pytest.raises(ModelError, match="measured on embeddings of 3 numbers, and these have 4; restore the files"):
        SemanticPrior.load(tmp_path, Path("clip")).affinity("a dog")
    (tmp_path / "crops.npz").write_bytes(b"PK")
    with pytest.raises(ModelError, match=r"crops\.npz cannot be read"):
        SemanticPrior.load(tmp_path, Path("clip"))
