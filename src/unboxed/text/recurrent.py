"""A bidirectional GRU over learned word embeddings: the text encoder without anything pretrained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

__all__ = ["RecurrentEncoder"]


class RecurrentEncoder(nn.Module):
    """Contextual words: each word's embedding, concatenated with the states of both directions.

    Args:
        vocabulary_size: number of word ids; id 0 is padding.
        embedding_width: width of a word's embedding.
        hidden_width: width of each direction's state.
        dropout: probability in [0, 1) of dropping an entry of an embedding during training.

    Attributes:
        output_width: H = embedding_width + 2 * hidden_width.
    """

    def __init__(
        self, vocabulary_size: int, embedding_width: int = 200, hidden_width: int = 128, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding_width, padding_idx=0)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(embedding_width, hidden_width, batch_first=True, bidirectional=True)
        self.output_width = embedding_width + 2 * hidden_width

    def forward(
        self, tokens_CW: torch.Tensor, mask_CW: torch.Tensor, words_C: Sequence[Sequence[str]] = ()
    ) -> torch.Tensor:
        """Contextual words `[C, W, H]`, zero where `mask_CW` is False.

        Args:
            tokens_CW: word ids.
            mask_CW: True for real words, which stand before all padding; at least one a caption.
            words_C: not used; `FrozenEncoder` needs the words as text.
        """
        embedded_CWE = self.dropout(self.embedding(tokens_CW))
        packed = pack_padded_sequence(embedded_CWE, mask_CW.sum(dim=1).cpu(), batch_first=True, enforce_sorted=False)
        context_CWH, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=tokens_CW.shape[1])
        return torch.cat([embedded_CWE, context_CWH], dim=2) * mask_CW[..., None]

    def substitute(
        self,
        words_CWH: torch.Tensor,
        mask_CW: torch.Tensor,
        slot_C: torch.Tensor,
        substitutes_CN: torch.Tensor,
        words_C: Sequence[Sequence[str]] = (),
    ) -> torch.Tensor:
        """Contextual vectors `[C, N, H]` of other words in the place of one.

        Equal to `forward` of the N changed captions, read at the changed place, without encoding the captions again:
        in a single layer, the forward state before the place and the backward state behind it do not depend on the
        word there, so that one step of each direction's cell is enough.

        Args:
            words_CWH: the result of `forward` for the unchanged captions.
            mask_CW: True for real words.
            slot_C: the index of the word that is replaced, a real word of each caption.
            substitutes_CN: ids of the words that replace it.
            words_C: not used; `FrozenEncoder` needs the words as text.
        """
        caption_C = torch.arange(len(slot_C), device=slot_C.device)
        width = self.gru.hidden_size
        context_CWH = words_CWH[..., self.embedding.embedding_dim :] * mask_CW[..., None]
        padded = nn.functional.pad(context_CWH, (0, 0, 1, 1))  # zero states before the first word and behind the last
        before_CH = padded[caption_C, slot_C, :width]
        behind_CH = padded[caption_C, slot_C + 2, width:]
        embedded_CNE = self.dropout(self.embedding(substitutes_CN))
        count = substitutes_CN.shape[1]
        rows = embedded_CNE.flatten(0, 1)
        forward = torch.gru_cell(rows, before_CH.repeat_interleave(count, 0), *self._cell(""))
        backward = torch.gru_cell(rows, behind_CH.repeat_interleave(count, 0), *self._cell("_reverse"))
        return torch.cat([rows, forward, backward], dim=1).reshape(*substitutes_CN.shape, self.output_width)

    def _cell(self, direction: str) -> tuple[torch.Tensor, ...]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return tuple(getattr(self.gru, f"{name}_l0{direction}") for name in names)
