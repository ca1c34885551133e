"""The small masked language model: its corruption, a toy grammar that it learns, equal results from equal seeds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unboxed.errors import CaptionError
from unboxed.negatives.base import CaptionNouns
from unboxed.negatives.masked_lm import (
    MaskedLM,
    MaskedLMSettings,
    _steps,
    corrupt,
    small_model_fingerprint,
    train_masked_lm,
)
from unboxed.negatives.substitution import LanguageModelWords
from unboxed.text.tokens import MASK_ID, PAD_ID

# A grammar in which the verb decides the object.
OBJECTS = {"rides": ["horse", "bike", "camel"], "wears": ["hat", "coat", "scarf"], "eats": ["apple", "cake", "soup"]}
WHO = ["man", "woman", "child", "girl", "boy"]
TINY = MaskedLMSettings(width=32, layers=1, heads=2, min_count=1, epochs=14, min_steps=1, batch=32, learning_rate=1e-2)


def grammar(count: int, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    captions = []
    for _ in range(count):
        verb = str(random.choice(list(OBJECTS)))
        place = " in the park" if random.random() < 0.5 else ""
        captions.append(f"A {random.choice(WHO)} {verb} a {random.choice(OBJECTS[verb])}{place}.")
    return captions


@pytest.fixture(scope="module")
def model() -> MaskedLM:
    return train_masked_lm(grammar(800, 0), TINY)


def test_it_learns_the_grammar(model: MaskedLM) -> None:
    nouns = sorted(noun for group in OBJECTS.values() for noun in group)
    unseen = grammar(60, 1)
    log_p, _ = model.log_probabilities(unseen, [4] * 60, nouns)
    right = [
        set(np.array(nouns)[np.argsort(-row)[:3]]) == set(OBJECTS[caption.split()[2]])
        for caption, row in zip(unseen, log_p, strict=True)
    ]
    assert np.mean(right) > 0.95  # by chance 1 of 84
    # The perplexity of the grammar, given all other words: 5 people, 3 objects, and words that are certain.
    assert model.held_out_perplexity is not None and 1 < model.held_out_perplexity < 2.5


def test_q_is_high_for_the_visible_word(model: MaskedLM) -> None:
    nouns = sorted(OBJECTS["rides"])
    log_p, log_q = model.log_probabilities(["A man rides a camel."], [4], nouns)
    camel = nouns.index("camel")
    assert log_q[0].argmax() == camel
    assert log_q[0, camel] > log_p[0, camel] + 0.3
    np.testing.assert_allclose(np.exp([log_p[0], log_q[0]]).sum(axis=1), 1, rtol=1e-4)


def test_its_substitutes_fit_the_sentence(model: MaskedLM) -> None:
    captions = grammar(40, 2)
    images = [str(index) for index in range(40)]
    negatives = LanguageModelWords(model).find(CaptionNouns.from_texts(captions, [[4]] * 40, images))
    for caption, index in zip(captions, range(40), strict=True):
        verb, noun = caption.split()[2], caption.rstrip(".").split()[4]
        (substitution,) = negatives.substitutions(index)
        assert noun not in substitution.words
    log_p, _ = model.log_probabilities(captions, [4] * 40, list(negatives.words))
    for caption, row in zip(captions, log_p, strict=True):
        verb = caption.split()[2]
        fitting = [negatives.words.index(noun) for noun in OBJECTS[verb]]
        assert np.exp(row[fitting]).sum() > 0.9


def test_a_batch_of_mixed_lengths_equals_one_caption_at_a_time(model: MaskedLM) -> None:
    captions = ["A man rides a horse.", "A girl eats a cake in the park.", "A man rides a horse.", "cake"]
    positions, nouns = [1, 4, 4, 0], ["man", "girl", "horse", "cake"]
    together = model.log_probabilities(captions, positions, nouns)
    for row, (caption, position) in enumerate(zip(captions, positions, strict=True)):
        alone = model.log_probabilities([caption], [position], nouns)
        for one, all_rows in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], all_rows[row], rtol=1e-3, atol=1e-4)


def test_equal_seeds_give_equal_weights_whatever_the_global_generator() -> None:
    settings = MaskedLMSettings(width=16, layers=1, heads=2, min_count=1, min_steps=3, epochs=1)
    captions = grammar(100, 0)
    one = train_masked_lm(captions, settings)
    before = torch.random.get_rng_state()
    torch.manual_seed(99)
    two = train_masked_lm(captions, settings)
    torch.random.set_rng_state(before)
    three = train_masked_lm(captions, MaskedLMSettings(**{**settings.__dict__, "seed": 1}))
    assert torch.equal(before, torch.random.get_rng_state())  # and it leaves the global generator alone
    assert all(torch.equal(first, second) for first, second in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.embedding.weight, three.embedding.weight)
    assert one.fingerprint == two.fingerprint == small_model_fingerprint(captions, settings)
    assert one.fingerprint != three.fingerprint


@pytest.mark.parametrize(("captions", "steps"), [(1, 60), (200, 240), (1_000, 800), (40_000, 1_875), (200_000, 4_000)])
def test_a_few_captions_take_fewer_steps(captions: int, steps: int) -> None:
    assert _steps(captions, MaskedLMSettings()) == steps  # of 64 captions


def test_special_words_are_not_in_its_vocabulary(model: MaskedLM) -> None:
    assert model.in_vocabulary(["camel", "spaceship", "<mask>", "<unk>"]).tolist() == [True, False, False, False]


def test_few_or_unusable_captions() -> None:
    tiny = MaskedLMSettings(width=16, layers=1, heads=2, min_count=1, min_steps=3, epochs=1)
    alone = train_masked_lm(["dog", "...", ""], tiny)
    assert alone.held_out_perplexity is None
    log_p, log_q = alone.log_probabilities(["dog"], [0], ["dog"])
    assert log_p.tolist() == log_q.tolist() == [[0.0]]
    rare = train_masked_lm(
        ["dog", "cat"], MaskedLMSettings(width=16, layers=1, heads=2, min_count=5, min_steps=3, epochs=1)
    )
    assert not rare.in_vocabulary(["dog"]).any()
    with pytest.raises(CaptionError, match="no caption with a word"):
        train_masked_lm(["...", ""], tiny)


def test_corruption_is_that_of_bert() -> None:
    random = torch.Generator().manual_seed(0)
    tokens_CW = torch.randint(3, 1000, (2000, 20), generator=random)
    tokens_CW[:, 15:] = PAD_ID
    corrupted_CW, chosen_CW = corrupt(tokens_CW, 1000, 0.15, random)
    real_CW = tokens_CW != PAD_ID
    assert not chosen_CW[~real_CW].any() and chosen_CW.any(dim=1).all()
    assert torch.equal(corrupted_CW[~chosen_CW], tokens_CW[~chosen_CW])
    # Of a caption of 15 words none is chosen with probability .85 ** 15 = 9 %; then one word is chosen all the same.
    assert chosen_CW[real_CW].float().mean().item() == pytest.approx(0.15 + 0.85**15 / 15, abs=0.01)
    masked = (corrupted_CW == MASK_ID)[chosen_CW].float().mean().item()
    same = (corrupted_CW == tokens_CW)[chosen_CW].float().mean().item()
    assert (masked, same) == (pytest.approx(0.8, abs=0.02), pytest.approx(0.1, abs=0.02))
    assert corrupted_CW[chosen_CW].min() >= MASK_ID  # a random word is never a special one
