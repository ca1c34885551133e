"""Extraction with Ray: the store of one process, byte for byte, also after a worker was killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unboxed.cli import main
from unboxed.data.dataset import load_dataset
from unboxed.errors import EngineError, ExportError
from unboxed.export.options import LabelOptions
from unboxed.regions import ray_workers
from unboxed.regions.cache import image_key
from unboxed.regions.cached_extractor import CachedExtractor
from unboxed.regions.extraction import extract
from unboxed.regions.ray_workers import RayWorkers
from unboxed.regions.settings import RegionSettings
from unboxed.types import Example, Regions

from .conftest import SETTINGS

pytestmark = pytest.mark.filterwarnings("ignore")  # of Ray itself


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def examples(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    """Images, one of which is a copy of another, and a file that is no image."""
    found = list(load_dataset(tiny_dataset).split("train").examples)
    broken = tmp_path_factory.mktemp("broken") / "broken.png"
    broken.write_bytes(b"no image")
    copies = [replace(example, image_id=f"copy-{example.image_id}") for example in found]
    return [*found, *copies, replace(found[0], image_id="broken.png", path=broken)]


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A local Ray with two cores."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    pytest.importorskip("ray.data", reason="Ray Data is not installed")
    options = {"include_dashboard": False, "object_store_memory": 1 << 27, "log_to_driver": False}
    ray.init(address="local", num_cpus=2, **options)
    yield ray
    ray.shutdown()


@pytest.mark.parametrize("count", [1, 2])
def test_the_store_is_that_of_one_process(
    count: int, examples: list[Example], whole: Path, ray: Any, tmp_path: Path
) -> None:
    out = tmp_path / "store"
    extract(examples[:9], SETTINGS, out, workers=1, progress=False)  # an extraction that was interrupted goes on
    first = extract(examples, SETTINGS, out, workers=RayWorkers(count), progress=False)
    assert (first.done, first.reused) == (len(examples) - 10, 9)
    assert [image_id for image_id, _ in first.skipped] == ["broken.png"]
    again = extract(examples, SETTINGS, out, workers=RayWorkers(count), progress=False)
    assert (again.done, again.reused) == (0, len(examples) - 1)
    fresh = tmp_path / "fresh"
    extract(examples, SETTINGS, fresh, workers=RayWorkers(count), progress=False)
    assert _files(fresh) == _files(whole)


def test_a_killed_worker_costs_no_image(examples: list[Example], whole: Path, ray: Any, tmp_path: Path) -> None:
    killed: list[int] = []

    def kill_one() -> None:
        deadline = time.monotonic() + 60
        while not killed and time.monotonic() < deadline:
            time.sleep(0.02)
            for process in _descendants(os.getpid()):
                if "_Worker" in _command(process):
                    os.kill(process, signal.SIGKILL)
                    killed.append(process)
                    break

    killer = threading.Thread(target=kill_one)
    killer.start()
    extract(examples, SETTINGS, tmp_path / "store", workers=RayWorkers(2), progress=False)
    killer.join()
    assert killed
    assert _files(tmp_path / "store") == _files(whole)


def _descendants(ancestor: int) -> list[int]:
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found, front = [], [ancestor]
    while front:
        front = [process for process, parent in parents.items() if parent in front]
        found += front
    return found


def _command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""


def test_the_command(tiny_dataset: Path, ray: Any, tmp_path: Path) -> None:
    options = ["--grid", "2", "--no-segments"]
    main(["regions", str(tiny_dataset), "--out", str(tmp_path / "one"), "--workers", "1", *options])
    main(["regions", str(tiny_dataset), "--out", str(tmp_path / "ray"), "--engine", "ray", "--workers", "2", *options])
    assert _files(tmp_path / "one") == _files(tmp_path / "ray")


@pytest.mark.parametrize("count", ["1", "2"])
def test_labels_are_those_of_one_process(
    count: str, tiny_run: Path, tiny_dataset: Path, ray: Any, tmp_path: Path
) -> None:
    found = []
    for engine in ("local", "ray"):
        out = tmp_path / engine / "coco.json"
        out.parent.mkdir()
        shutil.copytree(tiny_dataset.parent, tmp_path / engine / "data")
        data = tmp_path / engine / "data" / tiny_dataset.name
        main(["label", str(data), "--run", str(tiny_run), "--out", str(out), "--engine", engine, "--workers", count])
        found.append([out.with_name(f"coco{end}").read_bytes() for end in (".json", ".groundings.jsonl")])
    assert found[0] == found[1]


def test_labels_through_workers_without_ray(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(
        workers: RayWorkers, settings: RegionSettings, folder: Path, examples: list[Example], device: str
    ) -> Iterator[tuple[str, Regions]]:
        asked.append(len(examples))
        extractor = CachedExtractor(settings, device=device)
        yield from ((image_key(example.path, None), extractor.of_file(example.path)) for example in examples)

    asked: list[int] = []
    monkeypatch.setattr(ray_workers, "_ray", lambda: None)
    monkeypatch.setattr(RayWorkers, "found", found)
    command = ["label", str(tiny_dataset), "--run", str(tiny_run), "--out"]
    main([*command, str(tmp_path / "local.json")])
    for _ in range(2):
        main([*command, str(tmp_path / "ray.json"), "--engine", "ray", "--workers", "2"])
    for end in (".json", ".groundings.jsonl"):
        assert (tmp_path / f"ray{end}").read_bytes() == (tmp_path / f"local{end}").read_bytes()
    assert len(asked) == 1  # the second call has nothing to ask for
    with pytest.raises(ExportError, match="--engine ray finds regions, and --regions has them already"):
        LabelOptions(engine="ray", regions=tmp_path / "store")
    with pytest.raises(EngineError, match="add --engine ray"):
        ray_workers.chosen_workers("local", None, "auto")


def test_an_address_needs_the_engine(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**options: Any) -> None:
        raise ConnectionError(f"nothing is at {options['address']}")

    idle = SimpleNamespace(is_initialized=lambda: False, init=init, exceptions=SimpleNamespace(RayError=KeyError))
    monkeypatch.setattr(ray_workers, "_ray", lambda: idle)
    command = ["regions", str(tiny_dataset), "--out", str(tmp_path / "store"), "--grid", "2", "--ray-address", "auto"]
    for more, message in (([], "add --engine ray"), (["--engine", "ray"], "Ray does not answer at auto: nothing is")):
        with pytest.raises(SystemExit) as ended:
            main([*command, *more])
        assert ended.value.code == 2 and message in capsys.readouterr().err
        assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "Connection refused"),
        (b"HTTP/1.1 400 Bad Request\r\n", "another program listens there"),
        (b"", "another program listens there"),
        (b"\0\0\x12\x04\0\0\0\0\0", ""),
    ],
)
def test_an_address_where_no_ray_answers_is_an_error_at_once(
    answer: bytes | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            assert connection.recv(100).startswith(b"PRI * HTTP/2.0")
            connection.sendall(answer or b"")

    monkeypatch.setattr(ray_workers, "_ray", lambda: None)
    with socket.socket() as server, ThreadPoolExecutor() as threads:
        server.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{server.getsockname()[1]}"
        if answer is not None:  # else bound, and not listening
            server.listen()
            threads.submit(serve)
        message = f"Ray does not answer at {address}: {reason}. Check --ray-address"
        with pytest.raises(EngineError, match=re.escape(message)) if reason else nullcontext():
            RayWorkers(1, address)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ray://head:10001", "which Ray Data does not support; start the command on a machine of the cluster"),
        ("head", "'head' is no address of a Ray cluster; expected auto or HOST:PORT"),
        ("head:first", "expected auto or HOST:PORT"),
    ],
)
def test_what_is_no_address_of_a_cluster_is_refused(
    address: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_workers, "_ray", lambda: None)
    with pytest.raises(EngineError, match=message):
        RayWorkers(1, address)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("ActorDiedError", "", "Ray failed: workers ended 11 times at the same images"),
        ("RayError", "a\nit is full.", "Ray failed: it is full. Repeat"),
        (
            "RayTaskError",
            "a\n  b\nray.FullError: it is full\nin UserError: b\nTip",
            "Ray failed: FullError: it is full. R",
        ),
    ],
)
def test_a_ray_that_fails_is_an_engine_error(
    name: str, text: str, message: str, examples: list[Example], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def streamed(*_: Any) -> Iterator[Any]:
        raise type(name, (Exception,), {})(text)
        yield

    monkeypatch.setattr(ray_workers, "_ray", lambda: None)
    monkeypatch.setattr(RayWorkers, "_joined", lambda *_: nullcontext())
    monkeypatch.setattr(RayWorkers, "_streamed", streamed)
    with pytest.raises(EngineError, match=message):
        extract(examples, SETTINGS, tmp_path / "store", workers=RayWorkers(2), progress=False)


def test_without_ray_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(EngineError, match=r"pip install 'unboxed\[ray\]'"):
        ray_workers._ray()
