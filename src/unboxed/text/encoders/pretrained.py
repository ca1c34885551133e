"""Pretrained transformers encoders as frozen text encoders, as InfoGround uses BERT (section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unboxed.errors import CaptionError, ModelError
from unboxed.text.encoders.transformer_files import content_fingerprint, load_transformer, token_limit
from unboxed.text.tokens import words
from unboxed.text.vocabulary import Vocabulary

__all__ = ["FrozenEncoder", "PretrainedEncoder"]

_KEPT_CAPTIONS = 50_000  # how many captions' word features are kept, in half precision: about 10 kB each
_BATCH = 256


class PretrainedEncoder(nn.Module):
    """Contextual features of the words of captions: each the mean of the last hidden states of its sub-tokens.

    The weights are frozen and the module stays in evaluation mode. Padding is masked, so that the features of a caption
    do not depend on the other captions of its batch (the original InfoGround code has no mask).

    Args:
        model: an encoder of transformers.
        tokenizer: its fast tokenizer.

    Attributes:
        width: H, of a feature.
        fingerprint: digest of the weights and the tokenizer.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__()
        self.model = model
        self.width = int(model.config.hidden_size)
        self.fingerprint = content_fingerprint(model, tokenizer, "word features")
        self._tokenizer = tokenizer
        self._limit = token_limit(model, tokenizer)
        self.model.requires_grad_(False)
        self.eval()

    @classmethod
    def load(cls, source: str | Path) -> PretrainedEncoder:
        """The encoder in a local folder or of a hub name.

        Raises:
            ModelError: it cannot be loaded (see `load_transformer`), or needs more than text.
        """
        model, tokenizer = load_transformer(source, "AutoModel")
        try:
            encoder = cls(model, tokenizer)
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
        """Has no effect: the encoder stays in evaluation mode."""
        super().train(False)
        return self

    @torch.no_grad()
    def forward(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Features `[C, W, H]` of `unboxed.text.tokens.words(caption)`, zero for padding, and the word mask `[C, W]`.

        A word of which the tokenizer keeps nothing has zeros.

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
        hidden_CTH = self.model(**tokens.to(device)).last_hidden_state
        span_CW2 = torch.zeros(len(captions), max(map(len, found)), 2, dtype=torch.long)
        for index, spans in enumerate(found):
            span_CW2[index, : len(spans)] = torch.tensor([(word.start, word.end) for word in spans]).reshape(-1, 2)
        start_CW1, end_CW1 = span_CW2[:, :, :1], span_CW2[:, :, 1:]
        # Padding and special tokens have empty spans, which overlap no word; the empty spans of padding words overlap
        # no token.
        part_CWT = (start_CT[:, None] < end_CW1) & (end_CT[:, None] > start_CW1) & (end_CT > start_CT)[:, None]
        share_CWT = part_CWT / part_CWT.sum(dim=2, keepdim=True).clamp(min=1)
        mask_CW = span_CW2[:, :, 1] > 0
        return share_CWT.to(hidden_CTH) @ hidden_CTH, mask_CW.to(device)


class FrozenEncoder(nn.Module):
    """A `PretrainedEncoder` with the interface of `RecurrentEncoder`.

    The features of a caption never change, so each caption is encoded once and its features are kept in memory. The
    weights are not part of the module's state dict: a run keeps them in a folder, see `save`.

    Args:
        encoder: the pretrained encoder.
        vocabulary: gives the words of the ids of substitutes.

    Attributes:
        output_width: H, of a word's features.
    """

    def __init__(self, encoder: PretrainedEncoder, vocabulary: Vocabulary) -> None:
        super().__init__()
        self._encoder = (encoder,)  # in a tuple, so that it is no submodule: neither trained nor saved
        self._vocabulary = vocabulary
        self._kept: dict[str, Tensor] = {}
        self.output_width = encoder.width

    def forward(self, tokens_CW: Tensor, mask_CW: Tensor, words_C: Sequence[Sequence[str]]) -> Tensor:
        """Contextual words `[C, W, H]`, zero where `mask_CW` is False.

        Args:
            tokens_CW: not used.
            mask_CW: True for real words.
            words_C: the words of each caption as text.
        """
        texts = [" ".join(caption) for caption in words_C]
        new = [text for text in dict.fromkeys(texts) if text not in self._kept]
        if len(self._kept) + len(new) > _KEPT_CAPTIONS:
            self._kept.clear()
            new = list(dict.fromkeys(texts))
        for text, rows in zip(new, self._encode(new), strict=True):
            self._kept[text] = rows.half().cpu()
        words_CWH = torch.zeros(*mask_CW.shape, self.output_width, device=mask_CW.device)
        for row, text in enumerate(texts):
            kept = self._kept[text]
            words_CWH[row, : len(kept)] = kept.to(words_CWH)
        return words_CWH

    def substitute(
        self,
        words_CWH: Tensor,
        mask_CW: Tensor,
        slot_C: Tensor,
        substitutes_CN: Tensor,
        words_C: Sequence[Sequence[str]],
    ) -> Tensor:
        """Features `[C, N, H]` of other words in the place of one, each encoded in its changed caption.

        Args:
            words_CWH: gives the device and data type of the result.
            mask_CW: not used.
            slot_C: the index of the word that is replaced.
            substitutes_CN: ids of the words that replace it.
            words_C: the words of each caption as text.
        """
        changed, places = [], []
        for texts, slot, ids in zip(words_C, slot_C.tolist(), substitutes_CN.tolist(), strict=True):
            for word in self._vocabulary.decode(ids):
                changed.append(" ".join([*texts[:slot], word.strip("<>"), *texts[slot + 1 :]]))
                places.append(slot)
        rows = [encoded[place] for encoded, place in zip(self._encode(changed), places, strict=True)]
        return torch.stack(rows).reshape(*substitutes_CN.shape, self.output_width).to(words_CWH)

    def _encode(self, texts: Sequence[str]) -> list[Tensor]:
        """The words `[W, H]` of each text."""
        rows: list[Tensor] = []
        for start in range(0, len(texts), _BATCH):
            words_CWH, mask_CW = self._encoder[0](texts[start : start + _BATCH])
            rows += [word_WH[mask_W] for word_WH, mask_W in zip(words_CWH, mask_CW, strict=True)]
        return rows

    def save(self, folder: Path) -> None:
        """Write the pretrained encoder and its tokenizer to `folder`."""
        self._encoder[0].save(folder)
