"""SPRM's refinement of the prior, pair scores, losses and gradients (double precision).

The library has neither SPRM's word table, shared by labels and phrases, nor its LSTM over phrases; the prior is not its
cosine. The test makes these of plain torch, and the refinement and the loss are the library's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cosine_similarity, linear, normalize

from unboxed.attention import PriorRefinement, QueryEmbeddings, RegionEmbeddings
from unboxed.objectives import caption_image_infonce, score_difference
from unboxed.priors import MatchingResources, PriorSettings, SemanticPrior
from unboxed.text import WordVectors


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
    prior_NK = torch.from_numpy(vectors.matrix(heads) @ vectors.matrix(labels).T)
    fixture.check("out_prior", prior_NK)
    fixture.check("out_prior_softmax", prior_NK.softmax(dim=1))
    fixture.assert_complete()

    # The prior's affinities are the same numbers, in single precision. The head of a phrase is one word.
    semantic = SemanticPrior(PriorSettings.paper(), labels, MatchingResources(vectors=vectors))
    for head, prior_K in zip(heads, fixture.arrays["out_prior"], strict=True):
        if " " not in head:
            np.testing.assert_allclose(semantic.affinity(head)[: len(labels)], prior_K, rtol=0, atol=2e-6)


def prior(fixture: Any, vectors: torch.Tensor) -> torch.Tensor:
    """Cosines `[B, C, P, R]` of the phrases' heads and the regions' labels, very low where a place rules one out."""
    heads_CPD = vectors[fixture["in_head_words"]].sum(dim=2)
    labels_BRD = vectors[fixture["in_region_labels"]]
    cosine_BCPR = cosine_similarity(heads_CPD[None, :, :, None], labels_BRD[:, None, None], dim=-1)
    shared_BCPR6 = fixture["in_locations"][None, :, :, None] * fixture["in_relations"][:, None, None]
    return cosine_BCPR.masked_fill(~shared_BCPR6.any(dim=-1), -1e8)


def test_mixture_scores_losses_and_gradients(golden: Callable[[str], Any]) -> None:
    fixture = golden("sprm_model")
    vectors = nn.Parameter(fixture["weight_word_vectors"])
    weight, bias = (nn.Parameter(fixture[f"weight_image_map_{kind}"]) for kind in ("weight", "bias"))
    lstm = nn.LSTM(32, 32, batch_first=True).double()
    names = {
        f"weight_lstm_{part}_{kind}": f"{kind}_{name}_l0"
        for part, name in (("input", "ih"), ("state", "hh"))
        for kind in ("weight", "bias")
    }
    lstm.load_state_dict({parameter: fixture[array] for array, parameter in names.items()})
    features_BRV = fixture["in_features"].requires_grad_()
    mask_BR = torch.arange(10) < fixture["in_region_counts"][:, None]
    mask_CP = torch.arange(4) < fixture["in_phrase_counts"][:, None]

    tokens_CPW = fixture["in_phrase_words"]
    states = lstm(vectors[tokens_CPW].flatten(0, 1))[0].view(*tokens_CPW.shape, 32)
    last_CP11 = ((tokens_CPW != 0).sum(dim=2) - 1).clamp(min=0)[..., None, None]
    phrases_CPD = states.gather(2, last_CP11.expand(-1, -1, 1, 32))[:, :, 0] * mask_CP[..., None]
    fixture.check("out_phrase_features", phrases_CPD)
    inputs_BRV = torch.cat([features_BRV, fixture["out_spatial_inputs"]], dim=2)
    regions_BRD = (linear(inputs_BRV, weight, bias) + vectors[fixture["in_region_labels"]]) * mask_BR[..., None]
    fixture.check("out_region_features", regions_BRD)

    alignment = PriorRefinement(1, 1, omega=0.4).align(
        RegionEmbeddings((normalize(regions_BRD, dim=2),), mask_BR),
        QueryEmbeddings((normalize(phrases_CPD, dim=2),), mask_CP),
        prior_BCQR=prior(fixture, vectors.detach()),
    )
    mixture_CPBR = alignment.attention_BCQR.permute(1, 2, 0, 3) * mask_CP[..., None, None]
    fixture.check("out_mixture", mixture_CPBR)
    score_BC, image_of_C = alignment.score_BC, torch.arange(len(mask_CP))
    fixture.check("out_pair_score", score_BC.T)
    fixture.check("out_chosen_region", mixture_CPBR[image_of_C, :, image_of_C].argmax(dim=2) * mask_CP)

    negative_C = fixture["out_negative_of_caption"]
    loss = score_difference(score_BC, image_of_C, negative_C)
    fixture.check("out_loss_neg1_max", loss)
    fixture.check("out_loss_neg1", score_difference(score_BC, image_of_C, (image_of_C + 1) % len(image_of_C)))
    others = [score_difference(score_BC, image_of_C, (image_of_C + by) % len(image_of_C)) for by in range(1, 5)]
    fixture.check("out_loss_negN", torch.stack(others).mean())
    fixture.check("out_loss_ce", caption_image_infonce(score_BC, image_of_C))
    leaves = {
        "features": features_BRV,
        "weight_word_vectors": vectors,
        "weight_image_map_weight": weight,
        "weight_image_map_bias": bias,
        **{array: lstm.get_parameter(parameter) for array, parameter in names.items()},
    }
    fixture.check_gradients(loss, {f"grad_loss_wrt_{leaf}": tensor for leaf, tensor in leaves.items()})
    fixture.assert_complete(["out_spatial_inputs", "out_query_similarity", "out_negative_of_caption"])
    assert np.isfinite(mixture_CPBR.detach().numpy()).all()
