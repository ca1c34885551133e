"""Masked language models of transformers (BERT, RoBERTa, …) as models of `LanguageModelWords`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unboxed.errors import ModelError
from unboxed.text.pretrained import load_transformer, tokenized
from unboxed.text.tokens import words
from unboxed.types import Array

__all__ = ["TransformersLM"]

_ROWS = 32


class TransformersLM:
    """A pretrained masked language model; implements `MaskedLanguageModel` as the paper does.

    All sub-tokens of a word are masked, one mask each, and the probabilities are those at the first. Its
    vocabulary are the words of one token.

    Args:
        model: a masked language model of transformers.
        tokenizer: its fast tokenizer.

    Attributes:
        fingerprint: digest of the weights and the tokenizer.

    Raises:
        ModelError: the tokenizer has no mask token.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        if tokenizer.mask_token_id is None:
            raise ModelError("The language model has no mask token; use a masked one, such as BERT or RoBERTa.")
        self.fingerprint = _fingerprint(model, tokenizer)
        self._model = model.requires_grad_(False)
        self._tokenizer = tokenizer
        self._ids: dict[str, int | None] = {}

    @classmethod
    def load(cls, source: str | Path) -> TransformersLM:
        """The model in a local folder or of a hub name.

        Raises:
            ModelError: it cannot be loaded (see `load_transformer`), or is no masked language model.
        """
        return cls(*load_transformer(source, "AutoModelForMaskedLM"))

    def in_vocabulary(self, candidates: Sequence[str]) -> npt.NDArray[np.bool_]:
        """See `MaskedLanguageModel`."""
        return np.array([self._single_token(word) is not None for word in candidates], dtype=bool)

    @torch.inference_mode()
    def log_probabilities(
        self, captions: Sequence[str], positions: Sequence[int], candidates: Sequence[str]
    ) -> tuple[Array, Array]:
        """See `MaskedLanguageModel`."""
        ids = torch.tensor([self._single_token(word) for word in candidates])
        # One reading of the unmasked caption gives q at all its positions.
        distinct = {caption: index for index, caption in enumerate(dict.fromkeys(captions))}
        row_N = torch.tensor([distinct[caption] for caption in captions])
        tokens = tokenized(list(distinct), self._tokenizer, self._model, "language model")
        start_NT, end_NT = tokens.pop("offset_mapping")[row_N].unbind(dim=2)
        found = {caption: words(caption) for caption in distinct}
        spans = [found[caption][position] for caption, position in zip(captions, positions, strict=True)]
        start_N1 = torch.tensor([word.start for word in spans])[:, None]
        end_N1 = torch.tensor([word.end for word in spans])[:, None]
        of_word_NT = (start_NT < end_N1) & (end_NT > start_N1) & (end_NT > start_NT)
        first_N = of_word_NT.int().argmax(dim=1)
        masked = {name: tensor[row_N] for name, tensor in tokens.items()}
        masked["input_ids"] = masked["input_ids"].masked_fill(of_word_NT, self._tokenizer.mask_token_id)
        log_p_NV = self._log_softmax(masked, first_N, ids)
        log_q_NV = self._log_softmax(dict(tokens), first_N, ids, row_N)
        return log_p_NV.numpy(), log_q_NV.numpy()

    def _log_softmax(
        self, tokens: dict[str, Tensor], place_N: Tensor, ids: Tensor, row_N: Tensor | None = None
    ) -> Tensor:
        """`[N, V]` at token `place_N` of row `row_N` (of row n when None), a few rows at a time to save memory."""
        rows = torch.arange(len(place_N)) if row_N is None else row_N
        log_NV = torch.empty(len(place_N), len(ids))
        for start in range(0, len(tokens["input_ids"]), _ROWS):
            logits_CTV = self._model(**{name: tensor[start : start + _ROWS] for name, tensor in tokens.items()}).logits
            here_N = (rows >= start) & (rows < start + _ROWS)
            log_NV[here_N] = logits_CTV[rows[here_N] - start, place_N[here_N]][:, ids].log_softmax(dim=1)
        return log_NV

    def _single_token(self, word: str) -> int | None:
        """The id of a word that is one token inside a sentence, None for others.

        The word stands after another one because byte-level tokenizers join a word with the space before it.
        """
        if word not in self._ids:
            tokens = self._tokenizer(f"a {word}", add_special_tokens=False, return_offsets_mapping=True)
            of_word = [
                index
                for index, (start, end) in zip(tokens["input_ids"], tokens["offset_mapping"], strict=True)
                if start < len(word) + 2 and end > 2 and end > start
            ]
            known = len(of_word) == 1 and of_word[0] != self._tokenizer.unk_token_id
            self._ids[word] = of_word[0] if known else None
        return self._ids[word]


def _fingerprint(model: Any, tokenizer: Any) -> str:
    """A digest of the weights and the tokenizer, which does not depend on the folder that holds them."""
    digest = hashlib.sha256(f"masked language model\0{tokenizer.backend_tokenizer.to_str()}".encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
