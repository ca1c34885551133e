"""The layout of VSE++'s code (Faghri et al., BMVC 2018): `model_best.pth.tar` of a model on precomputed features.

    {"model": [{"fc.weight", "fc.bias"}, {"embed.weight", "rnn.…"}], "opt": Namespace(…), "epoch": …, …}

are the state dicts of the image and the text encoder. An image is one vector there: regions imported with one row for
each image are the same. Models that also contain the convolutional network (`cnn.…`) are refused: nothing here runs it.
"""

from __future__ import annotations

from unboxed.convert.checkpoint import Checkpoint
from unboxed.convert.layout import Layout, checked, linear_names
from unboxed.convert.recurrent_text import text_names, text_options
from unboxed.errors import ModelError
from unboxed.recipes import VSE

__all__ = ["TITLE", "layout", "matches"]

TITLE = "VSE++"

_MEASURES = {"cosine": "cosine", "order": "order"}


def matches(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint is of this kind; `layout` checks its tensors."""
    return checkpoint.parts == 2 and "measure" in checkpoint.options()


def layout(checkpoint: Checkpoint) -> Layout:
    """The recipe and the names of a checkpoint.

    Raises:
        ModelError: tensors or options that are missing, left over or unknown; a convolutional network.
    """
    found = checkpoint.tensors()
    if any(name.startswith("model[0].cnn.") for name in found):
        raise ModelError(
            f"{checkpoint.path} contains a convolutional network that computes the features of an image, and nothing "
            "here runs it. Convert a model that was trained on precomputed features (--data_name …_precomp)."
        )
    names = linear_names("aligner.region_map", "model[0].fc") | text_names("model[1]", "rnn", bidirectional=False)
    tensors = checked(checkpoint, found, names, TITLE)
    joint_width, region_width = tensors["model[0].fc.weight"].shape
    options = VSE(
        text_pooling="last",
        measure=checkpoint.choice("measure", _MEASURES),
        imgnorm=not checkpoint.flag("no_imgnorm"),
        use_abs=checkpoint.flag("use_abs"),
        **text_options(tensors["model[1].embed.weight"], joint_width, bidirectional=False),
    )
    return Layout(TITLE, "vse", options, region_width, tensors, names, "scan", boxes=False)
