"""A frozen pretrained encoder in the recurrent one's place: what it remembers, and a whole fit with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import unboxed
from unboxed.recipes.infoground import InfoGround
from unboxed.recipes.schedule import Schedule
from unboxed.text.encoders.frozen import FrozenEncoder
from unboxed.text.encoders.pretrained import PretrainedEncoder
from unboxed.text.vocabulary import Vocabulary
from unboxed.training.fit import FitSettings, fit

transformers = pytest.importorskip("transformers", reason='transformers is not installed: pip install "unboxed[hf]"')

WORDS = [("a", "man", "in", "the", "park"), ("two", "dogs")]
MASK_CW = torch.tensor([[True] * 5, [True] * 2 + [False] * 3])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised BERT that reads letters."""
    folder = tmp_path_factory.mktemp("models") / "bert"
    folder.mkdir()
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    transformers.BertModel(transformers.BertConfig(vocab_size=len(pieces), **sizes)).save_pretrained(folder)
    return folder


@pytest.fixture
def frozen(folder: Path) -> FrozenEncoder:
    vocabulary = Vocabulary.from_captions(["a man in the park", "two dogs", "a drum"])
    return FrozenEncoder(PretrainedEncoder.load(folder), vocabulary)


def test_what_is_remembered_is_what_the_encoder_says(frozen: FrozenEncoder, folder: Path) -> None:
    expected, mask_CW = PretrainedEncoder.load(folder)([" ".join(words) for words in WORDS])
    assert torch.equal(mask_CW, MASK_CW)
    for _ in range(2):  # asked, then remembered
        words_CWH = frozen(torch.zeros(2, 5, dtype=torch.long), MASK_CW, WORDS)
        torch.testing.assert_close(words_CWH, expected, atol=2e-3, rtol=1e-3)  # kept in half precision
    assert not words_CWH[1, 2:].any()
    assert not list(frozen.parameters())


def test_a_substituted_word_is_read_in_the_changed_caption(frozen: FrozenEncoder, folder: Path) -> None:
    substitutes_CN = torch.tensor([[frozen._vocabulary.id("dogs"), frozen._vocabulary.id("drum")]])
    slot_C = torch.tensor([1])
    vectors_CNH = frozen.substitute(torch.zeros(1, 5, 16), MASK_CW[:1], slot_C, substitutes_CN, WORDS[:1])
    encoder = PretrainedEncoder.load(folder)
    for n, caption in enumerate(("a dogs in the park", "a drum in the park")):
        torch.testing.assert_close(vectors_CNH[0, n], encoder([caption])[0][0, 1])


def test_a_run_trained_with_it_needs_its_folder_no_more(
    folder: Path, tiny_dataset: Path, tiny_run: Path, tmp_path: Path
) -> None:
    options = InfoGround(
        text=str(folder), negatives="random", negative_count=2, joint_width=16, schedule=Schedule(1, 8)
    )
    run = tmp_path / "run"
    trained = fit("infoground", options, FitSettings(tiny_dataset, run, tiny_run / "store"))
    assert (run / "text" / "config.json").is_file()
    folder.rename(folder.with_name("moved"))
    try:
        loaded = unboxed.load(run)
    finally:
        folder.with_name("moved").rename(folder)
    image = tiny_dataset.parent / "photos" / "1.png"
    assert trained.ground(image, "a red box").to_dict() == loaded.ground(image, "a red box").to_dict()
