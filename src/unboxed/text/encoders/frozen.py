"""A frozen pretrained encoder in the place of the recurrent one, as InfoGround has it (BERT, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from unboxed.text.encoders.pretrained import PretrainedEncoder
from unboxed.text.vocabulary import Vocabulary

__all__ = ["FrozenEncoder"]

_KEPT = 50_000  # captions whose words are remembered, in half precision: about 10 kB each


class FrozenEncoder(nn.Module):
    """Contextual words of a pretrained transformers encoder that is not trained.

    The encoder's weights are not part of this module's state: a run keeps them in a folder of their own. What it says
    of a caption never changes, so it is asked once for each caption and remembered.

    Args:
        encoder: the pretrained encoder, frozen.
        vocabulary: tells which words the ids of substitutes stand for.
    """

    def __init__(self, encoder: PretrainedEncoder, vocabulary: Vocabulary) -> None:
        super().__init__()
        self._encoder = (encoder,)  # in a tuple, so that it is no submodule: neither trained nor saved
        self._vocabulary = vocabulary
        self._kept: dict[str, torch.Tensor] = {}
        self.output_width = encoder.width

    def forward(self, tokens_CW: torch.Tensor, mask_CW: torch.Tensor, words_C: Sequence[Sequence[str]]) -> torch.Tensor:
        """Contextual words `[C, W, output_width]`, zero where `mask_CW` is False; `tokens_CW` is not read."""
        texts = [" ".join(words) for words in words_C]
        new = [text for text in dict.fromkeys(texts) if text not in self._kept]
        if len(self._kept) + len(new) > _KEPT:
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
        words_CWH: torch.Tensor,
        mask_CW: torch.Tensor,
        slot_C: torch.Tensor,
        substitutes_CN: torch.Tensor,
        words_C: Sequence[Sequence[str]],
    ) -> torch.Tensor:
        """Vectors `[C, N, output_width]` of other words put at a place, each read in its own changed caption."""
        changed, places = [], []
        for words, slot, ids in zip(words_C, slot_C.tolist(), substitutes_CN.tolist(), strict=True):
            for word in self._vocabulary.decode(ids):
                changed.append(" ".join([*words[:slot], word.strip("<>"), *words[slot + 1 :]]))
                places.append(slot)
        rows = [encoded[place] for encoded, place in zip(self._encode(changed), places, strict=True)]
        return torch.stack(rows).reshape(*substitutes_CN.shape, self.output_width).to(words_CWH)

    @torch.no_grad()
    def _encode(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """The words `[W, H]` of each text, 256 texts at a time."""
        rows: list[torch.Tensor] = []
        for start in range(0, len(texts), 256):
            words_CWH, mask_CW = self._encoder[0](texts[start : start + 256])
            rows += [words[mask] for words, mask in zip(words_CWH, mask_CW, strict=True)]
        return rows

    def save(self, folder: Path) -> None:
        """Write the pretrained encoder and its tokenizer to `folder`."""
        self._encoder[0].save(folder)
