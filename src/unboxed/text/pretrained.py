"""Pretrained models of transformers, and frozen text encoders made of them, as InfoGround uses BERT (section 3.1).

Models are loaded without pickled weights and without code of their authors.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unboxed.errors import CaptionError, ModelError, UnboxedError, plain_reason
from unboxed.runtime.digests import record_digest
from unboxed.runtime.hub import is_cached, load_cached_first, load_local, own_config, require_hub
from unboxed.text.tokens import Vocabulary, words

__all__ = [
    "FrozenEncoder",
    "PretrainedEncoder",
    "load_transformer",
    "require_short",
    "require_transformer",
    "tokenized",
]

_KEPT_CAPTIONS = 50_000  # how many captions' word features are kept, in half precision: about 10 kB each
_BATCH = 256
_QUOTES = {"``": '"', "''": '"'}
"""As the Treebank writes double quotes, and as they stand in captions."""
_SOURCES = (
    "Give a folder with config.json, model.safetensors and the tokenizer's files, or the name of a model on the "
    "Hugging Face hub."
)


class PretrainedEncoder(nn.Module):
    """Contextual features of the words of captions: each the mean of the last hidden states of its sub-tokens.

    The weights are frozen and the module stays in evaluation mode. Padding is masked, so that the features of a caption
    do not depend on the other captions of its batch (the original InfoGround code has no mask).

    Args:
        model: an encoder of transformers.
        tokenizer: its fast tokenizer.

    Attributes:
        width: H, of a feature.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__()
        self.model = model
        self.width = int(model.config.hidden_size)
        self._tokenizer = tokenizer
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
                f"{source} is not an encoder of text alone ({plain_reason(error)}); use one like BERT or MiniLM."
            ) from None
        return encoder

    def save(self, folder: Path) -> None:
        """Write the encoder and its tokenizer to `folder`, from where `load` reads them."""
        for left in folder.glob(".tmp??????"):  # by a writer of safetensors that was killed
            left.unlink()
        self.model.config._name_or_path = ""  # which transformers 4 writes: a folder of this disk
        self.model.save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)
        record_digest(folder.parent, folder)

    def train(self, mode: bool = True) -> PretrainedEncoder:
        """Has no effect: the encoder stays in evaluation mode."""
        super().train(False)
        return self

    @torch.no_grad()
    def forward(
        self, captions: Sequence[str], spans: Sequence[Sequence[tuple[int, int]]] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Features `[C, W, H]` of the words of captions, zero for padding, and the word mask `[C, W]`.

        A word of which the tokenizer keeps nothing has zeros.

        Args:
            captions: C texts.
            spans: the characters `start:end` of the words of each; None: those of `unboxed.text.tokens.words`.

        Raises:
            CaptionError: a caption of more tokens than the model reads.
        """
        if spans is None:
            spans = [[(word.start, word.end) for word in words(caption)] for caption in captions]
        tokens = tokenized(captions, self._tokenizer, self.model, "encoder")
        start_CT, end_CT = tokens.pop("offset_mapping").unbind(dim=2)
        device = next(self.model.parameters()).device
        hidden_CTH = self.model(**tokens.to(device)).last_hidden_state
        span_CW2 = torch.zeros(len(captions), max(map(len, spans)), 2, dtype=torch.long)
        for index, of_words in enumerate(spans):
            span_CW2[index, : len(of_words)] = torch.tensor(of_words).reshape(-1, 2)
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
        words_of = dict(zip(texts, words_C, strict=True))
        new = [text for text in words_of if text not in self._kept]
        if len(self._kept) + len(new) > _KEPT_CAPTIONS:
            self._kept.clear()
            new = list(words_of)
        for text, rows in zip(new, self._encode([words_of[text] for text in new]), strict=True):
            self._kept[text] = rows.half().cpu()
        words_CWH = torch.zeros(*mask_CW.shape, self.output_width, device=mask_CW.device)
        for row, text in enumerate(texts):
            kept = self._kept[text]
            words_CWH[row, : len(kept)] = kept.to(words_CWH)
        return words_CWH

    def substitute(
        self,
        words_CWH: Tensor,
        tokens_CW: Tensor,
        mask_CW: Tensor,
        slot_C: Tensor,
        substitutes_CN: Tensor,
        words_C: Sequence[Sequence[str]],
    ) -> Tensor:
        """Features `[C, N, H]` of other words in the place of one, each encoded in its changed caption.

        Args:
            words_CWH: gives the device and data type of the result.
            tokens_CW: not used.
            mask_CW: not used.
            slot_C: the index of the word that is replaced.
            substitutes_CN: ids of the words that replace it.
            words_C: the words of each caption as text.
        """
        changed, places = [], []
        for texts, slot, ids in zip(words_C, slot_C.tolist(), substitutes_CN.tolist(), strict=True):
            for word in self._vocabulary.decode(ids):
                changed.append([*texts[:slot], word.strip("<>"), *texts[slot + 1 :]])
                places.append(slot)
        rows = [encoded[place] for encoded, place in zip(self._encode(changed), places, strict=True)]
        return torch.stack(rows).reshape(*substitutes_CN.shape, self.output_width).to(words_CWH)

    def _encode(self, words_C: Sequence[Sequence[str]]) -> list[Tensor]:
        """The words `[W, H]` of each caption, which is read with a space between words."""
        rows: list[Tensor] = []
        for start in range(0, len(words_C), _BATCH):
            captions = [[_QUOTES.get(word, word) for word in caption] for caption in words_C[start : start + _BATCH]]
            spans = [_spans(caption) for caption in captions]
            words_CWH, mask_CW = self._encoder[0]([" ".join(caption) for caption in captions], spans)
            rows += [word_WH[mask_W] for word_WH, mask_W in zip(words_CWH, mask_CW, strict=True)]
        return rows

    def save(self, folder: Path) -> None:
        """Write the pretrained encoder and its tokenizer to `folder`."""
        self._encoder[0].save(folder)


def _spans(caption: Sequence[str]) -> list[tuple[int, int]]:
    """The characters `start:end` of words with a space between them."""
    ends = list(accumulate(caption, lambda end, word: end + 1 + len(word), initial=-1))[1:]
    return [(end - len(word), end) for end, word in zip(ends, caption, strict=True)]


def require_transformer(source: str | Path) -> None:
    """Check, without loading anything, that a model can be had, before long work begins.

    Args:
        source: a folder or the name of a model on the Hugging Face hub.

    Raises:
        ModelError: transformers is not installed; no such folder; not in the local cache while the hub does not answer.
    """
    _transformers()
    if _folder(source) is None and not is_cached(str(source)):
        try:
            require_hub()
        except OSError as error:
            raise ModelError(f"Cannot load {source}: {error}. {_SOURCES}") from None


def require_short(captions: Iterable[str], source: str | Path, kind: str, name: str) -> None:
    """Check that a model reads all of the captions, before long work begins.

    Args:
        captions: the texts.
        source, kind: of the model, see `load_transformer`.
        name: of the model, for the error.

    Raises:
        CaptionError: a caption of more tokens than the model reads.
        ModelError: the model cannot be loaded.
    """
    model, tokenizer = load_transformer(source, kind)
    limit = _most_tokens(tokenizer, model)
    for caption in captions:
        if len(caption.encode()) + tokenizer.num_special_tokens_to_add() > limit:  # a token has at least one byte
            tokenized([caption], tokenizer, model, name)


def _most_tokens(tokenizer: Any, model: Any) -> int:
    return min(int(tokenizer.model_max_length), getattr(model.config, "max_position_embeddings", None) or sys.maxsize)


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise ModelError('Pretrained language models need transformers: pip install "unboxed[hf]".') from None
    return transformers


def _folder(source: str | Path) -> Path | None:
    """The folder that a source names; None for the name of a model on the hub."""
    try:
        folder = Path(source).expanduser()
    except RuntimeError:  # ~name of nobody
        folder = Path(source)
    if folder.is_dir():
        return folder
    if folder.is_absolute() or str(source).startswith((".", "~")) or str(source).count("/") > 1:
        raise ModelError(
            f"There is no folder {folder}; give a folder with config.json and model.safetensors, or a hub name."
        )
    return None


def load_transformer(source: str | Path, kind: str) -> tuple[Any, Any]:
    """A model in evaluation mode, in float32 on the CPU, and its fast tokenizer.

    Args:
        source: a folder with `config.json`, `model.safetensors` and the tokenizer's files, or the name of a model on
            the Hugging Face hub, which is downloaded once. For a folder, nothing is looked up on the network.
        kind: the class of transformers that loads it, such as `AutoModel` or `AutoModelForMaskedLM`.

    Raises:
        ModelError: transformers is not installed; no such folder or name; no safetensors weights; weights of this kind
            missing from the file; a tokenizer without character offsets.
    """
    transformers, folder = _transformers(), _folder(source)

    def load(local: bool) -> tuple[Any, Any, Any]:
        name = str(source) if folder is None else str(folder)
        with _quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                name, use_fast=True, local_files_only=local, trust_remote_code=False
            )
            model, loading = getattr(transformers, kind).from_pretrained(
                name,
                config=own_config(transformers, name, local),
                use_safetensors=True,
                output_loading_info=True,
                local_files_only=local,
                trust_remote_code=False,
            )
        return tokenizer, model, loading

    try:
        tokenizer, model, loading = load_cached_first(str(source), load) if folder is None else load_local(load)
    except (UnboxedError, MemoryError):
        raise
    except Exception as error:  # transformers and its libraries raise nearly anything on a damaged model
        raise ModelError(f"Cannot load {source} as {kind}: {plain_reason(error)}. {_SOURCES}") from None
    if not tokenizer.is_fast:
        raise ModelError(f"{source} has no fast tokenizer; only these give the position of each token in the caption.")
    # A pooler is not used, and a tied weight is stored once under another name.
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    missing = sorted(key for key in loading["missing_keys"] if "pooler" not in key and key not in tied)
    if missing:
        raise ModelError(
            f"{source} lacks {len(missing)} of the weights of {kind}, such as {missing[0]}; they would be random. "
            "Use a model that was trained as one (a masked language model has its language-model head)."
        )
    return model.float().eval(), tokenizer


def tokenized(captions: Sequence[str], tokenizer: Any, model: Any, name: str) -> Any:
    """The padded tensors of C captions that a model reads, and the `offset_mapping` `[C, T, 2]` of their T tokens.

    Args:
        captions: C texts.
        tokenizer: a fast tokenizer.
        model: the model of transformers.
        name: of the model, for the error.

    Raises:
        CaptionError: a caption of more tokens than the model reads.
    """
    tokens = tokenizer(list(captions), padding=True, return_offsets_mapping=True, return_tensors="pt")
    length, limit = tokens["input_ids"].shape[1], _most_tokens(tokenizer, model)
    if length > limit:
        raise CaptionError(
            f"A caption of {length} tokens; the {name} reads at most {limit}. Shorten “{max(captions, key=len)[:60]}…”."
        )
    return tokens


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Turn off transformers' progress bars and load reports; `load_transformer` checks what matters itself."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
