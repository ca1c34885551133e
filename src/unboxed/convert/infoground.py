"""The layout of InfoGround's code (Gupta et al., ECCV 2020; info-ground): `lang_sup_criterion_STEP`.

    {"state_dict": {"ku.K_layer.…", "kw.K_layer.…", "fo.f_layer.…", "fw.f_layer.…"}, "step": …}

are the networks of region keys, word queries, region values and word values. The text encoder, BERT, was not trained
and is not in the file. `object_encoder_STEP`, which is saved beside it, is not used by models without context, such as
the released ones. A word of several word pieces has the mean of their states here; the original takes the largest
attention of the pieces.
"""

from __future__ import annotations

from unboxed.attention.ranking import Ranking
from unboxed.convert.checkpoint import Checkpoint
from unboxed.convert.layout import Layout, checked, linear_names, norm_names
from unboxed.recipes import InfoGround
from unboxed.text.settings import TextConfig

__all__ = ["TITLE", "layout", "matches"]

TITLE = "info-ground"

_NETWORKS = {
    "region_key": "ku.K_layer",
    "region_value": "fo.f_layer",
    "word_query": "kw.K_layer",
    "word_value": "fw.f_layer",
}


def matches(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint is of this kind; `layout` checks its tensors."""
    state = checkpoint.content.get("state_dict")
    return isinstance(state, dict) and any(
        str(name).replace("module.", "").startswith(tuple(_NETWORKS.values())) for name in state
    )


def layout(checkpoint: Checkpoint, text: str) -> Layout:
    """The recipe and the names of a checkpoint.

    Args:
        checkpoint: one of this layout.
        text: folder or hub name of the text encoder: the original's is bert-base-uncased.

    Raises:
        ModelError: tensors that are missing, left over or do not fit together.
    """
    found = checkpoint.tensors()
    layers = next((n for n, last in ((3, ".6"), (2, ".3"), (1, "")) if f"ku.K_layer{last}.weight" in found), 2)
    names: dict[str, str] = {}
    for ours, theirs in _NETWORKS.items():
        last = 3 * (layers - 1)
        for place in range(0, last, 3):
            names |= linear_names(f"aligner.{ours}.map.{place}", f"{theirs}.{place}")
            names |= norm_names(f"aligner.{ours}.map.{place + 1}", f"{theirs}.{place + 1}", found)
        names |= linear_names(f"aligner.{ours}.map.{last}", f"{theirs}.{last}" if layers > 1 else theirs)
    tensors = checked(checkpoint, found, names, TITLE)
    last_key = tensors[names[f"aligner.region_key.map.{3 * (layers - 1)}.weight"]]
    options = InfoGround(
        text=text,
        negatives="none",
        layers=layers,
        joint_width=last_key.shape[0],
        region_inputs="features",
        layer_width="input",
        dropout=0.0,
        text_encoder=TextConfig(tokenizer="treebank"),
        ranking=Ranking.plain(),
    )
    return Layout(TITLE, "infoground", options, last_key.shape[1], tensors, names, "hdf5", boxes=True)
