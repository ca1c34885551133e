"""The Hugging Face Hub and its local cache: what is cached, and a short look whether the Hub answers.

The libraries of the Hub try for a minute before they give up; without a network that is a minute for each model.
"""

from __future__ import annotations

import os
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from unboxed.errors import plain_reason

__all__ = [
    "cached_folder",
    "hub_cache",
    "is_cached",
    "load_cached_first",
    "load_local",
    "local_only",
    "own_config",
    "require_hub",
]

_SECONDS = 5
_TRUE = {"1", "on", "yes", "true"}
Loaded = TypeVar("Loaded")
_loading = threading.RLock()  # the switch that turns the Hub off is that of the process
_local_only = ContextVar("local_only", default=False)


def hub_cache() -> Path:
    """The folder of downloaded models, as the environment names it."""
    if "HF_HUB_CACHE" in os.environ:
        return Path(os.environ["HF_HUB_CACHE"])
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or _user_caches(), "huggingface")
    return Path(home) / "hub"


def _user_caches() -> Path:
    try:
        return Path.home() / ".cache"
    except RuntimeError:  # a user without a home, as in some containers
        return Path(".cache")


def is_cached(name: str) -> bool:
    """Whether the local cache has the configuration of a model; its weights may be missing."""
    snapshots = hub_cache() / f"models--{name.replace('/', '--')}" / "snapshots"
    return any(snapshots.glob("*/config.json"))


def load_cached_first(name: str, load: Callable[[bool], Loaded]) -> Loaded:
    """`load(True)`, from the local cache alone, or `load(False)`, which may download, if something is missing there.

    Raises:
        OSError: something is missing in the cache, and the Hub does not answer; or what `load` raises.
    """
    if is_cached(name):
        try:
            return load_local(load)
        except OSError:  # only some of its files
            pass
    if _local_only.get():
        raise ConnectionError(
            f"it is not in the local cache, and a run downloads nothing; fetch it with `hf download {name}`"
        )
    require_hub()
    return load(False)


def load_local(load: Callable[[bool], Loaded]) -> Loaded:
    """`load(True)`, from a folder or the local cache, during which nothing is downloaded, whatever the model names.

    The configuration of a model may name other models, such as its backbone, and code for its attention.

    Raises:
        OSError: the model needs what is not there; or what `load` raises.
    """
    from huggingface_hub import constants

    with _loading:
        before = constants.HF_HUB_OFFLINE
        constants.HF_HUB_OFFLINE = True
        try:
            return load(True)
        finally:
            constants.HF_HUB_OFFLINE = before


def own_config(transformers: Any, name: str, local: bool) -> Any:
    """The configuration of a model without the attention and experts that it names, which may be code on the Hub.

    Args:
        transformers: the library.
        name: of the model on the Hub, or its folder.
        local: whether nothing is downloaded.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    config = transformers.AutoConfig.from_pretrained(name, local_files_only=local, trust_remote_code=False)
    for named in ("_attn_implementation", "_experts_implementation"):
        if hasattr(config, named):
            setattr(config, named, None)  # of its parts, too
    return config


def cached_folder(name: str, patterns: Sequence[str]) -> Path:
    """The folder of a model in the local cache, to which its files are downloaded if they are not there.

    Args:
        name: `owner/name`.
        patterns: of the files that are downloaded.

    Raises:
        OSError: it is not in the cache, and the Hub does not answer or has no such model.
        ImportError: `huggingface_hub` is not installed.
    """
    from huggingface_hub import snapshot_download

    def load(local: bool) -> Path:
        return Path(snapshot_download(name, allow_patterns=list(patterns), local_files_only=local))

    return load_cached_first(name, load)


@contextmanager
def local_only() -> Iterator[None]:
    """Within the block `load_cached_first` downloads nothing: the names of models are in a file, not the user's."""
    token = _local_only.set(True)
    try:
        yield
    finally:
        _local_only.reset(token)


def require_hub() -> None:
    """Look once, for a few seconds, whether the Hub answers.

    Raises:
        ConnectionError: it does not, or the environment turns the network off.
    """
    for switch in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(switch, "").lower() in _TRUE:
            raise ConnectionError(f"it is not in the local cache, and {switch} is set")
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        urllib.request.urlopen(address, timeout=_SECONDS).close()
    except urllib.error.HTTPError:
        return  # it answers
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        if not isinstance(reason, ssl.SSLError):  # the library may have other certificates
            found = plain_reason(reason) if isinstance(reason, Exception) else str(reason)
            raise ConnectionError(f"it is not in the local cache, and {address} cannot be reached ({found})") from None
