"""Substitutes by language model: the re-ranking by hand and beside naive loops, what may never be chosen, the store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from unboxed.errors import StoreError
from unboxed.negatives.base import Negatives, stored, substituted
from unboxed.negatives.random_words import random_substitutes
from unboxed.negatives.substitution import (
    SubstitutionSettings,
    find_substitutes,
    format_examples,
    rank,
    substitution_fingerprint,
)
from unboxed.text.inflection import noun_key
from unboxed.text.tokens import words
from unboxed.types import Array

CAPTIONS = [
    "A man plays a guitar.",
    "A guy with an instrument",
    "Two women ride horses on the beach.",
    "A woman on a horse",
    "A dog chases a ball in the park",
]
POSITIONS = [[1, 4], [1, 4], [1, 3, 6], [1, 4], [1, 4, 7]]
IMAGES = ["music", "music", "beach", "beach", "park"]
NOUNS = {words(text)[place].text for text, places in zip(CAPTIONS, POSITIONS, strict=True) for place in places}


class TableLM:
    """A language model of made-up answers: repeatable numbers from the caption, the place and the candidate."""

    fingerprint = "table"

    def __init__(self, unknown: Sequence[str] = ()) -> None:
        self.unknown = set(unknown)

    def knows(self, candidates: Sequence[str]) -> npt.NDArray[np.bool_]:
        return np.array([word not in self.unknown for word in candidates])

    def log_probabilities(
        self, captions: Sequence[str], positions: Sequence[int], candidates: Sequence[str]
    ) -> tuple[Array, Array]:
        assert not self.unknown.intersection(candidates)
        table = np.array(
            [
                [np.random.default_rng([*f"{caption} {place} {word}".encode()]).normal(size=2) for word in candidates]
                for caption, place in zip(captions, positions, strict=True)
            ]
        )
        log_NV2 = table - np.log(np.exp(table).sum(axis=1, keepdims=True))
        return log_NV2[:, :, 0].astype(np.float32), log_NV2[:, :, 1].astype(np.float32)


def test_the_noun_and_its_synonym_fall_into_the_dropped_tail() -> None:
    nouns = ["guitar", "drum", "violin", "sandwich", "ukulele", "piano"]
    # “A man plays a [guitar]”: with the guitar there to read, q is high for the guitar and for what is nearly one.
    p = [[0.40, 0.15, 0.10, 0.001, 0.25, 0.099]]
    q = [[0.60, 0.01, 0.02, 0.001, 0.36, 0.009]]
    nothing = np.zeros((1, 6), dtype=bool)
    chosen = rank(np.log(p), np.log(q), nothing, SubstitutionSettings(pool=5, keep=3))
    assert [nouns[index] for index in chosen[0]] == ["drum", "piano", "violin"]  # 15, 11, 5; then guitar, ukulele .7
    by_p = rank(np.log(p), np.log(q), nothing, SubstitutionSettings(pool=5, keep=3, rerank=False))
    assert [nouns[index] for index in by_p[0]] == ["guitar", "ukulele", "drum"]


def test_a_noun_that_is_improbable_in_the_sentence_never_enters_the_pool() -> None:
    p, q = [[0.6, 0.39, 0.01]], [[0.5, 0.5, 1e-9]]  # the third has by far the best quotient
    chosen = rank(np.log(p), np.log(q), np.zeros((1, 3), dtype=bool), SubstitutionSettings(pool=2, keep=2))
    assert set(chosen[0].tolist()) == {0, 1}


@pytest.mark.parametrize("rerank", [True, False])
def test_rank_equals_a_naive_loop(rerank: bool) -> None:
    random = np.random.default_rng(0)
    settings = SubstitutionSettings(pool=6, keep=4, rerank=rerank)
    # Few distinct values, so that there are many ties; one row with almost everything excluded.
    log_p = np.log(random.choice([0.1, 0.2, 0.3], (40, 15))).astype(np.float32)
    log_q = np.log(random.choice([0.1, 0.2, 0.3], (40, 15))).astype(np.float32)
    excluded = random.random((40, 15)) < 0.3
    excluded[7] = np.arange(15) > 1
    excluded[8] = True
    for row, chosen in enumerate(rank(log_p, log_q, excluded, settings)):
        allowed = [v for v in range(15) if not excluded[row, v]]
        pool = sorted(allowed, key=lambda v: (-log_p[row, v], v))[:6]
        score = {v: np.exp(np.float64(log_p[row, v])) / (np.exp(np.float64(log_q[row, v])) + 1e-6) for v in pool}
        best = sorted(pool, key=lambda v: -score[v]) if rerank else pool
        best = best[: -(-len(pool) * 4 // 6)]
        assert chosen.tolist() == best + [-1] * (4 - len(best))


def test_the_batched_path_equals_one_caption_at_a_time() -> None:
    model, settings = TableLM(), SubstitutionSettings(pool=5, keep=4)
    together = find_substitutes(CAPTIONS, POSITIONS, IMAGES, model, settings)
    nouns = sorted(NOUNS)
    assert together.words == tuple(nouns)
    for index, (caption, places) in enumerate(zip(CAPTIONS, POSITIONS, strict=True)):
        said = {noun_key(w.text) for c, i in zip(CAPTIONS, IMAGES, strict=True) if i == IMAGES[index] for w in words(c)}
        for place, found in zip(places, together.substitutions(index), strict=True):
            log_p, log_q = model.log_probabilities([caption], [place], nouns)
            excluded = np.array([[noun_key(noun) in said for noun in nouns]])
            alone = rank(log_p, log_q, excluded, settings)[0]
            assert found.position == place
            assert found.words == tuple(nouns[v] for v in alone if v >= 0)


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("source", ["language model", "random"])
def test_what_may_not_be_chosen(source: str, exclude_seen: bool) -> None:
    if source == "random":
        negatives = random_substitutes(CAPTIONS, POSITIONS, IMAGES, exclude_seen=exclude_seen)
    else:
        settings = SubstitutionSettings(exclude_seen=exclude_seen, pool=30, keep=30)
        negatives = find_substitutes(CAPTIONS, POSITIONS, IMAGES, TableLM(), settings)
    for index in range(len(CAPTIONS)):
        texts = [word.text for word in words(CAPTIONS[index])]
        for position, found in negatives.substitutions(index):
            assert len(set(found)) == len(found)
            assert texts[position] not in found  # never the noun itself
            seen = {"music": {"guy", "guitar"}, "beach": {"woman", "women", "horse", "horses"}, "park": {"dog"}}
            others = seen[IMAGES[index]] - {texts[position]}
            assert others.isdisjoint(found) if exclude_seen else others <= set(found)


def test_candidates_are_nouns_of_the_captions_that_the_model_knows() -> None:
    negatives = find_substitutes(CAPTIONS, POSITIONS, IMAGES, TableLM(unknown=["ball", "guy"]))
    found = {word for index in range(len(CAPTIONS)) for _, best in negatives.substitutions(index) for word in best}
    assert found <= NOUNS - {"ball", "guy"}
    assert {"dog", "guitar"} <= found


@pytest.mark.parametrize("source", ["language model", "random"])
def test_a_word_that_is_hardly_ever_a_noun_stands_for_none(source: str) -> None:
    captions = ["a dog in blue"] + ["a blue cat"] * 9
    positions = [[1, 3]] + [[2]] * 9
    images = [str(index) for index in range(10)]
    if source == "random":
        negatives = random_substitutes(captions, positions, images)
    else:
        negatives = find_substitutes(captions, positions, images, TableLM())
    assert negatives.substitutions(0)[0].words == ("cat",)
    assert negatives.substitutions(0)[1].words == ("cat",)  # it may itself be replaced


def test_a_model_that_knows_no_noun_leaves_no_substitutes() -> None:
    negatives = find_substitutes(CAPTIONS, POSITIONS, IMAGES, TableLM(unknown=sorted(NOUNS)))
    assert negatives.substitutions(0) == ()
    assert negatives.sample(0, np.random.default_rng(0), 3) is None


def test_random_words_follow_the_frequency_of_the_nouns() -> None:
    captions = ["a dog"] * 60 + ["a cat"] * 30 + ["a cow"] * 10 + ["a pig"] * 2000
    images = [str(index) for index in range(len(captions))]
    negatives = random_substitutes(captions, [[1]] * len(captions), images, count=1, seed=3)
    drawn = [negatives.substitutions(index)[0].words[0] for index in range(100, len(captions))]
    shares = [drawn.count(word) / len(drawn) for word in ("dog", "cat", "cow")]
    np.testing.assert_allclose(shares, [0.6, 0.3, 0.1], atol=0.04)  # “pig” is the noun itself


def test_random_words_depend_on_their_seed_alone() -> None:
    one, same, other = (random_substitutes(CAPTIONS, POSITIONS, IMAGES, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.candidates, same.candidates)
    assert not np.array_equal(one.candidates, other.candidates)


def test_sampling_repeats_from_an_equal_generator_and_reaches_every_noun_and_substitute() -> None:
    negatives = find_substitutes(CAPTIONS, POSITIONS, IMAGES, TableLM(), SubstitutionSettings(pool=4, keep=3))
    draws = [negatives.sample(4, np.random.default_rng((0, epoch, 4)), 2) for epoch in range(200)]
    again = [negatives.sample(4, np.random.default_rng((0, epoch, 4)), 2) for epoch in range(200)]
    assert draws == again
    for position, best in negatives.substitutions(4):
        reached = {word for draw in draws if draw and draw.position == position for word in draw.words}
        assert reached == set(best)
    assert all(draw is not None and len(set(draw.words)) == 2 for draw in draws)
    everything = negatives.sample(4, np.random.default_rng(0), 100)
    assert everything is not None and len(everything.words) == 3


def test_captions_without_nouns_have_no_substitutes() -> None:
    negatives = find_substitutes(["running fast", *CAPTIONS], [[], *POSITIONS], ["x", *IMAGES], TableLM())
    assert negatives.substitutions(0) == ()
    assert negatives.sample(0, np.random.default_rng(0), 1) is None
    assert len(negatives) == 6
    assert len(find_substitutes([], [], [], TableLM())) == 0
    assert len(random_substitutes(["running"], [[]], ["x"])) == 1


def test_positions_and_images_must_fit_the_captions() -> None:
    with pytest.raises(ValueError, match="caption of 2 words"):
        find_substitutes(["a dog"], [[2]], ["x"], TableLM())
    with pytest.raises(ValueError, match="one list a caption"):
        find_substitutes(["a dog"], [], ["x"], TableLM())
    with pytest.raises(ValueError, match="one image id a caption"):
        find_substitutes(["a dog"], [[1]], [], TableLM())


def test_the_file_gives_them_back(tmp_path: Path) -> None:
    negatives = find_substitutes(CAPTIONS, POSITIONS, IMAGES, TableLM())
    negatives.save(tmp_path / "run" / "negatives.safetensors")
    loaded = Negatives.load(tmp_path / "run" / "negatives.safetensors")
    assert (loaded.words, loaded.fingerprint) == (negatives.words, negatives.fingerprint)
    for name in ("offsets", "positions", "candidates"):
        assert np.array_equal(getattr(loaded, name), getattr(negatives, name))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["negatives.safetensors"]


def test_a_kept_file_is_used_again_only_for_the_same_captions_nouns_and_settings(tmp_path: Path) -> None:
    path, made = tmp_path / "negatives.safetensors", []
    settings = SubstitutionSettings()
    key = substitution_fingerprint(CAPTIONS, POSITIONS, IMAGES, settings, "table")

    def make() -> Negatives:
        made.append(1)
        return find_substitutes(CAPTIONS, POSITIONS, IMAGES, TableLM(), settings)

    assert stored(path, key, make).fingerprint == key
    assert np.array_equal(stored(path, key, make).candidates, stored(path, key, make).candidates)
    assert len(made) == 1
    stored(
        path, substitution_fingerprint(CAPTIONS, POSITIONS, IMAGES, SubstitutionSettings(rerank=False), "table"), make
    )
    assert len(made) == 2
    path.write_bytes(path.read_bytes()[:100])  # damaged: only a cache, so it is made anew
    stored(path, key, make)
    assert len(made) == 3
    assert Negatives.load(path).fingerprint == key


def test_a_damaged_file_is_a_store_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "negatives.safetensors"
    with pytest.raises(StoreError, match="Cannot read"):
        Negatives.load(path)
    path.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{nonsense")
    with pytest.raises(StoreError, match=r"negatives\.safetensors"):
        Negatives.load(path)
    from safetensors.numpy import save_file

    save_file({"offsets": np.zeros(1, np.int32)}, path, {"format": "something else"})
    with pytest.raises(StoreError, match="something else"):
        Negatives.load(path)
    with pytest.raises(StoreError, match="do not agree"):
        Negatives(("dog",), np.array([0, 1]), np.array([0]), np.array([[1]]))


def test_substituted_keeps_the_rest_of_the_caption() -> None:
    assert substituted("A man's T-shirt, blue.", 2, "hat") == "A man's hat, blue."


def test_examples_show_the_noun_in_brackets() -> None:
    text = format_examples(CAPTIONS, find_substitutes(CAPTIONS, POSITIONS, IMAGES, TableLM()), count=3)
    assert len(text.splitlines()) == 3
    assert all("[" in line and " → " in line for line in text.splitlines())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *[("dog", "dogs"), ("woman", "women"), ("baby", "babies"), ("cookie", "cookies"), ("horse", "horses")],
        *[("bus", "buses"), ("glass", "glasses"), ("box", "boxes"), ("beach", "beaches"), ("moustache", "moustaches")],
        *[("shoe", "shoes"), ("potato", "potatoes"), ("person", "people"), ("child", "children"), ("man", "man's")],
        *[("tie", "ties"), ("house", "houses"), ("fireman", "firemen"), ("bush", "bushes"), ("man", "men’s")],
    ],
)
def test_forms_of_a_noun_have_one_key(one: str, other: str) -> None:
    assert noun_key(one) == noun_key(other)


@pytest.mark.parametrize(("one", "other"), [("cap", "cape"), ("car", "care"), ("kit", "kite"), ("gras", "grass")])
def test_different_nouns_have_different_keys(one: str, other: str) -> None:
    assert noun_key(one) != noun_key(other)
