"""Options of words, phrases and region inputs, from a fit to groundings, retrieval and the run that is loaded again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unboxed.errors import ExportError, RunError
from unboxed.export.onnx import export_onnx
from unboxed.inference.grounder import Grounder
from unboxed.recipes import CKD, PFAN, SCAN, SGR, VSE, InfoGround, NPair, RecipeConfig, Schedule
from unboxed.text.encoding import encode_caption
from unboxed.text.settings import TextConfig
from unboxed.text.tokens import Tokenizer, Vocabulary, words
from unboxed.training.fitting import fit
from unboxed.training.options import FitSettings
from unboxed.training.split_loader import _slot
from unboxed.types import Caption

SCHEDULE = Schedule(epochs=1, images_per_batch=8)
ORIGINAL = TextConfig(tokenizer="treebank", start_end_words=True, word_state="mean", embedding_init="uniform")
MATCHING: dict[str, Any] = {
    "joint_width": 16,
    "hidden_width": 16,
    "embedding_width": 12,
    "region_hidden": 0,
    "region_inputs": "features",
    "schedule": SCHEDULE,
    "text_encoder": ORIGINAL,
}
PHRASES = TextConfig(cell="lstm", bidirectional=False, word_state="mean", phrase_reads="phrase", phrase_pooling="max")
RECIPES: dict[str, RecipeConfig] = {
    "scan": SCAN(**MATCHING),
    "pfan": PFAN(position_width=8, **MATCHING),
    "sgr": SGR(similarity_width=8, **{**MATCHING, "text_encoder": replace(ORIGINAL, word_dropout=0.4)}),
    "vse": VSE(text_pooling="last", **{**MATCHING, "text_encoder": replace(ORIGINAL, bidirectional=False)}),
    "ckd": CKD(distillation=replace(CKD().distillation, distillation=0), text_encoder=PHRASES, schedule=SCHEDULE),
    "infoground": InfoGround(
        negatives="random",
        joint_width=16,
        region_inputs="features",
        text_encoder=replace(ORIGINAL, bidirectional=False),
        schedule=SCHEDULE,
    ),
}
CAPTION = "The man's “red box”, isn't beside a blue box (or: 2 boxes)."


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_of_the_originals_inputs_grounds_any_caption_and_is_loaded_as_it_was(
    recipe: str, tiny_dataset: Path, tmp_path: Path
) -> None:
    grounder = fit(recipe, RECIPES[recipe], FitSettings(tiny_dataset, tmp_path / "run", min_count=4))
    image = tiny_dataset.parent / "photos" / "0.png"
    again = Grounder.load(tmp_path / "run")
    assert again.vocabulary == grounder.vocabulary
    reading = RECIPES[recipe].text_encoder
    assert again.vocabulary.tokenizer == Tokenizer(reading.tokenizer, reading.start_end_words)
    for caption in (CAPTION, "a red box", "!! 7 ??", "x"):
        found, expected = again.ground(image, caption), grounder.ground(image, caption)
        assert [phrase.text for phrase in found.phrases] == [phrase.text for phrase in expected.phrases]
        for phrase, same in zip(found.phrases, expected.phrases, strict=True):
            np.testing.assert_array_equal(phrase.boxes, same.boxes)
            assert np.isfinite(phrase.scores).all()
    np.testing.assert_allclose(again.score([image], [CAPTION, "x"]), grounder.score([image], [CAPTION, "x"]), rtol=1e-5)

    regions = grounder.regions_of(image)
    inputs = grounder.batcher.images([regions])
    if RECIPES[recipe].region_inputs == "features":
        np.testing.assert_array_equal(inputs.inputs_BRV[0].numpy(), regions.features)
        standard = grounder.model.standardise(inputs.inputs_BRV, inputs.mask_BR)
        np.testing.assert_array_equal(standard.numpy(), inputs.inputs_BRV.numpy())
    size = np.array([regions.width, regions.height] * 2, np.float32)
    np.testing.assert_allclose(inputs.edges_BR4[0].numpy(), regions.boxes / size, rtol=1e-6)


def test_negatives_replace_the_word_of_their_noun_with_every_tokenizer() -> None:
    """Negatives count words without punctuation; the batch's words have it, and begin with `<start>`."""
    text = "A man's hat, (a red box)."
    encoded = encode_caption(Caption(text), Vocabulary.from_captions([text], 1, Tokenizer("treebank", True)))
    assert encoded.words == ("<start>", "a", "man", "'s", "hat", ",", "(", "a", "red", "box", ")", ".", "<end>")
    replaced = [encoded.words[_slot(encoded, position)] for position in range(len(words(text)))]
    assert replaced == ["a", "man", "hat", "a", "red", "box"]
    with pytest.raises(ValueError, match="contains character 1"):
        encoded.word_at(1)


def _reading(run: Path, reading: TextConfig) -> Grounder:
    """A model of phrases with another text encoder, untrained."""
    like = Grounder.load(run)
    teaching = replace(CKD().distillation, distillation=0)
    options = CKD(joint_width=32, hidden_width=32, distillation=teaching, text_encoder=reading)
    vocabulary = replace(like.vocabulary, tokenizer=Tokenizer(reading.tokenizer))
    model = options.build(vocabulary, like.config.region_width).eval()
    return Grounder(replace(like.config, recipe="ckd", options=options), model, vocabulary)


@pytest.mark.parametrize(
    "reading",
    [
        TextConfig(cell="lstm", phrase_pooling="last"),
        TextConfig(tokenizer="treebank", bidirectional=False, word_state="mean", phrase_pooling="max"),
    ],
)
def test_every_network_that_reads_captions_has_an_onnx_form(
    reading: TextConfig, tiny_run: Path, tmp_path: Path
) -> None:
    for extra in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(extra, reason='ONNX is not installed: pip install "unboxed[onnx]"')
    pytest.importorskip("torch", "2.8", reason="writing ONNX needs PyTorch 2.8")
    grounder = _reading(tiny_run, reading)
    differences = export_onnx(grounder, tmp_path / "out", show=lambda line: None)  # refuses what differs from PyTorch
    assert max(differences.values()) < 1e-4
    assert Vocabulary.load(tmp_path / "out" / "vocab.json").tokenizer.name == reading.tokenizer


def test_a_network_that_reads_phrases_has_no_onnx_form(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="reads each phrase alone, which has no ONNX form"):
        export_onnx(_reading(tiny_run, PHRASES), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SCAN(hidden_width=64, text_encoder=TextConfig(word_state="mean")), "set --hidden-width 256"),
        (
            lambda: SCAN(text_encoder=TextConfig(phrase_reads="phrase")),
            "that compare phrases with regions, such as ckd",
        ),
        (lambda: InfoGround(text="bert", text_encoder=TextConfig(start_end_words=True)), "leave out --text"),
        (
            lambda: NPair(joint_width=64, text_encoder=TextConfig(word_state="mean")),
            "leave out --word-state mean",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(make: Any, message: str) -> None:
    with pytest.raises(RunError, match=message):
        make()
