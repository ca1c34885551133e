"""`convert`: a checkpoint of the original code of a method becomes a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from unboxed import __version__
from unboxed.convert import infoground, scan, sgraf, vsepp
from unboxed.convert.checkpoint import Checkpoint, read_checkpoint
from unboxed.convert.options import ConvertSettings
from unboxed.convert.recurrent_text import reordered, vocabulary_of
from unboxed.convert.vocabulary import read_words
from unboxed.errors import ModelError, errors_of
from unboxed.inference.grounder import Grounder
from unboxed.inference.run_config import RunConfig
from unboxed.inference.run_folder import RUN_FOLDERS
from unboxed.regions.settings import ImportedRegions, RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.runtime.locks import folder_lock, remove_left_overs
from unboxed.text.tokens import Tokenizer, Vocabulary
from unboxed.training.resuming import require_free

if TYPE_CHECKING:
    from unboxed.convert.layout import Layout

__all__ = ["convert"]


def convert(checkpoint: Path, settings: ConvertSettings) -> Grounder:
    """Convert a checkpoint of SCAN, SGRAF (an SGR or an SAF), VSE++ or info-ground to a run, and return its model.

    The layout is recognized by the content of the file, of which nothing is run.

    Args:
        checkpoint: the file.
        settings: the run, and what is not in the file.

    Raises:
        ModelError: a checkpoint or a vocabulary of another layout, or a damaged one; the message names the tensors that
            are missing, left over or of another shape.
        RunError: the folder holds a run, or other files that the run would replace.
        StoreError: the store cannot be used.
    """
    require_free(settings.out, resume=False, fix="choose another --out")
    content = read_checkpoint(checkpoint)
    with errors_of(checkpoint):
        layout = _layout(content, settings.text)
    tensors, vocabulary = _with_vocabulary(content, layout, settings.vocab)
    config = _config(content, layout, settings.regions)
    model = config.options.build(vocabulary, config.region_width)
    _load(model, layout, tensors, checkpoint)
    grounder = Grounder(config, model, vocabulary)
    with folder_lock(settings.out, wait=True):
        require_free(settings.out, resume=False, fix="choose another --out")
        remove_left_overs(settings.out, RUN_FOLDERS)
        grounder.save(settings.out)
    return grounder


def _layout(checkpoint: Checkpoint, text: str) -> Layout:
    if infoground.matches(checkpoint):
        return infoground.layout(checkpoint, text)
    if sgraf.matches(checkpoint):
        return sgraf.layout(checkpoint)
    if vsepp.matches(checkpoint):
        return vsepp.layout(checkpoint)
    if scan.matches(checkpoint):
        return scan.layout(checkpoint)
    known = ", ".join(original.TITLE for original in (scan, sgraf, vsepp, infoground))
    raise ModelError(f"{checkpoint.path} has none of the known layouts, which are those of {known}.")


def _with_vocabulary(
    checkpoint: Checkpoint, layout: Layout, path: Path | None
) -> tuple[dict[str, torch.Tensor], Vocabulary]:
    """The tensors with word vectors in the order of the run's vocabulary."""
    embedding = layout.names.get("text.embedding.weight")
    if embedding is None:
        if path is not None:
            raise ModelError(f"A checkpoint of {layout.original} has no vocabulary of its own; leave out --vocab.")
        return dict(layout.tensors), Vocabulary(tokenizer=Tokenizer(layout.options.text_encoder.tokenizer))
    if path is None:
        raise ModelError(
            f"{checkpoint.path} is a checkpoint of {layout.original}, which numbers its words; name the vocabulary "
            "that it was trained with: --vocab f30k_precomp_vocab.json."
        )
    words = read_words(path)
    vocabulary = vocabulary_of(words)
    rows = reordered(checkpoint, layout.tensors[embedding], words, vocabulary)
    return {**layout.tensors, embedding: rows}, vocabulary


def _config(checkpoint: Checkpoint, layout: Layout, regions: Path | None) -> RunConfig:
    """The config of the run: that of the store, or of a store of the original's features."""
    facts: dict[str, Any] = {
        "unboxed": __version__,
        "converted": {
            "original": layout.original,
            "file": checkpoint.path.name,
            "epoch": checkpoint.epoch,
        },
        "finished": True,
    }
    if regions is None:
        found: RegionSettings = ImportedRegions(imported=layout.features, boxes=layout.boxes)
        return RunConfig(layout.recipe, layout.options, found, (("imported", layout.region_width),), (), facts)
    store = RegionStore.open(regions)
    if store.feature_width != layout.region_width:
        raise ModelError(
            f"{checkpoint.path} reads {layout.region_width} features a region, those of {regions} are "
            f"{store.feature_width}; name the store of the features that it was trained on."
        )
    facts["store"] = store.address
    return RunConfig(layout.recipe, layout.options, store.settings, store.feature_blocks, store.class_names, facts)


def _load(model: torch.nn.Module, layout: Layout, tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Give the model the tensors of the checkpoint. What it has besides, such as the scale of features, stays."""
    state = model.state_dict()
    wrong = [
        f"{theirs} has the shape {list(tensors[theirs].shape)} instead of {list(state[ours].shape)}"
        for ours, theirs in layout.names.items()
        if tensors[theirs].shape != state[ours].shape
    ]
    if wrong:
        raise ModelError(f"{path}: tensors of {layout.original} do not fit together: {'; '.join(wrong[:6])}.")
    model.load_state_dict({**state, **{ours: tensors[theirs] for ours, theirs in layout.names.items()}})
