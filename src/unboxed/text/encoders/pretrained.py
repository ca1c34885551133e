"""A pretrained transformers encoder as features of words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unboxed.errors import CaptionError, ModelError
from unboxed.text.encoders.transformer_files import content_fingerprint, load_transformer, token_limit
from unboxed.text.tokens import words

__all__ = ["PretrainedEncoder"]


class PretrainedEncoder(nn.Module):
    """Contextual features of the words of captions: each the mean of the last hidden states of its sub-tokens.

    Attention never reads padding, so a caption's features do not depend on the captions beside it (the original
    InfoGround code gives no mask).

    Attributes:
        width: H, of a feature.
        frozen: no gradient reaches the encoder, and it stays in evaluation mode.
        fingerprint: digest of the weights as loaded and of the tokenizer.
    """

    def __init__(self, model: Any, tokenizer: Any, frozen: bool = True) -> None:
        super().__init__()
        self.model = model
        self.width = int(model.config.hidden_size)
        self.frozen = frozen
        self.fingerprint = content_fingerprint(model, tokenizer, "word features")
        self._tokenizer = tokenizer
        self._limit = token_limit(model, tokenizer)
        self.model.requires_grad_(not frozen)
        self.train(not frozen)

    @classmethod
    def load(cls, source: str | Path, frozen: bool = True) -> PretrainedEncoder:
        """The encoder in a local folder or of a hub name.

        Raises:
            ModelError: it cannot be loaded (see `load_transformer`), or does not read text alone.
        """
        model, tokenizer = load_transformer(source, "AutoModel")
        try:
            encoder = cls(model, tokenizer, frozen)
            encoder(["a caption"])
        except (AttributeError, TypeError, ValueError) as error:
            raise ModelError(
                f"{source} is not an encoder of text alone ({error}); use one like BERT or MiniLM."
            ) from None
        return encoder

    def save(self, folder: Path) -> None:
        """Write the encoder and its tokenizer to `folder`, from where `load` reads them."""
        self.model.save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)

    def train(self, mode: bool = True) -> PretrainedEncoder:
        """Training mode, unless frozen."""
        super().train(mode and not self.frozen)
        return self

    def forward(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Features `[C, W, H]` of `unboxed.text.tokens.words(caption)`, zero for padding, and the word mask `[C, W]`.

        A word of which the tokenizer keeps nothing has the zero vector.

        Raises:
            CaptionError: a caption of more tokens than the model reads.
        """
        found = [words(caption) for caption in captions]
        tokens = self._tokenizer(list(captions), padding=True, return_offsets_mapping=True, return_tensors="pt")
        if tokens["input_ids"].shape[1] > self._limit:
            longest = max(captions, key=len)
            raise CaptionError(
                f"A caption of {tokens['input_ids'].shape[1]} tokens; the encoder reads at most {self._limit}. Shorten "
                f"“{longest[:60]}…”."
            )
        start_CT, end_CT = tokens.pop("offset_mapping").unbind(dim=2)
        device = next(self.model.parameters()).device
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            hidden_CTH = self.model(**tokens.to(device)).last_hidden_state
        span_CW2 = torch.zeros(len(captions), max(map(len, found)), 2, dtype=torch.long)
        for index, spans in enumerate(found):
            span_CW2[index, : len(spans)] = torch.tensor([(word.start, word.end) for word in spans]).reshape(-1, 2)
        start_CW1, end_CW1 = span_CW2[:, :, :1], span_CW2[:, :, 1:]
        # Padding and special tokens are empty spans, which overlap no word; padding words are empty and hold no token.
        part_CWT = (start_CT[:, None] < end_CW1) & (end_CT[:, None] > start_CW1) & (end_CT > start_CT)[:, None]
        share_CWT = part_CWT / part_CWT.sum(dim=2, keepdim=True).clamp(min=1)
        mask_CW = span_CW2[:, :, 1] > 0
        return share_CWT.to(hidden_CTH) @ hidden_CTH, mask_CW.to(device)
