"""InfoGround's key-value attention, its two losses and all their gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import torch

from unboxed.attention import KeyValueAttention, RegionEmbeddings
from unboxed.objectives import negative_word_infonce, word_image_infonce
from unboxed.recipes import InfoGround
from unboxed.recipes.model import MatchingModel
from unboxed.recipes.pairs import TrainingStep
from unboxed.text.tokens import Vocabulary
from unboxed.types import CaptionBatch, ImageBatch, PairedBatch

pytestmark = pytest.mark.usefixtures("precision")

NETWORKS = ("region_key", "region_value", "word_query", "word_value")
LAYERS = {"hidden_map": 0, "norm": 1, "output_map": 3}


def released_model(weights: Any) -> KeyValueAttention:
    """The attention with the recorded weights."""
    model = InfoGround(joint_width=32, layer_width="input", word_slots=6).aligner(64, 48)
    assert isinstance(model, KeyValueAttention)
    state = {}
    for network in NETWORKS:
        for layer, number in LAYERS.items():
            for name in ("weight", "bias", "running_mean", "running_var"):
                if f"weight_{network}_{layer}_{name}" in weights.arrays:
                    state[f"{network}.map.{number}.{name}"] = weights[f"weight_{network}_{layer}_{name}"]
        state[f"{network}.map.1.num_batches_tracked"] = torch.tensor(0)
    model.load_state_dict(state)
    return model


def parameters(model: KeyValueAttention) -> Iterator[tuple[str, torch.Tensor]]:
    """The names that the fixtures use, and the parameters."""
    for network in NETWORKS:
        for layer, number in LAYERS.items():
            for name in ("weight", "bias"):
                yield f"weight_{network}_{layer}_{name}", model.get_parameter(f"{network}.map.{number}.{name}")


@pytest.mark.parametrize("name", ["infoground_eval", "infoground_train", "infoground_train_full"])
def test_attention_losses_and_gradients_are_the_originals(golden: Callable[[str], Any], name: str) -> None:
    fixture = golden(name)
    model = released_model(golden("infoground_weights")).train(name != "infoground_eval")
    regions_BRV = fixture["in_regions"].requires_grad_()
    words_CWH, candidates_CNH = fixture["in_words"].requires_grad_(), fixture["in_candidates"].requires_grad_()
    mask_CW, counts_C = fixture["in_word_is_padding"] == 0, fixture["in_has_negatives"][:, 0] == 1
    image_of_C = torch.arange(len(words_CWH))

    # The words against all images. Padded words enter the batch statistics (`word_slots`).
    regions = embedded(model, regions_BRV)
    queries = model.embed_queries(words_CWH, mask_CW)
    alignment = model.align(regions, queries)
    real_CW1 = mask_CW[..., None]
    attention_CBWR = alignment.attention_BCQR.transpose(0, 1) * real_CW1[:, None]
    fixture.check("out_attention", attention_CBWR)
    fixture.check("out_evidence", alignment.matched_BCQ.transpose(0, 1) * mask_CW[:, None])
    attended_CWD = attention_CBWR[image_of_C, image_of_C] @ regions.tensors[1]
    fixture.check("out_attended_value_of_own", attended_CWD)
    word_loss = word_image_infonce(alignment.matched_BCQ, mask_CW, image_of_C)
    fixture.check("out_word_image_loss", word_loss)

    # The true word and its substitutes in their own image; the networks see a second batch.
    regions = embedded(model, regions_BRV)
    candidates = model.embed_queries(candidates_CNH, counts_C[:, None].expand(candidates_CNH.shape[:2]))
    matched_CN = model.align(regions, candidates, paired=True).matched_BCQ[0]
    negative_loss = negative_word_infonce(matched_CN, counts_C[:, None].expand(matched_CN.shape))
    fixture.check("out_negative_log_share", matched_CN.log_softmax(dim=1) * counts_C[:, None])
    fixture.check("out_negative_loss", negative_loss)
    fixture.check("out_total_loss", word_loss + negative_loss)

    weights = dict(parameters(model))
    inputs = {"word_image_loss": {"words": words_CWH}, "negative_loss": {"candidates": candidates_CNH}}
    for kind, loss in (("word_image_loss", word_loss), ("negative_loss", negative_loss)):
        leaves = {"regions": regions_BRV, **inputs[kind], **weights}
        named = {f"grad_{kind}_wrt_{leaf}": tensor for leaf, tensor in leaves.items()}
        fixture.check_gradients(loss, {array: leaf for array, leaf in named.items() if array in fixture.tolerance})
    if model.training:
        for network in NETWORKS:
            norm = model.get_submodule(f"{network}.map.1")
            fixture.check(f"out_after_{network}_norm_running_mean", norm.running_mean)
            fixture.check(f"out_after_{network}_norm_running_var", norm.running_var)
            fixture.check(f"out_after_{network}_norm_num_batches", norm.num_batches_tracked)
    fixture.assert_complete()


class RecordedWords(torch.nn.Module):
    """A text encoder that gives the recorded words and the recorded words in place of a noun."""

    output_width = 48

    def __init__(self, fixture: Any) -> None:
        super().__init__()
        self.words_CWH, self.candidates_CNH = fixture["in_words"], fixture["in_candidates"]
        self.has_C = fixture["in_has_negatives"][:, 0] == 1
        # The true word is read in its caption: here at the last place, which no noun or adjective has.
        self.words_CWH = torch.cat([self.words_CWH, self.candidates_CNH[:, :1]], dim=1)

    def forward(self, *caption: object) -> torch.Tensor:
        return self.words_CWH

    def substitute(self, *caption: object) -> torch.Tensor:
        return self.candidates_CNH[self.has_C][:, 1:]


@pytest.mark.parametrize("name", ["infoground_train", "infoground_train_full"])
def test_a_step_of_the_recipe_has_the_losses_of_the_original(golden: Callable[[str], Any], name: str) -> None:
    fixture = golden(name)
    text = RecordedWords(fixture)
    recipe = InfoGround(joint_width=32, layer_width="input", word_slots=6, region_inputs="features", dropout=0)
    model = MatchingModel(recipe, Vocabulary(), 64, "gru")
    model.text, model.aligner = cast(Any, text), released_model(golden("infoground_weights"))
    content_CW = torch.nn.functional.pad(fixture["in_word_is_padding"] == 0, (0, 1))
    slot_C = torch.where(text.has_C, content_CW.shape[1] - 1, -1)
    substitutes_CN = torch.ones(text.candidates_CNH.shape[:2], dtype=torch.long)[:, 1:] * text.has_C[:, None]
    regions_BRV, none = fixture["in_regions"], torch.zeros(0)
    captions = CaptionBatch(content_CW.long(), content_CW, content_CW, content_CW[:, None], ((),) * len(content_CW),
                            torch.zeros(len(content_CW), 1, 0), slot_C, substitutes_CN)  # fmt: skip
    images = ImageBatch(regions_BRV, none, torch.ones(regions_BRV.shape[:2], dtype=torch.bool), none)
    losses = model.loss(PairedBatch(images, captions, torch.arange(len(captions))), TrainingStep(0, 1))
    fixture.check("out_word_image_loss", losses["word_image"])
    fixture.check("out_negative_loss", losses["negatives"])
    fixture.check("out_total_loss", losses["loss"])


def embedded(model: KeyValueAttention, regions_BRV: torch.Tensor) -> RegionEmbeddings:
    """All regions are real; the boxes are not used."""
    return model.embed_regions(regions_BRV, torch.zeros(1), torch.ones(regions_BRV.shape[:2], dtype=torch.bool))
