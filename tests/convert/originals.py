"""Writes checkpoints and vocabularies in the layouts of the original codes."""

from __future__ import annotations

import argparse
import json
import pickle
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

SPECIAL = ("<pad>", "<start>", "<end>", "<unk>")

SCAN_OPTIONS: dict[str, Any] = {
    "cross_attn": "t2i",
    "agg_func": "Mean",
    "lambda_softmax": 9.0,
    "lambda_lse": 6.0,
    "raw_feature_norm": "clipped_l2norm",
    "bi_gru": True,
    "no_imgnorm": False,
    "no_txtnorm": False,
    "precomp_enc_type": "basic",
    "num_layers": 1,
    "data_path": "./data/",
}
VSEPP_OPTIONS: dict[str, Any] = {"measure": "cosine", "use_abs": False, "no_imgnorm": False, "cnn_type": "vgg19"}
SGRAF_OPTIONS: dict[str, Any] = {"module_name": "SGR", "sim_dim": 16, "no_imgnorm": False, "no_txtnorm": False}


def words_of(count: int) -> list[str]:
    """The word of each id of a vocabulary of `count` words."""
    return [*SPECIAL, *("a", "dog", ".", ",", "red", "hat", "man", "'s"), *(f"word{i}" for i in range(count))][:count]


def write_vocabulary(path: Path, words: Sequence[str]) -> Path:
    """SCAN's JSON, or VSE++'s pickle, by the suffix."""
    ids = {word: i for i, word in enumerate(words)}
    if path.suffix == ".json":
        names = {str(i): word for i, word in enumerate(words)}
        path.write_text(json.dumps({"word2idx": ids, "idx2word": names, "idx": len(words)}), encoding="utf-8")
        return path
    module = types.ModuleType("vocab")
    module.Vocabulary = type("Vocabulary", (), {"__module__": "vocab"})  # type: ignore[attr-defined]
    vocabulary = module.Vocabulary()
    vocabulary.__dict__.update(word2idx=ids, idx2word=dict(enumerate(words)), idx=len(words))
    sys.modules["vocab"] = module
    try:
        path.write_bytes(pickle.dumps(vocabulary, 2))
    finally:
        del sys.modules["vocab"]
    return path


def text_state(
    words: int, width: int, states: int, bidirectional: bool = True, gru: str = "rnn"
) -> dict[str, torch.Tensor]:
    """A random state dict of the text encoder of SCAN, SGRAF (whose GRU is `cap_rnn`) or VSE++."""
    network = nn.GRU(width, states, batch_first=True, bidirectional=bidirectional)
    parameters = {f"{gru}.{name}": value.detach().clone() for name, value in network.named_parameters()}
    return {"embed.weight": torch.randn(words, width), **parameters}


def linear_state(name: str, rows: int, columns: int) -> dict[str, torch.Tensor]:
    """A random state dict of a linear layer."""
    return {f"{name}.weight": torch.randn(rows, columns), f"{name}.bias": torch.randn(rows)}


def save(path: Path, parts: Sequence[dict[str, torch.Tensor]], options: dict[str, Any], **how: Any) -> Path:
    """A checkpoint as the codes of image-text matching save it; `how` as for `torch.save`."""
    content = {
        "epoch": 11,
        "model": list(parts),
        "best_rsum": 441.5,
        "opt": argparse.Namespace(**options),
        "Eiters": 4096,
    }
    torch.save(content, path, **how)
    return path


class _Python2Pickler(pickle._Pickler):
    """Writes texts as Python 2 writes its `str`."""

    def save_str(self, text: str) -> None:
        encoded = text.encode("ascii")
        assert len(encoded) < 256
        self.write(b"U" + bytes([len(encoded)]) + encoded)  # SHORT_BINSTRING
        self.memoize(text)

    dispatch: ClassVar[Any] = {**pickle._Pickler.dispatch, str: save_str}


class Python2:
    """For `torch.save(…, pickle_module=Python2)`: as PyTorch 0.3 under Python 2 wrote its files."""

    __name__ = "pickle"
    Pickler = _Python2Pickler

    @staticmethod
    def dump(value: Any, stream: Any, protocol: int = 2) -> None:
        _Python2Pickler(stream, protocol).dump(value)
