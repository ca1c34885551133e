"""The layout of SGRAF's code (Diao et al., AAAI 2021): `model_best.pth.tar`, of an SGR or of an SAF.

    {"model": [{"fc.…"}, {"embed.weight", "cap_rnn.…"}, {"v_global_w.…", …}], "opt": Namespace(…), …}

are the state dicts of the region encoder, of the text encoder and of the similarity. SGRAF is the mean of the scores of
two such models.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from unboxed.convert.checkpoint import Checkpoint
from unboxed.convert.layout import Layout, checked, linear_names, norm_names
from unboxed.convert.recurrent_text import text_names, text_options
from unboxed.errors import ModelError
from unboxed.recipes import SAF, SGR, RecipeConfig

__all__ = ["TITLE", "layout", "matches"]

TITLE = "SGRAF"

_LINEAR = {
    "whole_image.local": "v_global_w.embedding_local.0",
    "whole_image.whole": "v_global_w.embedding_global.0",
    "whole_image.weigh": "v_global_w.embedding_common.0",
    "whole_caption.local": "t_global_w.embedding_local.0",
    "whole_caption.whole": "t_global_w.embedding_global.0",
    "whole_caption.weigh": "t_global_w.embedding_common.0",
    "compare_local": "sim_tranloc_w",
    "compare_whole": "sim_tranglo_w",
    "score": "sim_eval_w",
}
_NORMS = {
    "whole_image.local_norm": "v_global_w.embedding_local.1",
    "whole_image.whole_norm": "v_global_w.embedding_global.1",
}
_STEP = {"query": "graph_query_w", "key": "graph_key_w", "value": "sim_graph_w"}


def matches(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint is of this kind; `layout` checks its tensors."""
    return checkpoint.parts == 3


def layout(checkpoint: Checkpoint) -> Layout:
    """The recipe and the names of a checkpoint.

    Raises:
        ModelError: tensors or options that are missing, left over or unknown.
    """
    if any(checkpoint.flag(name) for name in ("no_imgnorm", "no_txtnorm") if name in checkpoint.options()):
        raise ModelError(
            f"{checkpoint.path} was trained with vectors of other than unit length (no_imgnorm, no_txtnorm); the "
            "recipes sgr and saf have no such option."
        )
    found = checkpoint.tensors()
    steps = len({name.split(".")[2] for name in found if name.startswith("model[2].SGR_module.")})
    gru = "cap_rnn" if any(name.startswith("model[1].cap_rnn.") for name in found) else "rnn"
    bidirectional = f"model[1].{gru}.weight_ih_l0_reverse" in found
    names = (
        linear_names("aligner.region_encoder.map", "model[0].fc")
        | text_names("model[1]", gru, bidirectional=bidirectional)
        | _similarity_names(found, steps)
    )
    # The bias of the keys adds the same number to all logits of a softmax.
    without_effect = [f"model[2].SGR_module.{step}.graph_key_w.bias" for step in range(steps)]
    tensors = checked(checkpoint, found, names, TITLE, without_effect)
    for name in without_effect:
        expected = tensors[name.replace("graph_key_w", "graph_query_w")].shape
        if tensors[name].shape != expected:
            raise ModelError(
                f"{checkpoint.path}: {name} has the shape {list(tensors[name].shape)} instead of {list(expected)}."
            )
    joint_width, region_width = tensors["model[0].fc.weight"].shape
    shared = {
        "similarity_width": tensors["model[2].sim_tranloc_w.weight"].shape[0],
        "region_channels": len(tensors["model[2].v_global_w.embedding_local.1.weight"]),
        **text_options(tensors["model[1].embed.weight"], joint_width, bidirectional=bidirectional),
    }
    options: RecipeConfig = SGR(steps=steps, **shared) if steps else SAF(**shared)
    return Layout(TITLE, "sgr" if steps else "saf", options, region_width, tensors, names, "scan", boxes=False)


def _similarity_names(found: Mapping[str, torch.Tensor], steps: int) -> dict[str, str]:
    names: dict[str, str] = {}
    for ours, theirs in _LINEAR.items():
        names |= linear_names(f"aligner.{ours}", f"model[2].{theirs}")
    for ours, theirs in _NORMS.items():
        names |= norm_names(f"aligner.{ours}", f"model[2].{theirs}", found)
    for step in range(steps):
        for ours, theirs in _STEP.items():
            names |= linear_names(f"aligner.head.steps.{step}.{ours}", f"model[2].SGR_module.{step}.{theirs}")
        del names[f"aligner.head.steps.{step}.key.bias"]
    if not steps:
        names |= linear_names("aligner.head.gate", "model[2].SAF_module.attn_sim_w")
        names |= norm_names("aligner.head.norm", "model[2].SAF_module.bn", found)
    return names
