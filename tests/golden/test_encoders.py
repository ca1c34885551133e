"""The region and text encoders of SCAN, PFAN and VSE++, with VSE++'s scores and losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from unboxed.attention import PooledEmbedding, PoolingSettings, PositionFocusedRegions
from unboxed.attention.normalize import l2_normalize
from unboxed.attention.scan import ProjectedQueries, ProjectedRegions
from unboxed.objectives import triplet_loss
from unboxed.text import RecurrentEncoder, TextConfig

from .steps import assert_agree, captions_of, images_of, losses, paper, untrained

pytestmark = pytest.mark.usefixtures("precision")


def load(module: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load all weights of a module."""
    module.load_state_dict(weights, strict=True)


def test_pfan_positions_features_and_gradients(golden: Callable[[str], Any]) -> None:
    fixture = golden("pfan_encoder")
    encoder = PositionFocusedRegions(48, 64, position_width=20)
    names = {
        "weight_block_embedding": "embedding.weight",
        "weight_content_weight": "content.weight",
        "weight_content_bias": "content.bias",
        "weight_map_weight": "map.weight",
        "weight_map_bias": "map.bias",
    }
    load(encoder, {name: fixture[array] for array, name in names.items()})
    inputs_BRV, block_BRL, share_BRL = (
        fixture["in_region_inputs"].requires_grad_(),
        fixture["in_block"],
        fixture["in_share"],
    )
    product_BRL = (encoder.embedding(block_BRL) * encoder.content(inputs_BRV)[:, :, None]).sum(dim=-1)
    content_BRL, mixed_BRL = encoder.slot_weights(product_BRL, block_BRL, share_BRL)
    fixture.check("out_content_softmax", content_BRL)
    fixture.check("out_slot_weight", mixed_BRL)
    rows = torch.cat([inputs_BRV, encoder.positions_of_blocks(inputs_BRV, block_BRL, share_BRL)], dim=-1)
    features_BRD = l2_normalize(encoder.map(rows))
    fixture.check("out_features", features_BRD)
    leaves = {"region_inputs": inputs_BRV, **{array: encoder.get_parameter(name) for array, name in names.items()}}
    scalar = (fixture["in_output_weight"] * features_BRD).sum()
    fixture.check_gradients(scalar, {f"grad_wrt_{leaf}": tensor for leaf, tensor in leaves.items()})
    fixture.assert_complete()


def test_scan_regions_and_words(golden: Callable[[str], Any]) -> None:
    fixture = golden("scan_encoders")
    regions = ProjectedRegions(40, 32)
    text = RecurrentEncoder(50, 24, 32, settings=TextConfig(word_state="mean"))
    words = ProjectedQueries(None, 32)
    load(regions, {f"map.{name}": fixture[f"weight_image_map_{name}"] for name in ("weight", "bias")})
    names = {"word_embedding": "embedding.weight"}
    for part, name in (("input", "ih"), ("state", "hh")):
        for kind in ("weight", "bias"):
            names[f"gru_{part}_{kind}_forward"] = f"gru.{kind}_{name}_l0"
            names[f"gru_{part}_{kind}_backward"] = f"gru.{kind}_{name}_l0_reverse"
    load(text, {name: fixture[f"weight_{array}"] for array, name in names.items()})

    inputs_BRV = fixture["in_region_inputs"].requires_grad_()
    regions_BRD = regions(inputs_BRV, torch.zeros(1), torch.ones(inputs_BRV.shape[:2], dtype=torch.bool))
    fixture.check("out_regions", regions_BRD)
    mask_CW = torch.arange(fixture["in_tokens"].shape[1]) < fixture["in_caption_lengths"][:, None]
    words_CWD = words(text(fixture["in_tokens"], mask_CW), mask_CW)
    fixture.check("out_words", words_CWD)
    leaves = {
        "region_inputs": inputs_BRV,
        "weight_image_map_weight": regions.map.weight,
        "weight_image_map_bias": regions.map.bias,
        **{f"weight_{array}": text.get_parameter(name) for array, name in names.items()},
    }
    scalar = (fixture["in_region_weight"] * regions_BRD).sum() + (fixture["in_word_weight"] * words_CWD).sum()
    fixture.check_gradients(scalar, {f"grad_wrt_{leaf}": tensor for leaf, tensor in leaves.items()})
    fixture.assert_complete()


MEASURES = {
    "cosine": PoolingSettings("last"),
    "cosine_no_imgnorm": PoolingSettings("last", unit_images=False),
    "order": PoolingSettings("last", "order", absolute=True),
}
MARGINS = {"": 0.2, "_margin005": 0.05}


def vsepp_text(fixture: Any) -> tuple[RecurrentEncoder, dict[str, str]]:
    """The text encoder with the recorded weights, and the names of its parameters by those of the fixture."""
    text = RecurrentEncoder(50, 24, 32, settings=paper("vse").text_encoder)
    names = {"weight_word_embedding": "embedding.weight"}
    for part, name in (("input", "ih"), ("state", "hh")):
        for weight in ("weight", "bias"):
            names[f"weight_gru_{part}_{weight}"] = f"gru.{weight}_{name}_l0"
    load(text, {name: fixture[array] for array, name in names.items()})
    return text, names


def test_vsepp_scores_losses_and_gradients(golden: Callable[[str], Any]) -> None:
    fixture = golden("vsepp")
    image_BV, tokens_CW = fixture["in_image"].requires_grad_(), fixture["in_tokens"]
    one_B1 = torch.ones(len(image_BV), 1, dtype=torch.bool)
    mask_CW = torch.arange(tokens_CW.shape[1]) < fixture["in_caption_lengths"][:, None]
    text, names = vsepp_text(fixture)
    for kind, settings in MEASURES.items():
        model = PooledEmbedding(40, None, 32, settings)
        load(model.region_map, {name: fixture[f"weight_image_map_{name}"] for name in ("weight", "bias")})
        regions = model.embed_regions(image_BV[:, None], torch.zeros(1), one_B1)
        queries = model.embed_queries(text(tokens_CW, mask_CW), mask_CW)
        fixture.check(f"out_image_{kind}", regions.tensors[1][:, 0])
        fixture.check(f"out_caption_{kind}", queries.tensors[1][:, 0])
        score_BC = model.scores(regions, queries)
        fixture.check(f"out_score_{kind}", score_BC)
        paired_1C = model.align(regions, queries, paired=True).score_BC
        assert_agree(paired_1C[0], score_BC.diagonal())
        leaves = {
            "image_inputs": image_BV,
            "weight_image_map_weight": model.region_map.weight,
            "weight_image_map_bias": model.region_map.bias,
            **{array: text.get_parameter(name) for array, name in names.items()},
        }
        options: Any
        for name, options in (("max", "hardest"), ("sum", "all")):
            for suffix, margin in MARGINS.items():
                loss = triplet_loss(score_BC, torch.arange(len(score_BC)), margin, options)
                if f"out_loss_{name}_{kind}{suffix}" in fixture.arrays:
                    fixture.check(f"out_loss_{name}_{kind}{suffix}", loss)
                if not suffix and kind != "cosine_no_imgnorm":
                    named = {f"grad_loss_{name}_{kind}_wrt_{leaf}": tensor for leaf, tensor in leaves.items()}
                    fixture.check_gradients(loss, named)
    fixture.assert_complete()


VSE_OPTIONS: dict[str, dict[str, Any]] = {
    "cosine": {},
    "cosine_no_imgnorm": {"imgnorm": False},
    "order": {"measure": "order", "use_abs": True},
}


@pytest.mark.parametrize("negatives", ["max", "sum"])
@pytest.mark.parametrize("kind", VSE_OPTIONS)
def test_a_step_of_vse_has_the_loss_of_the_original(golden: Callable[[str], Any], kind: str, negatives: str) -> None:
    fixture = golden("vsepp")
    widths = {"joint_width": 32, "hidden_width": 32, "embedding_width": 24}
    model = untrained(paper("vse", **widths, warm_up=float(negatives == "sum"), **VSE_OPTIONS[kind]), 40)
    model.text, _ = vsepp_text(fixture)
    load(model.aligner.region_map, {name: fixture[f"weight_image_map_{name}"] for name in ("weight", "bias")})
    tokens_CW = fixture["in_tokens"]
    mask_CW = torch.arange(tokens_CW.shape[1]) < fixture["in_caption_lengths"][:, None]
    found = losses(model, images_of(fixture["in_image"][:, None]), captions_of(tokens_CW, mask_CW))
    fixture.check(f"out_loss_{negatives}_{kind}", found["loss"])
