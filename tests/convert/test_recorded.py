"""Checkpoints with the recorded weights give the originals' recorded results (double precision)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from unboxed import Grounder
from unboxed.attention import QueryEmbeddings, RegionEmbeddings
from unboxed.convert import ConvertSettings, convert, infoground
from unboxed.convert.checkpoint import Checkpoint
from unboxed.errors import ModelError
from unboxed.recipes import InfoGround
from unboxed.recipes.model import MatchingModel

from ..golden.conftest import Golden
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

AGGREGATIONS = ("LogSumExp", "Mean", "Max", "Sum")
NORMS = ("clipped_l2norm", "l2norm", "clipped", "no_norm", "softmax")


def converted(folder: Path, parts: Sequence[dict[str, torch.Tensor]], options: dict[str, Any]) -> Grounder:
    """The run of a checkpoint with these state dicts, as it is loaded, in double precision."""
    folder.mkdir(exist_ok=True)
    vocab = write_vocabulary(folder / "vocab.json", words_of(len(parts[1]["embed.weight"])))
    path = save(folder / "model_best.pth.tar", parts, options)
    convert(path, ConvertSettings(folder / "run", vocab=vocab))
    grounder = Grounder.load(folder / "run")
    grounder.model.double()
    return grounder


def renumbered(grounder: Grounder, ids: torch.Tensor) -> torch.Tensor:
    """The ids that a run has for words that have these ids in the original."""
    words = words_of(50)
    return torch.tensor([grounder.vocabulary.encode(words[i] for i in row) for row in ids.tolist()])


def mask_of(fixture: Golden, name: str) -> torch.Tensor:
    return torch.arange(fixture[name].shape[1]) < fixture["in_caption_lengths"][:, None]


def recorded_text(fixture: Golden, directions: dict[str, str]) -> dict[str, torch.Tensor]:
    """The state dict of the text encoder: `directions` are the ends of the fixture's and of the state's names."""
    state = {"embed.weight": fixture["weight_word_embedding"].float()}
    for array, end in directions.items():
        for part, name in (("input", "ih"), ("state", "hh")):
            for kind in ("weight", "bias"):
                state[f"rnn.{kind}_{name}_l0{end}"] = fixture[f"weight_gru_{part}_{kind}{array}"].float()
    return state


def recorded_map(fixture: Golden) -> dict[str, torch.Tensor]:
    return {f"fc.{part}": fixture[f"weight_image_map_{part}"].float() for part in ("weight", "bias")}


def identity_parts() -> list[dict[str, torch.Tensor]]:
    """State dicts of SCAN whose region map leaves regions of 64 numbers as they are."""
    return [{"fc.weight": torch.eye(64), "fc.bias": torch.zeros(64)}, text_state(50, 8, 64)]


def embedded(model: MatchingModel, fixture: Golden) -> tuple[RegionEmbeddings, QueryEmbeddings]:
    """The recorded raw vectors of regions and words, embedded by the model's attention."""
    mask_CW = mask_of(fixture, "in_captions")
    images_BRV = fixture["in_images"]
    regions = model.aligner.embed_regions(
        images_BRV, torch.zeros(1), torch.ones(images_BRV.shape[:2], dtype=torch.bool)
    )
    return regions, model.aligner.embed_queries(fixture["in_captions"], mask_CW)


def test_scan_encoders(tmp_path: Path) -> None:
    fixture = Golden("scan_encoders")
    parts = [recorded_map(fixture), recorded_text(fixture, {"_forward": "", "_backward": "_reverse"})]
    grounder = converted(tmp_path, parts, SCAN_OPTIONS)
    inputs_BRV, mask_CW = fixture["in_region_inputs"], mask_of(fixture, "in_tokens")
    everything_BR = torch.ones(inputs_BRV.shape[:2], dtype=torch.bool)
    images = grounder.model.aligner.embed_regions(
        grounder.model.standardise(inputs_BRV, everything_BR), torch.zeros(1), everything_BR
    )
    fixture.check("out_regions", images.tensors[0])
    states_CWH = grounder.model.text(renumbered(grounder, fixture["in_tokens"]), mask_CW, ())
    fixture.check("out_words", grounder.model.aligner.embed_queries(states_CWH, mask_CW).tensors[0])
    assert grounder.config.options.joint_width == 32 and grounder.config.region_width == 40


@pytest.mark.parametrize(("direction", "sharpness", "lse"), [("t2i", 9.0, 6.0), ("i2t", 4.0, 5.0)])
@torch.no_grad()
def test_scan_scores(tmp_path: Path, direction: str, sharpness: float, lse: float) -> None:
    fixture = Golden(f"scan_{direction}")
    parts = identity_parts()
    for norm in NORMS:
        for aggregation in AGGREGATIONS if norm == "clipped_l2norm" else ("Mean",):
            options = SCAN_OPTIONS | {
                "cross_attn": direction,
                "agg_func": aggregation,
                "lambda_softmax": sharpness,
                "lambda_lse": lse,
                "raw_feature_norm": norm,
            }
            model = converted(tmp_path / f"{norm}-{aggregation}", parts, options).model
            fixture.check(f"out_score_{norm}_{aggregation}", model.aligner.scores(*embedded(model, fixture)))


SGRAF_LAYERS = {
    "image_local_norm": "v_global_w.embedding_local.1",
    "image_whole_norm": "v_global_w.embedding_global.1",
    "compare_local_map": "sim_tranloc_w",
    "compare_whole_map": "sim_tranglo_w",
    "score_map": "sim_eval_w",
    "gate_map": "SAF_module.attn_sim_w",
    "gate_norm": "SAF_module.bn",
}
"""The layers of the fixtures by their names in the original."""
for part, name in (("local", "local"), ("whole", "global"), ("weigh", "common")):
    SGRAF_LAYERS[f"image_{part}_map"] = f"v_global_w.embedding_{name}.0"
    SGRAF_LAYERS[f"caption_{part}_map"] = f"t_global_w.embedding_{name}.0"
for part, name in (("query", "graph_query_w"), ("key", "graph_key_w"), ("value", "sim_graph_w")):
    SGRAF_LAYERS |= {f"step{n}_{part}_map": f"SGR_module.{n}.{name}" for n in range(3)}


def sgraf_state(fixture: Golden) -> dict[str, torch.Tensor]:
    """The recorded weights by their names in the original."""
    state = {}
    for array in fixture.arrays:
        if array.startswith("weight_"):
            layer = next(name for name in SGRAF_LAYERS if array.startswith(f"weight_{name}_"))
            state[f"{SGRAF_LAYERS[layer]}.{array.removeprefix(f'weight_{layer}_')}"] = fixture[array].float()
    return state


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("kind", ["sgr", "saf"])
@torch.no_grad()
def test_sgraf_scores(tmp_path: Path, kind: str, counted: bool) -> None:
    fixture = Golden(f"{kind}_eval")
    state = sgraf_state(fixture)
    if counted:  # PyTorch counts batches since 0.4.1
        state |= {name.replace("running_mean", "num_batches_tracked"): torch.tensor(7) for name in state
                  if name.endswith("running_mean")}  # fmt: skip
    regions, _ = identity_parts()
    parts = [regions, text_state(50, 8, 64, gru="cap_rnn" if counted else "rnn"), state]
    grounder = converted(tmp_path, parts, SGRAF_OPTIONS | {"module_name": kind.upper()})
    assert grounder.config.recipe == kind
    images, captions = embedded(grounder.model, fixture)
    fixture.check("out_whole_image", images.tensors[1][:, 0])
    fixture.check("out_whole_caption", captions.tensors[1][:, 0])
    fixture.check("out_score", grounder.model.aligner.scores(images, captions))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("v_global_w.embedding_local.1.running_var", -torch.ones(36), "running_var has negative values"),
        ("SGR_module.1.graph_key_w.bias", torch.ones(17), r"graph_key_w.bias has the shape \[17\] instead of \[16\]"),
    ],
)
def test_damaged_tensors_of_sgraf_are_named(tmp_path: Path, name: str, value: torch.Tensor, message: str) -> None:
    regions, _ = identity_parts()
    parts = [regions, text_state(50, 8, 64, gru="cap_rnn"), {**sgraf_state(Golden("sgr_eval")), name: value}]
    with pytest.raises(ModelError, match=message):
        converted(tmp_path, parts, SGRAF_OPTIONS)


VSEPP = {
    "cosine": {},
    "cosine_no_imgnorm": {"no_imgnorm": True},
    "order": {"measure": "order", "use_abs": True},
}


@pytest.mark.parametrize("kind", VSEPP)
@torch.no_grad()
def test_vsepp_scores(tmp_path: Path, kind: str) -> None:
    fixture = Golden("vsepp")
    parts = [recorded_map(fixture), recorded_text(fixture, {"": ""})]
    grounder = converted(tmp_path, parts, VSEPP_OPTIONS | VSEPP[kind])
    image_B1V, mask_CW = fixture["in_image"][:, None], mask_of(fixture, "in_tokens")
    one_B1 = torch.ones(len(image_B1V), 1, dtype=torch.bool)
    images = grounder.model.aligner.embed_regions(image_B1V, torch.zeros(1), one_B1)
    states_CWH = grounder.model.text(renumbered(grounder, fixture["in_tokens"]), mask_CW, ())
    captions = grounder.model.aligner.embed_queries(states_CWH, mask_CW)
    fixture.check(f"out_image_{kind}", images.tensors[1][:, 0])
    fixture.check(f"out_caption_{kind}", captions.tensors[1][:, 0])
    fixture.check(f"out_score_{kind}", grounder.model.aligner.scores(images, captions))


@torch.no_grad()
def test_infoground_attention_and_evidence(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason='transformers is not installed: pip install "unboxed[hf]"')
    from ..text.test_pretrained import tiny_bert

    weights, fixture = Golden("infoground_weights"), Golden("infoground_eval")
    networks = {"region_key": "ku.K_layer", "region_value": "fo.f_layer", "word_query": "kw.K_layer"}
    networks["word_value"] = "fw.f_layer"
    state = {}
    for array in weights.arrays:
        network = next(name for name in networks if name in array)
        layer, _, part = array.removeprefix(f"weight_{network}_").partition("_" if "norm" in array else "_map_")
        state[f"{networks[network]}.{ {'hidden': 0, 'norm': 1, 'output': 3}[layer] }.{part}"] = weights[array].float()
    torch.save({"state_dict": state, "step": 60000, "val_loss": None}, tmp_path / "lang_sup_criterion_60000")
    text = tiny_bert(tmp_path / "bert", width=48)
    convert(tmp_path / "lang_sup_criterion_60000", ConvertSettings(tmp_path / "run", text=str(text)))
    grounder = Grounder.load(tmp_path / "run")
    assert [word.text for word in grounder.vocabulary.tokenizer("A dog.")] == ["a", "dog", "."]  # as BERT read it
    model = grounder.model.double()
    regions_BRV, words_CWH = fixture["in_regions"], fixture["in_words"]
    mask_CW = fixture["in_word_is_padding"] == 0
    regions = model.aligner.embed_regions(
        regions_BRV, torch.zeros(1), torch.ones(regions_BRV.shape[:2], dtype=torch.bool)
    )
    alignment = model.aligner.align(regions, model.aligner.embed_queries(words_CWH, mask_CW))
    fixture.check("out_attention", alignment.attention_BCQR.transpose(0, 1) * mask_CW[:, None, :, None])
    fixture.check("out_evidence", alignment.matched_BCQ.transpose(0, 1) * mask_CW[:, None])


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_infoground_networks_of_any_depth_are_recognized(layers: int) -> None:
    """`cap_info_nce_layers` of the original: one linear layer, or one or two hidden blocks before it."""
    state = {}
    for network, width in (("ku.K_layer", 6), ("fo.f_layer", 6), ("kw.K_layer", 5), ("fw.f_layer", 5)):
        for place in range(0, 3 * (layers - 1), 3):
            state |= linear_state(f"{network}.{place}", width, width)
            norm = nn.BatchNorm1d(width).state_dict()
            state |= {f"{network}.{place + 1}.{name}": value for name, value in norm.items()}
        state |= linear_state(network if layers == 1 else f"{network}.{3 * (layers - 1)}", 4, width)
    found = infoground.layout(Checkpoint(Path("lang_sup_criterion_1"), {"state_dict": state}), "bert-base-uncased")
    assert isinstance(found.options, InfoGround) and found.options.layers == layers
    aligner = found.options.aligner(found.region_width, 5)
    assert {f"aligner.{name}" for name in aligner.state_dict()} == set(found.names)
