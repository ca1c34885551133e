"""Options of the text encoder that is trained with the model: its words, its cells, and what a phrase is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unboxed.errors import RunError
from unboxed.runtime.counts import require_literals
from unboxed.runtime.paths import accept_strings

__all__ = ["TextConfig", "TokenizerName"]

TokenizerName = Literal["words", "treebank", "spaces"]


@dataclass(frozen=True)
class TextConfig:
    """How captions are split into words, and how a recurrent network reads them.

    Attributes:
        tokenizer: `words` leaves punctuation out; `treebank` keeps it and splits `'s` off, as NLTK's `word_tokenize`
            (SCAN, BFAN, PFAN, SGRAF, VSE++, InfoGround); `spaces` splits at spaces only (SPRM). A pretrained encoder
            reads what it leaves.
        start_end_words: put the words `<start>` and `<end>` around every caption (SCAN and its successors). They are
            queries like all other words, and belong to no phrase.
        cell: `gru`, or `lstm` (CKD, SPRM).
        bidirectional: read in both directions; False: forwards only (VSE++, CKD, SPRM).
        word_state: the state of a word. `linear`: its vector and the states of all directions, which a linear layer
            maps to the joint width. `mean`: the mean of the states of the directions, without that layer (SCAN and its
            successors, VSE++, SPRM), and `hidden_width` is by default the joint width, except in recipes with another
            network for words.
        phrase_reads: a phrase is read in its `caption`, or the `phrase` alone (CKD, SPRM).
        phrase_pooling: of the states of a phrase's words to that of the phrase: their `mean`, their `max` over each
            entry (CKD), or the `last` one (SPRM).
        word_dropout: of word vectors in training, in [0, 1) (SGRAF: 0.4); by default as `dropout`.
        embedding_init: of word vectors: `normal` of deviation 0.1, or `uniform` in [-0.1, 0.1] (SCAN and its
            successors, VSE++).
        initial_vectors: GloVe text, or `.npz` with `.vocab.txt`: initial word vectors of `embedding_width` numbers
            (CKD, SPRM); words that are not in it begin with zeros.
        train_vectors: train the word vectors; False keeps them as they are (CKD).

    Raises:
        RunError: a `word_dropout` out of range, or an unknown name.
    """

    tokenizer: TokenizerName = "words"
    start_end_words: bool = False
    cell: Literal["gru", "lstm"] = "gru"
    bidirectional: bool = True
    word_state: Literal["linear", "mean"] = "linear"
    phrase_reads: Literal["caption", "phrase"] = "caption"
    phrase_pooling: Literal["mean", "max", "last"] = "mean"
    word_dropout: float | None = None
    embedding_init: Literal["normal", "uniform"] = "normal"
    initial_vectors: Path | None = None
    train_vectors: bool = True

    def __post_init__(self) -> None:
        accept_strings(self)
        require_literals(self, RunError)
        if self.word_dropout is not None and not 0 <= self.word_dropout < 1:
            raise RunError(f"--word-dropout is {self.word_dropout}; it must be a number at least 0 and below 1.")
