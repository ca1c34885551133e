"""A pretrained transformers encoder as features of words, and a file that keeps them while the encoder is frozen."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from unboxed.errors import CaptionError, ModelError, StoreError
from unboxed.progress import track
from unboxed.text.tokens import words
from unboxed.text.transformer_files import content_fingerprint, load_transformer, token_limit

__all__ = ["PretrainedEncoder", "WordFeatures", "encode_captions"]

_FORMAT = "unboxed-word-features"
_VERSION = "1"


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


class WordFeatures:
    """Features of the words of C captions, kept in half precision in a memory-mapped safetensors file.

    Attributes:
        path: the file.
        width: H.
        fingerprint: of the captions and the encoder.
    """

    def __init__(self, path: Path) -> None:
        """Open what `encode_captions` wrote; raises `StoreError`, naming the file, when it is missing or damaged."""
        from safetensors import SafetensorError, safe_open

        self.path = path
        try:
            file: Any = safe_open(path, framework="numpy")
            about = file.metadata() or {}
            if about.get("format") != _FORMAT or about.get("version") != _VERSION:
                raise StoreError(f"{path} holds no word features; delete it, and they are computed anew.")
            self.fingerprint = str(about["fingerprint"])
            self._offsets = file.get_tensor("offsets").astype(np.int64)
            self._features = file.get_slice("features")
            count, self.width = self._features.get_shape()
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise StoreError(
                f"Cannot read the word features {path} ({error}); delete it, and they are made anew."
            ) from None
        if len(self._offsets) == 0 or self._offsets[-1] != count:
            raise StoreError(f"The word features {path} are incomplete; delete the file, and they are made anew.")

    def __len__(self) -> int:
        """How many captions."""
        return len(self._offsets) - 1

    def __getitem__(self, caption: int) -> npt.NDArray[np.float16]:
        """`[W, H]` of one caption."""
        if not 0 <= caption < len(self):
            raise IndexError(f"Caption {caption} of {len(self)}.")
        start, end = self._offsets[caption : caption + 2].tolist()
        features_WH: npt.NDArray[np.float16] = self._features[start:end]
        return features_WH

    def batch(self, captions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """`[C, W, H]` float32 features of captions, zero for padding, and the mask `[C, W]` of words."""
        rows = [torch.from_numpy(self[caption].astype(np.float32)) for caption in captions]
        length_C = torch.tensor([len(row) for row in rows])
        features_CWH = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return features_CWH, torch.arange(features_CWH.shape[1]) < length_C[:, None]


def encode_captions(
    captions: Sequence[str], encoder: PretrainedEncoder, path: Path, *, batch: int = 64, progress: bool = False
) -> WordFeatures:
    """The features of all captions, computed once: a file of the same captions and encoder is used again.

    Args:
        captions: the captions, in the order of the indices of the result.
        encoder: a frozen one.
        path: the safetensors file, written atomically; 2 bytes x H for each word.
        batch: captions encoded together.
        progress: show a bar.

    Raises:
        ModelError: the encoder is not frozen: its features change while it trains.
        CaptionError: a caption of more tokens than the model reads.
    """
    if not encoder.frozen:
        raise ModelError("Features are only kept of a frozen encoder; load it with frozen=True.")
    digest = hashlib.sha256(encoder.fingerprint.encode())
    digest.update(json.dumps(list(captions)).encode())
    fingerprint = digest.hexdigest()
    if path.is_file():
        try:
            kept = WordFeatures(path)
        except StoreError:
            kept = None
        if kept is not None and kept.fingerprint == fingerprint:
            return kept
    length_C = [len(words(caption)) for caption in captions]
    offsets = np.cumsum([0, *length_C], dtype=np.int64)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        features = _create(beside, fingerprint, offsets, encoder.width)
        order = sorted(range(len(captions)), key=lambda index: (len(captions[index]), index))
        starts = range(0, len(order), batch)
        for start in track(starts, "Encoding captions", len(starts), progress):
            part = order[start : start + batch]
            features_CWH = encoder([captions[index] for index in part])[0].cpu().numpy()
            for index, features_WH in zip(part, features_CWH, strict=True):
                features[offsets[index] : offsets[index + 1]] = features_WH[: length_C[index]]
        if features.size:
            features.flush()  # type: ignore[attr-defined]
        del features
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return WordFeatures(path)


def _create(path: Path, fingerprint: str, offsets: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.float16]:
    """An empty safetensors file of the final size, its features open for writing.

    Written by hand, since the library can only save what lies in memory: 8 bytes of the header's length, the header as
    JSON padded with spaces to a multiple of 8, the data.
    """
    count = int(offsets[-1])
    header = {
        "__metadata__": {"format": _FORMAT, "version": _VERSION, "fingerprint": fingerprint},
        "offsets": {"dtype": "I64", "shape": [len(offsets)], "data_offsets": [0, offsets.nbytes]},
        "features": {
            "dtype": "F16",
            "shape": [count, width],
            "data_offsets": [offsets.nbytes, offsets.nbytes + count * width * 2],
        },
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + offsets.astype("<i8").tobytes())
        begin = file.tell()
    if count == 0:
        return np.zeros((0, width), dtype=np.float16)
    return np.memmap(path, dtype="<f2", mode="r+", offset=begin, shape=(count, width))
