"""A converted checkpoint is a run like any other, and scores captions as the original does; misfits are named."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from unboxed import Grounder, Regions
from unboxed.cli import main
from unboxed.convert import Checkpoint, ConvertSettings, convert
from unboxed.convert.layout import checked
from unboxed.errors import ModelError, RunError, UnboxedError
from unboxed.regions.store import RegionStore

from .originals import (
    SCAN_OPTIONS,
    SGRAF_OPTIONS,
    VSEPP_OPTIONS,
    linear_state,
    save,
    text_state,
    words_of,
    write_vocabulary,
)

WIDTH, WORD_WIDTH, JOINT = 5, 7, 6
WORDS = words_of(16)
CAPTIONS = {
    "A dog 's red hat.": ["a", "dog", "'s", "red", "hat", "."],
    "The man, a dog": ["<unk>", "man", ",", "a", "dog"],
    "Red": ["red"],
}
"""Captions, and what the originals' tokenizer and vocabulary make of them."""


def parts(gru: str = "rnn", bidirectional: bool = True) -> list[dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    return [linear_state("fc", JOINT, WIDTH), text_state(len(WORDS), WORD_WIDTH, JOINT, bidirectional, gru)]


def regions_of(features_RV: torch.Tensor) -> Regions:
    """Imported regions without boxes."""
    count = len(features_RV)
    return Regions(
        boxes=np.tile(np.array([0, 0, 1, 1], np.float32), (count, 1)),
        scores=np.ones(count, np.float32),
        features=features_RV.numpy(),
        class_probs=np.zeros((count, 0), np.float32),
        class_names=(),
        sources=("imported",) * count,
        width=1,
        height=1,
    )


def unit(rows: torch.Tensor, dim: int = -1) -> torch.Tensor:
    return rows / (rows.square().sum(dim=dim, keepdim=True).sqrt() + 1e-8)


def words_by_hand(state: dict[str, torch.Tensor], tokens: list[str]) -> torch.Tensor:
    """Unit vectors `[W, D]` of the words of a caption, by the original's formulas."""
    bidirectional = "rnn.weight_ih_l0_reverse" in state
    gru = nn.GRU(WORD_WIDTH, JOINT, batch_first=True, bidirectional=bidirectional)
    gru.load_state_dict({name.removeprefix("rnn."): value for name, value in state.items() if name[0] == "r"})
    ids = [WORDS.index(word) for word in ("<start>", *tokens, "<end>")]
    states_WH = gru(state["embed.weight"][ids][None])[0][0]
    return unit((states_WH[:, :JOINT] + states_WH[:, JOINT:]) / 2 if bidirectional else states_WH)


def scan_by_hand(state: list[dict[str, torch.Tensor]], image_RV: torch.Tensor, tokens: list[str]) -> float:
    """SCAN t2i with the mean, by the original's formulas, for one image and one caption."""
    regions_RD = unit(image_RV @ state[0]["fc.weight"].T + state[0]["fc.bias"])
    words_WD = words_by_hand(state[1], tokens)
    normed_RW = unit(nn.functional.leaky_relu(regions_RD @ words_WD.T, 0.1), dim=1)
    attention_WR = (9 * normed_RW.T).softmax(dim=1)
    return float(nn.functional.cosine_similarity(words_WD, attention_WR @ regions_RD).mean())


@pytest.fixture
def vocab(tmp_path: Path) -> Path:
    return write_vocabulary(tmp_path / "f30k_precomp_vocab.json", WORDS)


@torch.no_grad()
def test_scan_scores_captions_as_the_original(tmp_path: Path, vocab: Path) -> None:
    state, images = parts(), [torch.randn(count, WIDTH) for count in (3, 2, 4)]
    convert(save(tmp_path / "m", state, SCAN_OPTIONS), ConvertSettings(tmp_path / "run", vocab=vocab))
    found_BC = Grounder.load(tmp_path / "run").score([regions_of(image) for image in images], list(CAPTIONS))
    expected_BC = [[scan_by_hand(state, image, tokens) for tokens in CAPTIONS.values()] for image in images]
    np.testing.assert_allclose(found_BC, expected_BC, atol=2e-6)
    assert np.std(expected_BC) > 0.01


@torch.no_grad()
def test_vsepp_scores_captions_as_the_original(tmp_path: Path) -> None:
    vocab = write_vocabulary(tmp_path / "f30k_precomp_vocab.pkl", WORDS)
    state, images = parts(bidirectional=False), [torch.randn(1, WIDTH) for _ in range(3)]
    convert(save(tmp_path / "m", state, VSEPP_OPTIONS), ConvertSettings(tmp_path / "run", vocab=vocab))
    found_BC = Grounder.load(tmp_path / "run").score([regions_of(image) for image in images], list(CAPTIONS))
    captions_CD = torch.stack([words_by_hand(state[1], tokens)[-1] for tokens in CAPTIONS.values()])
    expected_BC = unit(torch.cat(images) @ state[0]["fc.weight"].T + state[0]["fc.bias"]) @ captions_CD.T
    np.testing.assert_allclose(found_BC, expected_BC.numpy(), atol=2e-6)


def test_weight_norm_is_multiplied_out(tmp_path: Path, vocab: Path) -> None:
    state = parts()
    length, direction = torch.tensor(2.5), torch.randn(JOINT, WIDTH)
    normed = [{"fc.bias": state[0]["fc.bias"], "fc.weight_g": length, "fc.weight_v": direction}, state[1]]
    options = SCAN_OPTIONS | {"precomp_enc_type": "weight_norm"}
    grounder = convert(save(tmp_path / "m", normed, options), ConvertSettings(tmp_path / "run", vocab=vocab))
    weight = grounder.model.state_dict()["aligner.region_encoder.map.weight"]
    torch.testing.assert_close(weight, length * direction / direction.norm())


def renamed(state: list[dict[str, torch.Tensor]], old: str, new: str) -> list[dict[str, torch.Tensor]]:
    return [{name.replace(old, new, 1): value for name, value in part.items()} for part in state]


@torch.no_grad()
def test_other_ways_to_save_the_same_model_score_as_it(tmp_path: Path, vocab: Path) -> None:
    """`nn.DataParallel` adds `module` to names; lengths of single rows come from `weight_norm` with its default."""
    length, direction = torch.rand(JOINT, 1) + 0.5, torch.randn(JOINT, WIDTH)
    image, text = parts()
    image["fc.weight"] = length * direction / direction.norm(dim=1, keepdim=True)
    normed = {"fc.bias": image["fc.bias"], "fc.weight_g": length, "fc.weight_v": direction}
    newer = {f"fc.parametrizations.weight.original{part}": normed[f"fc.weight_{'gv'[part]}"] for part in (0, 1)}
    saved: dict[str, tuple[list[dict[str, torch.Tensor]], Any]] = {
        "plain": ([image, text], {}),
        "parallel": (renamed([image, text], "", "module."), {}),
        "parallel recurrent network": ([image, *renamed([text], "rnn.", "rnn.module.")], {}),
        "double precision": ([{name: value.double() for name, value in part.items()} for part in (image, text)], {}),
        "lengths of rows": ([normed, text], {}),
        "lengths of rows, newer names": ([{"fc.bias": image["fc.bias"], **newer}, text], {}),
        "with an optimizer, and no number of the epoch": (
            [image, text],
            {"optimizer": {"state": {0: {"step": 3}}, "param_groups": [{"lr": 0.1}]}, "epoch": torch.tensor(3)},
        ),
    }
    images, scores_BC = [regions_of(torch.randn(3, WIDTH)) for _ in range(2)], {}
    for name, (state, more) in saved.items():
        content = {"epoch": 11, "model": state, "opt": SCAN_OPTIONS, **more}
        torch.save(content, tmp_path / "m")
        convert(tmp_path / "m", ConvertSettings(tmp_path / name, vocab=vocab))
        scores_BC[name] = Grounder.load(tmp_path / name).score(images, list(CAPTIONS))
        np.testing.assert_allclose(scores_BC[name], scores_BC["plain"], atol=1e-6, err_msg=name)
    assert np.std(scores_BC["plain"]) > 0.01


@pytest.mark.parametrize(
    ("tensors", "options", "message"),
    [
        ({"fc.weight": torch.full((JOINT, WIDTH), torch.nan)}, {}, "fc.weight has values that are not finite"),
        ({"fc.bias": torch.full((JOINT,), 1e39, dtype=torch.float64)}, {}, "not finite in single precision"),
        ({"fc.weight": torch.ones(JOINT, WIDTH, dtype=torch.int8)}, {}, "fc.weight is int8.*expected real numbers"),
        ({"fc.weight": torch.ones(JOINT, WIDTH).to_sparse()}, {}, "fc.weight is sparse"),
        ({"fc.weight": torch.ones(JOINT, 0)}, {}, r"of the shape \[6, 0\]; expected real numbers"),
        ({"module.fc.bias": torch.ones(JOINT)}, {}, "has model\\[0\\].fc.bias twice"),
        (
            {"fc.weight_g": torch.ones(3), "fc.weight_v": torch.ones(6, 5)},
            {},
            r"weight_g has the shape \[3\].*one length",
        ),
        ({3: torch.ones(2)}, {}, r"it also has model\[0\].3"),
        ({}, {"lambda_softmax": None}, "its option `lambda_softmax` is None; expected a number"),
        ({}, {"lambda_lse": float("nan")}, "its option `lambda_lse` is nan; expected a number"),
        ({}, {"lambda_lse": 10**400}, "its option `lambda_lse` is 1000+; expected a number"),
        ({}, {"bi_gru": "False"}, "its option `bi_gru` is 'False'; expected True or False"),
        ({}, {"lambda_softmax": -1.0}, "--lambda-softmax is -1.0; it must be a number at least 0"),
        ({}, {"lambda_lse": 0}, "--lambda-lse is 0.0; it must be a number above 0"),
    ],
)
def test_values_that_are_no_weights_or_options_are_named_with_their_file(
    tensors: dict[str, torch.Tensor], options: dict[str, Any], message: str, tmp_path: Path, vocab: Path
) -> None:
    image, text = parts()
    checkpoint = save(tmp_path / "m", [image | tensors, text], SCAN_OPTIONS | options)
    with pytest.raises(UnboxedError, match=rf"^{checkpoint}\b(?!.*{checkpoint}).*{message}"):  # named once
        convert(checkpoint, ConvertSettings(tmp_path / "run", vocab=vocab))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.tensor(1.0), r"norm.weight has the shape \[\]; expected a vector"),
        (torch.ones(2, 2), r"norm.weight has the shape \[2, 2\]; expected a vector"),
    ],
)
def test_the_weight_of_a_batch_norm_is_a_vector(value: torch.Tensor, message: str) -> None:
    tensors = {"norm.weight": value, "norm.running_mean": torch.zeros(2)}
    with pytest.raises(ModelError, match=f"^file: {message}"):
        checked(Checkpoint(Path("file"), {}), tensors, {name: name for name in tensors}, "SGRAF")


def test_a_complex_count_of_batches_is_no_number() -> None:
    state = {"norm.num_batches_tracked": torch.tensor(1j)}
    with pytest.raises(ModelError, match=r"^file: norm.num_batches_tracked is complex64"):
        Checkpoint(Path("file"), {"state_dict": state}).tensors()


@pytest.fixture
def store(tmp_path: Path) -> tuple[Path, Path]:
    """A dataset of SCAN's files, and the store of its features."""
    folder, rng = tmp_path / "f30k_precomp", np.random.default_rng(0)
    folder.mkdir()
    for split, images in (("train", 6), ("dev", 4)):
        np.save(folder / f"{split}_ims.npy", rng.normal(size=(images, 3, WIDTH)).astype(np.float32))
        (folder / f"{split}_caps.txt").write_text("".join(f"A red hat , dog {k} .\n" for k in range(5 * images)))
    (tmp_path / "data.toml").write_text('format = "scan"\nannotations = "f30k_precomp"\n')
    run(["import", tmp_path / "data.toml", "--features", folder, "--format", "scan", "--out", tmp_path / "store"])
    return tmp_path / "data.toml", tmp_path / "store"


def run(arguments: list[Any]) -> None:
    main([str(argument) for argument in arguments])


@pytest.mark.parametrize("with_store", [True, False])
def test_the_run_is_evaluated_and_grounds_like_any_other(
    tmp_path: Path, store: tuple[Path, Path], vocab: Path, capsys: pytest.CaptureFixture[str], with_store: bool
) -> None:
    checkpoint, out = save(tmp_path / "model_best.pth.tar", parts(), SCAN_OPTIONS), tmp_path / "run"
    named = ["--regions", store[1]] if with_store else []
    run(["convert", checkpoint, "--vocab", vocab, "--out", out, *named])
    lines = capsys.readouterr().err.splitlines()
    assert f"Run: {out}, scan of SCAN." in lines
    assert lines[-1].startswith("It reads features of the format scan; `unboxed import`") != with_store
    run(["evaluate", out, "--data", store[0], "--json", *([] if with_store else ["--regions", store[1]])])
    retrieval = json.loads(capsys.readouterr().out)["retrieval"]
    assert set(retrieval["image_to_caption"]["recall"]) == {"1", "5", "10"} and 0 < retrieval["rsum"] <= 600
    (phrase,) = Grounder.load(out).ground(RegionStore.open(store[1])["dev-0"], "a red hat").phrases
    assert phrase.text == "a red hat" and len(phrase.boxes) == 3
    assert json.loads((out / "config.json").read_text())["facts"]["converted"] == {
        "original": "SCAN",
        "file": "model_best.pth.tar",
        "epoch": 11,
    }


def test_the_run_is_indexed_and_searched_like_any_other(
    tmp_path: Path, vocab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With images whose features were imported."""
    photos, lines = tmp_path / "photos", []
    photos.mkdir()
    for number in range(4):
        Image.new("RGB", (20, 10), (60 * number, 0, 0)).save(photos / f"{number}.png")
        (photos / f"{number}.txt").write_text("A red hat .\n")
        arrays = (
            np.array([[0, 0, 9, 9]] * 2, "<f4"),
            np.random.default_rng(number).normal(size=(2, WIDTH)).astype("<f4"),
        )
        lines.append("\t".join([str(number), "20", "10", "2", *(b64encode(a.tobytes()).decode() for a in arrays)]))
    (tmp_path / "features.tsv").write_text("\n".join(lines))
    regions, out = tmp_path / "regions", tmp_path / "run"
    run(["import", photos, "--features", tmp_path / "features.tsv", "--format", "tsv", "--out", regions])
    checkpoint = save(tmp_path / "m", parts(), SCAN_OPTIONS)
    run(["convert", checkpoint, "--vocab", vocab, "--out", out, "--regions", regions])
    run(["index", out, photos, "--regions", regions, "--out", tmp_path / "index"])
    capsys.readouterr()
    run(["search", tmp_path / "index", "a red hat", "--json"])
    assert len(json.loads(capsys.readouterr().out)["hits"]) == 4


def test_missing_additional_and_misshapen_tensors_are_named(tmp_path: Path, vocab: Path) -> None:
    def message(*state: dict[str, torch.Tensor], options: dict[str, Any] = SCAN_OPTIONS) -> str:
        with pytest.raises(ModelError) as raised:
            convert(save(tmp_path / "m", state, options), ConvertSettings(tmp_path / "run", vocab=vocab))
        assert not (tmp_path / "run").exists()
        assert str(raised.value).startswith(str(tmp_path / "m"))
        return str(raised.value)

    image, text = parts()
    assert "it lacks model[0].fc.bias." in message({"fc.weight": image["fc.weight"]}, text)
    second = text | {"rnn.weight_ih_l1": text["rnn.weight_ih_l0"]}
    assert "it also has model[1].rnn.weight_ih_l1." in message(image, second)
    narrow = linear_state("fc", JOINT - 1, WIDTH)
    assert "model[1].rnn.weight_ih_l0 has the shape [18, 7] instead of [15, 7]" in message(narrow, text)
    flat = image | {"fc.weight": torch.zeros(JOINT)}
    assert "model[0].fc.weight has the shape [6]; expected a matrix" in message(flat, text)
    fewer = text | {"embed.weight": text["embed.weight"][1:]}
    assert "has vectors of 15 words, its vocabulary 16 words" in message(image, fewer)
    assert "`raw_feature_norm` is 'l1norm'" in message(
        image, text, options=SCAN_OPTIONS | {"raw_feature_norm": "l1norm"}
    )
    assert "was of the option `bi_gru`" not in message(image, text, options={"cross_attn": "t2i"})
    assert "what the option `bi_gru` of its training was" in message(image, text, options={"cross_attn": "t2i"})
    network = image | {"cnn.features.0.weight": torch.zeros(2, 2)}
    assert "contains a convolutional network" in message(network, text, options=VSEPP_OPTIONS)
    assert "SGRAF: it lacks" in message(image, text, {}, options=SGRAF_OPTIONS)
    assert "of other than unit length" in message(image, text, {}, options=SGRAF_OPTIONS | {"no_imgnorm": True})
    assert "`no_txtnorm` is tensor" in message(image, text, {}, options=SGRAF_OPTIONS | {"no_txtnorm": torch.ones(3)})
    assert "none of the known layouts, which are those of SCAN, SGRAF, VSE++, info-ground" in message(image)


def test_what_belongs_to_a_checkpoint_is_asked_for(tmp_path: Path, vocab: Path, store: tuple[Path, Path]) -> None:
    checkpoint, out = save(tmp_path / "m", parts(), SCAN_OPTIONS), tmp_path / "run"
    with pytest.raises(ModelError, match="numbers its words; name the vocabulary"):
        convert(checkpoint, ConvertSettings(out))
    wide = [linear_state("fc", JOINT, WIDTH + 1), parts()[1]]
    with pytest.raises(ModelError, match=r"reads 6 features a region, those of .* are 5"):
        convert(save(tmp_path / "wide", wide, SCAN_OPTIONS), ConvertSettings(out, vocab=vocab, regions=store[1]))
    torch.save({"state_dict": {"ku.K_layer.0.weight": torch.zeros(2, 2)}}, tmp_path / "criterion")
    with pytest.raises(ModelError, match=r"not have the layout of info-ground: it lacks fo.f_layer.0.bias"):
        convert(tmp_path / "criterion", ConvertSettings(out))
    out.mkdir()
    (out / "README.md").write_text("mine")
    with pytest.raises(
        RunError, match=r"is no run and holds README\.md, which would be replaced; choose another folder"
    ):
        convert(checkpoint, ConvertSettings(out, vocab=vocab))
    (out / "README.md").unlink()
    convert(checkpoint, ConvertSettings(out, vocab=vocab))
    with pytest.raises(RunError, match=r"already holds a run; choose another --out\."):
        convert(checkpoint, ConvertSettings(out, vocab=vocab))
