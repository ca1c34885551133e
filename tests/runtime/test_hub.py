"""The Hub's local cache, and the one short look whether the Hub answers. No test touches the network."""

from __future__ import annotations

import io
import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from unboxed.runtime import hub


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """An empty cache, and a Hub that answers; the addresses that were asked."""
    asked: list[str] = []
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", lambda address, timeout: (asked.append(address), io.BytesIO())[1])
    return asked


def _fail(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def urlopen(address: str, timeout: float) -> None:
        raise error

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)


def _cached(folder: Path, name: str) -> None:
    snapshot = folder / f"models--{name.replace('/', '--')}" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")


def test_the_cache_is_used_before_the_network(tmp_path: Path, online: list[str]) -> None:
    _cached(tmp_path, "someone/model")
    assert hub.is_cached("someone/model") and not hub.is_cached("someone/else")
    assert hub.load_cached_first("someone/model", lambda local: local) is True
    assert hub.load_cached_first("someone/else", lambda local: local) is False
    assert online == ["https://huggingface.co"]


def test_what_the_cache_has_in_part_is_downloaded(tmp_path: Path) -> None:
    def load(local: bool) -> str:
        if local:
            raise OSError("no weights")
        return "downloaded"

    _cached(tmp_path, "model")
    assert hub.load_cached_first("model", load) == "downloaded"


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError(socket.gaierror(-2, "Name or service not known")),
        TimeoutError("timed out"),
        urllib.error.URLError("no host given"),
    ],
)
def test_without_a_network_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    _fail(monkeypatch, error)
    with pytest.raises(ConnectionError, match=r"not in the local cache, and https://hugging\S+ cannot be reached \(\w"):
        hub.load_cached_first("model", lambda local: pytest.fail("this would try for a minute"))


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.HTTPError("https://huggingface.co", 403, "Forbidden", {}, None),  # type: ignore[arg-type]
        urllib.error.URLError(ssl.SSLCertVerificationError("unable to get local issuer certificate")),
    ],
)
def test_an_answer_is_an_answer(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    _fail(monkeypatch, error)
    assert hub.load_cached_first("model", lambda local: local) is False


def test_the_environment_may_forbid_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE"):
        hub.require_hub()


def test_a_user_without_a_home_has_a_cache_that_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in containers that run under a number that no user has."""

    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", home)
    assert hub.hub_cache() == Path(".cache/huggingface/hub")
    assert not hub.is_cached("owner/model")
