"""Substitutes: the re-ranking by hand and beside naive loops, what is never chosen, the frequencies of random ones."""

from __future__ import annotations

import numpy as np
import pytest

from unboxed.negatives.base import CaptionNouns, MaskedLanguageModel, NegativeSource
from unboxed.negatives.substitution import LanguageModelWords, RandomWords, SubstitutionSettings, format_examples, rank
from unboxed.text.lexicon import noun_key


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


def test_no_more_are_kept_than_the_pool_has() -> None:
    for keep in (0, 4):
        with pytest.raises(ValueError, match=f"keep is {keep}; it must be from 1 to pool, 3"):
            SubstitutionSettings(pool=3, keep=keep)


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


def test_the_batched_path_equals_one_caption_at_a_time(nouns: CaptionNouns, table_lm: MaskedLanguageModel) -> None:
    settings = SubstitutionSettings(pool=5, keep=4)
    together = LanguageModelWords(table_lm, settings).find(nouns)
    vocabulary = sorted({nouns.words[c][w] for c, places in enumerate(nouns.positions) for w in places})
    assert together.words == tuple(vocabulary)
    for index, (caption, places) in enumerate(zip(nouns.captions, nouns.positions, strict=True)):
        same_image = [c for c, image in enumerate(nouns.image_ids) if image == nouns.image_ids[index]]
        seen = {noun_key(word) for c in same_image for word in nouns.words[c]}
        for place, found in zip(places, together.substitutions(index), strict=True):
            log_p, log_q = table_lm.log_probabilities([caption], [place], vocabulary)
            excluded = np.array([[noun_key(noun) in seen for noun in vocabulary]])
            alone = rank(log_p, log_q, excluded, settings)[0]
            assert found.position == place
            assert found.words == tuple(vocabulary[v] for v in alone if v >= 0)


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("kind", ["language model", "random"])
def test_nouns_that_are_true_of_the_image_are_not_chosen(
    kind: str, exclude_seen: bool, nouns: CaptionNouns, table_lm: MaskedLanguageModel
) -> None:
    settings = SubstitutionSettings(exclude_seen=exclude_seen, pool=30, keep=30)
    source: NegativeSource = RandomWords(exclude_seen=exclude_seen)
    source = source if kind == "random" else LanguageModelWords(table_lm, settings)
    negatives = source.find(nouns)
    for index, texts in enumerate(nouns.words):
        for position, found in negatives.substitutions(index):
            assert len(set(found)) == len(found)
            assert texts[position] not in found  # never the noun itself
            seen = {"music": {"guy", "guitar"}, "beach": {"woman", "women", "horse", "horses"}, "park": {"dog"}}
            others = seen[nouns.image_ids[index]] - {texts[position]}
            assert others.isdisjoint(found) if exclude_seen else others <= set(found)


def test_candidates_are_nouns_of_the_captions_in_the_models_vocabulary(
    nouns: CaptionNouns, lm_without_ball_and_guy: MaskedLanguageModel
) -> None:
    negatives = LanguageModelWords(lm_without_ball_and_guy).find(nouns)
    found = {word for index in range(len(negatives)) for _, best in negatives.substitutions(index) for word in best}
    assert found <= set(negatives.words) - {"ball", "guy"}
    assert {"dog", "guitar"} <= found


@pytest.mark.parametrize("kind", ["language model", "random"])
def test_a_word_that_is_hardly_ever_a_noun_is_no_substitute(kind: str, table_lm: MaskedLanguageModel) -> None:
    captions = ["a dog in blue"] + ["a blue cat"] * 9
    positions = [[1, 3]] + [[2]] * 9
    nouns = CaptionNouns.from_texts(captions, positions, [str(index) for index in range(10)])
    source: NegativeSource = RandomWords() if kind == "random" else LanguageModelWords(table_lm)
    negatives = source.find(nouns)
    assert negatives.substitutions(0)[0].words == ("cat",)
    assert negatives.substitutions(0)[1].words == ("cat",)  # it may itself be replaced


def test_a_model_without_any_of_the_nouns_gives_no_substitutes(lm_without_ball_and_guy: MaskedLanguageModel) -> None:
    nouns = CaptionNouns.from_texts(["a guy", "a ball"], [[1], [1]], ["a", "b"])
    negatives = LanguageModelWords(lm_without_ball_and_guy).find(nouns)
    assert negatives.substitutions(0) == ()
    assert negatives.sample(0, np.random.default_rng(0), 3) is None


def test_captions_without_nouns_have_no_substitutes(table_lm: MaskedLanguageModel, nouns: CaptionNouns) -> None:
    more = CaptionNouns.from_texts(["running fast", *nouns.captions], [(), *nouns.positions], ["x", *nouns.image_ids])
    negatives = LanguageModelWords(table_lm).find(more)
    assert negatives.substitutions(0) == ()
    assert negatives.sample(0, np.random.default_rng(0), 1) is None
    assert len(negatives) == 6
    assert len(LanguageModelWords(table_lm).find(CaptionNouns.from_texts([], [], []))) == 0


def test_examples_show_the_noun_in_brackets(nouns: CaptionNouns, table_lm: MaskedLanguageModel) -> None:
    text = format_examples(nouns.captions, LanguageModelWords(table_lm).find(nouns), count=3)
    assert len(text.splitlines()) == 3
    assert all("[" in line and " → " in line for line in text.splitlines())


def test_random_words_follow_the_frequency_of_the_nouns() -> None:
    captions = ["a dog"] * 60 + ["a cat"] * 30 + ["a cow"] * 10 + ["a pig"] * 2000
    images = [str(index) for index in range(len(captions))]
    nouns = CaptionNouns.from_texts(captions, [[1]] * len(captions), images)
    negatives = RandomWords(count=1, seed=3).find(nouns)
    sampled = [negatives.substitutions(index)[0].words[0] for index in range(100, len(captions))]
    shares = [sampled.count(word) / len(sampled) for word in ("dog", "cat", "cow")]
    np.testing.assert_allclose(shares, [0.6, 0.3, 0.1], atol=0.04)  # “pig” is the noun itself


def test_random_words_depend_on_the_nouns_and_the_seed_alone(nouns: CaptionNouns) -> None:
    one, same, other = (RandomWords(seed=seed).find(nouns) for seed in (1, 1, 2))
    assert np.array_equal(one.candidates, same.candidates)
    assert not np.array_equal(one.candidates, other.candidates)
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_captions_without_nouns_have_no_random_words() -> None:
    assert len(RandomWords().find(CaptionNouns.from_texts(["running"], [[]], ["x"]))) == 1
    assert len(RandomWords().find(CaptionNouns.from_texts([], [], []))) == 0
