"""Starting the studio: what it loads, and why it refuses to start."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient

from unboxed.cli import main
from unboxed.search import index_images
from unboxed.studio.options import Limits, StudioAddress, StudioSources
from unboxed.studio.serve import open_studio, serve

SECRET = "a long enough secret"


@pytest.fixture(scope="module")
def sources(
    tiny_run: Path, tiny_dataset: Path, images: Path, tmp_path_factory: pytest.TempPathFactory
) -> StudioSources:
    """The tiny dataset with a folder and an index of three of its images."""
    folder = tmp_path_factory.mktemp("studio")
    (folder / "photos").mkdir()
    for name in ("0.png", "1.png", "2.png"):
        shutil.copy(images / name, folder / "photos")
    index_images(tiny_run, folder / "photos", folder / "index", progress=False)
    return StudioSources(index=folder / "index", images=folder / "photos", data=tiny_dataset)


def test_a_studio_has_the_run_and_all_its_sources(tiny_run: Path, tiny_dataset: Path, sources: StudioSources) -> None:
    shown: list[str] = []
    app = open_studio(tiny_run, sources, limits=Limits(seconds=300), show=shown.append)
    assert shown == [f"Loading {tiny_run}", f"Reading {tiny_dataset.parent.name}, val"]
    with TestClient(app, base_url="http://localhost") as client:
        info = client.get("/api/facts").json()
        assert (info["run"]["name"], info["run"]["recipe"]) == ("tiny", "infoground")
        assert (info["photos"], info["index"], info["data"]["photos"]) == (3, 3, 8)
        assert not info["data"]["has_gold"]
        lines = list(client.get("/api/search", params={"text": "a red box", "k": 2}).iter_lines())
        assert lines[-1].count('"photo"') == 2


def test_only_the_run_is_required(tiny_run: Path) -> None:
    with TestClient(open_studio(tiny_run), base_url="http://localhost") as client:
        info = client.get("/api/facts").json()
    assert (info["photos"], info["index"], info["data"]) == (None, None, None)


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_the_address_is_printed_and_an_interrupt_stops_the_studio(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch, host: str, shown: str
) -> None:
    ports: list[int] = []

    def interrupted(_: uvicorn.Server, sockets: list[Any]) -> None:
        ports.append(sockets[0].getsockname()[1])
        raise KeyboardInterrupt

    monkeypatch.setattr(uvicorn.Server, "run", interrupted)
    monkeypatch.setattr("torch.set_num_threads", lambda count: ports.append(-count))
    lines: list[str] = []
    serve(tiny_run, StudioSources(), StudioAddress(host=host, port=0), Limits(workers=2), lines.append)
    threads, port = ports
    assert threads == -1  # requests on several workers share the cores
    assert lines[-2:] == [f"Studio: http://{shown}:{port}/ (stop it with Ctrl-C)", "Stopped."]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0"], "Other machines can reach 0.0.0.0, so the studio needs a token"),
        (["--host", "0.0.0.0", "--token", "short"], "5 characters; give one of at least 16"),
        (["--images", "nowhere"], "nowhere does not exist"),
        (["--port", "99999"], "--port 99999 is not a port; give one of 1 to 65535"),
        (["--port", "-1"], "--port -1 is not a port"),
        (["--workers", "0"], "--workers 0 is not possible; give 1 or more"),
        (["--waiting", "-1"], "--waiting -1 is not possible; give 0 or more"),
        (["--megabytes", "nan"], "--megabytes nan is not possible; give a number above 0"),
        (["--megapixels", "inf"], "--megapixels inf is not possible"),
        (["--seconds", "-3"], "--seconds -3.0 is not possible"),
        (["--host", "203.0.113.9", "--token", SECRET], "cannot listen on 203.0.113.9"),
    ],
)
def test_a_studio_that_cannot_start_prints_the_reason(
    tiny_run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["studio", str(tiny_run), "--port", "0", *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
