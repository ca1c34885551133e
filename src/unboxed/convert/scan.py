"""The layout of SCAN's code (Lee et al., ECCV 2018): `model_best.pth.tar`.

    {"model": [{"fc.weight", "fc.bias"}, {"embed.weight", "rnn.…"}], "opt": Namespace(…), "epoch": …, …}

are the state dicts of the region and the text encoder. The options decide how pairs are scored.
"""

from __future__ import annotations

import torch

from unboxed.convert.checkpoint import Checkpoint
from unboxed.convert.layout import Layout, checked, linear_names
from unboxed.convert.recurrent_text import text_names, text_options
from unboxed.errors import ModelError
from unboxed.recipes import SCAN, ScoringConfig

__all__ = ["TITLE", "layout", "matches"]

TITLE = "SCAN"

_AGGREGATIONS = {"LogSumExp": "lse", "Mean": "mean", "Max": "max", "Sum": "sum"}
# The original also has `l1norm` and `clipped_l1norm`, but stops with an error where they are used.
_NORMS = {name: name for name in ("clipped_l2norm", "l2norm", "clipped", "no_norm", "softmax")}


def matches(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint is of this kind; `layout` checks its tensors."""
    return checkpoint.parts == 2 and "measure" not in checkpoint.options()


def layout(checkpoint: Checkpoint) -> Layout:
    """The recipe and the names of a checkpoint.

    Raises:
        ModelError: tensors or options that are missing, left over or unknown.
    """
    direction = checkpoint.choice("cross_attn", {"t2i": "t2i", "i2t": "i2t"})
    bidirectional = checkpoint.flag("bi_gru")
    names = linear_names("aligner.region_encoder.map", "model[0].fc")
    names |= text_names("model[1]", "rnn", bidirectional=bidirectional)
    tensors = checked(checkpoint, _without_weight_norm(checkpoint), names, TITLE)
    joint_width, region_width = tensors["model[0].fc.weight"].shape
    options = SCAN(
        direction=direction,
        aggregation=checkpoint.choice("agg_func", _AGGREGATIONS),
        scoring=ScoringConfig(
            lambda_softmax=checkpoint.number("lambda_softmax"),
            lambda_lse=checkpoint.number("lambda_lse"),
            raw_feature_norm=checkpoint.choice("raw_feature_norm", _NORMS),
            imgnorm=not checkpoint.flag("no_imgnorm"),
            txtnorm=not checkpoint.flag("no_txtnorm"),
        ),
        **text_options(tensors["model[1].embed.weight"], joint_width, bidirectional=bidirectional),
    )
    return Layout(TITLE, "scan", options, region_width, tensors, names, "scan", boxes=False)


def _without_weight_norm(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """The tensors with the region map's weight in the place of its length and direction (`precomp_enc_type`).

    One length is of the whole weight, as in the original; as many as rows are of its rows.
    """
    found, layer = checkpoint.tensors(), "model[0].fc"
    names = [f"{layer}.weight_g", f"{layer}.weight_v"]
    if names[0] not in found:  # as later versions of PyTorch call them
        names = [f"{layer}.parametrizations.weight.original{part}" for part in (0, 1)]
    if not all(name in found for name in names):
        return found
    length, direction = (found.pop(name).float() for name in names)
    if length.numel() != 1 and (length.shape != (*direction.shape[:1], 1) or direction.ndim != 2):
        raise ModelError(
            f"{checkpoint.path}: {names[0]} has the shape {list(length.shape)}, {names[1]} {list(direction.shape)}; "
            "expected one length, or one for each row."
        )
    norm = direction.norm() if length.numel() == 1 else direction.norm(dim=1, keepdim=True)
    return {**found, f"{layer}.weight": length * direction / norm}
