"""A store at a URL is read as the same store in a folder, and each of its files is copied once, when it is needed."""

from __future__ import annotations

import functools
import gc
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from unboxed.data.dataset import load_dataset
from unboxed.errors import StoreError
from unboxed.inference.run_config import RunConfig
from unboxed.recipes import SCAN, InfoGround, Schedule
from unboxed.regions import store as store_module
from unboxed.regions.cache import RegionCache
from unboxed.regions.remote_store import store_copies
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.training.auto import default_fit
from unboxed.training.fitting import FitSettings, fit
from unboxed.types import Regions

SETTINGS = RegionSettings(grid=2, texture=False)
NAMES = [f"image {number}" for number in range(20)]
URL = Path("memory://bucket/store")


def _add(path: Path, names: list[str], width: int = 9) -> None:
    with RegionStore.create_or_resume(path, SETTINGS) as store:
        store.define_columns((), ("grid",), (("width", 1),))
        for name in names:
            regions = Regions([[0, 0, width, 9]], [1.0], [[width]], np.zeros((1, 0)), (), ("grid",), width, 9)
            store.append(name, f"{name} {width}", regions)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of ten shards of two images each."""
    monkeypatch.setattr(store_module, "_IMAGES_PER_SHARD", 2)
    _add(tmp_path / "store", NAMES)
    return tmp_path / "store"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNBOXED_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bucket() -> Iterator[Any]:
    """The file system of fsspec in the memory of this process."""
    memory = fsspec.filesystem("memory")
    yield memory
    memory.rm("/bucket", recursive=True)


def _upload(folder: Path, memory: Any) -> None:
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            memory.pipe_file(f"/bucket/store/{file.relative_to(folder).as_posix()}", file.read_bytes())


def _copied(cache: Path) -> set[str]:
    return {file.stem for file in cache.rglob("shards/*.safetensors")}


def test_a_store_at_a_url_is_read_as_the_folder_is(folder: Path, cache: Path, bucket: Any) -> None:
    _upload(folder, bucket)
    local, remote = RegionStore.open(folder), RegionStore.open(URL)
    assert (list(remote), remote.settings, remote.address) == (list(local), local.settings, "memory://bucket/store")
    assert not _copied(cache)  # the index lists the images
    assert remote.size(NAMES[4]) == local.size(NAMES[4])
    assert _copied(cache) == {"000002"}
    for name in NAMES:
        assert np.array_equal(remote[name].features, local[name].features)
        assert remote.image_key(name) == local.image_key(name)
    assert len(_copied(cache)) == 10


def test_a_second_command_reads_the_copies(
    folder: Path, cache: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _upload(folder, bucket)
    _ = RegionStore.open(URL)[NAMES[0]]
    monkeypatch.setattr(type(bucket), "get_file", lambda *_: pytest.fail("a file is copied again"))
    assert RegionStore.open(URL)[NAMES[1]].width == 9


def test_copies_in_a_cache_that_may_only_be_read_are_used(
    folder: Path, cache: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    _upload(folder, bucket)
    expected = RegionStore.open(URL)[NAMES[0]].features
    monkeypatch.setattr("unboxed.regions.remote_store.write_json", refused)
    assert np.array_equal(RegionStore.open(URL)[NAMES[0]].features, expected)


def test_a_store_that_changed_is_copied_again(folder: Path, cache: Path, bucket: Any, tmp_path: Path) -> None:
    _upload(folder, bucket)
    before = RegionStore.open(URL)
    shutil.rmtree(folder)
    _add(folder, NAMES, width=7)  # its files have the same names and sizes
    _upload(folder, bucket)
    assert RegionStore.open(URL)[NAMES[0]].width == 7
    with pytest.raises(StoreError, match=r"memory://bucket/store/shards/000009\.safetensors"):
        bucket.rm("/bucket/store/shards/000009.safetensors")
        _ = before[NAMES[19]]


def test_without_a_cache_a_copy_is_removed_with_its_store(folder: Path, bucket: Any) -> None:
    _upload(folder, bucket)
    store = RegionStore.open(URL)
    copy = store.path
    assert store[NAMES[0]].width == 9 and copy.is_dir()
    del store
    gc.collect()  # a store and its index know each other
    assert not copy.exists()


def test_the_cache_shows_and_removes_copies(folder: Path, cache: Path, bucket: Any) -> None:
    _upload(folder, bucket)
    _ = RegionStore.open(URL)[NAMES[0]]
    [copy] = store_copies(cache)
    assert copy.url == "memory://bucket/store" and copy.size > 1000
    RegionCache.clear(cache)
    assert not list(cache.iterdir())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "memory://bucket/none cannot be read|has no store.json"),
        (["shards/000000.safetensors"], "memory://bucket/none is not a region store: it has no store.json"),
    ],
)
def test_what_is_no_store_is_an_error(names: list[str], message: str, bucket: Any, cache: Path) -> None:
    bucket.pipe_file("/bucket/other", b"")
    for name in names:
        bucket.pipe_file(f"/bucket/none/{name}", b"")
    with pytest.raises(StoreError, match=message):
        RegionStore.open(Path("memory://bucket/none"))
    assert not cache.exists()


def test_files_outside_a_store_are_not_copied(folder: Path, cache: Path, bucket: Any, tmp_path: Path) -> None:
    _upload(folder, bucket)
    for name in ("models/../../../escaped", "models//../escaped", "readme.txt"):
        bucket.store[f"/bucket/store/{name}"] = bucket.store["/bucket/store/store.json"]
    _ = RegionStore.open(URL)
    assert not [file for file in tmp_path.rglob("*") if file.name in ("escaped", "readme.txt")]


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    """A web server that lists folders, and the URL of the store on it."""
    pytest.importorskip("aiohttp")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/store"
        running.shutdown()


def test_a_web_server_can_have_a_store(server: str, folder: Path, cache: Path) -> None:
    remote = RegionStore.open(Path(server))
    assert list(remote) == NAMES and remote[NAMES[7]].width == 9
    (folder / "shards" / "000000.safetensors").write_bytes(b"damaged")
    with pytest.raises(StoreError, match=f"{server}/shards/000000.safetensors has 7 bytes and was listed with"):
        _ = remote[NAMES[0]]


def test_a_web_server_that_does_not_answer_and_a_folder_without_a_store_are_named(server: str, cache: Path) -> None:
    with pytest.raises(StoreError, match=r"^http://127\.0\.0\.1:1/store cannot be read \(.*[Cc]onnect"):
        RegionStore.open(Path("http://127.0.0.1:1/store"))
    with pytest.raises(StoreError, match=f"{server}/none is not a region store: it has no store.json"):
        RegionStore.open(Path(f"{server}/none"))


def test_a_web_server_that_lists_no_folders_is_named(server: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def empty(handler: SimpleHTTPRequestHandler, _: str) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    monkeypatch.setattr(SimpleHTTPRequestHandler, "list_directory", empty)
    with pytest.raises(StoreError, match=f"The server of {server} does not list its files"):
        RegionStore.open(Path(server))


def test_a_run_is_trained_with_a_store_at_a_url(
    tiny_dataset: Path, tiny_run: Path, tmp_path: Path, cache: Path, bucket: Any
) -> None:
    _upload(tiny_run / "store", bucket)
    settings = FitSettings(tiny_dataset, tmp_path / "run", regions=URL)
    fit("scan", SCAN(), settings)
    assert RunConfig.load(tmp_path / "run").facts["store"] == "memory://bucket/store"
    assert load_dataset(tiny_dataset).split("train").examples[0].image_id in RegionStore.open(URL)


@pytest.mark.parametrize("by_name", [True, False])
def test_a_fit_opens_its_store_once(
    tiny_world: tuple[Path, Path],
    tmp_path: Path,
    cache: Path,
    bucket: Any,
    monkeypatch: pytest.MonkeyPatch,
    by_name: bool,
) -> None:
    """One at a URL is listed anew whenever it is opened, and without the cache copied anew."""
    data, store = tiny_world
    _upload(store, bucket)
    opened = []
    remote = store_module.RemoteStore
    monkeypatch.setattr(store_module, "RemoteStore", lambda url: opened.append(url) or remote(url))
    settings = FitSettings(data, tmp_path / "run", regions=URL)
    if by_name:  # with an option that reads what the regions have
        fit("infoground", InfoGround(class_inputs=False, schedule=Schedule(epochs=1)), settings)
    else:
        default_fit(settings, epochs=1)
    assert opened == ["memory://bucket/store"]
