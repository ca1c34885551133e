"""SGR and SAF: scores, whole vectors, similarity vectors, losses, statistics and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch import nn

from unboxed.attention import ReasoningSettings, SimilarityReasoning
from unboxed.objectives import triplet_loss

from .steps import RecordedWords, assert_agree, captions_of, images_of, losses, paper, untrained

pytestmark = pytest.mark.usefixtures("precision")

KINDS: dict[str, Literal["graph", "filter"]] = {"sgr": "graph", "saf": "filter"}
MODULES = {
    **{f"image_{part}": f"whole_image.{part}" for part in ("local_norm", "whole_norm")},
    **{f"{owner}_{part}_map": f"whole_{owner}.{part}" for owner in ("image", "caption") for part in ("local", "whole")},
    **{f"{owner}_weigh_map": f"whole_{owner}.weigh" for owner in ("image", "caption")},
    **{f"compare_{part}_map": f"compare_{part}" for part in ("local", "whole")},
    **{f"step{n}_{part}_map": f"head.steps.{n}.{part}" for n in range(3) for part in ("query", "key", "value")},
    "score_map": "score",
    "gate_map": "head.gate",
    "gate_norm": "head.norm",
}
"""The names of the fixtures, and those of the library's modules."""


def released_model(kind: str, weights: Any, channels: int | None) -> SimilarityReasoning:
    """The model with the recorded weights; regions and words are only scaled to unit length."""
    settings = ReasoningSettings(
        KINDS[kind], similarity_width=16, dropout=0, channels=channels, by_caption=kind == "saf"
    )
    model = SimilarityReasoning(64, None, 64, settings)
    model.region_encoder.map = nn.Identity()
    state = model.state_dict()
    loaded = set()
    for array in weights.arrays:
        name = library_name(array) if array.startswith("weight_") else None
        if name in state:
            value = weights[array]
            state[name] = value[:1] if channels is None and "image_local_norm" in array else value
            loaded.add(name)
    assert set(state) - loaded == {name for name in state if name.endswith("num_batches_tracked")}
    model.load_state_dict(state)
    return model


def library_name(array: str) -> str:
    """`weight_image_local_map_bias` to `whole_image.local.bias`."""
    module = next(name for name in MODULES if array.startswith(f"weight_{name}_"))
    return f"{MODULES[module]}.{array.removeprefix(f'weight_{module}_')}"


class Results:
    """What the model computes from the inputs of a fixture, which are leaves of the graph."""

    def __init__(self, model: SimilarityReasoning, inputs: Any) -> None:
        self.images, self.captions = inputs["in_images"].requires_grad_(), inputs["in_captions"].requires_grad_()
        mask_BR = torch.ones(self.images.shape[:2], dtype=torch.bool)
        mask_CQ = torch.arange(self.captions.shape[1]) < inputs["in_caption_lengths"][:, None]
        regions = model.embed_regions(self.images, torch.zeros(1), mask_BR)
        queries = model.embed_queries(self.captions, mask_CQ)
        self.whole_image, self.whole_caption = regions.tensors[1][:, 0], queries.tensors[1][:, 0]
        nodes: list[torch.Tensor] = []
        hook = model.head.register_forward_pre_hook(lambda _, arguments: nodes.append(arguments[0]))
        self.score_BC = model.align(regions, queries).score_BC
        hook.remove()
        self.nodes_BCNS = nodes[0]
        if not model.training:
            with torch.no_grad():  # the fast path
                assert_agree(model.scores(regions, queries), self.score_BC)

    def loss(self, negatives: Literal["hardest", "all"]) -> torch.Tensor:
        return triplet_loss(self.score_BC, torch.arange(4), 0.2, negatives)


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_losses_and_gradients_with_a_channel_for_each_region(
    golden: Callable[[str], Any], kind: str, mode: str
) -> None:
    fixture, inputs = golden(f"{kind}_{mode}"), golden(f"{kind}_eval")
    model = released_model(kind, inputs, channels=36).train(mode == "train")
    results = Results(model, inputs)
    fixture.check("out_score", results.score_BC)
    fixture.check("out_whole_image", results.whole_image)
    fixture.check("out_whole_caption", results.whole_caption)
    fixture.check("out_nodes_image0_caption1", results.nodes_BCNS[0, 1, :8])
    fixture.check("out_loss_sum", results.loss("all"))
    fixture.check("out_loss_max", results.loss("hardest"))
    leaves = {"images": results.images, "captions": results.captions}
    for array in inputs.arrays:
        if array.startswith("weight_") and "running" not in array and not array.endswith("key_map_bias"):
            leaves[array] = model.get_parameter(library_name(array))
    named = {f"grad_loss_max_wrt_{leaf}": tensor for leaf, tensor in leaves.items()}
    fixture.check_gradients(
        results.loss("hardest"), {array: leaf for array, leaf in named.items() if array in fixture.tolerance}
    )
    for array in fixture.arrays:
        if array.startswith("out_after_"):
            fixture.check(array, model.get_buffer(library_name(array.replace("out_after", "weight"))))
    fixture.assert_complete()


@pytest.mark.parametrize("kind", KINDS)
def test_scores_with_one_channel_for_all_regions(golden: Callable[[str], Any], kind: str) -> None:
    fixture, inputs = golden(f"{kind}_eval_shared"), golden(f"{kind}_eval")
    results = Results(released_model(kind, inputs, channels=None).eval(), inputs)
    fixture.check("out_score", results.score_BC)
    fixture.check("out_whole_image", results.whole_image)
    fixture.check("out_loss_sum", results.loss("all"))
    fixture.check("out_loss_max", results.loss("hardest"))
    fixture.assert_complete()


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_of_the_recipe_has_the_loss_of_the_original(golden: Callable[[str], Any], kind: str) -> None:
    inputs = golden(f"{kind}_eval")
    options = paper(kind, joint_width=64, hidden_width=64, similarity_width=16, reasoning_dropout=0.0)
    model = untrained(options, 64)
    model.text = RecordedWords(inputs["in_captions"])  # type: ignore[assignment]
    model.aligner.load_state_dict(released_model(kind, inputs, channels=36).state_dict(), strict=False)
    model.aligner.region_encoder.map = nn.Identity()
    mask_CW = torch.arange(inputs["in_captions"].shape[1]) < inputs["in_caption_lengths"][:, None]
    found = losses(model, images_of(inputs["in_images"]), captions_of(mask_CW.long(), mask_CW))
    golden(f"{kind}_train").check("out_loss_max", found["loss"])
