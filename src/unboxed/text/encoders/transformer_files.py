"""Loading models of transformers from a folder or the hub, without pickled weights or code of the model's authors."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unboxed.errors import ModelError

__all__ = ["content_fingerprint", "load_transformer", "token_limit"]


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
    try:
        import transformers
    except ImportError:
        raise ModelError('Pretrained language models need transformers: pip install "unboxed[hf]".') from None
    folder = Path(source).expanduser()
    local = folder.is_dir()
    if not local and (folder.is_absolute() or str(source).startswith((".", "~")) or str(source).count("/") > 1):
        raise ModelError(
            f"There is no folder {folder}; give a folder with config.json and model.safetensors, or a hub name."
        )
    name = str(folder) if local else str(source)
    try:
        with _quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                name, use_fast=True, local_files_only=local, trust_remote_code=False
            )
            model, loading = getattr(transformers, kind).from_pretrained(
                name, use_safetensors=True, output_loading_info=True, local_files_only=local, trust_remote_code=False
            )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"Cannot load {source} as {kind}: {reason} Give a folder with config.json, model.safetensors and the "
            "tokenizer's files, or the name of a model on the Hugging Face hub."
        ) from None
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


def token_limit(model: Any, tokenizer: Any) -> int:
    """The largest number of tokens that the model reads at once; huge where nothing limits it."""
    limit: int = min(int(tokenizer.model_max_length), getattr(model.config, "max_position_embeddings", None) or 1 << 30)
    return limit


def content_fingerprint(model: Any, tokenizer: Any, purpose: str) -> str:
    """A digest of the weights and the tokenizer, which does not depend on the folder that holds them.

    Args:
        model: a model of transformers.
        tokenizer: its fast tokenizer.
        purpose: digests for different purposes differ.
    """
    digest = hashlib.sha256(f"{purpose}\0{tokenizer.backend_tokenizer.to_str()}".encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


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
