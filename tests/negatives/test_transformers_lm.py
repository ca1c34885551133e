"""The adapter of transformers' masked language models beside a direct computation, one caption at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from unboxed.errors import CaptionError, ModelError
from unboxed.negatives.base import CaptionNouns
from unboxed.negatives.substitution import LanguageModelWords
from unboxed.negatives.transformers_lm import TransformersLM
from unboxed.text.tokens import words

transformers = pytest.importorskip("transformers", reason='transformers is not installed: pip install "unboxed[hf]"')

NOUNS = ["man", "dog", "shirt", "ball", "guitar", "drum", "drums"]
CAPTIONS = ["A man plays a guitar.", "Two dogs chase a ball in the park", "A man plays a guitar."]
POSITIONS = [1, 1, 4]  # “man”, “dogs” (of two sub-tokens), “guitar”


def tiny_bert(folder: Path, kind: str, longest: int = 40) -> Path:
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *letters, *(f"##{letter}" for letter in letters)]
    pieces += ["##gs", "two", "chase", "in", "the", "park", "plays", *NOUNS[:-1]]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=len(pieces), max_position_embeddings=longest, **sizes)
    torch.manual_seed(0)
    model = getattr(transformers, kind)(config)
    for parameter in model.parameters():  # wide enough apart that different words have different probabilities
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("models") / "bert", "BertForMaskedLM")


def test_its_vocabulary_are_words_of_one_token(folder: Path) -> None:
    assert TransformersLM.load(folder).in_vocabulary([*NOUNS, "zebra", "日本"]).tolist() == [True] * 6 + [False] * 3


def test_it_agrees_with_a_direct_computation(folder: Path) -> None:
    candidates = NOUNS[:-1]
    log_p, log_q = TransformersLM.load(folder).log_probabilities(CAPTIONS, POSITIONS, candidates)
    model = transformers.BertForMaskedLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.convert_tokens_to_ids(candidates)
    for row, (caption, position) in enumerate(zip(CAPTIONS, POSITIONS, strict=True)):
        word = words(caption)[position]
        tokens = tokenizer(caption, return_offsets_mapping=True, return_tensors="pt")
        offsets = tokens.pop("offset_mapping")[0].tolist()
        of_word = [t for t, (start, end) in enumerate(offsets) if word.start <= start < end <= word.end]
        assert len(of_word) == (2 if word.text == "dogs" else 1)
        for masked, answer in ((True, log_p[row]), (False, log_q[row])):
            seen = tokens["input_ids"].clone()
            if masked:
                seen[0, of_word] = tokenizer.mask_token_id
            with torch.inference_mode():
                logits = model(**{**tokens, "input_ids": seen}).logits[0, of_word[0], ids]
            np.testing.assert_allclose(answer, logits.log_softmax(dim=0).numpy(), rtol=1e-4, atol=1e-5)


def test_many_places_are_read_a_few_rows_at_a_time_with_the_same_answer(folder: Path) -> None:
    model = TransformersLM.load(folder)
    captions = [f"A {noun} plays {'the ' * (index % 5)}{noun}" for index, noun in enumerate(NOUNS * 12)]
    positions = [1] * len(captions)
    together = model.log_probabilities(captions, positions, NOUNS[:3])
    for row in (0, 31, 32, 33, 83):
        alone = model.log_probabilities([captions[row]], [1], NOUNS[:3])
        for one, all_rows in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], all_rows[row], rtol=1e-4, atol=1e-5)


def test_the_same_model_in_another_folder_has_the_same_fingerprint(folder: Path, tmp_path: Path) -> None:
    copy = TransformersLM.load(tiny_bert(tmp_path / "copy", "BertForMaskedLM"))
    assert copy.fingerprint == TransformersLM.load(folder).fingerprint


def test_it_finds_substitutes(folder: Path) -> None:
    nouns = CaptionNouns.from_texts(CAPTIONS, [[1, 4], [1, 4], [4]], ["x", "y", "x"])
    negatives = LanguageModelWords(TransformersLM.load(folder)).find(nouns)
    assert negatives.words == ("ball", "dogs", "guitar", "man")
    assert {word for _, found in negatives.substitutions(0) for word in found} == {"ball"}  # “dogs” is two tokens
    assert {word for _, found in negatives.substitutions(1) for word in found} == {"guitar", "man"}


def test_a_model_without_a_language_model_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="would be random"):
        TransformersLM.load(tiny_bert(tmp_path / "encoder", "BertModel"))


def test_a_caption_that_is_too_long_is_a_caption_error(folder: Path) -> None:
    with pytest.raises(CaptionError, match="at most 40"):
        TransformersLM.load(folder).log_probabilities(["a dog " * 30], [1], NOUNS[:2])


def test_a_folder_that_is_missing_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no folder"):
        TransformersLM.load(tmp_path / "nothing")


def test_a_model_without_a_mask_token_is_refused(folder: Path) -> None:
    loaded = TransformersLM.load(folder)
    loaded._tokenizer.mask_token = None
    with pytest.raises(ModelError, match="no mask token"):
        TransformersLM(loaded._model, loaded._tokenizer)
