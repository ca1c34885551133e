"""The text encoder that SCAN, SGRAF and VSE++ share: word vectors, and a GRU whose states are the words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from unboxed.convert.checkpoint import Checkpoint
from unboxed.convert.layout import gru_names
from unboxed.errors import ModelError
from unboxed.text.settings import TextConfig
from unboxed.text.tokens import SPECIAL, Tokenizer, Vocabulary

__all__ = ["reordered", "text_names", "text_options", "vocabulary_of"]


def text_options(embedding: torch.Tensor, joint_width: int, *, bidirectional: bool) -> dict[str, Any]:
    """The options of a recipe with such an encoder, and regions that are described by their features alone.

    Args:
        embedding: the word vectors.
        joint_width: of the joint space, and of the GRU's states.
        bidirectional: whether the GRU reads in both directions.
    """
    reading = TextConfig(
        tokenizer="treebank",
        start_end_words=True,
        bidirectional=bidirectional,
        word_state="mean",
        embedding_init="uniform",
    )
    return {
        "text_encoder": reading,
        "embedding_width": embedding.shape[1],
        "hidden_width": joint_width,
        "joint_width": joint_width,
        "region_inputs": "features",
        "region_hidden": 0,
        "dropout": 0.0,
    }


def text_names(theirs: str, gru: str, *, bidirectional: bool) -> dict[str, str]:
    """The names of its tensors.

    Args:
        theirs: the state dict of the encoder.
        gru: its name for the GRU.
        bidirectional: whether the GRU reads in both directions.
    """
    return {"text.embedding.weight": f"{theirs}.embed.weight"} | gru_names("text.gru", f"{theirs}.{gru}", bidirectional)


def vocabulary_of(words: Sequence[str]) -> Vocabulary:
    """The vocabulary of a run with these words, the special ones first."""
    return Vocabulary((*SPECIAL, *(word for word in words if word not in SPECIAL)), Tokenizer("treebank", True))


def reordered(
    checkpoint: Checkpoint, embedding: torch.Tensor, words: Sequence[str], vocabulary: Vocabulary
) -> torch.Tensor:
    """The rows of `embedding` in the order of `vocabulary`; zeros for words without one, and for padding.

    Raises:
        ModelError: another number of words than rows.
    """
    if len(embedding) != len(words):
        raise ModelError(
            f"{checkpoint.path} has vectors of {len(embedding):,} words, its vocabulary {len(words):,} words; name the "
            "vocabulary that it was trained with."
        )
    rows = embedding.new_zeros(len(vocabulary), embedding.shape[1])
    known = [word for word in words if word != SPECIAL[0]]
    places = {word: place for place, word in enumerate(words)}
    rows[vocabulary.encode(known)] = embedding[[places[word] for word in known]]
    return rows
