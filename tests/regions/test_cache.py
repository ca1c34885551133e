"""The cache of regions: equal results with and without it, no second look at an image, damage, and its size."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import unboxed
from unboxed.cli import main
from unboxed.errors import ImageError
from unboxed.regions.cache import CACHE_VARIABLE, SIZE_VARIABLE, RegionCache, cache_folder, image_key
from unboxed.regions.cached_extractor import CachedExtractor
from unboxed.regions.extraction import RegionExtractor, extract
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.types import Example, Regions

SETTINGS = RegionSettings(segments=True, grid=2)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every image that networks look at."""
    found: list[int] = []
    look = RegionExtractor.__call__

    def counted(self: RegionExtractor, *given: Any) -> Regions:
        found.append(1)
        return look(self, *given)

    monkeypatch.setattr(RegionExtractor, "__call__", counted)
    return found


def _equal(one: Regions, other: Regions) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in ("boxes", "scores", "features", "class_probs")]
    arrays = all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)
    return arrays and all(
        getattr(one, name) == getattr(other, name) for name in ("sources", "class_names", "width", "height")
    )


def test_regions_are_those_without_the_cache_bit_for_bit(
    cache: Path, looks: list[int], tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = tiny_dataset.parent / "photos" / "0.png"
    first, second = CachedExtractor(SETTINGS).of_file(photo), CachedExtractor(SETTINGS).of_file(photo)
    other_shape = CachedExtractor(SETTINGS).of_file(photo, (64, 96))
    assert len(looks) == 2  # that of another shape is another image
    monkeypatch.setenv(CACHE_VARIABLE, "off")
    assert _equal(first, second) and _equal(first, CachedExtractor(SETTINGS).of_file(photo))
    assert not _equal(first, other_shape)
    assert cache_folder() is None and len(looks) == 3


def test_commands_share_what_they_saw(
    cache: Path,
    looks: list[int],
    tiny_run: Path,
    tiny_dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    for number in range(3):
        shutil.copy(tiny_dataset.parent / "photos" / f"{number}.png", folder)
    main(["index", str(tiny_run), str(folder), "--out", str(tmp_path / "index")])
    assert len(looks) == 3
    main(["label", str(folder), "--run", str(tiny_run), "--out", str(tmp_path / "a.json"), "--find", "red box"])
    main(["ground", str(tiny_run), str(folder), "a red box"])
    main(["ground", str(tiny_run), str(folder / "1.png"), "a blue box"])
    unboxed.load(tiny_run).ground(folder / "2.png", "a blue box")
    assert len(looks) == 3
    capsys.readouterr()
    main(["cache", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["folder"] == str(cache) and [kind["photos"] for kind in found["regions"]] == [3]
    main(["cache", "--clear"])
    assert "0.0 MB, 0 images" in capsys.readouterr().out
    assert not list(cache.rglob("*.safetensors"))


@pytest.mark.usefixtures("cache")
def test_a_store_takes_what_commands_saw_and_leaves_what_it_saw(
    looks: list[int], tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [tiny_dataset.parent / "photos" / f"{number}.png" for number in range(4)]
    examples = [Example(photo.name, photo, (), 96, 64) for photo in photos]
    CachedExtractor(SETTINGS).of_file(photos[0])
    extract(examples[:3], SETTINGS, tmp_path / "store", progress=False)
    assert len(looks) == len({photo.read_bytes() for photo in photos[:3]})
    CachedExtractor(SETTINGS).of_file(photos[2])
    extract(examples[:3], SETTINGS, tmp_path / "again", progress=False)
    assert len(looks) == len({photo.read_bytes() for photo in photos[:3]})
    monkeypatch.setenv(CACHE_VARIABLE, "off")
    extract(examples[:3], SETTINGS, tmp_path / "alone", progress=False)
    for file in (tmp_path / "alone").rglob("*.*"):
        if file.is_file():
            name = file.relative_to(tmp_path / "alone")
            assert (
                file.read_bytes()
                == (tmp_path / "store" / name).read_bytes()
                == (tmp_path / "again" / name).read_bytes()
            )


def test_another_run_or_a_changed_image_is_looked_at_again(
    cache: Path, looks: list[int], tiny_dataset: Path, tmp_path: Path
) -> None:
    photo = shutil.copy(tiny_dataset.parent / "photos" / "0.png", tmp_path / "a.png")
    CachedExtractor(SETTINGS).of_file(photo)
    CachedExtractor(RegionSettings(segments=True, grid=3)).of_file(photo)
    shutil.copy(tiny_dataset.parent / "photos" / "1.png", photo)
    CachedExtractor(SETTINGS).of_file(photo)
    assert len(looks) == 3 and len(RegionCache.contents(cache)) == 2


def test_regions_are_of_the_bytes_that_their_key_is_of(
    cache: Path, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that is replaced while it is looked at does not become the regions of the former one."""
    photos = tiny_dataset.parent / "photos"
    first, second = (CachedExtractor(SETTINGS).of_file(photos / f"{number}.png") for number in range(2))
    RegionCache.clear(cache)
    photo = tmp_path / "0.png"
    shutil.copy(photos / "0.png", photo)
    key = image_key(photo, None)

    def replaced(content: bytes, original_size: tuple[int, int] | None) -> str:
        shutil.copy(photos / "1.png", photo)
        return image_key(content, original_size)

    monkeypatch.setattr("unboxed.regions.cached_extractor.image_key", replaced)
    monkeypatch.setattr("unboxed.regions.extraction.image_key", replaced)
    assert _equal(CachedExtractor(SETTINGS).of_file(photo), first)
    assert _equal(CachedExtractor(SETTINGS).of_file(photo), second)
    shutil.copy(photos / "0.png", photo)
    extract([Example("0", photo, (), 1, 1)], SETTINGS, tmp_path / "store", progress=False)
    assert RegionStore.open(tmp_path / "store").image_key("0") == key
    assert np.array_equal(RegionStore.open(tmp_path / "store")["0"].boxes, first.boxes)
    with pytest.raises(ImageError, match=r"0\.png was replaced meanwhile; run the command again"):
        CachedExtractor(SETTINGS).of_file(photo, key=key)


@pytest.mark.parametrize("damage", ["cut", "flipped", "other image", "empty"])
def test_a_damaged_file_is_made_again(cache: Path, looks: list[int], tiny_dataset: Path, damage: str) -> None:
    photo, other = (tiny_dataset.parent / "photos" / f"{number}.png" for number in (0, 1))
    expected = CachedExtractor(SETTINGS).of_file(photo)
    (file,) = cache.rglob("*.safetensors")
    content = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[len(content) * 2 // 3] ^= 1  # a number that is as possible as before
        file.write_bytes(content)
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        extractor = CachedExtractor(SETTINGS)
        assert extractor.cache is not None
        extractor.of_file(other)
        (copied,) = (found for found in cache.rglob("*.safetensors") if found != file)
        shutil.copy(copied, file)
    before = len(looks)
    assert _equal(CachedExtractor(SETTINGS).of_file(photo), expected) and len(looks) == before + 1
    assert _equal(CachedExtractor(SETTINGS).of_file(photo), expected) and len(looks) == before + 1


def test_images_that_were_not_used_for_long_make_room(
    cache: Path, looks: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [tmp_path / f"{number}.png" for number in range(4)]
    for number, photo in enumerate(photos):
        Image.new("RGB", (32, 32), (number, 0, 0)).save(photo)
    extractor = CachedExtractor(SETTINGS)
    for age, photo in enumerate(photos[:3]):
        extractor.of_file(photo)
        assert extractor.cache is not None
        os.utime(extractor.cache._file(image_key(photo, None)), (1000 + age, 1000 + age))
    extractor.of_file(photos[0])  # used again
    size = sum(file.stat().st_size for file in cache.rglob("*.safetensors"))
    monkeypatch.setenv(SIZE_VARIABLE, str(size / 1e9))  # three fit, four do not
    extractor.of_file(photos[3])
    before = len(looks)
    extractor.of_file(photos[0])
    extractor.of_file(photos[3])
    assert len(looks) == before
    extractor.of_file(photos[1])
    assert len(looks) == before + 1


def test_left_overs_of_killed_processes_are_removed(cache: Path, tiny_dataset: Path) -> None:
    photos = tiny_dataset.parent / "photos"
    CachedExtractor(SETTINGS).of_file(photos / "0.png")
    (file,) = cache.rglob("*.safetensors")
    old, new = (file.with_name(f".{file.stem}.12-{number}.partial.safetensors") for number in range(2))
    for left_over in (old, new):
        left_over.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert [kind.images for kind in RegionCache.contents(cache)] == [1]
    assert new.exists() and not old.exists()  # another process may be writing the new one


def test_a_store_of_the_user_in_the_folder_of_the_cache_is_left_alone(
    cache: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [tiny_dataset.parent / "photos" / f"{number}.png" for number in range(4)]
    examples = [Example(photo.name, photo, (), 96, 64) for photo in photos]
    monkeypatch.setenv(CACHE_VARIABLE, "off")
    extract(examples, SETTINGS, cache / "regions", progress=False)
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    other = cache / "stores" / "0123456789abcdef" / "mine.txt"
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    before = {path: path.read_bytes() for path in cache.rglob("*.*") if path.is_file()}
    monkeypatch.setenv(SIZE_VARIABLE, "0.000001")  # less than an image
    for photo in photos:
        CachedExtractor(SETTINGS).of_file(photo)
    RegionCache.clear(cache)
    assert {path: path.read_bytes() for path in cache.rglob("*.*") if path.is_file()} == before


@pytest.fixture
def read_only(cache: Path) -> Iterator[Path]:
    cache.parent.joinpath("cache").write_text("a file is in the way", encoding="utf-8")
    yield cache


def test_a_cache_that_cannot_be_written_stops_nothing(read_only: Path, tiny_dataset: Path) -> None:
    photo = tiny_dataset.parent / "photos" / "0.png"
    assert len(CachedExtractor(SETTINGS).of_file(photo))
    assert read_only.read_text(encoding="utf-8") == "a file is in the way"


def _refused(*_: Any, **__: Any) -> None:
    raise PermissionError(13, "Permission denied")


def test_a_cache_that_may_only_be_read_is_used(
    cache: Path, looks: list[int], tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = tiny_dataset.parent / "photos" / "0.png"
    first = CachedExtractor(SETTINGS).of_file(photo)
    monkeypatch.setattr("os.utime", _refused)
    assert _equal(CachedExtractor(SETTINGS).of_file(photo), first)
    assert len(looks) == 1


def test_a_file_that_cannot_be_read_now_is_not_removed(
    cache: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = CachedExtractor(SETTINGS)
    extractor.of_file(photo := tiny_dataset.parent / "photos" / "0.png")
    assert extractor.cache is not None
    with monkeypatch.context() as patched:
        patched.setattr("unboxed.regions.cache.check_tensor_file", _refused)
        assert extractor.cache.get(image_key(photo, None)) is None
    assert extractor.cache.get(image_key(photo, None)) is not None


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_the_cache_is_the_owners_alone(cache: Path, tiny_dataset: Path) -> None:
    CachedExtractor(SETTINGS).of_file(tiny_dataset.parent / "photos" / "0.png")
    (kind,) = (cache / "regions").iterdir()
    assert list(kind.glob("*/*.safetensors"))
    assert all(folder.stat().st_mode & 0o077 == 0 for folder in (cache, kind.parent))


def _fill(folder: Path, regions: Regions, keys: list[str], forever: bool) -> None:
    cache = RegionCache(folder, SETTINGS, "CPU")
    while True:
        for key in keys:
            cache.put(key, regions)
            found = cache.get(key)
            assert found is None or _equal(found, regions)  # None: another process has just made room
        if not forever:
            return


def test_processes_fill_one_cache_at_the_same_time(
    tmp_path: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them is killed while it writes, and another clears the cache; the others neither fail nor read a part."""
    monkeypatch.setenv(CACHE_VARIABLE, "off")
    monkeypatch.setenv(SIZE_VARIABLE, "0.00005")  # 50 kB, so that room is made again and again
    regions = CachedExtractor(SETTINGS).of_file(tiny_dataset.parent / "photos" / "0.png")
    keys = [f"{number:064x}" for number in range(8)]
    start = multiprocessing.get_context("fork").Process
    killed = start(target=_fill, args=(tmp_path, regions, keys, True), daemon=True)  # ends with the tests at the latest
    others = [start(target=_fill, args=(tmp_path, regions, keys, False)) for _ in range(2)]
    for process in (killed, *others):
        process.start()
    _fill(tmp_path, regions, keys, False)
    RegionCache.clear(tmp_path)
    for process in others:
        process.join()
    os.kill(killed.pid or 0, signal.SIGKILL)
    killed.join()
    assert [process.exitcode for process in others] == [0, 0]
    _fill(tmp_path, regions, keys, False)


@pytest.mark.parametrize("limit", ["nan", "inf", "1e308", "-1", "many"])
def test_a_limit_that_is_no_size_stops_nothing(
    limit: str, cache: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SIZE_VARIABLE, limit)
    assert len(CachedExtractor(SETTINGS).of_file(tiny_dataset.parent / "photos" / "0.png"))
