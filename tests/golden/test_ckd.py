"""CKD's encoders of regions and phrases, sentence contrast and distillation (the originals are in single precision)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from unboxed.attention import BestRegion, QueryEmbeddings, RegionEmbeddings
from unboxed.boxes import tensor_iou
from unboxed.objectives import caption_image_infonce, distillation
from unboxed.recipes import DistillationConfig
from unboxed.text.recurrent import RecurrentEncoder
from unboxed.text.tokens import UNKNOWN_ID

from .steps import captions_of, images_of, losses, paper, untrained

pytestmark = pytest.mark.usefixtures("precision")

TEMPERATURES = {"ckd_80": 2.0, "ckd_545": 1.0}
"""Of the teacher. With 545 classes it subtracts the mean, of which a softmax does not depend."""

NAMES = {
    f"weight_{owner}_{layer}_{kind}": f"{module}.map.{number}.{parameter}"
    for owner, module in (("region", "region"), ("phrase", "query"))
    for layer, number in (("hidden", 0), ("output", 2))
    for kind, parameter in (("kernel", "weight"), ("bias", "bias"))
}
"""The networks' parameters by the names of the fixtures."""


def transposed(kernel_or_bias: torch.Tensor) -> torch.Tensor:
    """TensorFlow's kernels are [input, output]."""
    return kernel_or_bias.mT if kernel_or_bias.ndim == 2 else kernel_or_bias


def phrase_encoder(fixture: Any) -> tuple[RecurrentEncoder, torch.Tensor, torch.Tensor]:
    """The library's LSTM with the recorded weights, and the tokens `[C, W]` and phrases `[C, P, W]` of the captions.

    Every word is one of its own. Slots without a phrase hold one unknown word, whose first state is the original's too.
    In training such a phrase does not count, as in the original.
    """
    vectors_CPLE, known_CPL = fixture["in_word_vectors"], fixture["in_word_is_known"]
    phrases, width = vectors_CPLE.shape[1], vectors_CPLE.shape[3]
    settings = paper("ckd").text_encoder
    encoder = RecurrentEncoder(UNKNOWN_ID + 1 + known_CPL.numel(), width, width, settings=settings)
    kernel, bias = fixture["weight_lstm_kernel"].T, fixture["weight_lstm_bias"]
    with torch.no_grad():
        encoder.embedding.weight[: UNKNOWN_ID + 1] = 0
        encoder.embedding.weight[UNKNOWN_ID + 1 :] = vectors_CPLE.flatten(0, 2)
        encoder.network.weight_ih_l0.copy_(reordered(kernel[:, :width]))
        encoder.network.weight_hh_l0.copy_(reordered(kernel[:, width:]))
        encoder.network.bias_ih_l0.copy_(reordered(bias))
        encoder.network.bias_hh_l0.zero_()[width : 2 * width] = 1  # TensorFlow adds it to the forget gate
    own_CPL = torch.arange(known_CPL.numel()).view_as(known_CPL) + UNKNOWN_ID + 1
    # An unknown word before a known one moves the state; behind the last known word nothing counts.
    read_CPL = known_CPL.flip(2).cummax(dim=2).values.flip(2)
    read_CPL[..., 0] = True
    phrase_CPPL = torch.eye(phrases, dtype=torch.bool)[..., None] & read_CPL[:, None]
    return encoder, own_CPL.where(known_CPL, UNKNOWN_ID).flatten(1), phrase_CPPL.flatten(2)


def reordered(gates: torch.Tensor) -> torch.Tensor:
    """From the order input, new, forget, output of the gates to input, forget, new, output, and back."""
    first, second, third, fourth = gates.chunk(4)
    return torch.cat([first, third, second, fourth])


def check_iou(fixture: Any) -> None:
    """The original adds 0.001 to widths and heights."""
    boxes_BR4 = fixture["in_boxes"] + torch.tensor([0, 0, 0.001, 0.001])
    fixture.check("out_iou", tensor_iou(boxes_BR4, boxes_BR4))


@pytest.mark.parametrize("name", TEMPERATURES)
def test_contrast_distillation_and_gradients(golden: Callable[[str], Any], name: str) -> None:
    fixture = golden(name)
    model = BestRegion(24, 20, joint_width=16, hidden_width=32, scale=2.0, score="sum")
    state = {parameter: transposed(fixture[array]) for array, parameter in NAMES.items()}
    model.load_state_dict(state | {"log_scale": model.log_scale})
    encoder, tokens_CW, phrase_CPW = phrase_encoder(fixture)
    features_BRV = fixture["in_region_features"].requires_grad_()
    phrases_CPH = encoder.read_phrases(tokens_CW, phrase_CPW)
    fixture.check("out_phrase_features", phrases_CPH)
    mask_CP = fixture["in_word_is_known"].any(dim=-1)
    mask_BR = torch.ones(features_BRV.shape[:2], dtype=torch.bool)
    everywhere_CP = torch.ones_like(mask_CP)
    regions = model.embed_regions(features_BRV, torch.zeros(1), mask_BR)
    queries = QueryEmbeddings(model.embed_queries(phrases_CPH, everywhere_CP).tensors, mask_CP)
    fixture.check("out_region_embedding", regions.tensors[0])
    fixture.check("out_phrase_embedding", queries.tensors[0])
    alignment = model.align(regions, queries)
    fixture.check("out_pair_logits", alignment.score_BC.T)
    torch.testing.assert_close(model.match(regions, queries)[1], alignment.score_BC)
    best_CPB = alignment.similarity_BCQR.argmax(dim=-1).permute(1, 2, 0)
    recorded = fixture["out_best_region"]
    assert torch.equal(best_CPB[mask_CP], recorded[mask_CP])
    image_of_C = torch.arange(len(mask_CP))
    sentence = caption_image_infonce(alignment.score_BC, image_of_C)
    fixture.check("out_sentence_loss", sentence)

    loss = distillation(
        model.cosines(regions, queries, paired=True)[0][0],
        fixture["in_class_probability"],
        mask_CP,
        mask_BR,
        fixture["in_boxes"],
        temperature=TEMPERATURES[name],
        neighbours=8,
    )
    fixture.check("out_distillation_loss", loss)
    fixture.check("out_total_loss", sentence + 2.001 * loss)
    fixture.check_gradients(
        loss,
        {
            "grad_distillation_loss_wrt_region_embedding": regions.tensors[0],
            "grad_distillation_loss_wrt_phrase_embedding": queries.tensors[0],
            "grad_distillation_loss_wrt_region_features": features_BRV,
            "grad_distillation_loss_wrt_phrase_features": phrases_CPH,
        },
    )
    fixture.check_gradients(
        sentence,
        {
            "grad_sentence_loss_wrt_region_features": features_BRV,
            "grad_sentence_loss_wrt_phrase_features": phrases_CPH,
        },
    )
    total, lstm = sentence + 2.001 * loss, encoder.network
    gradients = torch.autograd.grad(total, [model.get_parameter(n) for n in NAMES.values()], retain_graph=True)
    for array, gradient in zip(NAMES, gradients, strict=True):
        fixture.check(f"grad_total_loss_wrt_{array}", transposed(gradient))
    inputs, states, bias = torch.autograd.grad(total, [lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0])
    fixture.check("grad_total_loss_wrt_weight_lstm_kernel", reordered(torch.cat([inputs, states], dim=1)).T)
    fixture.check("grad_total_loss_wrt_weight_lstm_bias", reordered(bias))
    check_iou(fixture)
    fixture.assert_complete(["out_best_region"])  # of real phrases, above


def test_of_tied_neighbours_the_first_are_taken(golden: Callable[[str], Any]) -> None:
    fixture = golden("ckd_80_ties")
    check_iou(fixture)
    regions_BRD = fixture["in_region_embedding"].requires_grad_()
    phrases_CPD = fixture["in_phrase_embedding"].requires_grad_()
    mask_BR = torch.ones(regions_BRD.shape[:2], dtype=torch.bool)
    mask_CP = torch.ones(phrases_CPD.shape[:2], dtype=torch.bool)
    model = BestRegion(1, 1, 1, 1)
    regions, queries = RegionEmbeddings((regions_BRD,), mask_BR), QueryEmbeddings((phrases_CPD,), mask_CP)
    fixture.check("out_best_region", model.align(regions, queries).similarity_BCQR.argmax(dim=3).permute(1, 2, 0))
    loss = distillation(
        model.cosines(regions, queries, paired=True)[0][0],
        fixture["in_class_probability"],
        mask_CP,
        mask_BR,
        fixture["in_boxes"],
        temperature=2.0,
        neighbours=8,
    )
    fixture.check("out_distillation_loss", loss)
    fixture.check_gradients(
        loss,
        {
            "grad_distillation_loss_wrt_region_embedding": regions_BRD,
            "grad_distillation_loss_wrt_phrase_embedding": phrases_CPD,
        },
    )
    fixture.assert_complete()


def test_the_weight_of_the_distillation_grows_in_stairs(golden: Callable[[str], Any]) -> None:
    fixture = golden("ckd_iou_ramp")
    options = DistillationConfig(distillation=3, ramp="stairs", ramp_steps=500)
    fixture.check("out_weight", np.array([options.weight_at(int(step)) for step in fixture["in_step"]]))
    fixture.assert_complete(["out_iou", "out_right"])  # in test_boxes.py


@pytest.mark.parametrize("name", TEMPERATURES)
def test_a_step_of_the_recipe_has_the_losses_of_the_original(golden: Callable[[str], Any], name: str) -> None:
    fixture = golden(name)
    options = paper("ckd", joint_width=16, perceptron_width=32, embedding_width=20, hidden_width=20)
    teaching = replace(options.distillation, teacher_temperature=TEMPERATURES[name])
    model = untrained(replace(options, distillation=teaching), 24)
    state = {parameter: transposed(fixture[array]) for array, parameter in NAMES.items()}
    model.aligner.load_state_dict(state, strict=False)
    model.text, tokens_CW, phrase_CPW = phrase_encoder(fixture)
    # The prior of a phrase is the probability of its class, which is a column of its own; 7 others are of the prior.
    probability_CPR = fixture["in_class_probability"]
    count, phrases, regions = probability_CPR.shape
    affinity_CPE = torch.zeros(count, phrases, count * phrases + 7)
    class_score_BRE = torch.zeros(count, regions, count * phrases + 7)
    for c, probability_PR in enumerate(probability_CPR):
        columns = slice(c * phrases, (c + 1) * phrases)
        affinity_CPE[c, :, columns], class_score_BRE[c, :, columns] = torch.eye(phrases), probability_PR.T
    edges_BR4 = fixture["in_boxes"] / torch.tensor([640, 480, 640, 480])
    images = images_of(fixture["in_region_features"], edges_BR4=edges_BR4, class_score_BRE=class_score_BRE)
    captions = captions_of(tokens_CW, tokens_CW > 0, phrase_CPW=phrase_CPW, affinity_CPE=affinity_CPE)
    found = losses(model, images, captions, step=1000)
    fixture.check("out_sentence_loss", found["sentence"])
    fixture.check("out_distillation_loss", found["distillation"] / 2.001)
    fixture.check("out_total_loss", found["loss"])
