"""SPRM's prior, its refinement of the prior, pair scores, losses and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from unboxed.attention.refinement import PriorRefinement, box_shares
from unboxed.objectives import caption_cosines, caption_image_infonce, image_of_most_similar, score_difference
from unboxed.priors import MatchingResources, PriorSettings, SemanticPrior, scores
from unboxed.priors.scoring import REQUIRED
from unboxed.text import WordVectors
from unboxed.text.recurrent import RecurrentEncoder

from .steps import captions_of, images_of, losses, paper, untrained

pytestmark = pytest.mark.usefixtures("precision")


def test_the_prior_is_the_cosine_of_means_of_unscaled_vectors(golden: Callable[[str], Any]) -> None:
    fixture = golden("sprm_prior")
    known = [str(word) for word in fixture.arrays["in_words"]]
    vectors = WordVectors(known, fixture.arrays["in_word_vectors"].astype(np.float64), unit=False)
    labels, heads = ([str(text) for text in fixture.arrays[name]] for name in ("in_labels", "in_heads"))
    means = [vectors.mean_vector(label) for label in labels]
    fixture.check("out_label_is_known", np.array([mean is not None for mean in means]))
    zero = np.zeros(vectors.width)
    fixture.check("out_label_vector", np.stack([zero if mean is None else mean for mean in means]))
    # The original's mean includes unknown words as zeros, which changes the length only.
    share_N = [np.mean([word.lower() in known for word in head.split()]) for head in heads]
    head_ND = [zero if (mean := vectors.mean_vector(head)) is None else mean for head in heads]
    fixture.check("out_head_vector", np.array(share_N)[:, None] * np.stack(head_ND))
    prior_NK = torch.tensor(vectors.matrix(heads) @ vectors.matrix(labels).T, dtype=torch.get_default_dtype())
    fixture.check("out_prior", prior_NK)
    fixture.check("out_prior_softmax", prior_NK.softmax(dim=1))
    fixture.assert_complete()

    # The prior's affinities are the same numbers, in single precision. Heads of several words are of coordinated nouns.
    semantic = SemanticPrior(PriorSettings.paper(), labels, MatchingResources(vectors=vectors))
    for head, prior_K in zip(heads, fixture.arrays["out_prior"], strict=True):
        phrase = f"a {head.replace(' ', ' and a ')}"
        np.testing.assert_allclose(semantic.affinity(phrase)[: len(labels)], prior_K, rtol=0, atol=2e-6)


def prior_rows(fixture: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The library's rows of phrases `[C, P, E]` and regions `[B, R, E]`, whose columns are the words of the table."""
    vectors = fixture.arrays["weight_word_vectors"].astype(np.float64)
    table = WordVectors([str(n) for n in range(len(vectors))], vectors, unit=False)
    heads = [" ".join(str(n) for n in words if n > 1) for words in fixture.arrays["in_head_words"].reshape(-1, 5)]
    cosine_NV = torch.tensor(table.matrix(heads) @ table.matrix(table.words).T, dtype=torch.get_default_dtype())
    class_score_BRV = nn.functional.one_hot(fixture["in_region_labels"], len(vectors)).to(cosine_NV)
    union_P, union_BR = torch.zeros(len(heads), 1), torch.zeros(*class_score_BRV.shape[:2], 1)
    affinity_NE = torch.cat([cosine_NV, union_P, REQUIRED * fixture["in_locations"].flatten(0, 1)], dim=1)
    class_score_BRE = torch.cat([class_score_BRV, union_BR, fixture["in_relations"]], dim=2)
    return affinity_NE.view(*fixture["in_locations"].shape[:2], -1), class_score_BRE


def load(encoder: RecurrentEncoder, aligner: nn.Module, fixture: Any) -> dict[str, torch.Tensor]:
    """Load the recorded weights, and return the parameters by the names of their arrays."""
    lstm = {
        f"weight_lstm_{part}_{kind}": encoder.network.get_parameter(f"{kind}_{name}_l0")
        for part, name in (("input", "ih"), ("state", "hh"))
        for kind in ("weight", "bias")
    }
    image_map = {
        f"weight_image_map_{kind}": aligner.get_parameter(f"region.map.0.{kind}") for kind in ("weight", "bias")
    }
    weights = {"weight_word_vectors": encoder.embedding.weight, **image_map, **lstm}
    with torch.no_grad():
        for array, parameter in weights.items():
            parameter.copy_(fixture[array])
    return weights


def phrases_of(fixture: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The words `[C, W]` of all phrases, one after the other, and which of them are a phrase's, `[C, P, W]`."""
    tokens_CPL = fixture["in_phrase_words"]
    phrase_CPPL = torch.eye(4, dtype=torch.bool)[..., None] & (tokens_CPL != 0)[:, None]
    return tokens_CPL.flatten(1), phrase_CPPL.flatten(2)


def test_mixture_scores_losses_and_gradients(golden: Callable[[str], Any]) -> None:
    fixture = golden("sprm_model")
    encoder = RecurrentEncoder(40, 32, 32, settings=paper("sprm").text_encoder)
    model = PriorRefinement(24, None, joint_width=32, omega=0.4, box_inputs=True)
    weights = load(encoder, model, fixture)
    features_BRV = fixture["in_features"].requires_grad_()
    mask_BR = torch.arange(10) < fixture["in_region_counts"][:, None]
    mask_CP = torch.arange(4) < fixture["in_phrase_counts"][:, None]

    tokens_CW, phrase_CPW = phrases_of(fixture)
    phrases_CPD = encoder.read_phrases(tokens_CW, phrase_CPW)
    fixture.check("out_phrase_features", phrases_CPD)
    edges_BR4 = fixture["in_boxes"] / fixture["in_image_sizes"].repeat(1, 2)[:, None]
    fixture.check("out_spatial_inputs", box_shares(edges_BR4))
    inputs_BRV = torch.cat([features_BRV, encoder.embedding(fixture["in_region_labels"])], dim=2)
    fixture.check("out_region_features", model.map_regions(inputs_BRV, edges_BR4, mask_BR))

    regions, queries = model.embed_regions(inputs_BRV, edges_BR4, mask_BR), model.embed_queries(phrases_CPD, mask_CP)
    affinity_CPE, class_score_BRE = prior_rows(fixture)
    prior_BCQR = scores(affinity_CPE[None], class_score_BRE[:, None])
    alignment = model.align(regions, queries, prior_BCQR=prior_BCQR)
    mixture_CPBR = alignment.attention_BCQR.permute(1, 2, 0, 3) * mask_CP[..., None, None]
    fixture.check("out_mixture", mixture_CPBR)
    score_BC, image_of_C = alignment.score_BC, torch.arange(len(mask_CP))
    fixture.check("out_pair_score", score_BC.T)
    fixture.check("out_chosen_region", mixture_CPBR[image_of_C, :, image_of_C].argmax(dim=2) * mask_CP)

    similarity_CC = caption_cosines(encoder.fixed_vectors[tokens_CW], phrase_CPW)
    fixture.check("out_query_similarity", similarity_CC)
    negative_C = image_of_most_similar(similarity_CC, image_of_C)
    fixture.check("out_negative_of_caption", negative_C)
    paired_C, scores_with = score_BC.diagonal(), lambda images_C: score_BC[images_C, image_of_C]
    loss = score_difference(paired_C, scores_with(negative_C))
    fixture.check("out_loss_neg1_max", loss)
    fixture.check("out_loss_neg1", score_difference(paired_C, scores_with(image_of_C.roll(-1))))
    others_NC = torch.stack([scores_with(image_of_C.roll(-by)) for by in range(1, 5)])
    fixture.check("out_loss_negN", score_difference(paired_C, others_NC))
    fixture.check("out_loss_ce", caption_image_infonce(score_BC, image_of_C))
    leaves = {"features": features_BRV, **weights}
    fixture.check_gradients(loss, {f"grad_loss_wrt_{leaf}": tensor for leaf, tensor in leaves.items()})
    fixture.assert_complete()
    assert np.isfinite(mixture_CPBR.detach().numpy()).all()


LOSSES = {
    "neg1_max": {},
    "neg1": {"negative": "next"},
    "negN": {"negative": "all"},
    "ce": {"contrast": "infonce"},
}
"""The losses of the original, and the options of the recipe."""


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_of_the_recipe_has_the_loss_of_the_original(golden: Callable[[str], Any], name: str) -> None:
    fixture = golden("sprm_model")
    widths = {"joint_width": 32, "embedding_width": 32, "hidden_width": 32}
    options = paper("sprm", **widths, **LOSSES[name])
    model = untrained(options, 24)
    model.text = RecurrentEncoder(40, 32, 32, settings=options.text_encoder)
    load(model.text, model.aligner, fixture)
    affinity_CPE, class_score_BRE = prior_rows(fixture)
    images = images_of(
        fixture["in_features"],
        edges_BR4=fixture["in_boxes"] / fixture["in_image_sizes"].repeat(1, 2)[:, None],
        mask_BR=torch.arange(10) < fixture["in_region_counts"][:, None],
        class_score_BRE=class_score_BRE,
        label_BR=fixture["in_region_labels"],
    )
    tokens_CW, phrase_CPW = phrases_of(fixture)
    captions = captions_of(tokens_CW, tokens_CW > 0, phrase_CPW=phrase_CPW, affinity_CPE=affinity_CPE)
    fixture.check(f"out_loss_{name}", losses(model, images, captions)["loss"])
