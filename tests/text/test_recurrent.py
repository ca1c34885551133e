"""The recurrent encoder: padding is invisible, phrases alone are captions, and substituted words are read in place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unboxed.errors import ModelError
from unboxed.text.recurrent import RecurrentEncoder, pooled
from unboxed.text.settings import TextConfig
from unboxed.text.tokens import UNKNOWN_ID, Vocabulary
from unboxed.text.word_vectors import WordVectors

SETTINGS = [
    TextConfig(),
    TextConfig(word_state="mean"),
    TextConfig(bidirectional=False),
    TextConfig(bidirectional=False, word_state="mean"),
    TextConfig(cell="lstm"),
    TextConfig(cell="lstm", bidirectional=False, word_state="mean"),
]


def encoder_of(settings: TextConfig) -> RecurrentEncoder:
    """A small encoder in evaluation mode, in double precision."""
    torch.manual_seed(0)
    return RecurrentEncoder(20, embedding_width=6, hidden_width=5, settings=settings).double().eval()


@pytest.mark.parametrize("settings", SETTINGS)
def test_substituting_a_word_equals_encoding_the_changed_caption(settings: TextConfig) -> None:
    encoder = encoder_of(settings)
    tokens_CW = torch.randint(1, 20, (4, 7))
    lengths = torch.tensor([7, 1, 4, 5])
    mask_CW = torch.arange(7) < lengths[:, None]
    slot_C = torch.tensor([0, 0, 3, 2])
    substitutes_CN = torch.randint(1, 20, (4, 3))
    quick = encoder.substitute(encoder(tokens_CW, mask_CW), tokens_CW, mask_CW, slot_C, substitutes_CN)
    assert quick.shape == (4, 3, encoder.output_width)
    for c in range(4):
        for n in range(3):
            changed = tokens_CW[c : c + 1].clone()
            changed[0, slot_C[c]] = substitutes_CN[c, n]
            torch.testing.assert_close(quick[c, n], encoder(changed, mask_CW[c : c + 1])[0, slot_C[c]])


@pytest.mark.parametrize("settings", SETTINGS)
def test_padding_does_not_change_a_captions_words(settings: TextConfig) -> None:
    encoder = encoder_of(settings)
    tokens = torch.randint(1, 20, (1, 3))
    alone = encoder(tokens, torch.ones(1, 3, dtype=torch.bool))
    padded = encoder(torch.nn.functional.pad(tokens, (0, 4), value=9), torch.tensor([[True] * 3 + [False] * 4]))
    assert alone.shape[2] == encoder.output_width
    torch.testing.assert_close(padded[:, :3], alone)
    assert not padded[:, 3:].any()


def test_the_mean_state_is_that_of_the_two_directions_without_the_word_vector() -> None:
    linear, mean = encoder_of(TextConfig()), encoder_of(TextConfig(word_state="mean"))
    mean.load_state_dict(linear.state_dict())
    tokens, mask = torch.randint(1, 20, (2, 4)), torch.ones(2, 4, dtype=torch.bool)
    embedded_forward_backward = linear(tokens, mask).split([6, 5, 5], dim=2)
    torch.testing.assert_close(mean(tokens, mask), sum(embedded_forward_backward[1:]) / 2)


@pytest.mark.parametrize("pooling", ["mean", "max", "last"])
def test_a_phrase_alone_is_read_as_a_caption_of_its_words(pooling: str) -> None:
    encoder = encoder_of(TextConfig(cell="lstm", phrase_reads="phrase", phrase_pooling=pooling))  # type: ignore[arg-type]
    tokens_CW = torch.randint(2, 20, (2, 6))
    tokens_CW[0, 2] = tokens_CW[1, 1] = UNKNOWN_ID
    phrase_CPW = torch.zeros(2, 3, 6, dtype=torch.bool)
    phrase_CPW[0, 0, 1:4] = phrase_CPW[0, 1, 3:6] = phrase_CPW[1, 0, [1, 4]] = True  # the last phrase has a gap
    found_CPH = encoder.read_phrases(tokens_CW, phrase_CPW)
    for c in range(2):
        for p in range(3):
            words = tokens_CW[c, phrase_CPW[c, p]]
            if not len(words):
                assert not found_CPH[c, p].any()
                continue
            states = encoder(words[None], torch.ones(1, len(words), dtype=torch.bool))[0]
            known = (words != UNKNOWN_ID) | (torch.arange(len(words)) == 0)  # of a maximum, as in CKD
            expected = {"mean": states.mean(dim=0), "max": states[known].amax(dim=0), "last": states[-1]}[pooling]
            torch.testing.assert_close(found_CPH[c, p], expected)


def test_a_maximum_leaves_out_words_of_the_vocabulary_that_have_no_vector() -> None:
    torch.manual_seed(0)
    vocabulary = Vocabulary.from_captions(["red dog zyx"])
    reading = TextConfig(bidirectional=False, word_state="mean", phrase_reads="phrase", phrase_pooling="max")
    encoder = RecurrentEncoder(len(vocabulary), 2, 3, settings=reading)
    encoder.set_vectors(vocabulary, WordVectors(["red", "dog"], np.array([[0.6, 0.8], [0.0, 1.0]], np.float32)))
    tokens_CW, all_CW = torch.tensor([vocabulary.encode(["red", "zyx", "dog"])]), torch.ones(1, 3, dtype=torch.bool)
    states_WH = encoder(tokens_CW, all_CW)[0]  # the word moves the state of the next one all the same
    found_CPH = encoder.read_phrases(tokens_CW, all_CW[:, None])
    torch.testing.assert_close(found_CPH[0, 0], states_WH[[0, 2]].amax(dim=0))
    assert not torch.allclose(found_CPH[0, 0], states_WH.amax(dim=0))


@pytest.mark.parametrize("pooling", ["mean", "max", "last"])
def test_phrases_of_a_long_caption_are_read_without_a_number_for_each_phrase_and_word(pooling: str) -> None:
    """Of 8,000 phrases of two words, the numbers would take a gigabyte, and the mask 128 megabytes."""
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal largest
            found = func(*args, **(kwargs or {}))
            results = found if isinstance(found, tuple | list) else [found]
            largest = max(largest, *(r.untyped_storage().nbytes() for r in results if isinstance(r, torch.Tensor)), 0)
            return found

    reading = TextConfig(phrase_reads="phrase", phrase_pooling=pooling)  # type: ignore[arg-type]
    encoder = RecurrentEncoder(20, 2, 3, settings=reading)
    phrase_CPW = torch.eye(400, dtype=torch.bool).repeat_interleave(2, dim=1)[None]
    with torch.no_grad(), Watch():
        encoder.read_phrases(torch.randint(3, 20, (1, 800)), phrase_CPW)
    assert largest <= phrase_CPW.nbytes


@pytest.mark.parametrize("largest", [1, 1 << 25])  # of a long caption, a few groups at a time
@pytest.mark.parametrize("pooling", ["mean", "max", "last"])
def test_pooling_over_groups_of_words(pooling: str, largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unboxed.text.recurrent._LARGEST", largest)
    torch.manual_seed(0)
    states_CWH = torch.randn(2, 5, 3, dtype=torch.double)
    member_CQW = torch.rand(2, 4, 5) < 0.5
    member_CQW[1, 2] = False
    member_CQW[:, 3] = False
    found_CQH = pooled(states_CWH, member_CQW, pooling)  # type: ignore[arg-type]
    for c in range(2):
        for q in range(4):
            own = states_CWH[c, member_CQW[c, q]]
            expected = torch.zeros(3, dtype=torch.double)
            if len(own):
                expected = {"mean": own.mean(dim=0), "max": own.amax(dim=0), "last": own[-1]}[pooling]
            torch.testing.assert_close(found_CQH[c, q], expected)


def test_word_dropout_replaces_the_dropout_of_the_model() -> None:
    assert RecurrentEncoder(9, 4, 3, 0.1).dropout.p == 0.1
    assert RecurrentEncoder(9, 4, 3, 0.1, TextConfig(word_dropout=0.4)).dropout.p == 0.4
    assert RecurrentEncoder(9, 4, 3, 0.1, TextConfig(word_dropout=0.0)).dropout.p == 0


def test_uniform_embeddings_lie_between_a_tenth_and_its_negative() -> None:
    weight = RecurrentEncoder(400, 20, 3, settings=TextConfig(embedding_init="uniform")).embedding.weight
    assert 0.099 < weight.abs().max() <= 0.1
    assert RecurrentEncoder(400, 20, 3).embedding.weight.abs().max() > 0.2


def test_initial_vectors_are_those_of_the_words_and_can_be_kept() -> None:
    vocabulary = Vocabulary.from_captions(["a red dog"])
    vectors = WordVectors(["red", "dog"], np.array([[0.6, 0.8], [0.0, 1.0]], np.float32))
    encoder = RecurrentEncoder(len(vocabulary), 2, 3, settings=TextConfig(train_vectors=False))
    encoder.set_vectors(vocabulary, vectors)
    rows = encoder.embedding(torch.tensor(vocabulary.encode(["red", "dog", "a"])))
    torch.testing.assert_close(rows, torch.tensor([[0.6, 0.8], [0.0, 1.0], [0.0, 0.0]]), atol=1e-3, rtol=0)
    encoder(torch.tensor([[3, 4]]), torch.ones(1, 2, dtype=torch.bool)).sum().backward()
    assert encoder.embedding.weight.grad is None
    with pytest.raises(ModelError, match="set --embedding-width 2"):
        RecurrentEncoder(len(vocabulary), 4, 3).set_vectors(vocabulary, vectors)
