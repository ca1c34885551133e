"""A recurrent network over learned word embeddings: the text encoder without anything pretrained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unboxed.errors import ModelError
from unboxed.runtime.dropout import Dropout
from unboxed.text.packed_gru import gates, gru_states
from unboxed.text.settings import TextConfig
from unboxed.text.tokens import UNKNOWN_ID, Vocabulary
from unboxed.text.word_vectors import WordVectors

__all__ = ["RecurrentEncoder", "pooled", "require_width"]

_LARGEST = 1 << 25  # numbers of groups and states at a time
_MAPS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class RecurrentEncoder(nn.Module):
    """Contextual words: the states of a GRU or LSTM of one or both directions, with or without the embeddings.

    Args:
        vocabulary_size: number of word ids; id 0 is padding.
        embedding_width: width of a word's embedding.
        hidden_width: width of each direction's state.
        dropout: probability in [0, 1) of dropping an entry of an embedding during training.
        settings: the cell, the directions, the word state and how phrases are read.

    Attributes:
        output_width: H. With `word_state="linear"`, of the embedding and the states of all directions one after the
            other; with `mean`, `hidden_width`.
    """

    initial_vectors: torch.Tensor | None

    def __init__(
        self,
        vocabulary_size: int,
        embedding_width: int = 200,
        hidden_width: int = 128,
        dropout: float = 0.0,
        settings: TextConfig | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings if settings is not None else TextConfig()
        self.embedding = nn.Embedding(vocabulary_size, embedding_width, padding_idx=0)
        if self.settings.embedding_init == "normal":
            nn.init.normal_(self.embedding.weight, std=0.1)
        else:
            nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        # Kept beside the trained vectors, which are compared with it: the vectors that `set_vectors` was given.
        initial = torch.zeros_like(self.embedding.weight) if self.settings.initial_vectors is not None else None
        self.register_buffer("initial_vectors", initial)
        self.embedding.weight.requires_grad_(self.settings.train_vectors)
        self.dropout = Dropout(dropout if self.settings.word_dropout is None else self.settings.word_dropout)
        kind = {"gru": nn.GRU, "lstm": nn.LSTM}[self.settings.cell]
        both = self.settings.bidirectional
        self.add_module(self.settings.cell, kind(embedding_width, hidden_width, batch_first=True, bidirectional=both))
        self.output_width = hidden_width
        if self.settings.word_state == "linear":
            self.output_width = embedding_width + (1 + both) * hidden_width

    @property
    def network(self) -> nn.RNNBase:
        """The GRU or LSTM, in the attribute `gru` or `lstm`."""
        network: nn.RNNBase = getattr(self, self.settings.cell)
        return network

    def set_vectors(self, vocabulary: Vocabulary, vectors: WordVectors) -> None:
        """Set the embeddings to word vectors, of their own lengths; words without a vector get zeros.

        Raises:
            ModelError: vectors of another width than the embeddings.
        """
        require_width(vectors, self.embedding.embedding_dim)
        with torch.no_grad():
            self.embedding.weight.zero_()
            for row_E, word in zip(self.embedding.weight, vocabulary.words, strict=True):
                if (vector := vectors.mean_vector(word)) is not None:
                    row_E.copy_(torch.from_numpy(vector))
            if self.initial_vectors is not None:
                self.initial_vectors.copy_(self.embedding.weight)

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
        context_CWH = self._read(embedded_CWE, mask_CW)
        if self.settings.word_state == "linear":
            return torch.cat([embedded_CWE * mask_CW[..., None], context_CWH], dim=2)
        if self.settings.bidirectional:
            forward_CWH, backward_CWH = context_CWH.chunk(2, dim=2)
            return (forward_CWH + backward_CWH) / 2
        return context_CWH

    def _read(self, embedded_CWE: torch.Tensor, mask_CW: torch.Tensor) -> torch.Tensor:
        """The states of all directions, one after the other; zero where padded."""
        if isinstance(self.network, nn.GRU) and embedded_CWE.device.type == "cpu":
            return gru_states(self.network, embedded_CWE, mask_CW)
        packed = pack_padded_sequence(embedded_CWE, mask_CW.sum(dim=1).cpu(), batch_first=True, enforce_sorted=False)
        states_CWH, _ = pad_packed_sequence(self.network(packed)[0], batch_first=True, total_length=mask_CW.shape[1])
        return states_CWH

    @property
    def fixed_vectors(self) -> torch.Tensor:
        """The vectors `[N, E]` of the vocabulary as training found them, else the current ones; without gradient."""
        return self.embedding.weight.detach() if self.initial_vectors is None else self.initial_vectors

    def knows(self, tokens: torch.Tensor) -> torch.Tensor:
        """Which word ids, of any shape, are those of words of the vocabulary that have a vector."""
        return (tokens != UNKNOWN_ID) & self.fixed_vectors[tokens].any(dim=-1)

    def read_phrases(self, tokens_CW: torch.Tensor, phrase_CPW: torch.Tensor) -> torch.Tensor:
        """States `[C, P, H]` of phrases that are each read alone, as if they were captions; zero without a word.

        A maximum is taken over the first word and all known words (CKD), see `knows`.

        Args:
            tokens_CW: word ids.
            phrase_CPW: True where word w belongs to phrase p.
        """
        has_CP = phrase_CPW.any(dim=-1)
        state_CPH = torch.zeros(*has_CP.shape, self.output_width, device=tokens_CW.device, dtype=self._dtype)
        if not has_CP.any():
            return state_CPH
        count_N = phrase_CPW.sum(dim=-1)[has_CP]
        mask_NL = torch.arange(int(count_N.max()), device=tokens_CW.device) < count_N[:, None]
        tokens_NL = tokens_CW.new_zeros(mask_NL.shape)
        tokens_NL[mask_NL] = tokens_CW[:, None].expand_as(phrase_CPW)[phrase_CPW]  # both row by row
        counted_NL = mask_NL
        if self.settings.phrase_pooling == "max":
            counted_NL = mask_NL & self.knows(tokens_NL)
            counted_NL[:, 0] = True
        states_NLH = self(tokens_NL, mask_NL)
        state_CPH[has_CP] = pooled(states_NLH, counted_NL[:, None], self.settings.phrase_pooling)[:, 0]
        return state_CPH

    def substitute(
        self,
        words_CWH: torch.Tensor,
        tokens_CW: torch.Tensor,
        mask_CW: torch.Tensor,
        slot_C: torch.Tensor,
        substitutes_CN: torch.Tensor,
        words_C: Sequence[Sequence[str]] = (),
    ) -> torch.Tensor:
        """Contextual vectors `[C, N, H]` of other words in the place of one.

        Equal to `forward` of the N changed captions, read at the changed place.

        Args:
            words_CWH: the result of `forward` for the unchanged captions.
            tokens_CW: word ids of the unchanged captions.
            mask_CW: True for real words.
            slot_C: the index of the word that is replaced, a real word of each caption.
            substitutes_CN: ids of the words that replace it.
            words_C: not used; `FrozenEncoder` needs the words as text.
        """
        if self.settings.cell == "gru" and self.settings.bidirectional and self.settings.word_state == "linear":
            return self._substitute_by_one_step(words_CWH, mask_CW, slot_C, substitutes_CN)
        count = substitutes_CN.shape[1]
        tokens_NW, slot_N = tokens_CW.repeat_interleave(count, 0), slot_C.repeat_interleave(count, 0)
        row_N = torch.arange(len(slot_N), device=slot_N.device)
        tokens_NW[row_N, slot_N] = substitutes_CN.flatten()
        changed_NWH: torch.Tensor = self(tokens_NW, mask_CW.repeat_interleave(count, 0))
        return changed_NWH[row_N, slot_N].view(*substitutes_CN.shape, self.output_width)

    def _substitute_by_one_step(
        self, words_CWH: torch.Tensor, mask_CW: torch.Tensor, slot_C: torch.Tensor, substitutes_CN: torch.Tensor
    ) -> torch.Tensor:
        """`substitute` without encoding the captions again.

        In a single layer, the forward state before the place and the backward state behind it do not depend on the
        word there, so that one step of each direction's cell is enough.
        """
        caption_C = torch.arange(len(slot_C), device=slot_C.device)
        width = self.network.hidden_size
        context_CWH = words_CWH[..., self.embedding.embedding_dim :] * mask_CW[..., None]
        padded = nn.functional.pad(context_CWH, (0, 0, 1, 1))  # zero states before the first word and behind the last
        before_CH = padded[caption_C, slot_C, :width]
        behind_CH = padded[caption_C, slot_C + 2, width:]
        embedded_CNE = self.dropout(self.embedding(substitutes_CN))
        forward_CNH = self._step("", embedded_CNE, before_CH[:, None])
        backward_CNH = self._step("_reverse", embedded_CNE, behind_CH[:, None])
        return torch.cat([embedded_CNE, forward_CNH, backward_CNH], dim=2)

    def _step(self, direction: str, input_CNE: torch.Tensor, state_C1H: torch.Tensor) -> torch.Tensor:
        """The states after each of N words that follow one state; the map of that state is computed once."""
        maps = {name: getattr(self.network, f"{name}_l0{direction}") for name in _MAPS}
        entering_CNG = nn.functional.linear(input_CNE, maps["weight_ih"], maps["bias_ih"])
        return gates(entering_CNG, nn.functional.linear(state_C1H, maps["weight_hh"], maps["bias_hh"]), state_C1H)

    @property
    def _dtype(self) -> torch.dtype:
        return self.embedding.weight.dtype


def require_width(vectors: WordVectors, width: int) -> None:
    """Raise a `ModelError` where word vectors have another width than the embeddings."""
    if vectors.width != width:
        raise ModelError(
            f"The initial word vectors have {vectors.width} numbers, and embedding_width is {width}; set "
            f"--embedding-width {vectors.width}, or name another file."
        )


def pooled(states_CWH: torch.Tensor, member_CQW: torch.Tensor, pooling: Literal["mean", "max", "last"]) -> torch.Tensor:
    """From the states of words, those of groups of words, `[C, Q, H]`; zero for a group without words.

    Args:
        states_CWH: states of words.
        member_CQW: True where word w belongs to group q.
        pooling: the `mean` of a group's states, their `max` over each entry, or the `last` one.
    """
    numbers = member_CQW.numel() * (states_CWH.shape[-1] if pooling == "max" else 1)
    if numbers > _LARGEST and member_CQW.shape[1] > 1 and not torch.compiler.is_compiling():  # an export has one shape
        found = []
        for half in member_CQW.chunk(2, dim=1):  # of a long caption, each half of the groups with its own words
            used_W = half.any(dim=(0, 1))
            used_W[0] = True
            found.append(pooled(states_CWH[:, used_W], half[..., used_W], pooling))
        return torch.cat(found, dim=1)
    if pooling == "mean":
        weight_CQW = member_CQW.to(states_CWH.dtype)
        return (weight_CQW / weight_CQW.sum(dim=-1, keepdim=True).clamp(min=1)) @ states_CWH
    has_CQ1 = member_CQW.any(dim=-1, keepdim=True)
    if pooling == "max":
        least = states_CWH.new_tensor(float("-inf"))
        state_CQH = torch.where(member_CQW[..., None], states_CWH[:, None], least).amax(dim=2)
        return torch.where(has_CQ1, state_CQH, 0)
    place_W = torch.arange(1, member_CQW.shape[-1] + 1, device=member_CQW.device)
    last_CQ = (member_CQW * place_W).argmax(dim=-1)
    last_CQH = states_CWH.gather(1, last_CQ[..., None].expand(-1, -1, states_CWH.shape[-1]))
    return torch.where(has_CQ1, last_CQH, 0)
