"""The region and text encoders of SCAN, PFAN and VSE++, with VSE++'s scores and losses (double precision)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from unboxed.attention import PooledEmbedding, PositionFocusedRegions
from unboxed.attention.normalize import l2_normalize
from unboxed.attention.scan import ProjectedRegions
from unboxed.objectives import triplet_loss
from unboxed.text import RecurrentEncoder


def load(module: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load all weights of a module."""
    module.load_state_dict(weights, strict=True)


def test_pfan_positions_features_and_gradients(golden: Callable[[str], Any]) -> None:
    fixture = golden("pfan_encoder")
    encoder = PositionFocusedRegions(48, 64, position_width=20).double()
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
    regions = ProjectedRegions(40, 32).double()
    text = RecurrentEncoder(50, 24, 32).double()
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
    states_CWH = text(fixture["in_tokens"], mask_CW)
    # The library's states are [embedding, forward, backward]; the original's words are the mean of the last two.
    words_CWD = l2_normalize((states_CWH[..., 24:56] + states_CWH[..., 56:]) / 2)
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


def test_vsepp_cosine_scores_losses_and_gradients_of_the_image(golden: Callable[[str], Any]) -> None:
    fixture = golden("vsepp")
    model = PooledEmbedding(40, 32, 32, text_pooling="last").double()
    model.word_map = nn.Identity()  # the original's caption is the last state itself
    load(model.region_map, {name: fixture[f"weight_image_map_{name}"] for name in ("weight", "bias")})
    image_BV = fixture["in_image"].requires_grad_()
    one_B1 = torch.ones(len(image_BV), 1, dtype=torch.bool)
    regions = model.embed_regions(image_BV[:, None], torch.zeros(1), one_B1)
    # The library has no recurrent network of one direction: captions are those recorded.
    queries = model.embed_queries(fixture["out_caption_cosine"][:, None], one_B1)
    fixture.check("out_image_cosine", regions.tensors[1][:, 0])
    fixture.check("out_caption_cosine", queries.tensors[1][:, 0])
    score_BC = model.scores(regions, queries)
    fixture.check("out_score_cosine", score_BC)
    torch.testing.assert_close(model.align(regions, queries).score_BC, score_BC, rtol=1e-12, atol=1e-12)
    leaves = {
        "image_inputs": image_BV,
        "weight_image_map_weight": model.region_map.weight,
        "weight_image_map_bias": model.region_map.bias,
    }
    options: Any
    for name, options in (("max", "hardest"), ("sum", "all")):
        loss = triplet_loss(score_BC, torch.arange(len(score_BC)), 0.2, options)
        fixture.check(f"out_loss_{name}_cosine", loss)
        fixture.check_gradients(loss, {f"grad_loss_{name}_cosine_wrt_{leaf}": leaves[leaf] for leaf in leaves})
        # The loss of the other measures, of the recorded scores: order embeddings, and images not of unit length.
        for kind, margin in (("cosine_no_imgnorm", 0.2), ("order", 0.2), ("order_margin005", 0.05)):
            recorded_BC = fixture[f"out_score_{kind.removesuffix('_margin005')}"]
            loss = triplet_loss(recorded_BC, torch.arange(len(score_BC)), margin, options)
            fixture.check(f"out_loss_{name}_{kind}", loss)
    fixture.assert_complete(
        ["out_*_order", "out_*_cosine_no_imgnorm", "grad_*_order_*", "grad_*_gru_*", "grad_*_word_embedding"]
    )
